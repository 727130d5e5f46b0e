"""What a host cannot give workers, each with the limit and the way out; and what may not be meant."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._workers import limits, modes
from ansible_collections.tripod.baremetal.plugins.module_utils._workers.request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._workers.site import Port, Service, Site, services

MIB = 1 << 20
ENS1 = Port("ens1", 4, node=1, driver="ice", features=frozenset({"basic", "xsk-zerocopy"}), program="native")
SERVICE = Service("edge", "echo", "edge", ("ens1",))
SITE = Site(
    nics={"ens1": ENS1},
    kernel=(6, 12),
    nodes=[0, 1],
    pages={(0, 2 * MIB): 512, (1, 2 * MIB): 20},
    online=frozenset(range(8)),
    cpus=frozenset({4, 5, 6}),
    memory=256 * MIB,
    services=[SERVICE],
)


def workers(**options):
    return parse([{"name": "edge", "nic": "ens1", "queues": [2, 3], "handler": "sink", **options}])


def port(**changes):
    return replace(SITE, nics={"ens1": replace(ENS1, **changes)})


def test_a_capture_takes_what_the_service_says():
    source = Path(__file__).parents[5] / "files/services/go-backend/internal/capture/tap.go"
    shift = re.search(r"^const ringSize = 4 << (\d+)$", source.read_text(encoding="utf-8"), re.MULTILINE)
    assert shift
    assert 2 * (4 << int(shift[1])) == limits.CAPTURE


def test_what_a_host_can_give_is_no_fault():
    desired = workers(cpus=[4, 5], mode="zero-copy")
    assert not list(limits.faults(desired, replace(SITE, pids=66)))
    assert list(limits.faults(desired, SITE)) == list(limits.warnings(desired, SITE)) == []


def test_a_containers_memory_is_on_the_node_of_its_workers_else_on_all_and_named():
    near, anywhere = workers(), workers(node=-1)
    far = parse([{"name": "far", "nic": "ens1", "queues": [1], "handler": "sink", "node": 0}])
    # Who may be anywhere goes along: with several nodes the other one's memory would have to be bound to its own.
    assert limits.container_nodes(near, SITE) == limits.container_nodes([*near, *anywhere], SITE) == [1]
    for several in (anywhere, [*near, *far]):
        assert limits.container_nodes(several, SITE) == [0, 1]
    assert limits.container_nodes([], SITE) == limits.container_nodes(near, replace(SITE, nodes=[0])) == []


@pytest.mark.parametrize(
    ("site", "options", "words"),
    [
        (replace(SITE, nics={}, services=[]), {}, "there is no NIC ens1: correct its name, or make it first"),
        (port(program=None), {}, "ens1 is not to have our XDP program, which hands packets to workers: add it to xdp_"),
        (
            port(queues=3),
            {},
            "queue 3 of ens1: it has 3, 0 to 2: give it more channels (nic_interfaces), or serve fewer",
        ),
        (port(program="generic"), {}, "the XDP program of ens1 runs in generic mode"),
        (
            replace(SITE, pids=65),
            {},
            "workers take 2 threads, one for each queue, and the service up to 64: go_backend_pids 65 is too little: "
            "set it to 66 or more",
        ),
        (
            port(features=frozenset({"basic"})),
            {"mode": "zero-copy"},
            "ice of ens1 has no zero-copy mode: request auto or copy",
        ),
        (
            SITE,
            {"mode": "zero-copy", "multi_buffer": True},
            "ens1 has a zero-copy mode for packets of one frame: leave multi_buffer out",
        ),
        (
            port(driver="virtio_net", device_lacks=("VIRTIO_F_ACCESS_PLATFORM",)),
            {"mode": "zero-copy"},
            "virtio_net of ens1 has no zero-copy mode, as the device does not offer VIRTIO_F_ACCESS_PLATFORM: request",
        ),
        (
            port(mtu=9000),
            {},
            "MTU 9000 of ens1: packets of 9018 bytes do not fit into the 3840 that a frame has room for",
        ),
        (
            replace(port(mtu=9000), kernel=(6, 1)),
            {"multi_buffer": True},
            "multi_buffer needs Linux 6.6, and this is 6.1: leave it out",
        ),
        (SITE, {"cpus": [8, 9]}, "CPUs 8-9 are not online; there are 0-7"),
        (SITE, {"cpus": [3, 4]}, "CPUs 3 are not among those that the CPU plan gives go-backend, 4-6"),
        (SITE, {"node": 2}, "node 2 has no memory; nodes 0-1 have"),
        (SITE, {"hugepages": "2M"}, "workers need 24 huge pages of 2M on node 1, which has 20: reserve them"),
        (SITE, {"hugepages": "1G", "node": -1}, "workers need 1 huge pages of 1G on this host, which has 0"),
        (
            replace(SITE, memory=64 * MIB),
            {},
            "workers take 48 MiB for packets and up to 16 MiB for captures, and the service 32 MiB: go_backend_memory "
            "64 MiB is too little: set it to 96M or more",
        ),
        (
            replace(SITE, memory=40 * MIB),
            {"hugepages": "2M", "node": 0},
            "workers take 0 B for packets and up to 16 MiB for captures, and the service 32 MiB: go_backend_memory "
            "40 MiB is too little: set it to 48M or more",
        ),
        (
            replace(SITE, services=[SERVICE, replace(SERVICE, name="dns", worker="egde")]),
            {},
            "policy edge: service dns names worker egde, and those of ens1 are edge",
        ),
    ],
)
def test_the_limit_and_the_way_out(site, options, words):
    [reason] = limits.faults(workers(**options), site)
    assert words in reason


@pytest.mark.parametrize(
    ("site", "options"),
    [
        (port(program="generic"), {"generic": True}),
        (port(mtu=9000), {"multi_buffer": True}),
        (SITE, {"hugepages": "2M", "node": 0}),
        (SITE, {"hugepages": "2M", "hugepages_fallback": True}),
        (replace(SITE, memory=64 * MIB), {"hugepages": "2M", "node": 0}),
        (replace(SITE, cpus=None), {"cpus": [0, 7]}),
    ],
)
def test_what_is_accepted_on_purpose_is_no_fault(site, options):
    assert list(limits.faults(workers(**options), site)) == []


@pytest.mark.parametrize(
    ("site", "options", "words"),
    [
        (replace(SITE, services=[]), {}, "no service of a policy of ens1 sends packets to it (action afxdp:edge)"),
        (
            port(reached=frozenset({0, 1, 2})),
            {},
            "neither RSS nor a flow rule of ens1 sends packets to queues 3: change rss or flow_rules",
        ),
        (SITE, {"cpus": [4, 4]}, "CPU 4 is given to 2 threads of workers, which wait for each other there"),
        (
            replace(SITE, services=[SERVICE, Service("inner", "dpdk", "router", ("ens9",))]),
            {},
            "policy inner: service dpdk names worker router, which go_backend_workers has not",
        ),
    ],
)
def test_what_may_not_be_meant_is_a_warning(site, options, words):
    desired = workers(**options)
    assert list(limits.faults(desired, site)) == []
    [warning] = limits.warnings(desired, site)
    assert words in warning


def test_nothing_is_said_of_services_where_there_are_no_workers():
    assert list(limits.faults([], SITE)) == list(limits.warnings([], SITE)) == []


def test_memory_is_on_the_nodes_of_the_nics():
    assert limits.nodes(workers(), SITE) == [1]
    assert limits.nodes(workers(node=0), SITE) == [0]
    assert limits.nodes(workers(node=-1), SITE) == []


@pytest.mark.parametrize(
    ("changes", "kernel", "mode"),
    [
        ({}, (6, 12), "zero-copy"),
        ({"features": frozenset({"basic"})}, (6, 12), "copy"),
        ({"features": None}, (6, 1), "zero-copy"),
        ({"features": None}, (5, 4), "copy"),
        ({"features": None, "driver": "veth"}, (6, 1), "copy"),
        ({"program": "generic"}, (6, 12), "generic"),
    ],
)
def test_the_mode_that_a_nic_can_give(changes, kernel, mode):
    assert modes.offered(replace(ENS1, **changes), kernel) == mode


def test_services_of_policies_that_judge_nothing_count_for_nothing():
    interfaces = [{"name": "ens1"}, {"name": "ens2", "policy": "edge"}, {"name": "ens3", "state": "detached"}]
    policies = {
        "default": {"services": [{"name": "a", "action": "afxdp:one"}, {"name": "b", "action": "pass"}, {"name": "c"}]},
        "edge": {"services": [{"name": "d", "action": "afxdp:two"}]},
        "spare": {"services": [{"name": "e", "action": "afxdp:three"}]},
        "empty": None,
    }
    assert services(interfaces, policies) == [
        Service("default", "a", "one", ("ens1",)),
        Service("edge", "d", "two", ("ens2",)),
    ]


def test_a_worker_that_forwards_is_called_by_the_services_of_either_nic():
    hop = {"next_hop": "52:54:00:00:00:01"}
    on = workers(handler="forward", options={"peer": "ens2", "near": hop, "far": hop})
    nics = {"ens1": ENS1, "ens2": replace(ENS1, name="ens2")}
    for interface in nics:
        site = replace(SITE, nics=nics, services=[replace(SERVICE, interfaces=(interface,))])
        assert list(limits.faults(on, site)) == list(limits.warnings(on, site)) == []
