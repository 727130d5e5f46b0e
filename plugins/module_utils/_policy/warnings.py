# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a policy does that its writer may not expect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone

from .model import Part, Policy
from .parts import RULES, SERVICES, bit
from .prefix_set import PrefixSet

_NAMED = 20  # of many parts with one thing to say of them


def warnings(policy: Policy, entries: Mapping[str, PrefixSet], sets: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Yield what may not be expected: lists without entries, parts that match nothing, what becomes of fragments.

    Args:
        policy: As it is compiled.
        entries: Prefixes of each list by its name.
        sets: The sets of parts of each field in use.
    """
    yield from _of_lists(policy, entries)
    for kind, first, parts in (("rules", RULES, policy.rules), ("services", SERVICES, policy.services)):
        if parts:
            yield from _of_matches(first, parts, sets)
        yield from _of_fragments(kind, parts, policy.default)


def _of_lists(policy: Policy, entries: Mapping[str, PrefixSet]) -> Iterator[str]:
    named = {
        name
        for part in (*policy.rules, *policy.services)
        for side in (part.match.source, part.match.destination)
        if side is not None
        for name in side.lists
    }
    for one in policy.lists:
        if one.ended and one.expires is not None:
            end = datetime.fromtimestamp(one.expires, timezone.utc).isoformat().replace("+00:00", "Z")
            yield f"{one.place} ended at {end} and does nothing: take it out, or give another time in expires"
        elif not entries[one.name]:
            yield f"{one.place} has no entries and does nothing"
        elif one.action == "none" and one.name not in named:
            yield f"{one.place} has the action none and no rule or service names it, so it does nothing"


def _of_matches(first: int, parts: Sequence[Part], sets: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Yield which of some parts, whose bits begin at one, match nothing, or nothing that an earlier one leaves."""
    enforced = sum(bit(first, number) for number, part in enumerate(parts) if not part.observe)
    # An observed part is noted where it is the first of all, an enforced one decides where it is the first enforced.
    earlier = {}
    for number, part in enumerate(parts):
        own = bit(first, number)
        earlier[own] = (own - bit(first, 0)) & (~0 if part.observe else enforced)
    matching = _cover(earlier, sets)
    for part, (own, before) in zip(parts, earlier.items()):
        if not own & matching:
            yield f"{part.place} matches no packet: the lists that it names are empty, or all that they hold is trusted"
        elif before:
            one = parts[(before & -before).bit_length() - 1 - first]
            yield (
                f"{part.place} matches no packet that {one.place} does not match before: put it first, or take it out"
            )


def _cover(earlier: dict[int, int], sets: Mapping[str, Sequence[int]]) -> int:
    """Keep of the earlier parts those that match whatever a part matches, and return the parts that match anything."""
    matching = ~0
    for of_field in sets.values():
        always, ever = ~0, 0
        for one in of_field:
            always &= one
            ever |= one
        matching &= ever
        left = sum(own for own, before in earlier.items() if before)
        for own in _bits(left & always):
            earlier[own] &= always
        # What covers a part is in every set that the part is in.
        for one in of_field:
            for own in _bits(one & left & ~always):
                earlier[own] &= one
    return matching


def _bits(one: int) -> Iterator[int]:
    while one:
        lowest = one & -one
        yield lowest
        one ^= lowest


def _of_fragments(kind: str, parts: Iterable[Part], default: str) -> Iterator[str]:
    """Yield what becomes of later fragments, which parts on ports, flags and types do not match."""
    names: dict[str, list[str]] = {}
    for part in parts:
        if part.match.transport and not part.match.later_fragments and part.action != "syncookie":
            names.setdefault(_meaning(part, default), []).append(part.name)
    for meaning, those in names.items():
        more = f" and {len(those) - _NAMED} more" if len(those) > _NAMED else ""
        yield f"{kind} {', '.join(those[:_NAMED])}{more}: {meaning}"


def _meaning(part: Part, default: str) -> str:
    beginning = "later fragments have no ports, flags and types, so it does not match them"
    if part.action == "drop":
        return f"{beginning}; without the first one, which it drops, nobody can put the others together"
    if part.limit and not part.action:
        return f"{beginning}, and the limit does not count them: later_fragments: match would"
    if default == "drop":
        return f"{beginning}, and the default drops them: later_fragments: match lets fragmented packets through"
    if part.action == "afxdp":
        return f"{beginning}, and they go to the stack: later_fragments: match gives them to the worker"
    return f"{beginning}; the default passes them, unless another part drops them"
