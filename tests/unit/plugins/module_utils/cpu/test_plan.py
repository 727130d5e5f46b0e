"""Sharing the CPUs of small, large and odd machines out."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Findings
from ansible_collections.tripod.baremetal.plugins.module_utils._core.cpulist import format_cpulist, parse_cpulist
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.plan import Plan, cpusets, resolve, table, warnings
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.request import parse_request
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.state import Topology
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.topology import Node

FLAGS = ["managed_irq", "nohz_full", "rcu_nocbs"]
GIB = 1 << 30


def machine(nodes, siblings="", nics=None, memory=None):
    """Make a topology out of CPU lists: of each node, and of the threads that share a core (``0,32 1,33``)."""
    online = frozenset().union(*map(parse_cpulist, nodes))
    cores = [frozenset(parse_cpulist(text)) for text in siblings.split()]
    cores += [frozenset({cpu}) for cpu in online.difference(*cores)]
    memory = memory or [2 * GIB] * len(nodes)
    distances = [[10 if at == to else 21 for to in range(len(nodes))] for at in range(len(nodes))]
    return Topology(
        [Node(at, sorted(parse_cpulist(text)), memory[at], GIB, (), distances[at]) for at, text in enumerate(nodes)],
        sorted(cores, key=min),
        nics or {},
    )


SMALL = machine(["0-1"])
# The bare-metal lab: two sockets of two cores, the Intel NIC at the second.
LAB = machine(["0-1", "2-3"], nics={"ens1": 1, "enp0s5": None})
# Two sockets of 16 cores with two threads each, numbered as Linux does on Intel servers: first threads first.
SERVER = machine(["0-15,32-47", "16-31,48-63"], " ".join(f"{core},{core + 32}" for core in range(32)), {"ens1f0": 1})
# Even CPUs on one socket, odd ones on the other, threads of a core 8 apart; as Dell's firmware numbers them.
INTERLEAVED = machine(["0,2,4,6,8,10,12,14", "1,3,5,7,9,11,13,15"], " ".join(f"{core},{core + 8}" for core in range(8)))
# CPUs 3 and 6 are offline, so 2 and 7 have lost their siblings.
HOLES = machine(["0-2", "4-5,7"], "0,1 4,5")
# Memory without CPUs (CXL), and CPUs without memory.
UNEVEN = machine(["0-3", "4-5", ""], memory=[8 * GIB, 0, 64 * GIB])


def resolved(topology, **options):
    wrong = Findings()
    plan = resolve(parse_request(options), topology, wrong)
    assert wrong.reasons == []
    return plan


def reasons(topology, **options):
    wrong = Findings()
    resolve(parse_request(options), topology, wrong)
    return wrong.reasons


def shared_out(plan):
    shares = {"housekeeping": plan.housekeeping, "isolated": plan.isolated, **plan.assignments}
    return {name: format_cpulist(cpus) for name, cpus in shares.items()}


@pytest.mark.parametrize(
    ("topology", "options", "expected"),
    [
        (SMALL, {"housekeeping": "0"}, ("0", "1")),
        (SMALL, {"housekeeping": "0", "isolated": "rest"}, ("0", "1")),
        (SMALL, {"isolated": "1"}, ("0", "1")),
        (SMALL, {"housekeeping_cores": 1}, ("0", "1")),
        (LAB, {"housekeeping": "0-1"}, ("0-1", "2-3")),
        (LAB, {"housekeeping_cores": 1}, ("0,2", "1,3")),
        (LAB, {"isolated": "3"}, ("0-2", "3")),
        (LAB, {"housekeeping": "0-1", "isolated": "2-3"}, ("0-1", "2-3")),
        (SERVER, {"housekeeping_cores": 2}, ("0-1,16-17,32-33,48-49", "2-15,18-31,34-47,50-63")),
        (SERVER, {"isolated": "8-15,40-47"}, ("0-7,16-39,48-63", "8-15,40-47")),
        (INTERLEAVED, {"housekeeping_cores": 1}, ("0-1,8-9", "2-7,10-15")),
        (HOLES, {"housekeeping_cores": 1}, ("0-1,4-5", "2,7")),
        (HOLES, {"housekeeping": "0-1,4-5"}, ("0-1,4-5", "2,7")),
        (UNEVEN, {"housekeeping_cores": 2}, ("0-1,4-5", "2-3")),
    ],
)
def test_the_cpus_that_are_not_named_are_the_rest(topology, options, expected):
    plan = resolved(topology, **options)
    assert (format_cpulist(plan.housekeeping), format_cpulist(plan.isolated)) == expected


@pytest.mark.parametrize(
    ("topology", "options", "words"),
    [
        (LAB, {"isolated": "0-3"}, "isolated: 0-3 is every CPU that is online; at most 1-3 can be, as CPU 0 must"),
        (SERVER, {"isolated": "0-63"}, "at most 1-31,33-63 can be, as CPU 0 must keep house"),
        (machine(["0"]), {"isolated": "0"}, "at most none can be"),
        (LAB, {"isolated": "0"}, "CPU 0, which the kernel boots on and keeps time with, must keep house"),
        (SMALL, {"housekeeping": "0-1"}, "no CPU is left to isolate: housekeeping has all that are online (0-1)"),
        (machine(["0"]), {"housekeeping_cores": 1}, "no CPU is left to isolate"),
        (LAB, {"housekeeping": "0-1", "isolated": "1-3"}, "CPUs 1 are in housekeeping and in isolated"),
        (LAB, {"housekeeping": "0", "isolated": "2-3"}, "CPUs 1 are neither in housekeeping nor in isolated"),
        (LAB, {"isolated": "2-5"}, "isolated: CPUs 4-5 are not online (0-3 are); take them out, or bring them online"),
        (HOLES, {"isolated": "3,7"}, "isolated: CPUs 3 are not online (0-2,4-5,7 are)"),
        (LAB, {"housekeeping": "0,9"}, "housekeeping: CPUs 9 are not online"),
        (SERVER, {"isolated": "8-15"}, "CPUs 8,40 are threads of one core, and 8 alone would be isolated"),
        (LAB, {"housekeeping_cores": 3}, "housekeeping_cores: 3 of node 0, which has 2; request fewer"),
    ],
)
def test_a_share_that_cannot_be_has_its_reason(topology, options, words):
    assert [reason for reason in reasons(topology, **options) if words in reason]


def test_every_reason_comes_at_once():
    found = reasons(
        LAB,
        housekeeping="1,9",
        isolated="2-3",
        assignments=[{"name": "a", "cpus": "7"}, {"name": "b", "cores": 3, "node": 1}, {"name": "c", "cpus": "2"}],
    )
    assert len(found) == 5
    for words in ("CPUs 9 are not online", "CPU 0", "CPUs 0 are neither", "a: CPUs 7 are not online", "b: 3 whole"):
        assert [reason for reason in found if words in reason], words


def test_all_isolated_is_one_reason_and_not_two():
    assert len(reasons(LAB, isolated="0-3")) == 1


def test_threads_of_a_core_may_be_split_where_requested():
    plan = resolved(SERVER, isolated="8-15", split_cores=True, assignments=[{"name": "a", "cores": 1}])
    assert shared_out(plan)["a"] == "8"


@pytest.mark.parametrize(
    ("topology", "share", "assignments", "expected"),
    [
        (LAB, {"housekeeping": "0-1"}, [{"name": "go", "cores": 1, "nic": "ens1"}], {"go": "2"}),
        (LAB, {"housekeeping": "0-1"}, [{"name": "go", "cores": 2, "node": 1}], {"go": "2-3"}),
        (LAB, {"housekeeping": "0"}, [{"name": "go", "cores": 2}], {"go": "2-3"}),
        (LAB, {"housekeeping": "0"}, [{"name": "go", "cores": 1}, {"name": "db", "cores": 1}], {"go": "1", "db": "2"}),
        # Those with a list come first, whatever the order.
        (LAB, {"housekeeping": "0"}, [{"name": "go", "cores": 1}, {"name": "db", "cpus": "1"}], {"go": "2", "db": "1"}),
        # Housekeeping CPUs may be shared.
        (LAB, {"isolated": "3"}, [{"name": "a", "cpus": "0-1"}, {"name": "b", "cpus": "1"}], {"a": "0-1", "b": "1"}),
        (SMALL, {"housekeeping": "0"}, [{"name": "go", "cores": 1}], {"go": "1"}),
        (
            SERVER,
            {"housekeeping_cores": 2},
            [{"name": "go", "cores": 4, "nic": "ens1f0"}, {"name": "db", "cores": 14}],
            {"go": "18-21,50-53", "db": "2-15,34-47"},
        ),
        (INTERLEAVED, {"housekeeping_cores": 1}, [{"name": "go", "cores": 2, "node": 1}], {"go": "3,5,11,13"}),
        (HOLES, {"housekeeping": "0-1,4-5"}, [{"name": "go", "cores": 1, "node": 1}], {"go": "7"}),
    ],
)
def test_cores_come_from_one_node_whole_and_free(topology, share, assignments, expected):
    plan = resolved(topology, assignments=assignments, **share)
    assert {name: format_cpulist(cpus) for name, cpus in plan.assignments.items()} == expected
    assert list(plan.assignments) == [one["name"] for one in assignments]


def test_a_nic_of_unknown_place_is_at_the_only_node():
    topology = Topology(SMALL.nodes, SMALL.cores, {"tripod0": None})
    assert (
        resolved(topology, isolated="1", assignments=[{"name": "go", "cores": 1, "nic": "tripod0"}]).unassigned == set()
    )


@pytest.mark.parametrize(
    ("topology", "assignments", "words"),
    [
        (LAB, [{"name": "a", "cores": 1, "node": 7}], "a: node 7 does not exist; there are 0-1"),
        (LAB, [{"name": "a", "cores": 1, "nic": "ens9"}], "a: there is no NIC ens9 on this host"),
        (LAB, [{"name": "a", "cores": 1, "nic": "enp0s5"}], "does not say which node NIC enp0s5 is at; give node"),
        (
            LAB,
            [{"name": "a", "cores": 3, "node": 1}],
            "a: 3 whole cores of one node are requested, isolated and not assigned yet",
        ),
        (LAB, [{"name": "a", "cores": 3}], "and node 0 has 1, node 1 has 2; request fewer, isolate more, or list"),
        (LAB, [{"name": "a", "cpus": "0-1"}], "a: of CPUs 0-1, 1 are isolated and 0 keep house; give it CPUs of one"),
        (LAB, [{"name": "a", "cpus": ""}], "a: its list of CPUs is empty"),
        (LAB, [{"name": "a", "cpus": "4"}], "a: CPUs 4 are not online"),
        (LAB, [{"name": "a", "cpus": "1-2"}, {"name": "b", "cpus": "2-3"}], "a and b both have the isolated CPUs 2"),
    ],
)
def test_an_assignment_that_cannot_be_has_its_reason(topology, assignments, words):
    found = reasons(topology, housekeeping="0", assignments=assignments)
    assert len(found) == 1
    assert words in found[0]


def test_two_do_not_share_a_core():
    options = {"isolated": "8-15,40-47", "assignments": [{"name": "a", "cpus": "8"}, {"name": "b", "cpus": "40"}]}
    assert reasons(SERVER, **options) == [
        "a and b have threads of one core, CPUs 8,40; give each whole cores, or set split_cores"
    ]
    assert reasons(SERVER, **options, split_cores=True) == []
    # A core of which another has one thread is not whole any more.
    options["assignments"] = [{"name": "a", "cpus": "8"}, {"name": "b", "cores": 1}]
    assert format_cpulist(resolved(SERVER, **options).assignments["b"]) == "9,41"


@pytest.mark.parametrize(
    ("isolation", "expected"),
    [
        (FLAGS, ["isolcpus=managed_irq,2-3", "nohz_full=2-3", "rcu_nocbs=2-3", "irqaffinity=0-1"]),
        (
            ["rcu_nocbs", "managed_irq", "domain"],
            ["isolcpus=domain,managed_irq,2-3", "rcu_nocbs=2-3", "irqaffinity=0-1"],
        ),
        (["domain"], ["isolcpus=domain,2-3", "irqaffinity=0-1"]),
        ([], ["irqaffinity=0-1"]),
    ],
)
def test_boot_arguments_have_one_order(isolation, expected):
    assert resolved(LAB, isolated="2-3", isolation=isolation).boot_arguments == expected


def test_the_assigned_have_the_memory_beside_them_and_the_others_have_all():
    plan = resolved(LAB, isolated="2-3", assignments=[{"name": "go", "cpus": "2-3"}])
    assert cpusets(plan, LAB.nodes) == {
        "default": {"cpuset_cpus": "0-1", "cpuset_mems": "0-1"},
        "go": {"cpuset_cpus": "2-3", "cpuset_mems": "1"},
    }
    spread = resolved(LAB, housekeeping="0", assignments=[{"name": "go", "cpus": "1-2"}])
    assert cpusets(spread, LAB.nodes)["go"] == {"cpuset_cpus": "1-2", "cpuset_mems": "0-1"}


def test_cpus_without_memory_take_the_nearest():
    plan = resolved(UNEVEN, isolated="4-5", assignments=[{"name": "go", "cpus": "4-5"}])
    assert cpusets(plan, UNEVEN.nodes) == {
        "default": {"cpuset_cpus": "0-3", "cpuset_mems": "0,2"},
        "go": {"cpuset_cpus": "4-5", "cpuset_mems": "0"},
    }


def test_a_kernel_that_reports_no_memory_has_it_on_every_node():
    silent = machine(["0-1", "2-3"], memory=[0, 0])
    plan = resolved(silent, isolated="2-3", assignments=[{"name": "go", "cpus": "3"}])
    assert cpusets(plan, silent.nodes)["go"] == {"cpuset_cpus": "3", "cpuset_mems": "1"}


def test_the_table_has_a_row_for_each_duty():
    plan = resolved(SERVER, housekeeping_cores=1, assignments=[{"name": "go", "cores": 15, "node": 1}])
    assert table(plan, SERVER) == [
        {"duty": "housekeeping", "cpus": "0,16,32,48", "nodes": "0-1", "cores": 2},
        {"duty": "go", "cpus": "17-31,49-63", "nodes": "1", "cores": 15},
        {"duty": "isolated, unassigned", "cpus": "1-15,33-47", "nodes": "0", "cores": 15},
    ]


def test_what_is_probably_not_meant_is_reported():
    def warned(**options):
        return list(warnings(resolved(LAB, **options), LAB))

    assert warned(housekeeping="0,2", assignments=[{"name": "go", "cpus": "1,3"}], isolation=FLAGS) == []
    (lonely,) = warned(housekeeping="0-1")
    assert "node 1 has no housekeeping CPU" in lonely
    (stuck,) = warned(housekeeping="0,2", assignments=[{"name": "go", "cpus": "1,3"}], isolation=["domain"])
    assert "go: with isolation 'domain' nothing balances load among CPUs 1,3" in stuck
    (idle,) = warned(housekeeping="0,2", assignments=[{"name": "go", "cpus": "3"}], isolation=["domain"])
    assert "CPUs 1 are isolated, and nobody is assigned to them" in idle


def test_shares_of_one_core_or_of_no_cpu_have_no_warning():
    plan = Plan(frozenset({0, 1}), frozenset({2, 3}), ["domain"], assignments={"log": frozenset({0, 1})})
    assert [words for words in warnings(plan, LAB) if words.startswith("log")] == []
    assert not [words for words in warnings(resolved(UNEVEN, isolated="2-3"), UNEVEN) if "node 2" in words]


def test_a_nic_of_a_node_without_cpus_is_given_those_of_the_nearest():
    distances = [[10, 21, 30], [21, 10, 14], [30, 14, 10]]
    nodes = [
        Node(at, sorted(parse_cpulist(text)), GIB, GIB, (), distances[at]) for at, text in enumerate(["0-1", "2-3", ""])
    ]
    topology = Topology(nodes, [frozenset({cpu}) for cpu in range(4)], {"ens1": 2})
    plan = resolved(topology, housekeeping="0", assignments=[{"name": "go", "cores": 2, "nic": "ens1"}])
    assert format_cpulist(plan.assignments["go"]) == "2-3"
