# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What may be requested of a host's CPUs: who keeps house, what is isolated, and for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._core.converge import Findings, Invalid
from .._core.cpulist import parse_cpulist

REST = "rest"
OTHERS = "default"
# In the order in which the kernel's documentation names them.
ISOLATION = ("domain", "managed_irq", "nohz_full", "rcu_nocbs")
Cpus = frozenset[int]


@dataclass(frozen=True)
class Assignment:
    """Who is to have CPUs of its own: the listed ones, or so many cores.

    Attributes:
        name: Of the service, such as ``go-backend``.
        cpus: Exactly these; None where cores are requested.
        cores: Whole cores, out of the isolated ones.
        node: NUMA node that the cores are to be of.
        nic: NIC (name, PCI address or MAC address) whose node that is.
    """

    name: str
    cpus: Cpus | None = None
    cores: int | None = None
    node: int | None = None
    nic: str | None = None


@dataclass(frozen=True)
class Request:
    """What the operator requests.

    Attributes:
        housekeeping: CPUs that run everything that is not assigned; None for what is not isolated.
        housekeeping_cores: The first so many cores of each node instead.
        isolated: CPUs kept free of that; None for what does not keep house.
        isolation: What the kernel takes off the isolated CPUs, out of ISOLATION.
        split_cores: Whether threads of one core may be on both sides.
        governor: cpufreq governor of every CPU; None leaves it alone.
        assignments: Served in this order, those with listed CPUs first.
    """

    housekeeping: Cpus | None = None
    housekeeping_cores: int | None = None
    isolated: Cpus | None = None
    isolation: Sequence[str] = ()
    split_cores: bool = False
    governor: str | None = None
    assignments: Sequence[Assignment] = ()


def parse_request(options: Mapping[str, Any]) -> Request:
    """Return the request in a module's options, or in a state file.

    Raises:
        Invalid: With everything that is malformed.
    """
    wrong = Findings()

    def cpus(option: str, text: str | None) -> Cpus | None:
        try:
            return None if text is None else frozenset(parse_cpulist(text))
        except Invalid as error:
            wrong.add(f"{option}: {error}")
            return None

    given = {name: options.get(name) for name in ("housekeeping", "housekeeping_cores", "isolated")}
    rest = given["isolated"] == REST
    if given["housekeeping"] is not None and given["housekeeping_cores"] is not None:
        wrong.add("housekeeping and housekeeping_cores are two ways to say one thing; give one of them")
    if given["housekeeping"] is None and given["housekeeping_cores"] is None and (rest or given["isolated"] is None):
        wrong.add("give housekeeping or housekeeping_cores, or list the isolated CPUs: one of them is the rest")
    if given["housekeeping_cores"] is not None and given["housekeeping_cores"] < 1:
        wrong.add(f"housekeeping_cores {given['housekeeping_cores']} is less than 1 core of each node")
    assignments: list[Assignment] = []
    for one in options.get("assignments") or ():
        name, cores = one["name"], one.get("cores")
        if name == OTHERS or name in [other.name for other in assignments]:
            wrong.add(f"assignments: '{name}' is {'for all others' if name == OTHERS else 'there twice'}; rename it")
        if (one.get("cpus") is None) == (cores is None):
            wrong.add(f"assignments: {name} needs either cpus or cores")
        if cores is not None and cores < 1:
            wrong.add(f"assignments: {name} cannot have {cores} cores; give 1 or more")
        where = [key for key in ("node", "nic") if one.get(key) is not None]
        if len(where) > (cores is not None):
            wrong.add(f"assignments: {name} may say node or nic, one of them, beside cores")
        assignments.append(
            Assignment(name, cpus(f"assignments: {name}", one.get("cpus")), cores, one.get("node"), one.get("nic"))
        )
    request = Request(
        housekeeping=cpus("housekeeping", given["housekeeping"]),
        housekeeping_cores=given["housekeeping_cores"],
        isolated=None if rest else cpus("isolated", given["isolated"]),
        isolation=options.get("isolation") or (),
        split_cores=bool(options.get("split_cores")),
        governor=options.get("governor"),
        assignments=assignments,
    )
    wrong.raise_if_any(Invalid, "CPU plan")
    return request
