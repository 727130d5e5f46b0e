"""What people write of a rule or a service becomes what it matches and does, or is refused."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.model import Match, Side
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.prefix_set import gather, parse_prefixes
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

from .refusals import said_of


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ({}, Match()),
        ({"protocol": ["tcp", 17, "47", 6]}, Match(protocols=(6, 17, 47))),
        ({"destination_port": 53}, Match(protocols=(6, 17), destination_ports=((53, 53),))),
        ({"source_port": ["1024-2047", 53]}, Match(protocols=(6, 17), source_ports=((53, 53), (1024, 2047)))),
        ({"tcp_flags": {"set": ["syn"], "clear": ["ack", "rst"]}}, Match(protocols=(6,), tcp_set=2, tcp_clear=20)),
        (
            {"tcp_flags": {"clear": ["cwr"]}, "destination_port": 80},
            Match(protocols=(6,), tcp_clear=128, destination_ports=((80, 80),)),
        ),
        ({"icmp_type": "echo-request"}, Match(protocols=(1, 58), icmp_types=(8, 256 + 128))),
        ({"icmp_type": ["1-3", "echo-reply"], "protocol": "icmp"}, Match(protocols=(1,), icmp_types=(0, 1, 2, 3))),
        ({"icmp_type": "packet-too-big"}, Match(protocols=(1, 58), icmp_types=(256 + 2,))),
        ({"vlan": ["none", 7, "100-199"]}, Match(vlans=((7, 7), (100, 199), (4096, 4096)))),
        ({"length": "1500-65535", "fragment": "first"}, Match(lengths=((1500, 65535),), fragment="first")),
        (
            {"protocol": "udp", "source_port": 53, "later_fragments": "match"},
            Match(protocols=(17,), source_ports=((53, 53),), later_fragments=True),
        ),
        (
            {"source": ["10.0.0.0/8", "x", "2001:db8::1"]},
            Match(source=Side(parse_prefixes(["10.0.0.0/8", "2001:db8::1"]).prefixes, ("x",))),
        ),
        ({"destination": "x"}, Match(destination=Side(gather([]), ("x",)))),
        ({"source": None, "vlan": None}, Match()),
    ],
)
def test_a_match_is_understood(rule, match):
    document = {"lists": [{"name": "x"}], "rules": [{"id": "r", "action": "drop", **rule}]}
    assert parse(document).rules[0].match == match


@pytest.mark.parametrize(
    ("given", "action", "limit"),
    [
        ({"action": "drop"}, "drop", ""),
        ({"limit": "l"}, "", "l"),
        ({"action": "limit:l"}, "", "l"),
        ({"action": "limit:l", "limit": "l"}, "", "l"),
    ],
)
def test_a_rule_takes_an_action_or_a_limit(given, action, limit):
    document = {"rules": [{"id": "r", **given}], "limits": [{"name": "l", "packets": "1/s", "every_packet": True}]}
    rule = parse(document).rules[0]
    assert (rule.action, rule.limit) == (action, limit)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({}, "give an action, pass or drop, or a limit"),
        ({"action": "drop", "limit": "l"}, "action drop leaves nothing to limit l: leave one of them out"),
        ({"limit": "m"}, "there is no limit 'm'; those that are: l"),
        ({"action": "drop", "source": "z"}, "source: there is no list 'z'; those that are: a, b"),
        (
            {"action": "drop", "destination": "10.0.0.1/8"},
            "destination: '10.0.0.1/8' has bits set behind its length: write 10.0.0.0/8 for the network, or /32 for "
            "the host",
        ),
        ({"action": "drop", "destination_port": "80-70"}, "destination_port: '80-70' runs backwards: write 70-80"),
        ({"action": "drop", "destination_port": "80-70000"}, "destination_port: 70000 > the limit 65535"),
        (
            {"action": "drop", "protocol": ["tcp", "gre"], "source_port": 1},
            "source_port: protocol gre has none, only tcp and udp: leave source_port out, or give another protocol",
        ),
        (
            {"action": "drop", "protocol": "udp", "tcp_flags": {"set": ["syn"]}},
            "tcp_flags: protocol udp has none, only tcp: leave tcp_flags out, or give another protocol",
        ),
        (
            {"action": "drop", "icmp_type": 8, "source_port": 1},
            "source_port and icmp_type: no protocol has all of these: leave some out",
        ),
        (
            {"action": "drop", "tcp_flags": {"set": ["syn", "fin"], "clear": ["syn"]}},
            "tcp_flags: syn cannot be both set and clear: leave it out of one",
        ),
        ({"action": "drop", "tcp_flags": {}}, "tcp_flags: give flags to be set or to be clear, or leave it out"),
        (
            {"action": "drop", "protocol": "icmpv6", "icmp_type": "timestamp-request"},
            "icmp_type: icmpv6 has no type 'timestamp-request': leave it out, or give the other protocol",
        ),
        ({"action": "drop", "protocol": "256"}, "protocol: 256 > the limit 255"),
        ({"action": "drop", "icmp_type": "9-3"}, "icmp_type: '9-3' runs backwards: write 3-9"),
        ({"action": "drop", "icmp_type": "9-300"}, "icmp_type: 300 > the limit 255"),
        (
            {"action": "drop", "fragment": "later", "destination_port": 1},
            "fragment: later fragments have no ports, flags and types: leave those out, or leave out fragment and give "
            "later_fragments: match",
        ),
        (
            {"action": "drop", "fragment": "first", "later_fragments": "match"},
            "later_fragments: match takes later fragments, fragment: first excludes them: leave one out",
        ),
        (
            {"action": "drop", "source": "10.0.0.0/8", "destination": "2001:db8::/32"},
            "source and destination are of different IP versions, so no packet has both: give both of one",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule, said):
    lists = [{"name": "a"}, {"name": "b"}]
    limits = [{"name": "l", "packets": "1/s", "every_packet": True}]
    assert said_of("rules", rule, lists=lists, limits=limits) == [said]


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (
            {"protocol": "udp", "port": 53, "action": "syncookie"},
            "action syncookie is for TCP only: give protocol: tcp",
        ),
        ({"port": 53, "action": "drop", "limit": "l"}, "action drop leaves nothing to limit l: leave one of them out"),
        (
            {"port": 53, "action": "limit:l", "limit": "m"},
            "action limit:l and limit m: a part takes one limit, leave one out",
        ),
        (
            {"protocol": "icmp", "port": 53},
            "port: protocol icmp has none, only tcp and udp: leave port out, or give another protocol",
        ),
    ],
)
def test_a_service_that_cannot_be_is_refused(service, said):
    limits = [{"name": name, "packets": "1/s", "every_packet": True} for name in "lm"]
    assert said_of("services", service, limits=limits) == [said]


def test_a_syn_cookie_is_for_tcp():
    assert parse({"services": [{"name": "web", "port": 443, "action": "syncookie"}]}).services[0].match.protocols == (
        6,
    )
