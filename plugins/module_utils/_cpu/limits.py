# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Reasons against a CPU plan: what a host's CPUs, NICs, kernel and firmware cannot do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .._core.converge import Findings
from .._core.cpulist import format_cpulist
from .request import Cpus, Request
from .state import Governor, State, Topology


def check_online(what: str, cpus: Cpus, topology: Topology, wrong: Findings) -> None:
    """Add the reason why CPUs cannot be used, if some are not online."""
    if cpus - topology.online:
        wrong.add(
            f"{what}: CPUs {format_cpulist(cpus - topology.online)} are not online "
            f"({format_cpulist(topology.online)} are); take them out, or bring them online first"
        )


def check_shares(request: Request, topology: Topology, housekeeping: Cpus, isolated: Cpus, wrong: Findings) -> None:
    """Add every reason why the online CPUs cannot be shared so between housekeeping and isolation."""
    online, boot = topology.online, topology.boot_cpu
    if not isolated:
        wrong.add(
            f"no CPU is left to isolate: housekeeping has all that are online ({format_cpulist(online)}); "
            "keep fewer, or give this host no plan"
        )
    if isolated >= online:
        most = format_cpulist(online - _core(boot, topology)) or "none"
        wrong.add(
            f"isolated: {format_cpulist(isolated)} is every CPU that is online; at most {most} can be, as CPU {boot} "
            "must keep house"
        )
    elif boot not in housekeeping:
        wrong.add(f"CPU {boot}, which the kernel boots on and keeps time with, must keep house: add it to housekeeping")
    if housekeeping & isolated:
        both = format_cpulist(housekeeping & isolated)
        wrong.add(f"CPUs {both} are in housekeeping and in isolated; take them out of one")
    forgotten = online - housekeeping - isolated
    if forgotten:
        wrong.add(f"CPUs {format_cpulist(forgotten)} are neither in housekeeping nor in isolated; add them to one")
    if not request.split_cores:
        for core in topology.cores:
            if core & housekeeping and core & isolated:
                wrong.add(
                    f"CPUs {format_cpulist(core)} are threads of one core, and {format_cpulist(core & isolated)} alone "
                    "would be isolated: the others slow it down; keep them together, or set split_cores"
                )


def check_listed(
    name: str, cpus: Cpus, topology: Topology, housekeeping: Cpus, isolated: Cpus, wrong: Findings
) -> None:
    """Add every reason why an assignment cannot have the CPUs that it lists."""
    if not cpus:
        wrong.add(f"{name}: its list of CPUs is empty; give at least one")
    check_online(name, cpus, topology, wrong)
    if cpus & housekeeping and cpus & isolated:
        wrong.add(
            f"{name}: of CPUs {format_cpulist(cpus)}, {format_cpulist(cpus & isolated)} are isolated and "
            f"{format_cpulist(cpus & housekeeping)} keep house; give it CPUs of one kind"
        )


def check_apart(
    one: tuple[str, Cpus], other: tuple[str, Cpus], isolated: Cpus, topology: Topology, split: bool, wrong: Findings
) -> None:
    """Add the reason why two assignments come too close, if they do."""
    shared = one[1] & other[1] & isolated
    if shared:
        wrong.add(f"{one[0]} and {other[0]} both have the isolated CPUs {format_cpulist(shared)}; give each its own")
    elif not split:
        for core in topology.cores:
            if core & one[1] & isolated and core & other[1] & isolated:
                wrong.add(
                    f"{one[0]} and {other[0]} have threads of one core, CPUs {format_cpulist(core)}; "
                    "give each whole cores, or set split_cores"
                )


def check_isolation(request: Request, state: State) -> Iterator[str]:
    """Yield every kind of isolation that the running kernel was built without."""
    for name in request.isolation:
        if name in state.lacking:
            yield (
                f"isolation {name}: this kernel was built without {state.lacking[name]}; leave it out, or boot another "
                "kernel"
            )


def check_governor(desired: str | None, governors: Mapping[int, Governor]) -> Iterator[str]:
    """Yield every reason why CPUs cannot have a governor."""
    if desired is None:
        return
    if not governors:
        yield (
            f"governor {desired}: no CPU has cpufreq (a virtual machine, or frequencies left to the firmware); "
            "leave governor out"
        )
    for names in dict.fromkeys(tuple(found.available) for found in governors.values()):
        if desired not in names:
            cpus = format_cpulist(cpu for cpu, found in governors.items() if tuple(found.available) == names)
            yield f"governor {desired}: CPUs {cpus} have {', '.join(names)}; choose one of these"


def _core(cpu: int, topology: Topology) -> Cpus:
    return next(core for core in topology.cores if cpu in core)
