"""The reference model says of a packet what decision 36 says: each sentence of that page is a line here."""

from __future__ import annotations

from random import Random

import pytest

from tests.integration import frames as f
from tests.support.policy_frames import Edges, Frames
from tests.support.policy_model import Model
from tests.support.policy_model_random import Policies

LISTS = [
    {"name": "wide", "action": "drop", "prefixes": ["203.0.113.0/24", "2001:db8:bad::/48"]},
    {"name": "narrow", "action": "pass", "prefixes": ["203.0.113.8/29", "203.0.113.64/26"]},
    {"name": "late", "action": "drop", "prefixes": ["203.0.113.64/26"]},
    {"name": "seen", "mode": "observe", "prefixes": ["203.0.113.128/25", "198.51.100.0/24"]},
]
RULES = [
    {"id": "seen", "protocol": "udp", "destination_port": "4000-4001", "action": "drop", "mode": "observe"},
    {"id": "later", "source": "10.0.0.0/8", "protocol": "udp", "action": "drop"},
    {"id": "seen-behind", "source": "10.0.0.0/8", "action": "drop", "mode": "observe"},
]


def udp(source: str, **more: int) -> bytes:
    return f.ethernet(f.IPV4, f.ipv4(source, **more))


def tcp(source: str, flags: int = 2, **more: int) -> bytes:
    header = f.TCP_HEADER[:13] + bytes((flags,)) + f.TCP_HEADER[14:]
    return f.ethernet(f.IPV4, f.ipv4(source, header, f.TCP, **more))


def test_an_extension_is_followed_however_many_there_are():
    chain = b"".join(f.extension(f.DESTINATION) for _header in range(40)) + f.extension(f.UDP) + f.UDP_HEADER
    frame = f.ethernet(f.IPV6, f.ipv6("2001:db8::1", chain, f.DESTINATION))
    policy = {"rules": [{"id": "it", "protocol": "udp", "destination_port": 4001, "action": "drop"}]}
    assert said(policy, frame)["reason"] == "rule_drop"


def udp6(source: str) -> bytes:
    return f.ethernet(f.IPV6, f.ipv6(source))


def said(policy, frame, *bans) -> dict[str, str]:
    """Return what is said of a frame, without what is not said."""
    return {name: value for name, value in Model(policy, bans).judge(frame).facts().items() if value}


@pytest.mark.parametrize(
    ("policy", "frame", "expected"),
    [
        ({}, udp("192.0.2.1"), {"reason": "no_rule"}),
        ({"default": "drop"}, udp("192.0.2.1"), {"verdict": "drop", "reason": "default"}),
        ({"default": "drop"}, f.ethernet(f.ARP, b"\0" * 28), {"reason": "not_ip"}),
        ({"default": "drop"}, udp("192.0.2.1")[:-1], {"reason": "malformed"}),
        ({"lists": LISTS}, udp("203.0.113.1"), {"verdict": "drop", "reason": "list_drop", "list": "wide"}),
        ({"lists": LISTS}, udp("203.0.113.9"), {"reason": "list_pass", "list": "narrow"}),
        ({"lists": LISTS}, udp("203.0.113.64"), {"reason": "list_pass", "list": "narrow"}),
        (
            {"lists": LISTS},
            udp("203.0.113.129"),
            {"verdict": "drop", "reason": "list_drop", "list": "wide", "observed_list": "seen", "would": "drop"},
        ),
        ({"lists": LISTS}, udp("198.51.100.9"), {"reason": "no_rule", "observed_list": "seen", "would": "drop"}),
        # Malformed: a drop holds, nothing else does.
        ({"lists": LISTS}, udp("203.0.113.1")[:-1], {"verdict": "drop", "reason": "list_drop", "list": "wide"}),
        ({"lists": LISTS}, udp("203.0.113.9")[:-1], {"reason": "malformed"}),
        # The source is an IPv4 address in other clothes.
        ({"lists": LISTS}, udp6("::ffff:203.0.113.1"), {"verdict": "drop", "reason": "list_drop", "list": "wide"}),
        ({"lists": LISTS}, udp6("::ffff:203.0.113.9"), {"reason": "no_rule"}),
        ({"lists": LISTS}, udp6("::fffe:203.0.113.1"), {"reason": "no_rule"}),
        (
            {"lists": LISTS, "trusted": [{"prefix": "::ffff:0:0/96"}]},
            udp6("::ffff:203.0.113.1"),
            {"reason": "trusted"},
        ),
        ({"lists": LISTS, "trusted": [{"prefix": "203.0.113.1"}]}, udp6("::ffff:203.0.113.1"), {"reason": "no_rule"}),
        # What hides its flags from rules is dropped, what is no fragment is the stack's to drop.
        (
            {},
            f.ethernet(f.IPV4, f.ipv4("192.0.2.1", f.TCP_HEADER[:16], f.TCP, fragment=0x2000) + b"\0" * 40),
            {"verdict": "drop", "reason": "malformed"},
        ),
        ({}, f.ethernet(f.IPV4, f.ipv4("192.0.2.1", f.TCP_HEADER[:16], f.TCP) + b"\0" * 40), {"reason": "malformed"}),
        # Trusted wins over all, by address and by flow.
        ({"lists": LISTS, "trusted": [{"prefix": "203.0.113.1"}]}, udp("203.0.113.1"), {"reason": "trusted"}),
        ({"lists": LISTS, "trusted": [{"prefix": "203.0.113.1"}]}, udp("203.0.113.1")[:-1], {"reason": "trusted"}),
        (
            {"lists": LISTS, "trusted": [{"protocol": "udp", "port": 4001}]},
            udp("203.0.113.1"),
            {"reason": "trusted"},
        ),
        # Rules.
        (
            {"rules": RULES},
            udp("10.0.0.1"),
            {
                "verdict": "drop",
                "reason": "rule_drop",
                "rule": "later",
                "observed_rule": "seen",
                "would": "drop",
            },
        ),
        ({"rules": RULES}, udp("192.0.2.1"), {"reason": "no_rule", "observed_rule": "seen", "would": "drop"}),
        ({"rules": RULES}, tcp("10.0.0.1"), {"reason": "no_rule", "observed_rule": "seen-behind", "would": "drop"}),
        ({"rules": RULES, "lists": LISTS}, udp("203.0.113.9"), {"reason": "list_pass", "list": "narrow"}),
        # A packet that was passed is still offered to the services.
        (
            {"lists": LISTS, "services": [{"name": "echo", "protocol": "udp", "port": 4001}], "default": "drop"},
            udp("203.0.113.9"),
            {"reason": "service_pass", "list": "narrow", "service": "echo"},
        ),
        (
            {"rules": [{"id": "ok", "action": "pass"}], "default": "drop"},
            udp("192.0.2.1"),
            {"reason": "rule_pass", "rule": "ok"},
        ),
    ],
)
def test_the_parts_are_asked_in_their_order(policy, frame, expected):
    assert said(policy, frame) == {"verdict": "pass", **expected}


@pytest.mark.parametrize(
    ("policy", "frame", "expected"),
    [
        ({}, udp("192.0.2.1"), "ban"),
        ({}, udp("192.0.2.1")[:-1], "ban"),
        ({}, udp6("::ffff:192.0.2.1"), "ban"),
        ({"trusted": [{"prefix": "192.0.2.1"}]}, udp6("::ffff:192.0.2.1"), "no_rule"),
        ({}, udp("192.0.2.2"), "no_rule"),
        ({"trusted": [{"prefix": "192.0.2.0/24"}]}, udp("192.0.2.1"), "trusted"),
        ({"lists": [{"name": "ours", "action": "pass", "prefixes": ["192.0.2.1"]}]}, udp("192.0.2.1"), "ban"),
    ],
)
def test_a_ban_comes_after_what_is_trusted_and_before_all_else(policy, frame, expected):
    assert said(policy, frame, "192.0.2.1")["reason"] == expected


@pytest.mark.parametrize(
    ("rule", "frame", "matches"),
    [
        ({"protocol": "udp"}, udp("192.0.2.1"), True),
        ({"protocol": ["tcp", 132]}, udp("192.0.2.1"), False),
        ({"source": ["192.0.2.0/31", "2001:db8::/32"]}, udp("192.0.2.1"), True),
        ({"source": "192.0.2.2/31"}, udp("192.0.2.1"), False),
        ({"source": "named"}, udp("192.0.2.1"), True),
        ({"source": "0.0.0.0/0"}, udp6("2001:db8::1"), False),
        ({"destination": "198.51.100.1"}, udp("192.0.2.1"), True),
        ({"source_port": [1, "3999-4000"]}, udp("192.0.2.1"), True),
        ({"destination_port": 4000}, udp("192.0.2.1"), False),
        ({"destination_port": "0-65535"}, udp("192.0.2.1", protocol=132), False),
        ({"destination_port": "0-65535"}, udp("192.0.2.1", fragment=100), False),
        ({"destination_port": 1, "later_fragments": "match"}, udp("192.0.2.1", fragment=100), True),
        ({"destination_port": 1, "later_fragments": "match"}, udp("192.0.2.1"), False),
        ({"destination_port": 1, "later_fragments": "match"}, udp("192.0.2.1", fragment=100, protocol=1), False),
        ({"tcp_flags": {"set": ["syn"], "clear": ["ack"]}}, tcp("192.0.2.1", 0x02), True),
        ({"tcp_flags": {"set": ["syn"], "clear": ["ack"]}}, tcp("192.0.2.1", 0xC2), True),
        ({"tcp_flags": {"set": ["syn"], "clear": ["ack"]}}, tcp("192.0.2.1", 0x12), False),
        ({"tcp_flags": {"clear": ["ack"]}}, udp("192.0.2.1"), False),
        ({"icmp_type": "echo-request"}, f.ethernet(f.IPV4, f.ipv4("192.0.2.1", b"\x08" + bytes(7), f.ICMP)), True),
        ({"icmp_type": 8}, f.ethernet(f.IPV6, f.ipv6("::1", b"\x08" + bytes(7), f.ICMPV6)), True),
        (
            {"icmp_type": "echo-request"},
            f.ethernet(f.IPV6, f.ipv6("::1", b"\x08" + bytes(7), f.ICMPV6)),
            False,
        ),
        ({"vlan": 7}, f.ethernet(f.IPV4, f.ipv4("192.0.2.1"), (f.VLAN,)), True),
        ({"vlan": "none"}, f.ethernet(f.IPV4, f.ipv4("192.0.2.1"), (f.VLAN,)), False),
        ({"vlan": ["none", "1-6"]}, udp("192.0.2.1"), True),
        ({"fragment": "first"}, udp("192.0.2.1", fragment=0x2000), True),
        ({"fragment": "first"}, udp("192.0.2.1"), False),
        ({"fragment": "later"}, udp("192.0.2.1", fragment=1), True),
        ({"length": "0-42"}, udp("192.0.2.1"), True),
        ({"length": 41}, udp("192.0.2.1"), False),
    ],
)
def test_a_rule_matches_where_all_of_its_fields_do(rule, frame, matches):
    named = {"name": "named", "action": "none", "prefixes": ["192.0.2.0/24"]}
    policy = {"lists": [named], "rules": [{"id": "it", **rule, "action": "drop"}]}
    assert (said(policy, frame).get("rule") == "it") is matches


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        ({"packets": "1/s", "burst": 3}, [True] * 3 + [False] * 3),
        ({"bytes": "42/s", "burst": 100}, [True] * 2 + [False] * 4),
        ({"bytes": "42/s"}, [True] * 6),
        ({"packets": "1/s", "bytes": "42/s", "burst": {"packets": 4, "bytes": 42}}, [True] + [False] * 5),
        ({"packets": "2/s"}, [True] * 2 + [False] * 4),
        ({"packets": "1/s", "burst": 3, "mode": "observe"}, [True] * 6),
    ],
)
def test_a_limit_passes_its_burst_and_then_its_rate(options, passed):
    model = Model({"limits": [{"name": "it", "per": "source", "every_packet": True, **options}]})
    assert [model.judge(udp("192.0.2.1"), now=0.01 * moment).verdict == "pass" for moment in range(6)] == passed
    assert model.judge(udp("192.0.2.2"), now=0.1).verdict == "pass", "another source has a bucket of its own"
    assert model.judge(udp("192.0.2.1"), now=1.5).verdict == "pass", "time fills it"


@pytest.mark.parametrize(
    ("policy", "frame", "expected"),
    [
        (
            {"lists": [{"name": "slow", "action": "limit:one", "prefixes": ["192.0.2.0/24"]}]},
            udp("192.0.2.1"),
            {"list": "slow"},
        ),
        ({"rules": [{"id": "slow", "protocol": "udp", "limit": "one"}]}, udp("192.0.2.1"), {"rule": "slow"}),
        (
            {"services": [{"name": "slow", "protocol": "udp", "port": 4001, "limit": "one"}]},
            udp("192.0.2.1"),
            {"service": "slow"},
        ),
    ],
)
def test_who_names_a_limit_takes_it(policy, frame, expected):
    model = Model({"limits": [{"name": "one", "packets": "1/h", "burst": 1}], **policy})
    assert model.judge(frame).verdict == "pass"
    told = {name: value for name, value in model.judge(frame).facts().items() if value}
    assert told == {"verdict": "drop", "reason": "limit", "limits": [("one", "exceeded")], **expected}


def test_what_a_list_passes_takes_no_limit():
    model = Model(
        {
            "limits": [{"name": "one", "packets": "1/h", "burst": 1, "every_packet": True}],
            "lists": [{"name": "ours", "action": "pass", "prefixes": ["192.0.2.1"]}],
        }
    )
    assert [model.judge(udp("192.0.2.1")).reason for _time in range(3)] == ["list_pass"] * 3


def test_a_seed_gives_the_same_policies_and_frames_and_every_reason():
    def drawn(seed: int) -> tuple[list[bytes], set[str]]:
        random = Random(seed)
        policies = Policies(random)
        frames: list[bytes] = []
        reasons = set()
        for _policy in range(60):
            policy, bans = policies.draw(), policies.bans()
            source, model = Frames(Edges(policy, bans), random), Model(policy, bans)
            for _frame in range(30):
                frames.append(source.draw())
                reasons.add(model.judge(frames[-1]).reason)
        return frames, reasons

    frames, reasons = drawn(7)
    assert frames == drawn(7)[0]
    assert reasons == {
        *("not_ip", "malformed", "trusted", "ban", "list_drop", "list_pass", "rule_drop", "rule_pass"),
        *("limit", "service_pass", "service_drop", "afxdp", "no_rule", "default"),
    }
