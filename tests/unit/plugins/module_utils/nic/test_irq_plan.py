"""Where interrupts go on machines of several shapes."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.cpulist import format_cpulist, parse_cpulist
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.topology import Cpus, Node
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.irq_plan import (
    Requirement,
    Topology,
    place,
    share_out,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.request import Irq


def cpus(text):
    return frozenset(parse_cpulist(text))


def machine(nodes, cores=None, isolated="", online=None):
    """Make a machine; cores are the threads of each, and every CPU is one where none are given."""
    known = {number: cpus(text) for number, text in enumerate(nodes)}
    every = frozenset().union(*known.values())
    return Topology(
        sorted(cpus(online) if online else every),
        cpus(isolated),
        known,
        cores or [(cpu,) for cpu in sorted(every)],
    )


VM = machine(["0-1", "2-3"])
# Two sockets of four cores with two threads each, numbered as x86 does: the second threads come last.
SERVER = machine(["0-3,8-11", "4-7,12-15"], [(core, core + 8) for core in range(8)])


def queues(topology, *requirements):
    return {nic: [format_cpulist(one) for one in found.queues] for nic, found in place(topology, requirements).items()}


@pytest.mark.parametrize(
    ("topology", "requirement", "expected"),
    [
        pytest.param(VM, Requirement("ens1", 2, Irq(), 1), ["2", "3"], id="its own node"),
        pytest.param(VM, Requirement("ens1", 2, Irq(), None), ["0", "1"], id="any node where its own is unknown"),
        pytest.param(VM, Requirement("ens1", 2, Irq(), 7), ["0", "1"], id="any node where its own has no CPUs"),
        pytest.param(SERVER, Requirement("ens1", 4, Irq(), 1), ["4", "5", "6", "7"], id="one thread of each core"),
        pytest.param(
            SERVER,
            Requirement("ens1", 8, Irq(), 1),
            ["4", "5", "6", "7", "12", "13", "14", "15"],
            id="second threads when cores run out",
        ),
        pytest.param(VM, Requirement("ens1", 5, Irq(), 1), ["2", "3", "2", "3", "2"], id="wraps round"),
        pytest.param(SERVER, Requirement("ens1", 2, Irq(avoid=cpus("4,12")), 1), ["5", "6"], id="housekeeping avoided"),
        pytest.param(
            SERVER,
            Requirement("ens1", 2, Irq(avoid=cpus("4")), 1),
            ["5", "6"],
            id="a thread beside housekeeping comes last",
        ),
        pytest.param(
            machine(["0-1", "2-3"], isolated="2"),
            Requirement("ens1", 2, Irq(), 1),
            ["3", "3"],
            id="isolated CPUs left alone",
        ),
        pytest.param(
            machine(["0-1", "2-3"], isolated="2-3"),
            Requirement("ens1", 2, Irq(cpus=cpus("2-3")), 1),
            ["2", "3"],
            id="isolated CPUs by name",
        ),
        pytest.param(VM, Requirement("ens1", 2, Irq(cpus=cpus("0-3"), avoid=cpus("0")), 1), ["1", "2"], id="limited"),
        pytest.param(VM, Requirement("ens1", 2, Irq((cpus("0"), cpus("1-3"))), 1), ["0", "1-3"], id="explicit"),
        pytest.param(VM, Requirement("ens1", 3, Irq((cpus("0-1"),)), 1), ["0-1"] * 3, id="explicit, once for all"),
        pytest.param(
            machine(["0-3"], online="0,2"),
            Requirement("ens1", 3, Irq(), 0),
            ["0", "2", "0"],
            id="only CPUs that are online",
        ),
        pytest.param(
            Topology([0, 1], cores=[]),
            Requirement("ens1", 2, Irq(), None),
            ["0", "1"],
            id="a kernel that names no cores",
        ),
    ],
)
def test_queues_go_where_they_should(topology, requirement, expected):
    assert queues(topology, requirement) == {"ens1": expected}


def test_nics_of_one_node_spread_over_its_cores():
    found = queues(
        SERVER, Requirement("ens1", 2, Irq(), 1), Requirement("ens2", 2, Irq(), 1), Requirement("ens3", 1, Irq(), 0)
    )
    assert found == {"ens1": ["4", "5"], "ens2": ["6", "7"], "ens3": ["0"]}


def test_a_second_nic_uses_the_second_threads_of_loaded_cores():
    found = queues(SERVER, Requirement("ens1", 4, Irq(), 0), Requirement("ens2", 4, Irq(), 0))
    assert found["ens2"] == ["8", "9", "10", "11"]


def test_queues_that_share_a_core_are_reported():
    notes = {
        nic: one.notes
        for nic, one in place(VM, [Requirement("ens1", 2, Irq(), 1), Requirement("ens2", 4, Irq(), 1)]).items()
    }
    assert notes["ens1"] == ()
    assert notes["ens2"] == ("4 queues share 2 cores: fewer channels would interrupt each other less",)
    [note] = place(SERVER, [Requirement("ens1", 5, Irq(), 1)])["ens1"].notes
    assert "4 cores (8 hardware threads)" in note


@pytest.mark.parametrize(
    ("requested", "other"),
    [
        (Irq(), None),
        (Irq(avoid=cpus("0")), cpus("0")),
        (Irq(avoid=cpus("0"), other=cpus("1")), cpus("1")),
        (Irq((cpus("2"),), other=cpus("0-1")), cpus("0-1")),
    ],
)
def test_what_serves_no_queue_goes_to_the_housekeeping_cpus(requested, other):
    assert place(VM, [Requirement("ens1", 1, requested, 1)])["ens1"].other == other


@pytest.mark.parametrize(
    ("topology", "requirement", "words"),
    [
        (
            VM,
            Requirement("ens1", 1, Irq(cpus=cpus("3-5"))),
            "ens1: irq.cpus names CPUs 4-5, which are not online (0-3 are)",
        ),
        (
            VM,
            Requirement("ens1", 1, Irq(avoid=cpus("9"))),
            "ens1: irq.avoid names CPUs 9, which are not online (0-3 are)",
        ),
        (
            VM,
            Requirement("ens1", 1, Irq((cpus("8"),))),
            "ens1: irq.placement names CPUs 8, which are not online (0-3 are)",
        ),
        (
            VM,
            Requirement("ens1", 4, Irq((cpus("0"), cpus("1")))),
            "ens1: irq.placement has CPUs for 2 queues, but 4 interrupt: give a CPU list for each, or one for all",
        ),
        (
            VM,
            Requirement("ens1", 1, Irq(avoid=cpus("2-3")), 1),
            "ens1: no CPU of NUMA node 1 (2-3) is left for its queues: 2-3 are avoided; "
            "irq.cpus may name isolated CPUs, or those of another node",
        ),
        (
            machine(["0-1", "2-3"], isolated="3"),
            Requirement("ens1", 1, Irq(avoid=cpus("2")), 1),
            "ens1: no CPU of NUMA node 1 (2-3) is left for its queues: 2 are avoided and 3 are isolated; "
            "irq.cpus may name isolated CPUs, or those of another node",
        ),
        (
            machine(["0-1"], isolated="0-1"),
            Requirement("ens1", 1, Irq()),
            "ens1: no CPU of the machine (0-1) is left for its queues: 0-1 are isolated; "
            "irq.cpus may name isolated CPUs, or those of another node",
        ),
        (
            VM,
            Requirement("ens1", 1, Irq(cpus=cpus("2"), avoid=cpus("2"))),
            "ens1: no CPU of irq.cpus 2 is left for its queues: 2 are avoided",
        ),
        (
            VM,
            Requirement("ens1", 1, Irq(cpus=cpus(""))),
            "ens1: no CPU of irq.cpus, which is empty, is left for its queues",
        ),
    ],
)
def test_what_cannot_be_placed_says_why(topology, requirement, words):
    found = place(topology, [requirement])["ens1"]
    assert found.reasons == (words,)
    assert found.queues == ()


def test_the_plan_of_one_nic_survives_the_fault_of_another():
    found = place(VM, [Requirement("ens1", 1, Irq(cpus=cpus("9"))), Requirement("ens2", 1, Irq(), 1)])
    assert found["ens1"].reasons
    assert found["ens2"].queues == (cpus("2"),)


@pytest.mark.parametrize(
    ("which", "number", "homes", "expected"),
    [
        ("0-3", 2, [], ["0,2", "1,3"]),
        ("0-3", 2, [cpus("3"), cpus("1")], ["0,3", "1-2"]),
        ("0-1", 4, [], ["0", "1", "", ""]),
        ("0-3", 2, [cpus("0-1"), cpus("1")], ["0-1", "2-3"]),
    ],
)
def test_each_cpu_sends_through_one_queue(which, number, homes, expected):
    shares = share_out(cpus(which), number, homes)
    assert [format_cpulist(share) for share in shares] == expected
    assert sum(map(len, shares)) == len(cpus(which))


def test_a_topology_is_made_of_what_was_read():
    read = Cpus(online=[0, 1], present=[0, 1, 2], isolated=[1], nohz_full=[], siblings=[(0, 1)])
    nodes = [Node(0, [0, 1, 2], 0, 0, (), (10,))]
    assert Topology.of(read, nodes) == Topology([0, 1], [1], {0: [0, 1, 2]}, [(0, 1)])


# Node 2 has memory and devices only, as CXL memory and the halves of some boards have; node 1 is the nearer.
DISTANCES = ((10, 21, 30), (21, 10, 14), (30, 14, 10))


def sockets(*lists, distances=DISTANCES):
    return [Node(number, sorted(cpus(text)), 0, 0, (), tuple(distances[number])) for number, text in enumerate(lists)]


@pytest.mark.parametrize(
    ("lists", "online", "distances", "expected"),
    [
        pytest.param(("0-1", "2-3", ""), "0-3", DISTANCES, "2-3", id="the nearest"),
        pytest.param(("0-1", "", ""), "0-1", DISTANCES, "0-1", id="the nearest that has CPUs"),
        pytest.param(("0-1", "2-3", ""), "0-1", DISTANCES, "0-1", id="the nearest that has CPUs online"),
        pytest.param(("0-1", "2-3", "4-5"), "0-3", DISTANCES, "2-3", id="all of its own are offline"),
        pytest.param(
            ("0-1", "2-3", ""), "0-3", [[10, 20, 20], [20, 10, 20], [20, 20, 10]], "0-3", id="as near as each"
        ),
        pytest.param(("0-1", "2-3", ""), "0-3", [[], [], []], "0-3", id="a kernel that names no distances"),
    ],
)
def test_a_nic_of_a_node_without_cpus_is_served_from_the_nearest(lists, online, distances, expected):
    found = Topology.of(Cpus(sorted(cpus(online)), [], [], [], []), sockets(*lists, distances=distances))
    assert found.local(2) == cpus(expected)
    assert found.local(0) == cpus("0-1")


def test_nearest_cpus_that_are_taken_are_named():
    known = Topology.of(Cpus([0, 1, 2, 3], [], [2, 3], [], []), sockets("0-1", "2-3", ""))
    [reason] = place(known, [Requirement("ens1", 1, Irq(), 2)])["ens1"].reasons
    assert "no CPU of those nearest to NUMA node 2, which has none itself, (2-3) is left" in reason
