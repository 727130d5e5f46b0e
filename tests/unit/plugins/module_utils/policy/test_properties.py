"""What holds for every policy: order where none is meant changes nothing, and what is taken back leaves nothing."""

from __future__ import annotations

import os
from copy import deepcopy
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from random import Random
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import Compiled, compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.layout import MAX_RULES
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.policy_model_random import Policies

from . import plain
from .reading import Reading

# TRIPOD_EXAMPLES of each property, others in every run; without it always the same few.
MORE = os.environ.get("TRIPOD_EXAMPLES")
SETTINGS = settings(
    max_examples=int(MORE or 60),
    derandomize=not MORE,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def compiled(document: dict[str, Any], **options: Any) -> Compiled:
    return compile_policy(parse(document), hz=250, seed=b"s", **options)


def network(bits: int, version: int) -> st.SearchStrategy[str]:
    """Return prefixes of an address space, close to each other so that they nest and meet."""
    width, kind = (32, IPv4Network) if version == 4 else (128, IPv6Network)

    def made(place: int, length: int, base: int) -> str:
        address = (base + (place << width - bits)) % (1 << width) >> width - length << width - length
        return str(kind((address, length)))

    bases = st.sampled_from([0, 10 << width - 8, 0x2001 << width - 16, (1 << width) - (1 << width // 2)])
    return st.builds(made, st.integers(0, (1 << bits) - 1), st.integers(0, width), bases)


prefixes = st.one_of(network(32, 4), network(12, 4), network(128, 6), network(70, 6), network(24, 6))
lists = st.lists(st.lists(prefixes, max_size=30), min_size=1, max_size=4)
modes = st.lists(st.sampled_from(["enforce", "observe"]), min_size=4, max_size=4)
actions = st.lists(st.sampled_from(["drop", "pass", "none"]), min_size=4, max_size=4)
documents = st.integers(0, 10**6).map(lambda seed: Policies(Random(seed)).draw())


def of(entries: list[list[str]], actions: list[str], modes: list[str], trusted: list[str]) -> dict[str, Any]:
    return {
        "trusted": [{"prefix": one} for one in trusted],
        "lists": [
            {"name": f"l{n}", "action": action, "prefixes": one, **({} if action == "none" else {"mode": mode})}
            for n, (one, action, mode) in enumerate(zip(entries, actions, modes, strict=False))
        ],
        "rules": [{"id": f"r{n}", "source": f"l{n}", "action": "drop"} for n in range(len(entries))],
    }


@SETTINGS
@given(lists, actions, modes, st.lists(prefixes, max_size=2), st.lists(st.integers(0, 2**128 - 1), max_size=20))
def test_an_address_is_said_of_what_the_lists_say(entries, actions, modes, trusted, others):
    document = of(entries, actions, modes, trusted)
    result = compiled(document)
    read = Reading(result.data, result.bounds)
    for address in {*plain.edges(document), *(plain.text(6, one) for one in others)}:
        found = read.source(address)
        said = plain.source(document, address)
        assert (found.list, found.observed, bool(found.trusted)) == said, address
        if not said[2]:
            rules = sum(
                1 << n for n, one in enumerate(entries) if any(ip_address(address) in ip_network(net) for net in one)
            )
            assert read.sets[found.set].rules[0] == rules, address


@SETTINGS
@given(documents, st.randoms(use_true_random=False))
def test_the_order_of_entries_changes_nothing(document, random):
    first = compiled(document)
    shuffled = deepcopy(document)
    for one in shuffled.get("lists", ()):
        random.shuffle(one["prefixes"])
        one["prefixes"] += random.sample(one["prefixes"], k=min(3, len(one["prefixes"])))
    random.shuffle(shuffled.get("trusted", []))
    flows = [one for one in document.get("trusted", ()) if "prefix" not in one]
    if flows:
        # The order of flows is that of their bits.
        shuffled["trusted"] = [*flows, *(one for one in shuffled["trusted"] if "prefix" in one)]
    for one in (*shuffled.get("rules", ()), *shuffled.get("services", ())):
        for side in ("source", "destination"):
            if isinstance(one.get(side), list):
                random.shuffle(one[side])
    second = compiled(shuffled)
    assert second.data == first.data
    assert (second.digest, second.bounds, second.slots) == (first.digest, first.bounds, first.slots)


@SETTINGS
@given(documents, lists, st.randoms(use_true_random=False))
def test_what_is_added_and_taken_back_leaves_nothing(document, entries, random):
    first = compiled(document)
    more = deepcopy(document)
    places, rules = more.setdefault("lists", []), more.setdefault("rules", [])
    for n, one in enumerate(entries):
        places.insert(random.randint(0, len(places)), {"name": f"x{n}", "prefixes": one})
        if len(rules) < MAX_RULES:
            rules.insert(0, {"id": f"x{n}", "source": f"x{n}", "destination_port": n, "action": "drop"})
    added = compiled(more, slots=first.slots, bounds=first.bounds)
    again = compiled(document, slots=added.slots, bounds=first.bounds)
    assert again.data == first.data
    assert again.slots == first.slots


@SETTINGS
@given(documents, documents)
def test_a_part_keeps_its_counter_whatever_comes_and_goes(one, other):
    first = compiled(one)
    second = compiled(other, slots=first.slots)
    for name in first.slots.keys() & second.slots.keys():
        assert second.slots[name] == first.slots[name]
    new = {slot for name, slot in second.slots.items() if name not in first.slots}
    assert new.isdisjoint(first.slots.values())
    assert len(set(second.slots.values())) == len(second.slots)
