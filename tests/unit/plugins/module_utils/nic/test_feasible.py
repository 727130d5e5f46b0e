"""A setting that cannot be met does not keep a NIC's others from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import FlowRules
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.feasible import feasible
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.request import Irq

from .nics import TOPOLOGY, host, nic, target

IGB = nic("igb")
WHOLE = {
    "up": True,
    "mtu": 9000,
    "rings": {"rx": 512, "tx": 512},
    "channels": {"combined": 2},
    "coalesce": {"rx_usecs": 10},
    "features": {"gro": False},
    "rss": {"equal": 2},
    "irq": {"placement": "local"},
}


def met(state=IGB, topology=TOPOLOGY, **options):
    request = target(state, **{**WHOLE, **options})
    found, reasons = feasible(request, host(state, topology=topology))
    return request.request, found.request, reasons


def test_what_can_be_met_stays_as_it_is():
    requested, found, reasons = met()
    assert (found, reasons) == (requested, [])


@pytest.mark.parametrize(
    ("spoiled", "lost", "reason"),
    [
        ({"rings": {"rx": 100000, "tx": 512}}, {"rings": {"tx": 512}}, "rx ring 100000 > hardware maximum"),
        ({"mtu": 60000}, {"mtu": None}, "MTU 60000 > hardware maximum"),
        ({"features": {"gro": False, "nosuch": True}}, {"features": {"gro": False}}, "no feature nosuch"),
        ({"coalesce": {"rx_usecs": 10, "nosuch": 1}}, {"coalesce": {"rx_usecs": 10}}, "has no coalesce nosuch"),
        ({"pause": {"nosuch": True}}, {"pause": {}}, "has no pause nosuch"),
        ({"rss": {"equal": 64}}, {"rss": None}, "rss.equal 64 > 2 receive queues"),
        ({"rss": {"equal": 2, "function": "nosuch"}}, {}, "no RSS function nosuch"),
        ({"xps": ["0"]}, {"xps": None}, "xps has CPUs for 1 transmit queues"),
        ({"rps": {"cpus": "99"}}, {"rps": None}, "rps.cpus names CPUs 99, which are not online"),
    ],
)
def test_one_setting_that_cannot_be_met_is_left_out_and_named(spoiled, lost, reason):
    requested, found, reasons = met(**spoiled)
    expected = replace(requested, **lost)
    if "function" in spoiled.get("rss", {}):
        expected = replace(requested, rss=replace(requested.rss, function=None))
    assert found == expected
    assert len(reasons) == 1
    assert reason in reasons[0]


def test_what_depends_on_what_cannot_be_met_is_judged_by_what_there_is():
    requested, found, reasons = met(channels={"combined": 64}, rss={"equal": 4})
    assert found == replace(requested, channels={}), "four queues are there, and stay"
    assert [reason for reason in reasons if "hardware maximum" in reason] == reasons


def test_flow_rules_go_with_the_steering_that_they_need():
    fixed = {**IGB.settings.features, "rx-ntuple-filter": replace(IGB.settings.features["rx-gro"], changeable=False)}
    state = nic("igb", features=fixed, flow_rules=FlowRules(0))
    rule = {"flow_type": "tcp4", "match": {"dst_port": 80}, "queue": 0}
    requested, found, reasons = met(state, flow_rules=[rule])
    assert found == replace(requested, flow_rules=None)
    assert reasons


def test_the_cpus_that_are_left_take_the_interrupts_of_those_that_went_offline():
    topology = replace(TOPOLOGY, online=list(range(31)))
    requested, found, reasons = met(topology=topology, irq={"placement": "local", "cpus": "30-31", "avoid": "0,31"})
    assert found == replace(requested, irq=Irq(cpus=frozenset([30]), avoid=frozenset([0])))
    assert all("31, which are not online" in reason for reason in reasons)
    assert len(reasons) == 2
    _requested, found, _reasons = met(topology=topology, irq={"cpus": "31"})
    assert found.irq is None, "none of its own is left"
