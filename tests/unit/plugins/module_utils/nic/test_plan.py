"""The steps from recorded NICs to what is requested of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Change, Impossible, describe, diff
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import irqbalance
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import Count, Feature, FlowRule, FlowRules
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink import XdpState
from ansible_collections.tripod.baremetal.plugins.module_utils._nic import plan as nic_plan
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.original import fitted, previous
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.plan import Table, notes
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.request import Irq, Request, Rps, Rss
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state import NicState

from .nics import DRIVERS, TOPOLOGY, host, nic, target


def steps(state, more=(), **options):
    """Return the plan for one NIC, a line for each step."""
    return [describe(one) for one in plan(state, more, **options)]


def plan(state, more=(), **options):
    return nic_plan.plan([target(state, **options)], host(state, **dict(more)))


def rule(place, queue, port="53"):
    return FlowRule("udp4", {"dst_port": port}, queue, location=place)


IGB, IXGBE, I40E, VETH = nic("igb"), nic("ixgbe"), nic("i40e"), nic("veth")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_recorded_nic_survives_its_record(driver):
    state = nic(driver)
    assert NicState.from_json(state.to_json()) == state


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_a_nic_is_already_takes_no_step(driver):
    state = nic(driver)
    everything = {
        "up": state.link.up,
        "mtu": state.link.mtu,
        "txqueuelen": state.link.txqueuelen,
        **{
            section: {
                key: getattr(value, "current", value) for key, value in (getattr(state.settings, section) or {}).items()
            }
            for section in ("rings", "channels", "coalesce", "pause", "private_flags")
        },
        "features": {name: found.active for name, found in state.settings.features.items()},
        "rss": {"default": True, "hash_fields": dict(state.settings.hash_fields)} if state.settings.rss else None,
        "rps": {"cpus": ""},
    }
    assert steps(state, **everything) == []


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_was_before_can_be_asked_for(driver):
    """The way back is a request like any other: from any state it leads to the recorded one."""
    state = nic(driver)
    counts = {section: getattr(state.settings, section) or {} for section in ("rings", "channels")}
    desired = {
        "mtu": 1600,
        "txqueuelen": 77,
        **{
            section: {key: max(1, count.current // 2) for key, count in found.items()}
            for section, found in counts.items()
        },
        "coalesce": {
            key: not value if value in (True, False) else value + 1
            for key, value in (state.settings.coalesce or {}).items()
        },
        "features": {name: not found.active for name, found in state.settings.features.items() if found.changeable},
        "rss": {"equal": 1} if state.settings.rss else None,
        "irq": {"placement": "local"},
        "xps": "auto",
        "rps": {"cpus": "0", "flow_entries": 64},
    }
    request = parse({"name": state.name, **desired})
    back = previous(request, state, host(state))
    assert plan(state, **desired) != []
    assert plan(state, **{**back.to_body(), "name": state.name}) == []


def test_the_order_is_that_of_drivers():
    state = nic("ixgbe", up=False, napi={"threaded": False})
    requested = {
        "napi": {"threaded": True},
        "features": {"ntuple": True},
        "irq": {"placement": "local"},
        "flow_rules": [{"flow_type": "udp4", "match": {"dst_port": 53}, "queue": 3}],
        "rss": {"weights": [1, 1, 2, 0], "hash_fields": {"udp4": "sdfn"}},
        "xps": "auto",
        "coalesce": {"rx_usecs": 20},
        "rings": {"rx": "max"},
        "channels": {"combined": 4},
        "pause": {"rx": True},
        "private_flags": {"legacy-rx": True},
        "mtu": 9000,
        "up": True,
        "txqueuelen": 500,
    }
    sections = [one.path[1] for one in plan(state, **requested)]
    assert list(dict.fromkeys(sections)) == [
        *("up", "private_flags", "rss", "channels", "rings", "mtu", "coalesce", "features", "napi", "pause"),
        *("txqueuelen", "hash_fields", "flow_rules", "irq", "xps"),
    ]
    last_table = len(sections) - sections[::-1].index("rss") - 1
    assert sections.index("channels") < last_table < sections.index("flow_rules")


def test_a_nic_is_closed_after_everything_else_that_its_driver_does():
    [*_others, last] = plan(IGB, up=False, rings={"rx": 512})
    assert (last.path, last.after, last.disrupts) == (("ens1", "up"), False, True)


def test_interrupts_of_a_nic_that_is_to_be_closed_are_left_alone():
    assert steps(IGB, up=False, irq={"placement": ["0"]}) == ["ens1 up: True -> False"]


@pytest.mark.parametrize(
    ("state", "options", "bounces"),
    [
        (IGB, {"rings": {"rx": 512}}, True),
        (IGB, {"channels": {"combined": 8}}, True),
        (IGB, {"mtu": 9000}, True),
        (IGB, {"features": {"rx-vlan-hw-parse": False}}, True),
        (IGB, {"features": {"gro": False}}, False),
        (IGB, {"coalesce": {"rx_usecs": 50}}, False),
        (IGB, {"txqueuelen": 10}, False),
        (nic("igb", up=False), {"rings": {"rx": 512}}, False),
        (VETH, {"channels": {"rx": 2, "tx": 2}}, False),
        (VETH, {"mtu": 9000}, False),
    ],
)
def test_steps_that_bounce_the_link_are_marked(state, options, bounces):
    assert any(one.disrupts for one in plan(state, **options)) is bounces


@pytest.mark.parametrize(
    ("driver", "options", "expected"),
    [
        ("igb", {"rings": {"rx": "max", "tx": 256}}, ["ens1 rings rx: 256 -> 4096"]),
        (
            "tg3",
            {"rings": {"rx": "max", "rx_jumbo": "max"}},
            ["eno1 rings rx: 200 -> 2047", "eno1 rings rx_jumbo: 100 -> 1023"],
        ),
        ("ena", {"rings": {"tx_push_buf_len": "max"}}, []),
        ("veth", {"channels": {"rx": 2, "tx": 3}}, ["rec0 channels rx: 4 -> 2", "rec0 channels tx: 4 -> 3"]),
        ("ena", {"coalesce": {"adaptive_rx": False}}, ["ens5 coalesce adaptive_rx: True -> False"]),
        (
            "mlx5_core",
            {"private_flags": {"rx_striding_rq": False}},
            ["ens3f0np0 private_flags rx_striding_rq: True -> False"],
        ),
        ("igb", {"pause": {"autoneg": False}}, ["ens1 pause autoneg: True -> False"]),
        ("bnxt_en", {"features": {"rx-gro-hw": False, "lro": False}}, ["ens6f0np0 features rx-gro-hw: True -> False"]),
        ("igb", {"features": {"large-receive-offload": False}}, []),
        ("igb", {"rss": {"hash_fields": {"udp4": "sdfn", "tcp4": "nfds"}}}, ["ens1 hash_fields udp4: sd -> sdfn"]),
    ],
)
def test_only_what_differs_is_touched(driver, options, expected):
    state = nic(driver)
    name = state.name
    assert [
        line.replace(name, expected[0].split()[0]) if expected else line for line in steps(state, **options)
    ] == expected


def test_a_group_of_features_means_those_that_can_be_switched():
    changed = {one.path[2] for one in plan(IGB, features={"tso": False})}
    known = {name for name, found in IGB.settings.features.items() if found.changeable and found.active}
    assert changed == {"tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-tcp-mangleid-segmentation"} & known
    assert changed


def test_the_channels_at_most_leave_room_for_xdp():
    ena = nic("ena", channels={"combined": Count(4, 8)})
    assert steps(ena, channels={"combined": "max"})[-1] == "ens5 channels combined: 4 -> 8"
    busy = replace(ena, link=replace(ena.link, xdp=XdpState("native", {"native": 7})))
    assert steps(busy, channels={"combined": "max"}) == []


class TestRss:
    def test_channels_change_with_the_table_at_its_default(self):
        lines = steps(IXGBE, channels={"combined": 4})
        assert lines == [
            "ens1 rss table: 128 buckets over queues 0-15 -> default",
            "ens1 channels combined: 16 -> 4",
        ]

    def test_the_asked_table_follows_the_channels(self):
        lines = steps(IXGBE, channels={"combined": 4}, rss={"equal": 2})
        assert lines[-1] == "ens1 rss table: 128 buckets over queues 0-3 -> 128 buckets over queues 0-1"

    def test_the_table_that_new_channels_bring_is_not_set_again(self):
        assert len(steps(IXGBE, channels={"combined": 4}, rss={"equal": 4})) == 2

    @pytest.mark.parametrize("table", [(0, 1) * 64, (0,) * 64 + (1,) * 64])
    def test_an_even_table_is_even_in_blocks_too(self, table):
        state = replace(IGB, settings=replace(IGB.settings, rss=replace(IGB.settings.rss, table=table)))
        assert steps(state, rss={"equal": 2}) == []
        assert steps(state, rss={"weights": [1, 1, 0]}) == []
        assert steps(state, rss={"default": True}) == ["ens1 rss table: 128 buckets over queues 0-1 -> default"]

    def test_an_explicit_table_is_compared_bucket_by_bucket(self):
        state = replace(IGB, settings=replace(IGB.settings, rss=replace(IGB.settings.rss, table=(0, 1) * 64)))
        assert steps(state, rss={"table": [0, 1] * 64}) == []
        [one] = plan(state, rss={"table": [1, 0] * 64})
        assert one.after == [1, 0] * 64

    def test_weights_share_the_buckets_out(self):
        [one] = plan(IGB, rss={"weights": [2, 1, 0, 1]})
        assert [one.after.count(queue) for queue in range(4)] == [64, 32, 0, 32]
        assert str(one.after) == "128 buckets over queues 0-1,3 (0: 64, 1: 32, 3: 32)"

    def test_key_and_function(self):
        assert steps(IXGBE, rss={"key": "00" * 119, "function": "xor"})[-1] == "ens1 rss function: toeplitz -> xor"
        key = IXGBE.settings.rss.key.hex()
        assert steps(IXGBE, rss={"key": key, "function": "toeplitz"}) == []

    def test_an_even_table_is_shown_in_short(self):
        assert str(Table([0, 1, 2, 3])) == "4 buckets over queues 0-3"


class TestFlowRules:
    STEERS = replace(
        I40E, settings=replace(I40E.settings, flow_rules=FlowRules(100, (rule(7, 3, "4791"), rule(90, 2))))
    )

    def test_rules_take_the_first_free_locations_of_ours(self):
        requested = [{"flow_type": "udp4", "match": {"dst_port": port}, "queue": 1} for port in (1, 2)]
        lines = [
            one.path[2]
            for one in plan(I40E, flow_rules=[*requested, {"flow_type": "tcp4", "drop": True, "location": 8128}])
        ]
        assert lines == ["8128", "8129", "8130"]

    def test_what_is_right_stays_and_what_is_not_asked_for_goes(self):
        keep = {"flow_type": "udp4", "match": {"dst_port": 53}, "queue": 2, "location": 90}
        assert steps(self.STEERS, flow_rules=[keep], owns_rules=True) == []
        [gone] = plan(self.STEERS, flow_rules=[], owns_rules=True)
        assert (gone.path, gone.after) == (("ens2f0", "flow_rules", "90"), None)

    def test_a_changed_rule_replaces_the_one_at_its_location(self):
        [one] = plan(self.STEERS, flow_rules=[{"flow_type": "udp4", "drop": True, "location": 90}], owns_rules=True)
        assert one.before == {"flow_type": "udp4", "match": {"dst_port": "53"}, "queue": 2, "location": 90}
        assert one.after == {"flow_type": "udp4", "match": {}, "drop": True, "location": 90}

    def test_rules_outside_of_our_locations_are_not_seen(self):
        assert steps(self.STEERS, flow_rules=[], flow_rule_locations="10-20") == []

    def test_our_rules_for_queues_that_go_give_way_first(self):
        requested = [{"flow_type": "udp4", "match": {"dst_port": 53}, "queue": 1, "location": 90}]
        changes = plan(self.STEERS, channels={"combined": 2}, flow_rules=requested, owns_rules=True)
        sections = [(one.path[1], one.after is None) for one in changes]
        assert sections == [("flow_rules", True), ("rss", False), ("channels", False), ("flow_rules", False)]


class TestInterrupts:
    def test_they_go_near_the_nic(self):
        lines = steps(IXGBE, irq={"avoid": "0"})
        near = [1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23, 16]
        assert [line.split()[-1] for line in lines if "TxRx" in line] == [str(cpu) for cpu in near]
        assert len(lines) == len(IXGBE.irqs)

    def test_other_vectors_stay_where_no_housekeeping_cpu_is_named(self):
        assert not [line for line in steps(IGB, irq={"placement": "local"}) if line.startswith("ens1 irq ens1:")]
        assert [line for line in steps(IGB, irq={"avoid": "0"}) if line.startswith("ens1 irq ens1:")]

    def test_what_cannot_be_moved_is_not_planned(self):
        stuck = replace(IGB, irqs=tuple(replace(irq, movable=False) for irq in IGB.irqs))
        assert steps(stuck, irq={"placement": "local"}) == []

    def test_queues_to_come_are_placed_too(self):
        lines = steps(IGB, channels={"combined": 8}, irq={"placement": "local"})
        assert lines[-4:] == [f"ens1 irq queue {queue}: absent -> {queue + 8}" for queue in range(4, 8)]

    def test_queues_that_go_are_not_placed(self):
        names = [
            one.path[2]
            for one in plan(IXGBE, channels={"combined": 2}, irq={"placement": "local"})
            if one.path[1] == "irq"
        ]
        assert names == ["ens1-TxRx-0", "ens1-TxRx-1"]

    def test_a_closed_nic_shows_where_they_will_go(self):
        closed = replace(nic("igb", up=False), irqs=())
        assert steps(closed, irq={"placement": "local"}) == []
        assert steps(closed, up=True, irq={"placement": "local"})[1:] == [
            f"ens1 irq queue {queue}: absent -> {queue + 8}" for queue in range(4)
        ]

    def test_a_nic_that_is_not_asked_for_now_keeps_its_cpus(self):
        other = replace(IXGBE, link=replace(IXGBE.link, name="ens9"), node=1)
        state = host(other, IGB)
        both = [
            target(other, irq={"placement": "local"}, mtu=9000, touched=False),
            target(IGB, irq={"placement": "local"}),
        ]
        changes = nic_plan.plan(both, state)
        assert not [one for one in changes if one.path == ("ens9", "mtu")]
        placed = {one.path[2]: one.after for one in changes if one.path[:2] == ("ens1", "irq")}
        assert placed["ens1-rx-0"] == "8", "sixteen queues of the other NIC load all eight cores alike"

    def test_only_the_named_interfaces_are_planned_for(self):
        other = replace(IXGBE, link=replace(IXGBE.link, name="ens9"))
        both = [target(other, mtu=9000), target(IGB, mtu=9000)]
        assert {one.path[0] for one in nic_plan.plan(both, host(other, IGB), only=["ens1"])} == {"ens1"}

    def test_a_plan_for_interrupts_that_cannot_be_placed_is_none(self):
        with pytest.raises(Impossible, match=r"irq\.cpus names CPUs 99"):
            plan(IGB, irq={"cpus": "99"})

    @pytest.mark.parametrize(
        ("banned", "expected"),
        [
            (None, ["irqbalance banned: absent -> 49-56"]),
            (frozenset(range(49, 57)), []),
            (frozenset([3]), ["irqbalance banned: 3 -> 49-56"]),
        ],
    )
    def test_irqbalance_keeps_off_what_is_placed(self, banned, expected):
        balance = {"irqbalance": irqbalance.State("/usr/sbin/irqbalance", banned)}
        assert [line for line in steps(IGB, balance, irq={"placement": "local"}) if "banned" in line] == expected

    def test_irqbalance_is_free_again_where_nothing_is_placed(self):
        balance = {"irqbalance": irqbalance.State("/usr/sbin/irqbalance", frozenset([4]))}
        assert steps(IGB, balance) == ["irqbalance banned: 4 -> absent"]
        assert "irqbalance banned: 4 -> absent" in steps(IGB, balance, irq={"placement": ["0"]}, released=True)


class TestQueuesOfTheStack:
    def test_each_cpu_of_the_node_sends_through_one_queue(self):
        changes = plan(IXGBE, xps="auto")
        assert [one.path[2] for one in changes] == [f"tx-{queue}" for queue in range(16)]
        assert sorted(one.after for one in changes) == sorted(str(cpu) for cpu in TOPOLOGY.nodes[0])

    def test_a_queue_is_filled_where_it_is_emptied(self):
        after = {
            one.path[2]: one.after
            for one in plan(IGB, irq={"placement": ["15", "14", "13", "12"]}, xps="auto")
            if one.path[1] == "xps"
        }
        assert after["tx-0"].split(",")[-1] != ""
        assert "15" in after["tx-0"].replace("-", ",").split(",")

    @pytest.mark.parametrize(
        ("held", "requested", "expected"),
        [
            ("0", "off", ["ens1 xps tx-0: 0 -> none"]),
            ("0", ["1", "", "", ""], ["ens1 xps tx-0: 0 -> 1"]),
            ("0", ["0", "", "", ""], []),
        ],
    )
    def test_choices_of_the_operator(self, held, requested, expected):
        state = replace(IGB, xps=(frozenset([int(held)]), *[frozenset()] * 3))
        assert steps(state, xps=requested) == expected

    def test_a_nic_of_one_queue_has_nothing_to_choose(self):
        one = replace(nic("veth", channels={"rx": Count(1, 1), "tx": Count(1, 1)}), xps=())
        assert steps(one, xps="auto") == []

    def test_queues_to_come_get_their_cpus_too(self):
        lines = steps(IGB, channels={"combined": 8}, xps="off")
        assert not [line for line in lines if "xps" in line]
        assert len([line for line in steps(IGB, channels={"combined": 8}, xps="auto") if "xps" in line]) == 8

    def test_received_packets_are_spread_in_software(self):
        lines = steps(nic("virtio_net"), rps={"cpus": "0-1", "flow_entries": 1000})
        assert lines[:2] == ["enp0s8 rps rx-0: none -> 0-1", "enp0s8 rfs rx-0: 0 -> 256"]
        assert lines[-1] == "host rps_sock_flow_entries: 0 -> 1024"

    def test_the_table_of_all_sockets_is_never_shrunk(self):
        assert "host" not in " ".join(steps(VETH, {"sock_flow_entries": 65536}, rps={"flow_entries": 4}))

    def test_queues_to_come_hold_flows_too(self):
        lines = steps(IGB, channels={"combined": 8}, rps={"cpus": "1", "flow_entries": 800})
        assert "ens1 rps rx-7: none -> 1" in lines
        assert "ens1 rfs rx-7: 0 -> 128" in lines


class TestTheWayBack:
    def test_a_custom_table_comes_back_with_the_channels(self):
        custom = replace(IGB, settings=replace(IGB.settings, rss=replace(IGB.settings.rss, table=(0, 0, 0, 1) * 32)))
        back = previous(parse({"name": "ens1", "channels": {"combined": 8}}), custom, host(custom))
        assert back == Request(channels={"combined": 4}, rss=Rss(table=(0, 0, 0, 1) * 32))

    def test_a_nic_without_a_table_has_none_to_restore(self):
        state = nic("virtio_net")
        assert previous(parse({"name": "x", "channels": {"combined": 2}}), state, host(state)) == Request(
            channels={"combined": 4}
        )

    def test_our_rules_before_were_those_at_our_locations(self):
        state = replace(I40E, settings=replace(I40E.settings, flow_rules=FlowRules(100, (rule(7, 3), rule(90, 2)))))
        back = previous(parse({"name": "x", "flow_rules": []}), state, host(state))
        assert back == Request(flow_rules=(rule(90, 2),), locations=(36, 99))

    def test_a_closed_nic_will_get_the_default_affinity(self):
        closed = replace(IGB, irqs=())
        back = previous(
            parse({"name": "x", "irq": {"placement": "local"}}),
            closed,
            host(closed, default_affinity=frozenset([0, 1])),
        )
        assert back.irq == Irq((frozenset([0, 1]),), other=frozenset([0, 1]))

    def test_affinities_that_were_seen_at_another_number_of_queues(self):
        seen = Request(irq=Irq((frozenset([0]), frozenset([1]))))
        assert fitted(seen, IGB).irq.placement == (frozenset([0, 1]),)
        assert fitted(Request(irq=Irq((frozenset([0]),) * 4)), IGB).irq.placement == (frozenset([0]),) * 4
        assert fitted(Request(), IGB) == Request()

    def test_software_spreading_comes_back(self):
        state = replace(VETH, rps=(frozenset([1]),) * 4, rfs=(16,) * 4)
        back = previous(parse({"name": "x", "rps": {"cpus": "0", "flow_entries": 4}}), state, host(state))
        assert back == Request(rps=Rps(frozenset([1]), 64))

    def test_key_and_function_come_back(self):
        back = previous(parse({"name": "x", "rss": {"key": "00", "function": "xor"}}), IXGBE, host(IXGBE))
        assert back.rss == Rss(key=IXGBE.settings.rss.key, function="toeplitz")


def closed(**settings):
    return nic("igb", up=False, **settings)


class TestWhatAClosedNicDoesNotShow:
    """Zeros of a NIC that is closed were never in effect."""

    def test_a_table_of_zeros_is_the_driver_s_default(self):
        state = closed(rss=replace(IGB.settings.rss, table=(0,) * 128, key=b"\0" * 40))
        request = parse({"name": "x", "rss": {"equal": 2, "key": ":".join(["01"] * 40)}})
        assert previous(request, state, host(state)) == Request(rss=Rss(default=True))
        opened = replace(state, link=replace(state.link, up=True))
        assert previous(request, opened, host(opened)) == Request(rss=Rss(table=(0,) * 128))

    def test_rings_channels_and_coalescing_of_zeros_are_left_to_the_driver(self):
        state = closed(
            rings={"rx": Count(0, 4096), "tx": Count(256, 4096)},
            channels={"combined": Count(0, 8)},
            coalesce={"rx_usecs": 0, "tx_usecs": 0},
        )
        request = parse({"name": "x", "rings": {"rx": 512, "tx": 512}, "coalesce": {"rx_usecs": 5}})
        assert previous(request, state, host(state)) == Request(rings={"tx": 256})
        assert previous(parse({"name": "x", "channels": {"combined": 4}}), state, host(state)) == Request()

    def test_what_adaptive_coalescing_shows_of_the_moment_is_not_restored(self):
        state = replace(
            IGB, settings=replace(IGB.settings, coalesce={"adaptive_rx": True, "rx_usecs": 62, "tx_usecs": 8})
        )
        request = parse({"name": "x", "coalesce": {"adaptive_rx": False, "rx_usecs": 20, "tx_usecs": 20}})
        assert previous(request, state, host(state)) == Request(coalesce={"adaptive_rx": True, "tx_usecs": 8})


class TestOriginalsOfMomentsThatDoNotFitTogether:
    def test_a_table_that_names_queues_that_are_gone_is_the_default(self):
        seen = Request(channels={"combined": 2}, rss=Rss(table=(0, 1, 2, 3) * 32, key=b"\1"))
        assert fitted(seen, IGB).rss == Rss(default=True, key=b"\1")
        assert fitted(Request(rss=Rss(table=(0, 1))), IGB).rss == Rss(default=True), "of other hardware"
        fits = Request(channels={"combined": 4}, rss=Rss(table=(0, 1, 2, 3) * 32))
        assert fitted(fits, IGB) == fits

    def test_queues_cpus_rules_and_limits_of_another_time_are_made_to_fit(self):
        seen = Request(
            channels={"combined": 64},
            rings={"rx": 100000, "tx": 256},
            flow_rules=(rule(1, 0), rule(2, 9)),
            xps=(frozenset([0]),) * 3,
        )
        assert fitted(seen, IGB) == Request(
            channels={"combined": "max"}, rings={"rx": "max", "tx": 256}, flow_rules=(rule(1, 0),), xps="auto"
        )

    def test_rules_go_before_the_steering_that_they_need(self):
        features = {**I40E.settings.features, "rx-ntuple-filter": Feature(True, True, True)}
        state = replace(
            I40E, settings=replace(I40E.settings, features=features, flow_rules=FlowRules(100, (rule(90, 2),)))
        )
        lines = steps(state, features={"ntuple": False}, flow_rules=[], owns_rules=True)
        assert [line.partition(":")[0] for line in lines] == [
            f"{I40E.name} flow_rules 90",
            f"{I40E.name} features rx-ntuple-filter",
        ]


def test_what_an_operator_should_know_is_reported():
    closed = replace(nic("igb", up=False), irqs=())
    few = [target(I40E, channels={"combined": 2}), target(closed, irq={"placement": "local"}), target(VETH)]
    assert notes(few, host(I40E, closed, VETH)) == {
        "ens2f0": ["fewer queues than CPUs: XDP loses packets that the other CPUs redirect to it"],
        "ens1": ["it is down, so it has no interrupts yet; they are placed when it comes up"],
        VETH.name: [],
    }


def test_what_a_first_opening_brings_is_the_default_to_go_back_to():
    state = nic("vmxnet3")
    closed = replace(state, link=replace(state.link, up=False), settings=replace(state.settings, rss=None))
    request = parse({"name": "ens2", "up": True, "rss": {"weights": [1, 1]}})
    back = parse({"name": "ens2", "up": False, "rss": {"default": True}})
    assert previous(request, closed, host(closed)) == replace(back, name=None)


def test_a_table_is_a_line_in_a_diff():
    shown = diff([Change(("ens1", "rss", "table"), Table([0, 1] * 64), Table([0] * 128))])
    assert shown["before"]["ens1"]["rss"]["table"] == "128 buckets over queues 0-1"
    assert shown["after"]["ens1"]["rss"]["table"] == "128 buckets over queues 0"
