"""What does not fit a schema is told in words, and is what the standard's own reader refuses."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import jsonschema
import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._core.json_schema import faults
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.schema import SCHEMA

from tests.support.policy_model_random import Policies

STANDARD = jsonschema.Draft202012Validator(SCHEMA)
ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    99999,
    "",
    "x y",
    "drop",
    "1-2",
    "a" * 300,
    [],
    ["x"],
    [5],
    {},
    {"x": 1},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of everything within a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, item in inner for place in places(item, (*path, key))]


def drawn(random: Random) -> dict[str, Any]:
    """Return a policy with at most four parts of a kind."""
    document = Policies(random).draw()
    return {key: value[:4] if isinstance(value, list) else value for key, value in document.items()}


def altered(document: dict[str, Any], random: Random, most: int) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Put each odd value into some places of a document, one at a time; yield the place and the value meanwhile."""
    for place in random.sample(places(document), k=min(most, len(places(document)))):
        holder: Any = document
        for key in place[:-1]:
            holder = holder[key]
        kept = holder[place[-1]]
        for odd in ODD:
            holder[place[-1]] = odd
            yield place, odd
        holder[place[-1]] = kept


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("seed", range(8))
def test_it_refuses_what_the_standard_refuses(seed):
    random = Random(seed)
    document = drawn(random)
    for one in document.get("lists", ()):
        del one["prefixes"][2:]
    assert not list(faults(document, SCHEMA))
    for place, odd in altered(document, random, 30):
        assert bool(list(faults(document, SCHEMA))) == (not STANDARD.is_valid(document)), (place, odd)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_given_is_compiled_or_refused_in_words(seed):
    random = Random(seed)
    document = drawn(random)
    for place, odd in altered(document, random, 60):
        if accepted(document):
            assert not list(faults(parsable(document), SCHEMA)), (place, odd)


def accepted(document: dict[str, Any]) -> bool:
    """Return whether a document is a policy; whatever else parse() raises but Invalid is a mistake of its own."""
    try:
        parse(document)
    except Invalid:
        return False
    return True


def parsable(value: Any) -> Any:
    """Return a document without what is None, which is as if it were not given."""
    if isinstance(value, dict):
        return {key: parsable(item) for key, item in value.items() if item is not None}
    return [parsable(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            "x",
            "'x' is not a mapping: how packets are judged: trusted, lists, rules, limits, services, default, in order",
        ),
        ({"rule": []}, "'rule' is no key; did you mean rules?"),
        ({"x": []}, "'x' is no key; those that are: default, limits, lists, rules, services, trusted"),
        ({"default": "reject"}, "default: 'reject' is none of pass, drop"),
        ({"rules": [{}]}, "rules[0]: id is missing"),
        (
            {"rules": [{"id": "a b"}]},
            "rules[0].id: 'a b' does not fit: a name: a letter, then letters, digits, '_', '.' and '-', 63 in all",
        ),
        (
            {"rules": [{"id": "a", "tcp_flags": {"set": ["sin"]}}]},
            "rules[0].tcp_flags.set[0]: 'sin' is none of fin, syn, rst, psh, ack, urg, ece, cwr",
        ),
        ({"rules": [{"id": "a", "vlan": 4096}]}, "rules[0].vlan: 4096 > the limit 4095"),
        ({"rules": [{"id": "a", "vlan": [1, -1]}]}, "rules[0].vlan[1]: -1 < the least, 0"),
        ({"rules": [{"id": "a", "source": []}]}, "rules[0].source: has 0 items < the least, 1"),
        (
            {"rules": [{"id": "a", "comment": "x" * 257}]},
            f"rules[0].comment: '{'x' * 56}... has 257 characters > the limit 256",
        ),
        ({"lists": [{"name": "a", "max_entries": 0}]}, "lists[0].max_entries: 0 < the least, 1"),
        ({"rules": [{"id": "a"}] * 1025}, "rules: has 1025 items > the limit 1024"),
        (
            {"rules": [{"id": "a\n"}]},
            "rules[0].id: 'a\\n' does not fit: a name: a letter, then letters, digits, '_', '.' and '-', 63 in all",
        ),
    ],
)
def test_a_fault_names_place_value_and_what_was_meant(value, said):
    assert list(faults(value, SCHEMA)) == [said]


def test_a_fault_says_what_a_value_is_and_not_what_it_does():
    [fault] = faults({"services": [{"name": "web", "action": "cookie"}]}, SCHEMA)
    assert fault == (
        "services[0].action: 'cookie' does not fit: one of pass, drop, syncookie, limit:NAME and afxdp:NAME"
    )


def test_operators_are_told_what_a_cookie_costs():
    told = SCHEMA["properties"]["services"]["items"]["properties"]["action"]["description"]
    for one in ("MSS", "window scaling", "SACK", "timestamps", "under attack", "net.ipv4.tcp_syncookies"):
        assert one in told
