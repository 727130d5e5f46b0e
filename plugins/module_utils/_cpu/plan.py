# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""One plan for a host's CPUs: which keep house, which are isolated, and for whom. Functions of data only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core.converge import Findings
from .._core.cpulist import format_cpulist
from .._linux.numa import nearest_cpus
from .._linux.topology import Node
from .limits import check_apart, check_listed, check_online, check_shares
from .request import ISOLATION, OTHERS, Assignment, Cpus, Request
from .state import Topology


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


def resolve(request: Request, topology: Topology, wrong: Findings) -> Plan:
    """Return the plan that a request means on a host.

    Args:
        request: What is requested.
        topology: The host.
        wrong: Gets every reason why the host cannot be shared out so; the plan is of use only where there is none.
    """
    housekeeping = _housekeeping(request, topology, wrong)
    isolated = topology.online - housekeeping if request.isolated is None else request.isolated
    for option, cpus in (("housekeeping", housekeeping), ("isolated", isolated)):
        check_online(option, cpus, topology, wrong)
    check_shares(request, topology, housekeeping, isolated, wrong)
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


def warnings(plan: Plan, topology: Topology) -> Iterator[str]:
    """Yield what is allowed, and probably not meant."""
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
            wrong.add(f"housekeeping_cores: {desired} of node {node.id}, which has {len(cores)}; request fewer")
        kept.update(*cores[:desired])
    return frozenset(kept)


def _assign(
    request: Request, topology: Topology, housekeeping: Cpus, isolated: Cpus, wrong: Findings
) -> dict[str, Cpus]:
    given: dict[str, Cpus] = {}
    for one in request.assignments:
        if one.cpus is not None:
            check_listed(one.name, one.cpus, topology, housekeeping, isolated, wrong)
            given[one.name] = one.cpus
    for one in request.assignments:
        if one.cores is not None:
            free = isolated.difference(*given.values())
            given[one.name] = _cores(one, one.cores, free, topology, request.split_cores, wrong)
    names = list(given)
    for index, name in enumerate(names):
        for other in names[index + 1 :]:
            check_apart((name, given[name]), (other, given[other]), isolated, topology, request.split_cores, wrong)
    return {one.name: given[one.name] for one in request.assignments if one.name in given}


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
            f"{one.name}: {count} whole cores of one node are requested, isolated and not assigned yet, and {held}; "
            "request fewer, isolate more, or list its cpus"
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
    near = set() if node is None else nearest_cpus(topology.nodes, node, topology.online)
    # A NIC of a node without CPUs is served by the nearest that has some.
    return next((place.id for place in topology.nodes if near & set(place.cpus)), node)


def _cpuset(cpus: Collection[int], nodes: Sequence[Node]) -> dict[str, str]:
    return {"cpuset_cpus": format_cpulist(cpus), "cpuset_mems": format_cpulist(node.id for node in nodes)}
