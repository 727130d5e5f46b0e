"""What a policy does that its writer may not expect is told."""

from __future__ import annotations

from random import Random

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

UDP = "later fragments have no ports, flags and types, so it does not match them"
LISTS = [
    {"name": "some", "action": "none", "prefixes": ["10.0.0.0/8"]},
    {"name": "more", "action": "none", "prefixes": ["10.0.0.0/8", "11.0.0.0/8"]},
    {"name": "empty", "action": "none"},
]


def said(document, now=0):
    return list(compile_policy(parse(document).at(now), hz=250, seed=b"").warnings)


def said_of_rules(*rules):
    """Return what is told of rules, less what is told of the lists that they may name."""
    document = {"lists": LISTS, "rules": [{"id": f"r{n}", "action": "drop", **rule} for n, rule in enumerate(rules)]}
    return [one for one in said(document) if not one.startswith("lists")]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"prefixes": ["10.0.0.0/8"]}, None),
        ({}, "has no entries and does nothing"),
        ({"prefixes": [{"prefix": "10.0.0.0/8", "expires": 5}]}, "has no entries and does nothing"),
        (
            {"prefixes": ["10.0.0.0/8"], "expires": 86400},
            "ended at 1970-01-02T00:00:00Z and does nothing: take it out, or give another time in expires",
        ),
        (
            {"prefixes": ["10.0.0.0/8"], "action": "none"},
            "has the action none and no rule or service names it, so it does nothing",
        ),
    ],
)
def test_a_list_that_does_nothing_is_told(part, words):
    found = said({"lists": [{"name": "a", **part}]}, now=100_000)
    assert found == ([f"lists[0] (a) {words}"] if words else [])


@pytest.mark.parametrize(
    ("rules", "shadowed"),
    [
        ([{}, {"protocol": "tcp"}], {1: 0}),
        ([{"protocol": "tcp"}, {}], {}),
        ([{"protocol": ["tcp", "gre"]}, {"protocol": "gre"}], {1: 0}),
        ([{"source": "more"}, {"source": "some"}, {"source": "10.1.0.0/16"}], {1: 0, 2: 0}),
        ([{"source": "some"}, {"source": "more"}], {}),
        ([{"destination": "10.0.0.0/8"}, {"destination": ["10.1.0.0/16", "10.2.0.0/16"], "vlan": 5}], {1: 0}),
        ([{"length": "0-100"}, {"length": "50-150"}, {"length": 50}], {2: 0}),
        ([{"length": "0-100"}, {"length": "50-100", "protocol": "gre"}, {"length": "50-60"}], {1: 0, 2: 0}),
        ([{"vlan": "none"}, {"vlan": ["none", 1]}, {"vlan": 1}], {2: 1}),
        # What only two together cover is matched by both.
        ([{"protocol": "tcp"}, {"protocol": "udp"}, {"protocol": ["tcp", "udp"]}], {}),
        # An observed rule decides nothing, but it is noted where it is the first.
        ([{"mode": "observe"}, {}], {}),
        ([{"mode": "observe"}, {"mode": "observe", "protocol": "gre"}, {}], {1: 0}),
        ([{}, {"mode": "observe"}], {1: 0}),
    ],
)
def test_a_rule_that_another_leaves_nothing_is_told(rules, shadowed):
    assert said_of_rules(*rules) == [
        f"rules[{one}] (r{one}) matches no packet that rules[{before}] (r{before}) does not match before: put it "
        "first, or take it out"
        for one, before in shadowed.items()
    ]


@pytest.mark.parametrize("kind", ["rules", "services"])
@pytest.mark.parametrize("seed", range(10))
def test_what_covers_a_part_is_found_as_by_comparing_each_with_each(seed, kind):
    random = Random(seed)

    def some(choices):
        return sorted(random.sample(choices, random.randint(1, len(choices))))

    def part(number):
        made = {"protocol": some([6, 17, 47, 50])} if random.random() < 0.6 else {}
        if random.random() < 0.6:
            made["destination"] = some([f"10.{n}.0.0/16" for n in range(5)])
        return {"name" if kind == "services" else "id": f"x{number}", "action": "drop", **made}

    parts = [part(number) for number in range(120)]
    expected = {}
    for at, one in enumerate(parts):
        for before, other in enumerate(parts[:at]):
            if all(
                key not in other or set(one.get(key, ["*"])) <= set(other[key]) for key in ("protocol", "destination")
            ):
                expected[f"{kind}[{at}] (x{at})"] = f"{kind}[{before}] (x{before})"
                break
    found = [one.split(" matches no packet that ") for one in said({kind: parts})]
    assert {one: other.partition(" does not")[0] for one, other in found} == expected
    assert expected


def test_a_rule_of_addresses_that_nobody_asks_of_is_told():
    assert said_of_rules({"source": "empty"}) == [
        "rules[0] (r0) matches no packet: the lists that it names are empty, or all that they hold is trusted"
    ]
    document = {
        "trusted": [{"prefix": "10.0.0.0/8"}],
        "rules": [{"id": "r", "source": "10.1.0.0/16", "action": "drop"}],
    }
    assert said(document) == [
        "rules[0] (r) matches no packet: the lists that it names are empty, or all that they hold is trusted"
    ]


@pytest.mark.parametrize(
    ("part", "default", "meaning"),
    [
        ({"action": "drop"}, "pass", "; without the first one, which it drops, nobody can put the others together"),
        ({"action": "pass"}, "pass", "; the default passes them, unless another part drops them"),
        (
            {"action": "pass"},
            "drop",
            ", and the default drops them: later_fragments: match lets fragmented packets through",
        ),
        ({"limit": "l"}, "pass", ", and the limit does not count them: later_fragments: match would"),
        ({"action": "drop", "later_fragments": "match"}, "pass", None),
        ({"action": "afxdp:x"}, "pass", ", and they go to the stack: later_fragments: match gives them to the worker"),
        ({"action": "syncookie", "protocol": "tcp"}, "pass", None),
    ],
)
def test_what_becomes_of_later_fragments_is_told(part, default, meaning):
    limits = [{"name": "l", "packets": "1/s", "every_packet": True}]
    kinds = ("services",) if part.get("action", "") in ("afxdp:x", "syncookie") else ("services", "rules")
    for kind in kinds:
        key, port = ("name", "port") if kind == "services" else ("id", "destination_port")
        parts = [{key: "a", "protocol": "udp", port: 1, **part}, {key: "b", "protocol": "udp", port: 2, **part}]
        found = said({kind: parts, "limits": limits, "default": default})
        assert found == ([f"{kind} a, b: {UDP}{meaning}"] if meaning else [])


def test_a_part_on_addresses_alone_matches_later_fragments_too():
    assert not said_of_rules({"source": "10.0.0.0/8", "protocol": "udp"}, {"fragment": "first"})


def test_of_many_parts_some_are_named():
    [found] = said_of_rules(*({"destination_port": port} for port in range(30)))
    assert found.startswith("rules r0, r1, r2, ")
    assert "r19 and 10 more: " in found
