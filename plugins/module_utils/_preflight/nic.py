# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether the NICs of a host can run XDP as they are, or as they are declared to become."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._core.converge import CoreError
from .._core.cpulist import format_cpulist
from .._core.findings import ERROR, INFO, WARNING, Finding
from .._core.system import Host
from .._guard import sessions
from .._linux import irqbalance, netlink
from .._linux.topology import read_cpus, read_iommu, read_nodes
from .._nic.drivers import members
from .._nic.irq_plan import Topology
from .._nic.request import MAXIMUM, Request
from .._nic.resource import Nics
from .._nic.state import NicState, read_nic
from .._xdp.drivers import Around, Device, obstacles
from .._xdp.placement import unfiltered_ports, unfiltered_uppers
from .._xdp.program import XdpProgram
from .._xdp.request import PIN_ROOT, Desired

NOTHING = Request()
# x86 has 256 vectors for each CPU; what exceptions and the kernel's own interrupts leave is a little more than this.
_VECTORS = 200


@dataclass(frozen=True)
class Xdp:
    """A program that is to be attached.

    Attributes:
        interface: Name.
        mode: ``native``, ``generic`` or ``offload``.
        pin_root: Where our programs are pinned.
    """

    interface: str
    mode: str = "native"
    pin_root: str = PIN_ROOT


@dataclass(frozen=True)
class Nic:
    """A network interface as it is, and what it is to become.

    Attributes:
        declared: What will be requested of the ``nic`` module.
        xdp_features: What the driver claims of XDP; None where the kernel (before 6.3) cannot tell.
        foreign: Programs attached that are not ours.
        iommu: Type of its IOMMU domain, such as ``DMA-FQ`` or ``identity``; None without an IOMMU.
        table: All links of the host.
        around: What else uses its queues.
    """

    state: NicState
    declared: Request = NOTHING
    xdp_features: Sequence[str] | None = None
    foreign: Sequence[str] = ()
    iommu: str | None = None
    table: Sequence[netlink.Link] = ()
    around: Around = field(default_factory=Around)

    @property
    def name(self) -> str:
        """Interface name."""
        return self.state.name

    @property
    def mtu(self) -> int:
        """Its MTU to be, in bytes."""
        return self.state.link.mtu if self.declared.mtu is None else self.declared.mtu

    @property
    def channels(self) -> dict[str, int]:
        """Its channels to be, but for those of no queue."""
        counts = self.state.settings.channels or {}
        found = {kind: count.current for kind, count in counts.items() if kind != "other"}
        for kind, value in self.declared.channels.items():
            if kind in found:
                most = counts[kind].maximum  # beyond it the nic module refuses
                found[kind] = most if value == MAXIMUM else min(int(value), most)
        return found

    @property
    def device(self) -> Device:
        """What decides whether it runs a program."""
        link, settings, flags = self.state.link, self.state.settings, self.declared.private_flags
        return Device.of(
            link, settings, self.xdp_features, self.mtu, self.channels, self.is_on, self.table, self.around, flags
        )

    def is_on(self, feature: str) -> bool:
        """Whether an offload is to be on; the kernel's name."""
        known = self.state.settings.features
        for word, value in self.declared.features.items():
            if feature in members(word, known) and known[feature].changeable:
                return value
        return feature in known and known[feature].active


@dataclass(frozen=True)
class NicSnapshot:
    """What ``read_nics`` saw.

    Attributes:
        nics: Those that are to run XDP or are declared.
        session: Interfaces that carry the operator's connection.
        topology: CPUs by NUMA node.
        irqbalance: What moves interrupts by itself.
        vectors: Interrupts that a CPU can take; 0 where that is no question.
    """

    nics: Sequence[Nic] = ()
    session: Sequence[str] = ()
    topology: Topology = field(default_factory=lambda: Topology((0,)))
    irqbalance: irqbalance.State = field(default_factory=irqbalance.State)
    vectors: int = 0


def read_nics(host: Host, desired: Sequence[Xdp], requests: Sequence[Request]) -> NicSnapshot:
    """Read the interfaces that matter."""
    if not desired and not requests:
        return NicSnapshot()
    declared, states = _read_declared(host, requests)
    attached = {one.interface: one for one in desired}
    table = netlink.links()
    nics = []
    for link in table:
        if link.name not in {*attached, *declared}:
            continue
        try:
            state = states.get(link.name) or read_nic(host, link, table)
            nics.append(_read_nic(host, state, declared.get(link.name, NOTHING), attached.get(link.name), table))
        except OSError as error:
            if error.errno != errno.ENODEV:  # containers come and go while we read
                raise
    return NicSnapshot(
        nics,
        sorted(sessions.carriers(host, sessions.current(host))),
        Topology.of(read_cpus(host), read_nodes(host)),
        irqbalance.read(host),
        _VECTORS if os.uname().machine == "x86_64" else 0,
    )


def check_nics(desired: Sequence[Xdp], seen: NicSnapshot) -> Iterator[Finding]:
    """Return what stands in the way of XDP, and what an operator should know of the NICs."""
    by_name = {nic.name: nic for nic in seen.nics}
    chosen = [one.interface for one in desired]
    for one in desired:
        if one.interface in by_name:
            yield from check_xdp(one, by_name[one.interface], len(seen.topology.online), chosen)
    for nic in seen.nics:
        yield from _warnings(nic, seen)
    yield from _check_vectors(seen)
    if any(nic.declared.irq for nic in seen.nics):
        yield from _check_irqbalance(seen.irqbalance)


def check_xdp(desired: Xdp, nic: Nic, cpus: int, chosen: Sequence[str] = ()) -> Iterator[Finding]:
    """Return what stands between an interface and its program.

    Args:
        desired: The program.
        nic: The interface.
        cpus: Online CPUs.
        chosen: Names of all interfaces that are to get a program.
    """
    subject = f"XDP on {nic.name}"
    for foreign in nic.foreign:
        yield Finding(
            ERROR, subject, f"{foreign} is attached", "no program of others", "detach it, or replace it on purpose"
        )
    ports = unfiltered_ports(nic.state.link, nic.table, chosen)
    if ports:
        yield Finding(
            ERROR,
            subject,
            f"one port of a bond or team, whose other ports ({', '.join(ports)}) pass everything",
            "a program on each port, or on all of them at once",
            f"add {', '.join(ports)} to xdp_interfaces, or give the bond instead",
        )
    uppers = unfiltered_uppers(nic.state.link, nic.table, chosen)
    if uppers:
        yield Finding(
            ERROR,
            subject,
            f"a NIC whose frames {', '.join(uppers)} decrypts behind the program, which finds no IP in them",
            "a program on both",
            f"add {', '.join(uppers)} to xdp_interfaces, with mode generic",
        )
    for one in obstacles(nic.device, desired.mode):
        yield Finding(ERROR, subject, one.found, one.limit, one.remedy)
    if desired.mode == "native":
        yield from _xdp_hints(subject, nic, cpus)


def _xdp_hints(subject: str, nic: Nic, cpus: int) -> Iterator[Finding]:
    device = nic.device
    if device.xdp_features is None:
        remedy = "nothing: attaching will show it"
        yield Finding(INFO, subject, "a kernel that cannot tell (before 6.3)", "native XDP in the driver", remedy)
    if not device.channels:
        return
    spare = device.most_channels - device.channels.get("combined", 0)
    if device.limits.queue_per_cpu and spare < cpus:
        yield Finding(
            INFO,
            subject,
            f"{spare} spare channels for {cpus} CPUs",
            "one for each CPU",
            "nothing, or a NIC with more queues: sending and redirecting share a lock otherwise",
        )
    _rx, tx = device.queues
    if device.limits.redirects_by_cpu and tx < cpus:
        yield Finding(
            WARNING,
            subject,
            f"{tx} transmit queues for {cpus} CPUs",
            "one for each CPU that redirects to it",
            "more channels, or redirect to it from the first CPUs only",
        )


def _check_irqbalance(found: irqbalance.State) -> Iterator[Finding]:
    if found.stray:
        yield Finding(
            WARNING,
            "irqbalance",
            "runs, and not under systemd",
            "set to leave placed IRQs alone",
            "end it, or start it by its unit, to which nic adds the IRQs that it places",
        )
    elif found.command:
        remedy = "nothing: nic adds the IRQs that it places to its unit"
        yield Finding(INFO, "irqbalance", "installed", "set to leave placed IRQs alone", remedy)


def _check_vectors(seen: NicSnapshot) -> Iterator[Finding]:
    for node, cpus in seen.topology.nodes.items() if seen.vectors else ():
        queues = sum(sum(nic.channels.values()) for nic in seen.nics if nic.state.node == node)
        if cpus and queues > seen.vectors * len(cpus):
            yield Finding(
                WARNING,
                f"IRQ vectors of node {node}",
                f"{queues} channels for CPUs {format_cpulist(cpus)}",
                f"about {seen.vectors} a CPU",
                "fewer channels, or place some IRQs on another node",
            )


def _warnings(nic: Nic, seen: NicSnapshot) -> Iterator[Finding]:
    subject = f"interface {nic.name}"
    if nic.name in seen.session:
        remedy = "nothing: changes to it are guarded, unless guard is never"
        yield Finding(INFO, subject, "carries this session", "a way back", remedy)
    if nic.iommu and nic.iommu.startswith("DMA"):
        remedy = "the boot argument iommu=pt, where the NIC is trusted; vfio works with either"
        yield Finding(INFO, subject, f"its IOMMU domain translates ({nic.iommu})", "pass-through is faster", remedy)
    local = seen.topology.nodes.get(nic.state.node, ()) if nic.state.node is not None else ()
    queues = nic.channels.get("combined", 0) + nic.channels.get("rx", 0)
    if nic.declared.irq and local and queues > len(local):
        remedy = f"nothing, or {len(local)} channels: queues share CPUs otherwise"
        found = f"{queues} queues, {len(local)} CPUs on node {nic.state.node}"
        yield Finding(INFO, subject, found, "a CPU for each queue", remedy)


def _read_declared(host: Host, requests: Sequence[Request]) -> tuple[dict[str, Request], Mapping[str, NicState]]:
    """Return the requests by interface, a bond's by its members too, and what was read to find them."""
    if not requests:
        return {}, {}
    try:
        found = Nics(requests, save=False, lenient=True).read(host)
    except CoreError:
        return {}, {}  # refusals.py reports why
    return {target.name: target.request for target in found.targets}, found.current.nics


def _read_nic(
    host: Host, state: NicState, declared: Request, desired: Xdp | None, table: Sequence[netlink.Link]
) -> Nic:
    features = netlink.xdp_features(state.link.index)
    iommu = read_iommu(host, state.pci) if state.pci else None
    return Nic(
        state,
        declared,
        None if features is None else sorted(features),
        _foreign(host, desired) if desired and state.link.xdp.mode else (),
        iommu["type"] if iommu else None,
        table,
        Around.read(host, state.name),
    )


def _foreign(host: Host, desired: Xdp) -> list[str]:
    ours = Desired(desired.interface, present=False, pin_root=desired.pin_root)
    try:
        return [str(one) for one in XdpProgram(ours).read(host).foreign]
    except CoreError:
        return []  # who may not list programs gets a finding of its own
