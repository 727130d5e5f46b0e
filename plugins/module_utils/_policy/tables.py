# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The tables by which a packet's addresses and fields are looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .addresses import TRUSTED, Source, add_destinations, add_sources
from .layout import (
    FEATURE_RULES,
    FEATURE_SERVICES,
    FEATURE_SOURCES,
    FEATURE_TRUSTED_FLOWS,
    FIELDS,
    TABLES,
)
from .model import Match, Policy
from .parts import FLOWS, RULES, SERVICES, Sets, bit, field_tables, regardless
from .prefix_set import PrefixSet
from .ranges import AddressTables
from .slots import slot_name


@dataclass(frozen=True)
class Tables:
    """What is looked up.

    Attributes:
        features: Bits of ``enum policy_feature``.
        fields: Bits of ``enum policy_field``.
        members: Of ``struct policy``.
        behind: Those behind it.
        counts: Elements of those.
        sets: The sets of parts of each field in use.
    """

    features: int
    fields: int
    members: Mapping[str, bytes]
    behind: Mapping[str, bytes]
    counts: Mapping[str, int]
    sets: Mapping[str, Sequence[int]]


def parts_of(policy: Policy) -> list[tuple[int, Match]]:
    """Return bit and match of all rules, services and trusted flows."""
    return [
        *((bit(RULES, number), rule.match) for number, rule in enumerate(policy.rules)),
        *((bit(SERVICES, number), service.match) for number, service in enumerate(policy.services)),
        *((bit(FLOWS, number), flow) for number, flow in enumerate(policy.flows)),
    ]


def build(policy: Policy, entries: Mapping[str, PrefixSet], slots: Mapping[str, int]) -> Tables:
    """Return a policy's tables.

    Args:
        policy: Whose.
        entries: Prefixes of each list by its name.
        slots: Counter slot of each list, as ``list:NAME``.
    """
    parts = parts_of(policy)
    sets, addresses = Sets(), AddressTables()
    groups = list(_sources(policy, entries))
    observed = {number for number, one in enumerate(policy.lists, 1) if one.observe}
    drops = {
        number: slots[slot_name("list", one.name)] for number, one in enumerate(policy.lists, 1) if one.action == "drop"
    }
    sources, results, source_sets = add_sources(addresses, groups, observed, drops, regardless(parts, "source"), sets)
    destinations, destination_sets = add_destinations(
        addresses, _destinations(policy, entries), regardless(parts, "destination"), sets
    )
    fields = field_tables(parts, sets)
    used = dict(fields.sets)
    for name, of_addresses in (("source", source_sets), ("destination", destination_sets)):
        if any(getattr(match, name) is not None for _bit, match in parts):
            used[name] = of_addresses
    behind = {
        "results": results,
        "sets": sets.packed(),
        **{name: getattr(addresses, name).tobytes() for name in ("ranges4", "index6", "nodes6", "deep6", "tails6")},
    }
    return Tables(
        features=(FEATURE_SOURCES if any(prefixes for prefixes, _says in groups) or "source" in used else 0)
        | (FEATURE_TRUSTED_FLOWS if policy.flows else 0)
        | (FEATURE_RULES if policy.rules else 0)
        | (FEATURE_SERVICES if policy.services else 0),
        fields=sum(1 << FIELDS.index(name) for name in used),
        members={
            **{name: index.tobytes() for name, index in zip(("source4", "source6_pages"), sources)},
            **{name: index.tobytes() for name, index in zip(("destination4", "destination6_pages"), destinations)},
            **fields.members,
        },
        behind=behind,
        counts={name: len(table) // TABLES[name].size for name, table in behind.items()},
        sets=used,
    )


def _sources(policy: Policy, entries: Mapping[str, PrefixSet]) -> Iterator[tuple[PrefixSet, Source]]:
    named, written = _naming(policy, "source")
    yield policy.trusted, TRUSTED
    for number, one in enumerate(policy.lists, 1):
        decides = number if one.action != "none" else 0
        says = Source(0 if one.observe else decides, decides, False, named.get(one.name, 0))
        if says != Source():
            yield entries[one.name], says
    for prefixes, bits in written:
        yield prefixes, Source(parts=bits)


def _destinations(policy: Policy, entries: Mapping[str, PrefixSet]) -> Iterator[tuple[PrefixSet, int]]:
    named, written = _naming(policy, "destination")
    yield from ((entries[name], bits) for name, bits in named.items())
    yield from written


def _naming(policy: Policy, side: str) -> tuple[dict[str, int], list[tuple[PrefixSet, int]]]:
    """Return the parts that name each list on a side, and the prefixes that are written in parts."""
    named: dict[str, int] = {}
    written = []
    for one, match in parts_of(policy):
        addresses = getattr(match, side)
        if addresses is None:
            continue
        for name in addresses.lists:
            named[name] = named.get(name, 0) | one
        if addresses.prefixes:
            written.append((addresses.prefixes, one))
    return named, written
