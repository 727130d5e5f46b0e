"""What recorded NICs cannot do, each with its limit and the way out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import irqbalance
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import Count, FlowRule, FlowRules
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink import XdpState
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.irq_plan import Topology
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.limits import faults

from .nics import DRIVERS, host, nic, target

NATIVE = XdpState("native", {"native": 7})


def limits(state, more=(), **options):
    return faults([target(state, **options)], host(state, **dict(more)))[0]


def refusals(state, more=(), **options):
    return faults([target(state, **options)], host(state, **dict(more)))[1]


@pytest.mark.parametrize("driver", DRIVERS)
def test_nothing_stands_in_the_way_of_nothing(driver):
    state = nic(driver)
    assert faults([target(state)], host(state)) == ([], [])


@pytest.mark.parametrize(
    ("driver", "options", "expected"),
    [
        ("igb", {"rings": {"rx": 8192}}, "ens1: rx ring 8192 > hardware maximum 4096"),
        ("igb", {"rings": {"tx": 100}}, "ens1: tx ring 100 would become another size in igb: use 104"),
        ("igb", {"rings": {"tx": 8}}, "ens1: tx ring 8 would become another size in igb: use 64"),
        ("ena", {"rings": {"rx": 1000}}, "ens5: rx ring 1000 would become another size in ena: use 1024"),
        ("i40e", {"rings": {"rx": 8159}}, "ens2f0: rx ring 8159 would become another size in i40e: use 8160"),
        ("igb", {"rings": {"rx": True}}, "ens1: rx ring True is no number of descriptors: 1 to 4096"),
        ("igb", {"rings": {"rx_jumbo": 1}}, "ens1: igb has no rings rx_jumbo; it has "),
        ("veth", {"rings": {"rx": 1}}, ": veth has no rings to set"),
        ("igb", {"channels": {"combined": 9}}, "ens1: 9 combined channels > hardware maximum 8"),
        ("tg3", {"channels": {"combined": 4}}, "eno1: tg3 has no channels combined; it has rx, tx"),
        ("tg3", {"channels": {"tx": 0}}, "eno1: no tx channel would be left: at least one is needed"),
        ("veth", {"coalesce": {"rx_usecs": 1}}, ": veth has no coalesce to set"),
        ("igb", {"coalesce": {"rx_frames": 1}}, "ens1: igb has no coalesce rx_frames; it has rx_usecs, tx_usecs"),
        ("ena", {"pause": {"rx": True}}, "ens5: ena has no pause to set"),
        ("igb", {"private_flags": {"turbo": True}}, "ens1: igb has no private flags turbo; it has legacy-rx"),
        ("igb", {"features": {"ntuple": True}}, "ens1: feature rx-ntuple-filter (ntuple) is fixed off in igb"),
        ("igb", {"features": {"rx-lro": True}}, "ens1: feature rx-lro is fixed off in igb"),
        ("igb", {"features": {"lrp": True}}, "ens1: no feature lrp; is lro meant?"),
        ("igb", {"features": {"quantum": True}}, "ens1: no feature quantum"),
        ("igb", {"mtu": 9999}, "ens1: MTU 9999 > hardware maximum 9216"),
        ("igb", {"mtu": 60}, "ens1: MTU 60 < hardware minimum 68"),
        ("virtio_net", {"rss": {"equal": 2}}, "enp0s8: virtio_net has no RSS to set"),
        ("igb", {"rss": {"equal": 5}}, "ens1: rss.equal 5 > 4 receive queues"),
        ("igb", {"rss": {"weights": [1] * 5}}, "ens1: rss.weights for 5 queues > 4 receive queues"),
        ("igb", {"rss": {"table": [0, 1]}}, "ens1: an RSS table of 2 buckets; the hardware has 128"),
        ("igb", {"rss": {"table": [4] * 128}}, "ens1: rss.table names queue 4; the last of 4 is 3"),
        ("ixgbe", {"rss": {"key": "00:01"}}, "ens1: an RSS key of 2 bytes; ixgbe takes 40"),
        ("tg3", {"rss": {"key": "00:01"}}, "eno1: an RSS key of 2 bytes; tg3 takes none"),
        ("igb", {"rss": {"function": "md5"}}, "ens1: no RSS function md5; there are toeplitz, xor, crc32"),
        ("tg3", {"rss": {"hash_fields": {"udp4": "sd"}}}, "eno1: tg3 has no hash fields for udp4; it has none"),
        (
            "igb",
            {"flow_rules": [{"flow_type": "udp4", "queue": 1}]},
            "ens1: flow rules: igb cannot steer flows (ntuple is fixed off)",
        ),
        (
            "ixgbe",
            {"flow_rules": [{"flow_type": "udp4", "queue": 1}]},
            "ens1: flow rules need ntuple, which is off: request features.ntuple too",
        ),
        (
            "i40e",
            {"flow_rules": [{"flow_type": "udp4", "queue": 1, "location": 1}]},
            "ens2f0: flow_rules[0]: location 1 is not in 8128-8191, our part of the table",
        ),
        (
            "i40e",
            {"flow_rules": [{"flow_type": "udp4", "queue": 16}]},
            "ens2f0: flow_rules[0]: queue 16; the last of 16 is 15",
        ),
        (
            "i40e",
            {"flow_rules": [{"flow_type": "udp4", "queue": 1}] * 2, "flow_rule_locations": "9-9"},
            "ens2f0: 2 flow rules > 1 locations (9-9): widen flow_rule_locations",
        ),
        (
            "i40e",
            {"flow_rules": [{"flow_type": "udp4", "queue": 1}], "flow_rule_locations": "9000-9009"},
            "ens2f0: flow_rule_locations 9000-9009: the last location of the hardware is 8191",
        ),
        ("igb", {"xps": ["0"]}, "ens1: xps has CPUs for 1 transmit queues; it has 4: give a CPU list for each"),
        ("igb", {"xps": ["0", "1", "2", "99"]}, "ens1: xps names CPUs 99, which are not online"),
        ("igb", {"rps": {"cpus": "99"}}, "ens1: rps.cpus names CPUs 99, which are not online"),
        ("igb", {"irq": {"cpus": "99"}}, "ens1: irq.cpus names CPUs 99, which are not online (0-31 are)"),
        (
            "igb",
            {"irq": {"placement": ["0", "1"]}},
            "ens1: irq.placement has CPUs for 2 queues, but 4 interrupt: give a CPU list for each, or one for all",
        ),
    ],
)
def test_the_limit_and_the_way_out(driver, options, expected):
    [reason] = limits(nic(driver), **options)
    assert expected in reason


@pytest.mark.parametrize(
    "options",
    [
        {"rings": {"rx": "max", "tx": 512}},
        {"channels": {"combined": "max"}},
        {"channels": {"combined": 8}, "rss": {"equal": 8}, "xps": [""] * 8, "irq": {"placement": ["0"] * 8}},
        {"features": {"lro": False, "ntuple": False, "tso": True}},
        {"mtu": 9216},
    ],
)
def test_what_a_nic_can_do_is_no_fault(options):
    assert limits(nic("igb"), **options) == []


def test_flow_rules_may_come_with_the_feature_that_they_need():
    state = nic("ixgbe")
    assert limits(state, features={"ntuple": True}, flow_rules=[{"flow_type": "udp4", "queue": 1}]) == []
    assert limits(state, flow_rules=[]) == []


def test_a_driver_that_steers_but_has_no_table():
    state = nic("i40e", flow_rules=None)
    assert limits(state, flow_rules=[{"flow_type": "udp4", "drop": True}]) == [
        "ens2f0: flow rules: i40e has no table for them"
    ]
    unheard = replace(state, settings=replace(state.settings, features={}))
    assert limits(unheard, flow_rules=[{"flow_type": "udp4", "drop": True}]) == [
        "ens2f0: flow rules: i40e has no table for them"
    ]
    closed = nic("ixgbe", flow_rules=None)
    assert len(limits(closed, features={"ntuple": True}, flow_rules=[{"flow_type": "udp4", "drop": True}])) == 0


def test_rss_without_a_table():
    state = nic("igb")
    bare = replace(state, settings=replace(state.settings, rss=replace(state.settings.rss, table=())))
    assert limits(bare, rss={"equal": 2}) == ["ens1: igb has no RSS indirection table"]


def test_a_ring_option_without_a_maximum():
    state = nic("igb", ring_options={"rx_buf_len": 2048})
    assert limits(state, rings={"rx_buf_len": "max"}) == [
        "ens1: rx_buf_len ring max: the driver names no maximum; give a value"
    ]
    assert limits(state, rings={"rx_buf_len": 4096}) == []


def test_isolated_cpus_cannot_take_received_packets():
    few = {"topology": Topology([0, 1, 2, 3], [2, 3])}
    assert limits(nic("igb"), few, rps={"cpus": "1-2"}) == [
        "ens1: rps.cpus names CPUs 2, which are isolated: the kernel takes none of those"
    ]


def test_a_kernel_without_rfs():
    [reason] = limits(nic("igb"), {"sock_flow_entries": None}, rps={"flow_entries": 64})
    assert reason.startswith("ens1: rps.flow_entries: no RFS here")


def test_one_transmit_queue_has_no_choice():
    one = replace(nic("veth", channels={"rx": Count(1, 1), "tx": Count(1, 1)}), xps=())
    [reason] = limits(one, xps=["0"])
    assert "xps: a NIC of one transmit queue has nothing to choose" in reason


def test_queues_that_another_namespace_shows():
    [reason] = limits(replace(nic("igb"), xps=(), rps=()), xps="auto", rps={"cpus": "99"})
    assert "this is the sysfs of another network namespace" in reason


def test_every_reason_of_every_nic_comes_at_once():
    igb, veth = nic("igb"), nic("veth")
    found, _refused = faults(
        [target(igb, rings={"rx": 100000}, channels={"combined": 9}), target(veth, pause={"rx": True})], host(igb, veth)
    )
    assert [reason.partition(":")[0] for reason in found] == ["ens1", "ens1", veth.name]


def test_a_nic_that_is_not_asked_for_now_is_not_judged():
    state = nic("igb")
    assert faults([target(state, rings={"rx": 100000}, touched=False)], host(state)) == ([], [])


def test_a_driver_without_a_name_is_its_driver():
    [reason] = limits(nic("veth", driver=None), pause={"rx": True})
    assert reason.endswith("its driver has no pause to set")


class TestRefusals:
    def test_rdma_holds_the_channels_of_ice(self):
        assert refusals(nic("ice"), channels={"combined": 8}) == [
            "eth0: irdma holds its channels for RDMA, and ice changes none meanwhile: unload irdma first, "
            "or leave them as they are"
        ]
        assert refusals(nic("ice"), channels={"combined": 32}, rings={"rx": 4096}) == []
        assert refusals(nic("ice", rdma=None), channels={"combined": 8}) == []

    def test_a_foreign_rule_for_a_queue_that_would_go(self):
        [reason] = refusals(nic("i40e"), channels={"combined": 2})
        assert reason == (
            "ens2f0: flow rule 7, which is not ours, steers to queue 3, but 2 would be left: remove it first "
            "('ethtool -N ens2f0 delete 7')"
        )
        assert refusals(nic("i40e"), channels={"combined": 4}) == []

    def test_foreign_rules_at_our_locations(self):
        requested = {"flow_rules": [{"flow_type": "tcp4", "queue": 1}], "flow_rule_locations": "7-9"}
        [reason] = refusals(nic("i40e"), **requested)
        assert "flow rules at 7 are not ours: choose other flow_rule_locations, or remove them" in reason
        assert refusals(nic("i40e"), **requested, owns_rules=True) == []

    def test_rules_that_are_as_asked_are_ours(self):
        """The run before may have ended between the rules and the state file."""
        rules = FlowRules(8192, (FlowRule("udp4", {"dst_port": "4791"}, 3, location=7),))
        same = [{"flow_type": "udp4", "match": {"dst_port": 4791}, "queue": 3, "location": 7}]
        assert refusals(nic("i40e", flow_rules=rules), flow_rules=same, flow_rule_locations="7-9") == []

    @pytest.mark.parametrize(
        ("state", "options", "words"),
        [
            (nic("virtio_net", xdp=NATIVE), {"channels": {"combined": 2}}, "virtio_net changes no channels under XDP"),
            (
                nic("ena", xdp=NATIVE, channels={"combined": Count(2, 8)}),
                {"channels": {"combined": 5}},
                "5 combined channels > 4, half of them, as XDP needs the others",
            ),
            (
                nic("veth", driver="gve", xdp=NATIVE, channels={"rx": Count(2, 8), "tx": Count(2, 8)}),
                {"channels": {"rx": 3}},
                "3 rx and 2 tx channels, but XDP needs as many of both",
            ),
            (
                nic("bnxt_en", xdp=NATIVE),
                {"channels": {"rx": 4, "tx": 4, "combined": 0}},
                "separate rx and tx channels, but XDP needs combined ones",
            ),
            (nic("igb", xdp=NATIVE), {"mtu": 9000}, "MTU 9000 > 3046, the most that XDP takes in igb"),
            (nic("ixgbe", xdp=NATIVE), {"features": {"lro": True}}, "rx-lro merges packets, which XDP cannot see"),
            (nic("mlx5_core", xdp=NATIVE), {"features": {"rx-gro-hw": True}}, "rx-gro-hw merges packets"),
        ],
    )
    def test_what_an_xdp_program_forbids(self, state, options, words):
        [reason] = refusals(state, **options)
        assert words in reason
        assert reason.endswith("; detach the XDP program first")
        free = replace(state, link=replace(state.link, xdp=XdpState()))
        assert refusals(free, **options) == []

    @pytest.mark.parametrize(
        ("state", "options"),
        [
            (nic("igb", xdp=NATIVE), {"mtu": 3000, "channels": {"combined": 8}}),
            (nic("igb", xdp=NATIVE, mtu=9000), {"mtu": 9000}),
            (nic("ena", xdp=NATIVE, channels={"combined": Count(2, 8)}), {"channels": {"combined": 4}}),
            (nic("ixgbe", xdp=NATIVE), {"features": {"lro": False}}),
            (nic("bnxt_en", xdp=NATIVE), {"features": {"rx-gro-hw": True}, "channels": {"combined": 4}}),
            (nic("igb", xdp=XdpState("generic", {"generic": 7})), {"mtu": 9000}),
        ],
    )
    def test_what_an_xdp_program_allows(self, state, options):
        assert refusals(state, **options) == []

    def test_an_irqbalance_that_no_drop_in_reaches(self):
        stray = {"irqbalance": irqbalance.State(stray=True)}
        [reason] = refusals(nic("igb"), stray, irq={"placement": "local"})
        assert reason.endswith("nothing keeps it off interrupts that are placed: stop it")
        assert refusals(nic("igb"), stray, mtu=1500) == []


def test_a_nic_that_shows_its_rss_only_once_opened_is_opened_first():
    state = nic("vmxnet3")
    closed = replace(state, link=replace(state.link, up=False), settings=replace(state.settings, rss=None))
    assert limits(closed, rss={"equal": 2}, up=True) == []
    assert limits(closed, rss={"equal": 2}) == ["ens2: vmxnet3 has no RSS to set until it is opened: request up too"]
    opened = replace(closed, link=replace(state.link, up=True))
    assert limits(opened, rss={"equal": 2}, up=True) == ["ens2: vmxnet3 has no RSS to set"]
