# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether a host can give what workers of packets are declared to serve, in which mode, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._core.converge import CoreError, Findings, Invalid
from .._core.findings import ERROR, INFO, WARNING, Finding
from .._core.sizes import parse_size
from .._core.system import Host
from .._linux import bpf
from .._workers import limits, modes
from .._workers.request import QUEUES, WORKER, Worker, parse
from .._workers.site import Port, Site, programs, read_ports, read_site, services
from .._xdp.identity import MAPS
from .._xdp.request import pin_directory
from .arguments import faults
from .nic import Nic, NicSnapshot

_SUBJECT, _VARIABLE = "workers", "go_backend_workers"
_SOCKETS, _XSKMAP = "xsks", "xskmap"
_OLDEST = (5, 14)  # MADV_POPULATE_WRITE, by which a lack of huge pages is an error and no SIGBUS
# What kernels have only later: first release, and what a worker does without.
_LATER = (
    ((6, 6), "packets in several frames"),
    ((6, 8), "checksums and launch times of packets sent"),
)


@dataclass(frozen=True)
class WorkersDeclared:
    """What is declared, in the forms of the modules' options.

    Attributes:
        workers: As ``go_backend_workers``.
        interfaces: As ``xdp_interfaces``.
        policies: As ``xdp_policies``.
        reservations: Of huge pages.
        pending: Interfaces that are still to be made.
        memory: Of the container, such as ``256M``; empty for what its role says.
        pids: Of the container; empty for what its role says.
        capabilities: Of the container; empty for those that it needs.
        pin_root: Where programs are pinned.
    """

    workers: Sequence[Mapping[str, Any]] = ()
    interfaces: Sequence[Mapping[str, Any]] = ()
    policies: Mapping[str, Any] = field(default_factory=dict)
    reservations: Sequence[Mapping[str, Any]] = ()
    pending: Sequence[str] = ()
    memory: str = ""
    pids: str = ""
    capabilities: Sequence[str] = ()
    pin_root: str = ""


@dataclass(frozen=True)
class WorkersSnapshot:
    """What ``read_workers`` saw.

    Attributes:
        workers: Those whose NICs are not still to be made.
        site: The host as it is declared to become.
        sockets: By interface that has a program of ours, what is wrong with its map of sockets; empty where nothing is.
        malformed: What is wrong with workers whatever the host is.
        capabilities: As declared.
    """

    workers: Sequence[Worker] = ()
    site: Site = field(default_factory=Site)
    sockets: Mapping[str, str] = field(default_factory=dict)
    malformed: Sequence[str] = ()
    capabilities: Sequence[str] = ()


def malformed(options: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return what is wrong with ``go_backend_workers`` whatever the host is; for the control node."""
    try:
        _parsed(options)
    except Invalid as error:
        return list(error.facts["reasons"])
    return []


def _parsed(options: Sequence[Mapping[str, Any]]) -> list[Worker]:
    specification = {"type": "list", "elements": "dict", "options": WORKER}
    Findings(faults(_VARIABLE, specification, options)).raise_if_any(Invalid, "workers")
    # As the module that is to get them would read them: an inventory has texts for numbers.
    validated = ArgumentSpecValidator({"workers": specification}).validate({"workers": list(options)})
    return parse(validated.validated_parameters["workers"])


def read_workers(host: Host, declared: WorkersDeclared, seen: NicSnapshot) -> WorkersSnapshot:
    """Read what workers need of a host.

    Args:
        host: The machine.
        declared: What is to come.
        seen: Its NICs with what they are declared to become.
    """
    if not declared.workers:
        return WorkersSnapshot()
    try:
        workers = _parsed(declared.workers)
    except Invalid as error:
        return WorkersSnapshot(malformed=error.facts["reasons"])
    workers = [worker for worker in workers if not set(worker.nics) & set(declared.pending)]
    names = sorted({name for worker in workers for name in worker.nics})
    by_name = {nic.name: nic for nic in seen.nics}
    ports = {
        name: _as_declared(port, by_name.get(name))
        for name, port in read_ports(host, names, programs(declared.interfaces)).items()
    }
    site = read_site(
        host,
        ports,
        memory=_bytes(declared.memory),
        pids=int(declared.pids) if declared.pids.isdigit() else None,
        services=services(declared.interfaces, declared.policies),
    )
    return WorkersSnapshot(
        workers,
        replace(site, pages={**site.pages, **_reserved(declared.reservations)}),
        {name: fault for name in names for fault in [_socket_map_fault(host, declared.pin_root, name)] if fault},
        capabilities=declared.capabilities,
    )


def _reserved(reservations: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], int]:
    sizes = ((one, _bytes(one["size"])) for one in reservations)
    return {(one.get("node") or 0, size): one["count"] for one, size in sizes if size is not None}


def _bytes(text: str) -> int | None:
    try:
        return parse_size(text)
    except Invalid:
        return None  # nothing is given, or refusals.py reports what is wrong with it


def check_workers(seen: WorkersSnapshot) -> Iterator[Finding]:
    """Yield what stands in the way of workers, and the mode that each of their NICs can give."""
    remedy = f"correct {_VARIABLE}"
    for reason in seen.malformed:
        yield Finding(ERROR, _SUBJECT, reason, "what go-backend takes", remedy)
    if not seen.workers:
        return
    for reason in limits.faults(seen.workers, seen.site):
        yield Finding(ERROR, _SUBJECT, reason, "what this host can give", remedy)
    for words in limits.warnings(seen.workers, seen.site):
        yield Finding(WARNING, _SUBJECT, words, "packets for each worker", f"nothing where it is meant, else {remedy}")
    yield from _check_kernel(seen.site.kernel)
    yield from _check_capabilities(seen)
    for name, port in seen.site.nics.items():
        several = any(worker.multi_buffer and name in worker.nics for worker in seen.workers)
        yield _mode(port, seen.site.kernel, several)
        if name in seen.sockets:
            remedy = "nothing: the role xdp brings the program of this release"
            yield Finding(INFO, f"AF_XDP on {name}", seen.sockets[name], f"a map of {QUEUES} sockets", remedy)


def _as_declared(port: Port, nic: Nic | None) -> Port:
    if nic is None:
        return port
    queues = nic.channels.get("rx", 0) + nic.channels.get("combined", 0)
    declared = nic.declared
    spread_anew = bool(declared.channels or declared.rss or declared.flow_rules)
    return replace(port, queues=queues or port.queues, mtu=nic.mtu, reached=None if spread_anew else port.reached)


def _check_kernel(kernel: tuple[int, ...]) -> Iterator[Finding]:
    found = f"Linux {_dotted(kernel)}"
    if kernel < _OLDEST:
        yield Finding(ERROR, _SUBJECT, found, f"Linux {_dotted(_OLDEST)} or newer", "install and boot a newer kernel")
        return
    lacking = [f"{what} ({_dotted(since)})" for since, what in _LATER if kernel < since]
    if lacking:
        remedy = "nothing where they are not needed, or a newer kernel"
        yield Finding(INFO, _SUBJECT, f"{found}, without {' and '.join(lacking)}", "all of AF_XDP", remedy)


def _check_capabilities(seen: WorkersSnapshot) -> Iterator[Finding]:
    if not seen.capabilities:
        return
    if "NET_RAW" not in seen.capabilities:
        remedy = "add it, or leave the variable empty"
        yield Finding(ERROR, _SUBJECT, "go_backend_capabilities without NET_RAW", "NET_RAW, for sockets", remedy)
    if "IPC_LOCK" not in seen.capabilities:
        yield Finding(
            WARNING,
            _SUBJECT,
            "go_backend_capabilities without IPC_LOCK, so that the limit of locked memory (memlock) holds",
            "IPC_LOCK, or a limit above all frames",
            "add it, or leave the variable empty",
        )


def _mode(port: Port, kernel: tuple[int, ...], several: bool) -> Finding:
    subject, driver = f"AF_XDP on {port.name}", port.driver or "its driver"
    mode = modes.offered(port, kernel)
    if mode == modes.ZERO_COPY and several and port.zero_copy_frames == 1:
        found = f"native copy: {driver} has zero-copy for packets of one frame alone, and multi_buffer is requested"
        remedy = "nothing, as each packet is copied once; or an MTU that a frame has room for, without multi_buffer"
        return Finding(INFO, subject, found, "zero-copy", remedy)
    if mode == modes.ZERO_COPY:
        return Finding(INFO, subject, f"zero-copy, by {driver}", "zero-copy", "nothing")
    if mode == modes.GENERIC:
        found = "generic, as its XDP program is: each packet is copied twice"
        return Finding(INFO, subject, found, "zero-copy", "mode native in xdp_interfaces, where its driver has it")
    remedy = "nothing, or a NIC and a kernel that have it: each packet is copied once"
    claim = "claims none"
    if port.features is None:
        claim = f"is not known to have one, which Linux before {_dotted(modes.TELLS)} cannot tell"
    elif modes.CLAIM in port.features:
        claim = f"claims it and does without, as the device does not offer {' and '.join(port.device_lacks)}"
        remedy = "nothing, as each packet is copied once; or a device that offers it (QEMU: iommu_platform=on)"
    return Finding(INFO, subject, f"native copy: {driver} {claim}", "zero-copy", remedy)


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _socket_map_fault(host: Host, pin_root: str, interface: str) -> str:
    """Return what is wrong with the map of sockets of an attached program of ours; empty for nothing, or no program."""
    directory = pin_directory(pin_root, interface)
    if not host.exists(f"{directory}/prog"):
        return ""
    path = f"{directory}/{MAPS}/{_SOCKETS}"
    if not host.exists(path):
        return f"a program of ours without the pin {path}"
    try:
        with bpf.pinned(path) as descriptor:
            layout = bpf.map_info(descriptor).layout
    except (CoreError, OSError) as error:
        return f"the pin {path} cannot be opened ({error})"
    if (layout.type, layout.max_entries) != (_XSKMAP, QUEUES):
        return f"the pin {path} of another layout: {layout.type} of {layout.max_entries}"
    return ""
