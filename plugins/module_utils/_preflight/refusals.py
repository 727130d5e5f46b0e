# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What the modules of a host's plan would refuse: their own code decides, so that a limit is written only once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._boot.driver_request import Driver
from .._boot.driver_resource import Drivers
from .._boot.driver_tools import LiveDriverTools
from .._boot.kernel_args_repeated import contradictions
from .._boot.kernel_args_request import plain
from .._boot.kernel_args_resource import KernelArguments
from .._boot.sysctl_request import parse
from .._boot.sysctl_resource import Sysctls
from .._core.converge import CoreError, Findings, Impossible, Invalid, Refused, Resource
from .._core.findings import ERROR, Finding
from .._core.names import INTERFACE_BYTES, interface_fault
from .._core.sizes import parse_size
from .._core.system import Host
from .._cpu.plan import resolve
from .._cpu.request import parse_request
from .._cpu.resource import CpuIsolation
from .._deploy.container_limits import require_sound
from .._deploy.service_users import ServiceUsers
from .._deploy.service_users import parse as parse_users
from .._hugepages.request import Desired, Reservation
from .._hugepages.resource import Hugepages
from .._linux import netlink
from .._nic.parse import parse_all
from .._nic.request import Request
from .._nic.resource import Nics

_BRIDGE = "bridge"
_SHARES = {"housekeeping", "housekeeping_cores", "isolated"}  # what makes a CPU plan one


@dataclass(frozen=True)
class Requested:
    """What will be requested of other modules; each in the form of its options.

    Attributes:
        nics: ``nics`` of the ``nic`` module.
        reservations: ``reservations`` of the ``hugepages`` module.
        keep: Bytes that huge pages must leave to the host.
        drivers: ``drivers`` of the ``driver`` module.
        cpu_plan: Options of the ``cpu_isolation`` module; no plan where it gives CPUs to nobody.
        boot_arguments: ``arguments`` of the ``kernel_args`` module.
        sysctls: ``variables`` of the ``sysctl`` module.
        users: ``users`` of the ``service_users`` module.
        containers: Limits of containers, as LIMITS of the core has them.
        bridges: Names that container networks, and so their bridges, are to have.
    """

    nics: Sequence[Mapping[str, Any]] = ()
    reservations: Sequence[Mapping[str, Any]] = ()
    keep: int = 0
    drivers: Sequence[Mapping[str, Any]] = ()
    cpu_plan: Mapping[str, Any] | None = None
    boot_arguments: Sequence[str] = ()
    sysctls: Mapping[str, Any] = field(default_factory=dict)
    users: Sequence[Mapping[str, Any]] = ()
    containers: Sequence[Mapping[str, Any]] = ()
    bridges: Sequence[str] = ()

    def nic_requests(self) -> list[Request]:
        """Return the NICs' declarations; none where they are malformed, which is a refusal."""
        try:
            return parse_all(self.nics)
        except Invalid:
            return []


def check_requested(host: Host, requested: Requested) -> Iterator[Finding]:
    """Return what would be refused, and why."""
    if requested.nics:
        yield from _refusals("NICs", "nic_interfaces", lambda: _nics(host, requested.nics))
    if requested.drivers:
        yield from _refusals("drivers", "kernel_drivers", lambda: _drivers(host, requested.drivers))
    if requested.reservations:
        yield from _refusals("huge pages", "hugepages_reservations", lambda: _hugepages(host, requested))
    if requested.cpu_plan and not _SHARES.isdisjoint(requested.cpu_plan):
        yield from _refusals(
            "CPU plan", "the cpu_isolation variables", lambda: _cpu_plan(host, requested.cpu_plan or {})
        )
    if requested.boot_arguments:
        yield from _refusals("boot arguments", "kernel_boot_arguments", lambda: _boot(host, requested))
    if requested.sysctls:
        yield from _refusals("kernel variables", "kernel_sysctls", lambda: _sysctls(host, requested.sysctls))
    if requested.users:
        yield from _refusals("users", "the variable that is named", lambda: _users(host, requested.users))
    if requested.containers:
        limits = requested.containers
        yield from _refusals("containers", "the variable that is named", lambda: require_sound(host, limits))
    if requested.bridges:
        yield from _refusals("networks", "docker_engine_networks", lambda: _bridges(requested.bridges))


def _refusals(subject: str, where: str, validate: Callable[[], None]) -> Iterator[Finding]:
    try:
        validate()
    except CoreError as error:
        for reason in error.facts.get("reasons") or [str(error)]:
            yield Finding(ERROR, subject, reason, "what this host can do", f"correct {where}")


def _nics(host: Host, options: Sequence[Mapping[str, Any]]) -> None:
    requests = parse_all(options)
    _validate(host, Nics(requests), requests)


def _drivers(host: Host, options: Sequence[Mapping[str, Any]]) -> None:
    desired = [Driver.from_option(one) for one in options]
    _validate(host, Drivers(desired, LiveDriverTools()), desired)


def _hugepages(host: Host, requested: Requested) -> None:
    desired = Desired(
        reservations=[
            Reservation(one.get("node", 0), parse_size(one["size"]), one["count"]) for one in requested.reservations
        ],
        keep=requested.keep,
    )
    _validate(host, Hugepages(desired), desired)


def _cpu_plan(host: Host, options: Mapping[str, Any]) -> None:
    request = parse_request(options)
    _validate(host, CpuIsolation(request), request)


def _boot(host: Host, requested: Requested) -> None:
    # The kernel role gives both in one list.
    together = contradictions([*plain(requested.boot_arguments), *_planned_arguments(host, requested.cpu_plan or {})])
    Findings(list(together)).raise_if_any(Invalid, "boot arguments")
    _validate(host, KernelArguments(requested.boot_arguments), requested.boot_arguments)


def _planned_arguments(host: Host, options: Mapping[str, Any]) -> Sequence[str]:
    """Return what a CPU plan adds to the boot arguments; nothing where there is no plan, or it is refused itself."""
    if _SHARES.isdisjoint(options):
        return ()
    try:
        request, wrong = parse_request(options), Findings()
        plan = resolve(request, CpuIsolation(request).read(host).topology, wrong)
        wrong.raise_if_any(Impossible, "CPU plan")
    except CoreError:
        return ()
    return plan.boot_arguments


def _sysctls(host: Host, variables: Mapping[str, Any]) -> None:
    desired = parse(variables)
    _validate(host, Sysctls(desired), desired)


def _users(host: Host, options: Sequence[Mapping[str, Any]]) -> None:
    _validate(host, ServiceUsers(parse_users(options)), True)


def _bridges(names: Sequence[str]) -> None:
    kinds = {link.name: link.kind or "a NIC" for link in netlink.links()}
    findings = Findings()
    for name in names:
        fault = interface_fault(name)
        if fault:
            findings.add(f"network {name}: its bridge has its name, which {fault}; give 1 to {INTERFACE_BYTES} bytes")
        elif kinds.get(name, _BRIDGE) != _BRIDGE:
            findings.add(f"network {name}: there is an interface {name} that is {kinds[name]} and no bridge")
    findings.raise_if_any(Refused, "networks")


def _validate(host: Host, resource: Resource, desired: Any) -> None:
    resource.validate(desired, resource.read(host))
