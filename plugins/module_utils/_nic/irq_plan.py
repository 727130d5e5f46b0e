# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Where a NIC's interrupts go: a pure function from CPUs and NICs to CPUs by queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .._core.cpulist import format_cpulist
from .._cpu.reserved import Reserved
from .._linux.numa import nearest_cpus
from .._linux.topology import Cpus, Node
from .request import Irq


@dataclass(frozen=True)
class Topology:
    """The CPUs of a machine.

    Attributes:
        online: All that can handle interrupts.
        isolated: Those that nobody gets unless they are named.
        nodes: CPUs by NUMA node; of a node without any, those that are nearest to it.
        cores: Groups of hardware threads that share a core.
        without_rps: Those that the kernel spreads no packets to; None for all that are isolated.
        bare: Nodes without CPUs of their own.
    """

    online: Collection[int]
    isolated: Collection[int] = ()
    nodes: Mapping[int, Collection[int]] = field(default_factory=dict)
    cores: Sequence[Sequence[int]] = ()
    without_rps: Collection[int] | None = None
    bare: Collection[int] = ()

    @classmethod
    def of(cls, cpus: Cpus, nodes: Sequence[Node], reserved: Reserved | None = None) -> Topology:
        """Return what the placement needs of what was read."""
        bare = tuple(node.id for node in nodes if not set(node.cpus) & set(cpus.online))
        near = {one.id: nearest_cpus(nodes, one.id, cpus.online) if one.id in bare else one.cpus for one in nodes}
        if reserved is None:
            return cls(cpus.online, cpus.isolated, near, cpus.siblings, bare=bare)
        return cls(cpus.online, reserved.isolated, near, cpus.siblings, reserved.without_rps, bare)

    def local(self, node: int | None) -> set[int]:
        """Return the online CPUs of a node; all where the node is unknown, or has no CPUs of its own."""
        near = set(self.nodes.get(node, ())) if node is not None else set()
        return (near & set(self.online)) or set(self.online)


@dataclass(frozen=True)
class Requirement:
    """What a NIC needs.

    Attributes:
        nic: Its name, for messages.
        queues: How many queues interrupt.
        requested: Where they may go.
        node: The NIC's NUMA node; None where it is unknown.
    """

    nic: str
    queues: int
    requested: Irq
    node: int | None = None


@dataclass(frozen=True)
class Place:
    """Where one NIC's interrupts go.

    Attributes:
        queues: CPUs by queue.
        other: CPUs of the vectors without a queue; None leaves them where they are.
        notes: What an operator should know.
        reasons: Why it cannot be done; the rest is empty then.
    """

    queues: tuple[frozenset[int], ...] = ()
    other: frozenset[int] | None = None
    notes: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def place(topology: Topology, requirements: Sequence[Requirement]) -> dict[str, Place]:
    """Return where each NIC's interrupts go.

    Queues go to CPUs near their NIC, one for each core before a core's second thread is used, to the least loaded
    first, so that NICs of one node spread over its cores. They wrap round where there are more queues than CPUs.

    Args:
        topology: The machine.
        requirements: NICs; earlier ones choose first.
    """
    core_of = {cpu: number for number, core in enumerate(topology.cores) for cpu in core}
    load_of_core: Counter[int] = Counter()
    load_of_cpu: Counter[int] = Counter()
    places = {}
    for requirement in requirements:
        reasons = _faults(topology, requirement)
        if reasons:
            places[requirement.nic] = Place(reasons=tuple(reasons))
            continue
        if requirement.requested.placement is not None:
            queues = requirement.requested.placement
            if len(queues) == 1:
                queues *= requirement.queues
            notes: list[str] = []
        else:
            order = _by_thread(topology, _candidates(topology, requirement))
            queues = ()
            for _queue in range(requirement.queues):
                # A CPU that the kernel names no core for is a core of its own.
                cpu = min(order, key=lambda cpu: (load_of_core[core_of.get(cpu, ~cpu)], load_of_cpu[cpu]))
                load_of_core[core_of.get(cpu, ~cpu)] += 1
                load_of_cpu[cpu] += 1
                queues += (frozenset((cpu,)),)
            notes = _shortage(requirement, len({core_of.get(cpu, ~cpu) for cpu in order}), len(order))
        other = requirement.requested.other if requirement.requested.other is not None else requirement.requested.avoid
        # Without housekeeping CPUs by name, what serves no queue stays where it is.
        online = frozenset(other) & frozenset(topology.online)
        places[requirement.nic] = Place(queues, online or None, tuple(notes))
    return places


def share_out(cpus: Iterable[int], queues: int, homes: Sequence[Collection[int]] = ()) -> list[frozenset[int]]:
    """Return the CPUs that send through each transmit queue, so that each CPU has one queue.

    Args:
        cpus: CPUs that send; those of the NIC's node.
        queues: Transmit queues.
        homes: CPUs that handle each queue's interrupts; they send through that very queue, which keeps a
            connection's two directions on one CPU.
    """
    shares: list[set[int]] = [set() for _queue in range(queues)]
    left = set(cpus)
    for share, home in zip(shares, homes):
        share |= left & set(home)
        left -= share
    for cpu in sorted(left):
        min(shares, key=len).add(cpu)
    return [frozenset(share) for share in shares]


def _candidates(topology: Topology, requirement: Requirement) -> set[int]:
    requested = requirement.requested
    if requested.cpus is not None:
        return set(requested.cpus) & set(topology.online) - requested.avoid
    return topology.local(requirement.node) - set(topology.isolated) - requested.avoid


def _faults(topology: Topology, requirement: Requirement) -> list[str]:
    requested, nic = requirement.requested, requirement.nic
    reasons = []
    online = format_cpulist(topology.online)
    named = [("irq.cpus", requested.cpus), ("irq.avoid", requested.avoid), ("irq.other", requested.other)]
    named += [("irq.placement", frozenset().union(*requested.placement))] if requested.placement is not None else []
    for option, cpus in named:
        offline = set(cpus or ()) - set(topology.online)
        if offline:
            reasons.append(f"{nic}: {option} names CPUs {format_cpulist(offline)}, which are not online ({online} are)")
    if requested.placement is not None:
        if len(requested.placement) not in (1, requirement.queues):
            reasons.append(
                f"{nic}: irq.placement has CPUs for {len(requested.placement)} queues, but {requirement.queues} "
                "interrupt: give a CPU list for each, or one for all"
            )
    elif not reasons and not _candidates(topology, requirement):
        reasons.append(f"{nic}: {_nothing_left(topology, requirement)}")
    return reasons


def _nothing_left(topology: Topology, requirement: Requirement) -> str:
    requested = requirement.requested
    avoided = f"{format_cpulist(requested.avoid)} are avoided" if requested.avoid else ""
    if requested.cpus is not None:
        named = f"irq.cpus {format_cpulist(requested.cpus)}" if requested.cpus else "irq.cpus, which is empty,"
        return f"no CPU of {named} is left for its queues" + (f": {avoided}" if avoided else "")
    near = topology.local(requirement.node)
    isolated = near & set(topology.isolated)
    where = "the machine" if requirement.node is None else f"NUMA node {requirement.node}"
    if requirement.node in topology.bare:
        where = f"those nearest to {where}, which has none itself,"
    taken = [avoided] if avoided else []
    if isolated:
        taken.append(f"{format_cpulist(isolated)} are isolated")
    return (
        f"no CPU of {where} ({format_cpulist(near)}) is left for its queues: {' and '.join(taken)}; "
        "irq.cpus may name isolated CPUs, or those of another node"
    )


def _by_thread(topology: Topology, cpus: Collection[int]) -> list[int]:
    """Return CPUs ordered by the rank of the thread in its core, then by number."""
    rank = {cpu: place for core in topology.cores for place, cpu in enumerate(sorted(set(core) & set(cpus)))}
    return sorted(cpus, key=lambda cpu: (rank.get(cpu, 0), cpu))


def _shortage(requirement: Requirement, cores: int, cpus: int) -> list[str]:
    if requirement.queues <= cores:
        return []
    where = f"{cores} cores" if cores == cpus else f"{cores} cores ({cpus} hardware threads)"
    return [f"{requirement.queues} queues share {where}: fewer channels would interrupt each other less"]
