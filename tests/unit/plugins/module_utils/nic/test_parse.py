"""What may be requested of a NIC, and what may not."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import FlowRule
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse, parse_all
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.request import Irq, Request, Rps, Rss

# What AnsibleModule makes of options that were not given.
UNSET = dict.fromkeys(
    (
        *("pci", "mac", "up", "mtu", "txqueuelen", "rings", "channels", "coalesce", "features", "pause"),
        *("private_flags", "rss", "flow_rules", "flow_rule_locations", "irq", "xps", "rps"),
    )
)


def requested(**options):
    return parse({**UNSET, "name": "ens1", "state": "present", **options})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"pci": "0000:81:00.0", "mac": "52:54:00:12:34:AB"}, {"pci": "0000:81:00.0", "mac": "52:54:00:12:34:ab"}),
        ({"up": True, "mtu": 9000, "txqueuelen": 500}, {"up": True, "mtu": 9000, "txqueuelen": 500}),
        (
            {"rings": {"rx": "max", "tx": "512", "tcp_data_split": "on"}},
            {"rings": {"rx": "max", "tx": 512, "tcp_data_split": True}},
        ),
        ({"channels": {"combined": 4, "other": None}}, {"channels": {"combined": 4}}),
        ({"coalesce": {"rx-usecs": "20", "adaptive_rx": "off"}}, {"coalesce": {"rx_usecs": 20, "adaptive_rx": False}}),
        ({"features": {"lro": False, "gro": "yes"}}, {"features": {"lro": False, "gro": True}}),
        ({"rss": {"equal": 4, "default": False}}, {"rss": Rss(equal=4)}),
        ({"rss": {"default": True}}, {"rss": Rss(default=True)}),
        ({"rss": {"weights": [1, 0, 2]}}, {"rss": Rss(weights=(1, 0, 2))}),
        (
            {"rss": {"key": "6D:5a", "function": "xor", "hash_fields": {"udp4": "nfds"}}},
            {"rss": Rss(key=b"\x6d\x5a", function="xor", hash_fields={"udp4": "sdfn"})},
        ),
        (
            {
                "flow_rules": [
                    {"flow_type": "udp4", "match": {"dst_port": 53}, "queue": 3, "drop": False, "location": None}
                ]
            },
            {"flow_rules": (FlowRule("udp4", {"dst_port": "53"}, 3),)},
        ),
        (
            {
                "flow_rules": [{"flow_type": "tcp4", "match": None, "drop": True, "location": 9}],
                "flow_rule_locations": "8-9",
            },
            {"flow_rules": (FlowRule("tcp4", {}, None, location=9),), "locations": (8, 9)},
        ),
        ({"irq": {"placement": "local", "cpus": None}}, {"irq": Irq()}),
        ({"irq": {"placement": ["0", "2-3"]}}, {"irq": Irq((frozenset([0]), frozenset([2, 3])))}),
        (
            {"irq": {"placement": "local", "cpus": "2-3", "avoid": "0", "other": "1"}},
            {"irq": Irq(None, frozenset([2, 3]), frozenset([0]), frozenset([1]))},
        ),
        ({"xps": "auto"}, {"xps": "auto"}),
        ({"xps": False}, {"xps": "off"}),
        ({"xps": ["0", 1, ""]}, {"xps": (frozenset([0]), frozenset([1]), frozenset())}),
        ({"rps": {"cpus": "", "flow_entries": 4096}}, {"rps": Rps(frozenset(), 4096)}),
        (
            {"napi": {"defer_hard_irqs": "2", "gro_flush_timeout": 200000, "threaded": None}},
            {"napi": {"defer_hard_irqs": 2, "gro_flush_timeout": 200000}},
        ),
        ({"napi": {"threaded": "off"}}, {"napi": {"threaded": False}}),
        ({"state": "absent"}, {"present": False}),
    ],
)
def test_options_become_a_request_and_back(options, expected):
    request = requested(**options)
    assert request == Request(**{"name": "ens1", **expected})
    assert parse(request.to_body()) == request


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": None}, "give its name, its pci address or its mac"),
        ({"name": "ens1/queues"}, "name 'ens1/queues' has '/' in it, which no name of an interface does"),
        ({"name": ".."}, "name '..' is a directory, which no name of an interface does"),
        ({"pci": "81:00.0"}, "pci '81:00.0' is no PCI address such as 0000:81:00.0"),
        ({"mac": "52:54"}, "mac '52:54' is no MAC address such as 52:54:00:12:34:56"),
        ({"mtu": "big"}, "mtu: 'big' is no number of 0 or more"),
        ({"mtu": True}, "mtu: 'True' is no number of 0 or more"),
        ({"rings": {"rx": "most"}}, "rings.rx: 'most' is neither a number of 0 or more nor true or false, nor max"),
        ({"channels": {"combined": -1}}, "channels.combined: '-1' is no number of 0 or more, nor max"),
        ({"features": {"lro": "maybe"}}, "features.lro: 'maybe' is neither true nor false"),
        (
            {"rss": {"equal": 2, "weights": [1]}},
            "rss takes one of equal, weights, table and default, not equal and weights",
        ),
        ({"rss": {"equal": 0}}, "rss.equal 0 leaves no queue: use 1 or more"),
        ({"rss": {"weights": [0, 0]}}, "rss.weights need a number above 0"),
        ({"rss": {"weights": [1, -1]}}, "rss.weights: '-1' is no number of 0 or more"),
        ({"rss": {"table": []}}, "rss.table is empty: use rss.default to hand the table back to the driver"),
        ({"rss": {"key": "6d:5"}}, "rss.key '6d:5' is not in hexadecimal, such as 6d:5a:56:da"),
        ({"rss": {"hash_fields": {"udp": "sd"}}}, "rss.hash_fields: 'udp' is none of tcp4, udp4,"),
        ({"rss": {"hash_fields": {"udp4": "sdx"}}}, "rss.hash_fields.udp4: 'sdx' has other letters than m"),
        ({"flow_rules": [{"flow_type": "udp4"}]}, "flow_rules[0]: give either queue, or drop: true"),
        (
            {"flow_rules": [{"flow_type": "udp4", "queue": 1, "drop": True}]},
            "flow_rules[0]: give either queue, or drop: true",
        ),
        ({"flow_rules": [{"flow_type": "icmp", "queue": 1}]}, "flow_rules[0]: "),
        ({"flow_rules": [{"flow_type": "udp4", "queue": -1}]}, "flow_rules[0]: '-1' is no number of 0 or more"),
        (
            {
                "flow_rules": [
                    {"flow_type": "udp4", "queue": 1, "location": 7},
                    {"flow_type": "tcp4", "queue": 1, "location": 7},
                ]
            },
            "flow_rules: location 7 is given to 2 rules",
        ),
        ({"flow_rule_locations": "9-8"}, "flow_rule_locations '9-8' is no range such as 1000-1063"),
        ({"flow_rule_locations": "all"}, "flow_rule_locations 'all' is no range such as 1000-1063"),
        (
            {"irq": {"placement": "near"}},
            "irq.placement 'near' is neither local nor a list of CPU lists, one for each queue",
        ),
        ({"irq": {"placement": ["0", ""]}}, "irq.placement: a queue without a CPU; name at least one for each"),
        (
            {"irq": {"placement": ["0"], "cpus": "1"}},
            "irq.cpus limits the choice of CPUs, but irq.placement names them already",
        ),
        ({"irq": {"cpus": "a-b"}}, "irq.cpus: 'a-b' in 'a-b' is no CPU or range of CPUs"),
        ({"xps": "on"}, "xps 'on' is neither auto, off nor a list of CPU lists, one for each transmit queue"),
        ({"napi": {"threaded": "often"}}, "napi.threaded: 'often' is neither true nor false"),
        ({"napi": {"gro_flush_timeout": "1ms"}}, "napi.gro_flush_timeout: '1ms' is no number of 0 or more"),
        (
            {"napi": {"gro_flush_timeout": 10**9 + 1}},
            "napi.gro_flush_timeout 1000000001 > 1000000000, the most that is taken",
        ),
        (
            {"napi": {"defer_hard_irqs": 2**31}},
            "napi.defer_hard_irqs 2147483648 > 2147483647, the most that is taken",
        ),
        ({"rps": {"flow_entries": "many"}}, "rps.flow_entries: 'many' is no number of 0 or more"),
    ],
)
def test_what_is_malformed_says_why(options, words):
    with pytest.raises(Invalid) as reported:
        requested(**options)
    [reason] = reported.value.facts["reasons"]
    assert reason.startswith(("ens1: ", "nics[0]: "))
    assert words in reason


def test_every_reason_of_every_nic_comes_at_once():
    with pytest.raises(Invalid, match="nothing was changed") as reported:
        parse_all([{"name": "ens1", "mtu": "x", "xps": "y"}, {"mac": "zz"}])
    assert [reason.partition(":")[0] for reason in reported.value.facts["reasons"]] == ["ens1", "ens1", "zz"]
