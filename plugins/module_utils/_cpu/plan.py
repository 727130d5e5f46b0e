# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""One plan for a host's CPUs: which keep house, which are isolated, and for whom. Functions of data only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core.converge import Findings, Invalid
from .._core.cpulist import format_cpulist, parse_cpulist
from .._linux.topology import Node

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
        cpus: Exactly these; None where cores are asked for.
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
    """What the operator asks for.

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


@dataclass(frozen=True)
class Topology:
    """The CPUs as the planner sees them.

    Attributes:
        nodes: NUMA nodes, by id.
        cores: Every online CPU, in groups that share a core, by their first CPU.
        nics: NUMA node of each NIC that was asked about and exists; None where the hardware does not say.
    """

    nodes: Sequence[Node]
    cores: Sequence[Cpus]
    nics: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def online(self) -> Cpus:
        """Every CPU in use."""
        return frozenset().union(*self.cores)

    @property
    def boot_cpu(self) -> int:
        """The CPU that the kernel starts on and keeps time with."""
        return min(self.online)


@dataclass(frozen=True)
class Plan:
    """Every CPU's duty.

    Attributes:
        housekeeping, isolated: Together every online CPU.
        isolation: Out of ISOLATION, in its order.
        assignments: CPUs by name.
    """

    housekeeping: Cpus
    isolated: Cpus
    isolation: Sequence[str] = ()
    governor: str | None = None
    assignments: Mapping[str, Cpus] = field(default_factory=dict)

    @property
    def unassigned(self) -> Cpus:
        """Isolated CPUs that nobody was given."""
        return self.isolated.difference(*self.assignments.values())

    @property
    def boot_arguments(self) -> list[str]:
        """What the kernel has to be booted with, in order.

        Source: Documentation/admin-guide/kernel-parameters.txt in the Linux tree.
        """
        isolated = format_cpulist(self.isolated)
        flags = [flag for flag in ("domain", "managed_irq") if flag in self.isolation]
        return [
            *([f"isolcpus={','.join(flags)},{isolated}"] if flags else []),
            *(f"{name}={isolated}" for name in ("nohz_full", "rcu_nocbs") if name in self.isolation),
            f"irqaffinity={format_cpulist(self.housekeeping)}",
        ]


def parse_request(options: Mapping[str, Any]) -> Request:
    """Return the request in a module's options, or in a document.

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


def resolve(request: Request, topology: Topology, wrong: Findings) -> Plan:
    """Return the plan that a request means on a host.

    Args:
        request: What is asked for.
        topology: The host.
        wrong: Gets every reason why the host cannot be shared out so; the plan is of use only where there is none.
    """
    housekeeping = _housekeeping(request, topology, wrong)
    isolated = topology.online - housekeeping if request.isolated is None else request.isolated
    for option, cpus in (("housekeeping", housekeeping), ("isolated", isolated)):
        if cpus - topology.online:
            wrong.add(f"{option}: {_offline(cpus, topology)}")
    _check_shares(request, topology, housekeeping, isolated, wrong)
    return Plan(
        housekeeping=housekeeping,
        isolated=isolated,
        isolation=[name for name in ISOLATION if name in request.isolation],
        governor=request.governor,
        assignments=_assign(request, topology, housekeeping, isolated, wrong),
    )


def cpusets(plan: Plan, nodes: Sequence[Node]) -> dict[str, dict[str, str]]:
    """Return ``cpuset_cpus`` and ``cpuset_mems`` by name, and those of all others as ``default``.

    Who is assigned CPUs has the memory beside them. The others keep the memory of every node: on one node only, they
    would be killed for want of memory while another node has plenty.
    """
    with_memory = [node for node in nodes if node.memory_total] or list(nodes)
    found = {OTHERS: _cpuset(plan.housekeeping, with_memory)}
    for name, cpus in plan.assignments.items():
        homes = [node for node in nodes if cpus & frozenset(node.cpus)]
        local = [node for node in homes if node in with_memory]
        # A node of CPUs alone takes its memory from the nearest one.
        nearest = min(with_memory, key=lambda node: homes[0].distance[nodes.index(node)]) if not local else None
        found[name] = _cpuset(cpus, [nearest] if nearest else local)
    return found


def table(plan: Plan, topology: Topology) -> list[dict[str, Any]]:
    """Return one row for each group of CPUs: ``duty``, ``cpus``, ``nodes`` and ``cores``."""
    groups = {"housekeeping": plan.housekeeping, **plan.assignments, "isolated, unassigned": plan.unassigned}
    return [
        {
            "duty": name,
            "cpus": format_cpulist(cpus),
            "nodes": format_cpulist(node.id for node in topology.nodes if cpus & frozenset(node.cpus)),
            "cores": sum(1 for core in topology.cores if core & cpus),
        }
        for name, cpus in groups.items()
        if cpus
    ]


def advise(plan: Plan, topology: Topology) -> Iterator[str]:
    """Say what is allowed, and probably not meant."""
    for node in topology.nodes:
        if node.cpus and not plan.housekeeping & frozenset(node.cpus):
            yield (
                f"node {node.id} has no housekeeping CPU: what the kernel does for its devices and memory is done on "
                f"another node; keep a core of its CPUs {format_cpulist(node.cpus)} for housekeeping"
            )
    for name, cpus in plan.assignments.items():
        if "domain" in plan.isolation and len(cpus & plan.isolated) > 1:
            yield (
                f"{name}: with isolation 'domain' nothing balances load among CPUs {format_cpulist(cpus)}, so threads "
                "that do not choose a CPU themselves all stay on one; 'managed_irq', 'nohz_full' and 'rcu_nocbs' "
                "without 'domain' keep the host off these CPUs and balance among them"
            )
    if plan.assignments and plan.unassigned:
        yield f"CPUs {format_cpulist(plan.unassigned)} are isolated, and nobody is assigned to them: they stay idle"


def _housekeeping(request: Request, topology: Topology, wrong: Findings) -> Cpus:
    if request.housekeeping is not None:
        return request.housekeeping
    desired = request.housekeeping_cores
    if desired is None:
        return topology.online - (request.isolated or frozenset())
    kept: set[int] = set()
    for node in topology.nodes:
        cores = [core for core in topology.cores if core & frozenset(node.cpus)]
        if cores and desired > len(cores):
            wrong.add(f"housekeeping_cores: {desired} of node {node.id}, which has {len(cores)}; ask for fewer")
        kept.update(*cores[:desired])
    return frozenset(kept)


def _check_shares(request: Request, topology: Topology, housekeeping: Cpus, isolated: Cpus, wrong: Findings) -> None:
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


def _assign(
    request: Request, topology: Topology, housekeeping: Cpus, isolated: Cpus, wrong: Findings
) -> dict[str, Cpus]:
    given: dict[str, Cpus] = {}
    for one in request.assignments:
        if one.cpus is not None:
            _check_listed(one.name, one.cpus, topology, housekeeping, isolated, wrong)
            given[one.name] = one.cpus
    for one in request.assignments:
        if one.cores is not None:
            free = isolated.difference(*given.values())
            given[one.name] = _cores(one, one.cores, free, topology, request.split_cores, wrong)
    names = list(given)
    for index, name in enumerate(names):
        for other in names[index + 1 :]:
            _check_apart((name, given[name]), (other, given[other]), isolated, topology, request.split_cores, wrong)
    return {one.name: given[one.name] for one in request.assignments if one.name in given}


def _check_listed(
    name: str, cpus: Cpus, topology: Topology, housekeeping: Cpus, isolated: Cpus, wrong: Findings
) -> None:
    if not cpus:
        wrong.add(f"{name}: its list of CPUs is empty; give at least one")
    if cpus - topology.online:
        wrong.add(f"{name}: {_offline(cpus, topology)}")
    if cpus & housekeeping and cpus & isolated:
        wrong.add(
            f"{name}: of CPUs {format_cpulist(cpus)}, {format_cpulist(cpus & isolated)} are isolated and "
            f"{format_cpulist(cpus & housekeeping)} keep house; give it CPUs of one kind"
        )


def _check_apart(
    one: tuple[str, Cpus], other: tuple[str, Cpus], isolated: Cpus, topology: Topology, split: bool, wrong: Findings
) -> None:
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


def _cores(one: Assignment, count: int, free: Cpus, topology: Topology, split: bool, wrong: Findings) -> Cpus:
    node = _node(one, topology, wrong)
    # Without split_cores a core of which another has a thread is as good as taken.
    cores = [core & free for core in topology.cores if (core & free if split else core <= free)]
    by_node = {
        place.id: [core for core in cores if core <= frozenset(place.cpus)]
        for place in topology.nodes
        if node in (None, place.id)
    }
    for found in by_node.values():
        if len(found) >= count:
            return frozenset().union(*found[:count])
    if by_node:
        held = ", ".join(f"node {place} has {len(found)}" for place, found in by_node.items())
        wrong.add(
            f"{one.name}: {count} whole cores of one node are wanted, isolated and not assigned yet, and {held}; "
            "ask for fewer, isolate more, or list its cpus"
        )
    return frozenset()


def _node(one: Assignment, topology: Topology, wrong: Findings) -> int | None:
    """Return the node that an assignment is bound to; None for any, -1 for none after a reason was given."""
    known = [node.id for node in topology.nodes]
    if one.node is not None and one.node not in known:
        wrong.add(f"{one.name}: node {one.node} does not exist; there are {format_cpulist(known)}")
        return -1
    if one.nic is None:
        return one.node
    if one.nic not in topology.nics:
        wrong.add(f"{one.name}: there is no NIC {one.nic} on this host; correct it, or give node")
        return -1
    node = topology.nics[one.nic]
    if node is None and len(known) > 1:
        wrong.add(f"{one.name}: the hardware does not say which node NIC {one.nic} is at; give node instead")
        return -1
    return node


def _cpuset(cpus: Collection[int], nodes: Sequence[Node]) -> dict[str, str]:
    return {"cpuset_cpus": format_cpulist(cpus), "cpuset_mems": format_cpulist(node.id for node in nodes)}


def _core(cpu: int, topology: Topology) -> Cpus:
    return next(core for core in topology.cores if cpu in core)


def _offline(cpus: Cpus, topology: Topology) -> str:
    return (
        f"CPUs {format_cpulist(cpus - topology.online)} are not online ({format_cpulist(topology.online)} are); "
        "take them out, or bring them online first"
    )
