# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A NIC as it is: its link, its driver's settings, and what sysfs and procfs say of its queues and interrupts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .._core.cpulist import format_cpulist, format_mask, parse_cpulist, parse_mask
from .._core.system import Host
from .._cpu.reserved import read_reserved
from .._linux import ethtool, irqbalance, irqs
from .._linux.irqs import Irq
from .._linux.netlink import Link, XdpState
from .._linux.topology import NETWORK, own_device, pci_device, read_cpus, read_irqs, read_nodes
from . import napi
from .drivers import driver as driver_of
from .irq_plan import Topology

DEFAULT_AFFINITY = "/proc/irq/default_smp_affinity"
SOCK_FLOW_ENTRIES = "/proc/sys/net/core/rps_sock_flow_entries"


@dataclass(frozen=True)
class NicState:
    """One NIC.

    Attributes:
        pci: Its PCI address; None for one that is no PCI function, or a part of none.
        node: Its NUMA node; None where it is unknown.
        xps: CPUs by transmit queue; empty for a NIC of one queue, where there is nothing to choose.
        rps: CPUs by receive queue.
        rfs: Flows that each receive queue holds.
        irqs: Those that the driver has requested.
        members: Of a bond, by name.
        rdma: The driver that holds its channels; None where none does.
        napi: How its queues are polled, as ``napi.read`` returns it; empty where sysfs is another namespace's.
        shares_irqs: Whether its interrupts are those of a controller, which others share.
    """

    link: Link
    settings: ethtool.Settings = field(default_factory=ethtool.Settings)
    pci: str | None = None
    node: int | None = None
    xps: tuple[frozenset[int], ...] = ()
    rps: tuple[frozenset[int], ...] = ()
    rfs: tuple[int, ...] = ()
    irqs: tuple[Irq, ...] = ()
    members: tuple[str, ...] = ()
    rdma: str | None = None
    shares_irqs: bool = False
    napi: Mapping[str, int | bool] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Interface name."""
        return self.link.name

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready data from which ``from_json`` makes an equal state."""
        return {
            "link": asdict(self.link),
            "settings": self.settings.to_json(),
            "pci": self.pci,
            "node": self.node,
            "xps": [format_cpulist(cpus) for cpus in self.xps],
            "rps": [format_cpulist(cpus) for cpus in self.rps],
            "rfs": list(self.rfs),
            "irqs": [
                {
                    "number": irq.number,
                    "name": irq.name,
                    "queue": irq.queue,
                    **({"duty": irq.duty} if irq.duty else {}),
                    "cpus": format_cpulist(irq.cpus),
                    "effective": None if irq.effective is None else format_cpulist(irq.effective),
                    "movable": irq.movable,
                }
                for irq in self.irqs
            ],
            "members": list(self.members),
            "rdma": self.rdma,
            **({"shares_irqs": True} if self.shares_irqs else {}),
            **({"napi": dict(self.napi)} if self.napi else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NicState:
        """Return the state that ``to_json`` wrote."""
        link = dict(data["link"])
        return cls(
            link=Link(**{**link, "xdp": XdpState(**link["xdp"])}),
            settings=ethtool.Settings.from_json(data["settings"]),
            pci=data["pci"],
            node=data["node"],
            xps=tuple(map(_cpus, data["xps"])),
            rps=tuple(map(_cpus, data["rps"])),
            rfs=tuple(data["rfs"]),
            irqs=tuple(
                Irq(**{**irq, "cpus": _cpus(irq["cpus"]), "effective": _optional_cpus(irq["effective"])})
                for irq in data["irqs"]
            ),
            members=tuple(data["members"]),
            rdma=data["rdma"],
            shares_irqs=data.get("shares_irqs", False),
            napi=data.get("napi", {}),
        )


@dataclass(frozen=True)
class HostState:
    """What the NICs of a host share.

    Attributes:
        nics: By name.
        default_affinity: CPUs that interrupts get where nobody says otherwise.
        sock_flow_entries: Flows that all sockets hold together (RFS); None where the kernel lacks it.
    """

    nics: Mapping[str, NicState]
    topology: Topology
    default_affinity: frozenset[int] = frozenset()
    sock_flow_entries: int | None = None
    irqbalance: irqbalance.State = field(default_factory=irqbalance.State)


def read_host(host: Host, nics: Mapping[str, NicState]) -> HostState:
    """Return the state of some NICs, which are read already, and of what they share."""
    cpus = read_cpus(host)
    return HostState(
        nics=nics,
        topology=Topology.of(cpus, read_nodes(host), read_reserved(host, cpus)),
        default_affinity=frozenset(parse_mask(host.read(DEFAULT_AFFINITY) or "0")),
        sock_flow_entries=host.read_int(SOCK_FLOW_ENTRIES),
        irqbalance=irqbalance.read(host),
    )


def read_nic(host: Host, link: Link, table: Sequence[Link] = ()) -> NicState:
    """Return the state of one NIC."""
    base = f"{NETWORK}/{link.name}"
    settings = ethtool.read_settings(link.name)
    device = pci_device(host, base)
    node = host.read_int(f"{device}/numa_node") if device else None
    queues = host.list(f"{base}/queues")
    receive = sorted((name for name in queues if name.startswith("rx-")), key=_number)
    transmit = sorted((name for name in queues if name.startswith("tx-")), key=_number)
    masks = [host.read(f"{base}/queues/{name}/xps_cpus") for name in transmit]
    return NicState(
        link=link,
        settings=settings,
        pci=device.rpartition("/")[2] if device else None,
        node=node if node is not None and node >= 0 else None,
        xps=tuple(frozenset(parse_mask(mask)) for mask in masks if mask is not None),
        rps=tuple(frozenset(parse_mask(host.read(f"{base}/queues/{name}/rps_cpus") or "0")) for name in receive),
        rfs=tuple(host.read_int(f"{base}/queues/{name}/rps_flow_cnt") or 0 for name in receive),
        irqs=read_irqs(host, irqs.read_queues, link, settings, len(receive) or None),
        shares_irqs=device is not None and own_device(host, base) is None,
        members=tuple(one.name for one in table if link.kind == "bond" and one.master == link.index),
        rdma=_rdma(host, device, settings.driver),
        napi=napi.read(host, link.name),
    )


def write_xps(host: Host, name: str, queue: str, cpus: Iterable[int]) -> None:
    """Choose the CPUs that send through a queue, such as ``tx-0``."""
    host.write_attribute(f"{NETWORK}/{name}/queues/{queue}/xps_cpus", format_mask(cpus))


def write_rps(host: Host, name: str, queue: str, cpus: Iterable[int]) -> None:
    """Choose the CPUs that a queue's packets are spread over, such as those of ``rx-0``."""
    host.write_attribute(f"{NETWORK}/{name}/queues/{queue}/rps_cpus", format_mask(cpus))


def write_rfs(host: Host, name: str, queue: str, entries: int) -> None:
    """Choose how many flows a queue holds."""
    host.write_attribute(f"{NETWORK}/{name}/queues/{queue}/rps_flow_cnt", str(entries))


def _rdma(host: Host, device: str | None, driver: str | None) -> str | None:
    prefixes = driver_of(driver).rdma_devices
    if device is None or not prefixes:
        return None
    held = (host.link(f"{device}/{name}/driver") for name in host.list(device) if name.startswith(prefixes))
    return next(filter(None, held), None)


def _number(queue: str) -> int:
    return int(queue.partition("-")[2])


def _cpus(text: str) -> frozenset[int]:
    return frozenset(parse_cpulist(text))


def _optional_cpus(text: str | None) -> frozenset[int] | None:
    return None if text is None else _cpus(text)
