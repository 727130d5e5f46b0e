"""What people write becomes a policy, or is refused with everything that is wrong with it."""

from __future__ import annotations

import hashlib
import re

import pytest
import yaml
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.fields import (
    parse_amount,
    parse_rate,
    parse_time,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.model import Limit, Match, Rate
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

from .refusals import reasons, said_of

EXAMPLE = """
trusted: [{prefix: 192.0.2.0/28}, {protocol: tcp, port: 22}]
lists:
  - {name: bogons, action: drop, file: bogons.txt}
  - {name: scanners, action: drop, mode: observe, prefixes: [203.0.113.0/24], expires: 24h}
  - {name: partners, action: pass, prefixes: ["2001:db8:5::/48"]}
rules:
  - {id: no-snmp, protocol: udp, destination_port: 161, action: drop, comment: "never from outside"}
  - id: syn-only
    protocol: tcp
    tcp_flags: {set: [syn], clear: [ack]}
    destination_port: 443
    limit: new-connections
limits:
  - {name: new-connections, per: source, ipv6_prefix: 64, packets: 50/s, burst: 100, mode: observe}
  - {name: dns, per: service, bytes: 200M/s}
services:
  - {name: web, protocol: tcp, port: 443, action: syncookie}
  - {name: resolver, protocol: udp, port: 53, limit: dns, action: "afxdp:echo"}
default: pass
"""
BOGONS = b"# Of today.\n10.0.0.0/8 ; SBL1\n\n  2001:db8::/32  # documentation\n"
NOW = 1_800_000_000.5


def stored(text):
    """Return a text by its digest, as hosts store those of lists."""
    return {hashlib.sha256(text).hexdigest(): text}


def test_the_example_is_understood():
    document, texts = yaml.safe_load(EXAMPLE), stored(BOGONS)
    document["lists"][0]["sha256"] = next(iter(texts))
    policy = parse(document, texts, now=NOW)
    assert list(map(str, policy.trusted)) == ["192.0.2.0/28"]
    assert policy.flows == (Match(protocols=(6,), destination_ports=((22, 22),)),)
    bogons, scanners, partners = policy.lists
    assert (bogons.action, bogons.observe, bogons.text.sha256) == ("drop", False, next(iter(texts)))
    assert (scanners.observe, scanners.expires) == (True, 1_800_086_400)
    assert (partners.action, list(map(str, partners.prefixes))) == ("pass", ["2001:db8:5::/48"])
    snmp, syn = policy.rules
    assert (snmp.match, snmp.action) == (Match(protocols=(17,), destination_ports=((161, 161),)), "drop")
    assert (syn.match.tcp_set, syn.match.tcp_clear, syn.limit) == (2, 16, "new-connections")
    assert policy.limits[0] == Limit("new-connections", Rate(50, 1, 100), observe=True)
    assert policy.limits[1] == Limit("dns", None, Rate(200_000_000, 1, 200_000_000), per="service")
    web, resolver = policy.services
    assert (web.action, resolver.action, resolver.worker, resolver.limit) == ("syncookie", "afxdp", "echo", "dns")
    assert compile_policy(policy, hz=250, seed=b"").next_expiry == 1_800_086_400


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({}, ["give packets, bytes or both, such as packets: 50/s"]),
        ({"packets": "0/s"}, ["'0': give 1 or more"]),
        ({"packets": "101G/s"}, ["packets: 101G/s > the limit 100G/s"]),
        (
            {"bytes": "1M/s", "burst": 65535},
            ["burst of 65535 bytes < 65536, which the longest frame may have: give 65536 or more"],
        ),
        (
            {"bytes": "1M/s", "packets": "1/s", "burst": 5},
            ["burst: of packets or of bytes? write burst: {packets: ..., bytes: ...}"],
        ),
        (
            {"bytes": "1M/s", "burst": {"packets": 5}},
            ["burst.packets: there is no rate of packets: leave it out, or give packets"],
        ),
        (
            {"packets": "1/s", "per": "global", "ipv4_prefix": 24, "ipv6_prefix": 64},
            [
                "ipv4_prefix is for a limit per source, not per global: leave it out",
                "ipv6_prefix is for a limit per source, not per global: leave it out",
            ],
        ),
        (
            {"packets": "1/s", "per": "service"},
            ["every_packet: packets that no service takes have no bucket per service: give per: source or global"],
        ),
    ],
)
def test_a_limit_that_cannot_be_is_refused(limit, said):
    assert said_of("limits", {"every_packet": True, **limit}) == said


def test_limits_are_named_where_they_can_be():
    limits = [{"name": "unused", "packets": "1/s"}, {"name": "s", "packets": "1/s", "per": "service"}]
    lists = [{"name": "a", "action": "limit:s"}]
    assert reasons({"limits": limits, "lists": lists, "rules": [{"id": "r", "limit": "s"}]}) == [
        "lists[0] (a): limit s is per service, and this is none: give the limit per: source or global, or name another",
        "rules[0] (r): limit s is per service, and this is none: give the limit per: source or global, or name another",
        "limits[0] (unused): nothing names it: name it in a list, rule or service, give it every_packet: true, or "
        "leave it out",
    ]


def test_there_are_as_many_limits_as_numbers_for_them():
    both = [{"name": f"l{n}", "packets": "1/s", "bytes": "1k/s"} for n in range(128)]
    rules = [{"id": f"r{n}", "limit": f"l{n}"} for n in range(128)]
    assert reasons({"limits": both, "rules": rules}) == [
        "limits: 256 rates, those in packets and in bytes counted apart, > the limit 255: name one limit in several "
        "parts"
    ]
    del both[0]["bytes"]
    assert len(parse({"limits": both, "rules": rules}).limits) == 128
    every = [{"name": f"l{n}", "packets": "1/s", "every_packet": True} for n in range(5)]
    assert reasons({"limits": every}) == [
        "limits l0, l1, l2, l3, l4: 5 with every_packet > the limit 4: name some in rules instead"
    ]


def test_entries_are_told_by_their_place_and_many_in_short():
    entries = ["10.0.0.0/8", "10.0.0.1/8", {"prefix": "x1", "expires": 5}, {"prefix": "10.0.0.0/8", "expire": 5}, 7]
    found = said_of("lists", {"prefixes": entries})
    assert found == [
        ".prefixes[3]: 'expire' is no key; did you mean expires?",
        ".prefixes[4]: 7 is not a mapping: an entry",
        ".prefixes[1]: '10.0.0.1/8' has bits set behind its length: write 10.0.0.0/8 for the network, or /32 for the "
        "host",
        ".prefixes[2]: 'x1': 'x1' is not an IPv4 or IPv6 address",
    ]
    found = said_of("lists", {"prefixes": ["z"] * 1000})
    assert len(found) == 21
    assert found[-1] == ".prefixes: and 980 more"
    assert said_of("lists", {"prefixes": "10.0.0.0/8"}) == [".prefixes: '10.0.0.0/8' is not a list: its entries"]


def test_one_prefix_more_than_there_may_be_is_refused():
    at_most = [f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(1_000_001)]
    lists = [{"name": "a", "prefixes": at_most[:500_000]}, {"name": "b", "prefixes": at_most[500_000:]}]
    with pytest.raises(Invalid) as caught:
        compile_policy(parse({"lists": lists}), hz=250, seed=b"")
    assert caught.value.facts["reasons"] == [
        "1000001 prefixes in all > the limit 1000000; most of them, 500001, are in lists[1] (b): leave some out, or "
        "put networks together"
    ]
    assert said_of("lists", {"prefixes": at_most}) == [".prefixes: has 1000001 items > the limit 1000000"]


def test_a_list_keeps_to_its_own_cap():
    policy = parse({"lists": [{"name": "a", "prefixes": ["10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/9"], "max_entries": 1}]})
    with pytest.raises(Invalid) as caught:
        compile_policy(policy, hz=250, seed=b"")
    assert caught.value.facts["reasons"] == ["lists[0] (a): 2 entries > its max_entries 1: raise it, or give fewer"]


def test_a_files_lines_are_told_where_it_is_compiled():
    texts = stored(b"10.0.0.0/8\n\n# x\n10.0.0.1/8 y ; z\n" + b"q\n" * 30)
    policy = parse({"lists": [{"name": "a", "file": "/l/a.txt", "sha256": next(iter(texts))}]}, texts)
    with pytest.raises(Invalid) as caught:
        compile_policy(policy, hz=250, seed=b"")
    found = caught.value.facts["reasons"]
    assert found[:2] == [
        "lists[0] (a) file /l/a.txt line 4: '10.0.0.1/8' has bits set behind its length: write 10.0.0.0/8 for the "
        "network, or /32 for the host",
        "lists[0] (a) file /l/a.txt line 4: 'y': 'y' is not an IPv4 or IPv6 address",
    ]
    assert (len(found), found[-1]) == (21, "lists[0] (a) file /l/a.txt: and 12 more lines")


def test_a_files_lines_are_told_along_with_what_is_wrong_elsewhere():
    texts = stored(b"x1\n")
    document = {"lists": [{"name": "a", "file": "f", "sha256": next(iter(texts))}], "default": "reject"}
    assert reasons(document, texts) == [
        "default: 'reject' is none of pass, drop",
        "lists[0] (a) file f line 1: 'x1': 'x1' is not an IPv4 or IPv6 address",
    ]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"file": "f"}, "file: the text of f is not here: give it along with its sha256"),
        ({"file": "f", "sha256": "0" * 64}, "file: the text of f is not here: give it along with its sha256"),
        (
            {"expires": "24h"},
            ".expires: '24h' is a duration, and it is not known when it began: give the time at which it ends",
        ),
        ({"expires": "2026-12-01T00:00:00"}, None),
        (
            {"action": "none", "mode": "observe"},
            "mode: a list of action none decides nothing that could be observed: leave it out",
        ),
        ({"action": "limit:m"}, "there is no limit 'm'; those that are: none"),
    ],
)
def test_a_list_that_cannot_be_is_refused(part, said):
    found = said_of("lists", part)
    assert found == [said] if said else len(found) == 1


def test_a_file_that_is_no_text_is_refused():
    texts = stored(b"10.0.0.0/8\n\xff")
    policy = parse({"lists": [{"name": "a", "file": "f", "sha256": next(iter(texts))}]}, texts)
    with pytest.raises(Invalid, match=r"lists\[0\] \(a\) file f is no text in UTF-8: byte 11 is wrong"):
        compile_policy(policy, hz=250, seed=b"")


def test_names_are_given_once():
    document = {"rules": [{"id": "a", "action": "drop"}, {"id": "b", "action": "drop"}, {"id": "a", "action": "pass"}]}
    assert reasons(document) == ["rules[2] (a): rules[0] (a) has this id too: give each its own"]


def test_a_part_of_another_owner_is_told_with_its_owner():
    rules = [{"id": "a", "owner": "inventory"}, {"id": "b", "owner": "api"}]
    assert reasons({"rules": rules}) == [
        "rules[0] (a): give an action, pass or drop, or a limit",
        "rules[1] (b of api): give an action, pass or drop, or a limit",
    ]


def test_what_is_trusted_is_told_by_its_place():
    given = [{"prefix": "10.0.0/8"}, {"prefix": 5}, {"protocol": "icmp", "port": 1}, {}, "x"]
    meant = "what must never be cut: a prefix of sources, or a flow by protocol and destination port"
    assert reasons({"trusted": given}) == [
        "trusted[0].prefix: '10.0.0/8': '10.0.0' is not an IPv4 or IPv6 address",
        "trusted[1].prefix: 5 is not a text: an IPv4 or IPv6 prefix without host bits, or an address",
        "trusted[2]: port: protocol icmp has none, only tcp and udp: leave port out, or give another protocol",
        f"trusted[3]: {{}} does not fit: {meant}",
        f"trusted[4]: 'x' does not fit: {meant}",
    ]


def test_what_is_no_list_of_parts_is_refused_once():
    found = reasons({"rules": 5, "limits": [3], "trusted": "x"})
    assert sorted(found) == [
        "limits[0]: 3 is not a mapping: token buckets: what exceeds a rate is dropped, the rest goes on",
        "rules: 5 is not a list: rules, in order",
        "trusted: 'x' is not a list: what must never be cut",
    ]


@pytest.mark.parametrize(
    ("read", "given", "said"),
    [
        (parse_time, "soon", "'soon' is no time: give a duration such as 24h, or a time such as 2026-12-01T00:00:00Z"),
        (parse_time, "2026-12-01T00:00:00", "'2026-12-01T00:00:00' has no zone: write 2026-12-01T00:00:00Z for UTC"),
        (parse_amount, "5T", "'5T' is no amount: give a number, or one with k, M or G, such as 200M"),
        (parse_rate, "5/d", "'5/d' is no rate: give an amount a second, minute or hour, such as 200M/s"),
    ],
)
def test_what_is_no_time_amount_or_rate_says_what_one_is(read, given, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        read(given)


def test_flows_are_bounded():
    flows = [{"protocol": "tcp", "port": port} for port in range(65)]
    assert reasons({"trusted": flows}) == ["trusted: 65 flows > the limit 64: put ports of a protocol into one"]
    assert len(parse({"trusted": flows[1:]}).flows) == 64


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (1_900_000_000, 1_900_000_000),
        ("1900000000", 1_900_000_000),
        ("30m", 1_800_001_800),
        ("2w", 1_801_209_600),
        ("2030-03-17T17:46:40Z", 1_900_000_000),
        ("2030-03-17T18:46:40+01:00", 1_900_000_000),
    ],
)
def test_a_time_is_understood(given, seconds):
    assert parse_time(given, NOW) == seconds


def test_what_has_ended_is_left_out():
    entries = [
        "10.0.0.0/8",
        {"prefix": "11.0.0.0/8", "expires": 100},
        {"prefix": "2001:db8::/32", "expires": 200},
        # The later end counts, and none is later than all.
        {"prefix": "12.0.0.0/8", "expires": 100},
        {"prefix": "12.0.0.0/8", "expires": 300},
        {"prefix": "10.0.0.0/8", "expires": 50},
    ]
    policy = parse({"lists": [{"name": "a", "prefixes": entries}, {"name": "b", "prefixes": ["::/0"], "expires": 250}]})
    left = {
        now: [[str(prefix) for prefix in one.prefixes] for one in policy.at(now).lists]
        for now in (99, 100, 200, 250, 300)
    }
    everything = ["10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8", "2001:db8::/32"]
    assert left == {
        99: [everything, ["::/0"]],
        100: [["10.0.0.0/8", "12.0.0.0/8", "2001:db8::/32"], ["::/0"]],
        200: [["10.0.0.0/8", "12.0.0.0/8"], ["::/0"]],
        250: [["10.0.0.0/8", "12.0.0.0/8"], []],
        300: [["10.0.0.0/8"], []],
    }
    assert [policy.at(now).next_expiry for now in (0, 100, 200, 250, 300)] == [100, 200, 250, 300, None]
