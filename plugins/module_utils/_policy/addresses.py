# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What an address says: as a source which list decides and which rules may match, as a destination the latter."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from .layout import SOURCE_RESULT, refuse_more
from .parts import Sets
from .prefix_set import V4, V6, PrefixSet
from .ranges import AddressTables
from .sweep import Ranges, flatten, label

T = TypeVar("T", bound=Hashable)


class Source(NamedTuple):
    """What is said of a source.

    Attributes:
        enforced: Number of the list that decides, or 0.
        first: Number of the list that would if all were enforced, or 0.
        trusted: Whether nothing overrides it.
        parts: Bits of the rules that name it.
    """

    enforced: int = 0
    first: int = 0
    trusted: bool = False
    parts: int = 0


TRUSTED = Source(trusted=True)


def add_sources(
    tables: AddressTables,
    groups: Iterable[tuple[PrefixSet, Source]],
    observed: Collection[int],
    drops: Mapping[int, int],
    regardless: int,
    sets: Sets,
) -> tuple[tuple[array[int], array[int]], bytes, list[int]]:
    """Return the indices of sources, ``struct source_result`` of each kind of them, and the sets that those name.

    Args:
        tables: What is added to.
        groups: Prefixes, and what they say.
        observed: Numbers of the lists in observe mode.
        drops: Counter slot of each list that drops, by its number.
        regardless: Parts that match from anywhere.
        sets: Where sets are numbered.

    Raises:
        Impossible: There are more kinds of sources, or sets, than numbers for them.
    """
    flat4, flat6, said = _flatten(groups, Source(), _beside, _within)
    refuse_more("results", len(said))
    used: dict[int, None] = {}
    packed = []
    for one in said:
        used[regardless | one.parts] = None
        first = one.first if one.first in observed else 0
        number = sets.number(regardless | one.parts)
        slot = 0 if first or one.trusted else drops.get(one.enforced, 0)
        packed.append(SOURCE_RESULT.pack(one.enforced, first, number, slot, one.trusted))
    return (tables.add4(flat4), tables.add6(flat6)), b"".join(packed), list(used)


def add_destinations(
    tables: AddressTables, groups: Iterable[tuple[PrefixSet, int]], regardless: int, sets: Sets
) -> tuple[tuple[array[int], array[int]], list[int]]:
    """Return the indices of destinations, and the sets that they name.

    Args:
        tables: What is added to.
        groups: Prefixes, and the parts that name them.
        regardless: Parts that match to anywhere.
        sets: Where sets are numbered.
    """
    flat4, flat6, said = _flatten(groups, 0, int.__or__, int.__or__)
    used = [regardless | parts for parts in said]
    numbers = [sets.number(one) for one in used]
    v4, v6 = ((starts, [numbers[state] for state in states]) for starts, states in (flat4, flat6))
    return (tables.add4(v4), tables.add6(v6)), used


class _Numbers(Generic[T]):
    """Numbers of values in the order in which they come up."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[T, int] = {}

    def number(self, value: T) -> int:
        if value not in self._numbers:
            self._numbers[value] = len(self.values)
            self.values.append(value)
        return self._numbers[value]


def _flatten(
    groups: Iterable[tuple[PrefixSet, T]], nothing: T, beside: Callable[[T, T], T], within: Callable[[T, T], T]
) -> tuple[Ranges, Ranges, Sequence[T]]:
    """Return ranges of IPv4, of IPv6, and what their values stand for.

    Args:
        groups: Prefixes, and what they say.
        nothing: What is said of an address that no prefix holds.
        beside: What a prefix says of which two things are said.
        within: What is said together by what is around a prefix and by the prefix.
    """
    said: _Numbers[T] = _Numbers()
    states: _Numbers[T] = _Numbers()
    states.number(nothing)
    labelled = [(prefixes, said.number(says)) for prefixes, says in groups]

    def join(one: int, other: int) -> int:
        return said.number(beside(said.values[one], said.values[other]))

    def step(around: int, inside: int) -> int:
        return states.number(within(states.values[around], said.values[inside]))

    v4 = flatten(V4, label([(prefixes.v4, one) for prefixes, one in labelled], join), step)
    v6 = flatten(V6, label([(prefixes.v6, one) for prefixes, one in labelled], join), step)
    return v4, v6, states.values


def _beside(one: Source, other: Source) -> Source:
    """Of the same prefix in two lists, the one that comes first decides."""
    return Source(
        min(filter(None, (one.enforced, other.enforced)), default=0),
        min(filter(None, (one.first, other.first)), default=0),
        one.trusted or other.trusted,
        one.parts | other.parts,
    )


def _within(around: Source, inside: Source) -> Source:
    """The longer prefix decides, but for what is trusted."""
    if around.trusted or inside.trusted:
        return TRUSTED
    return Source(inside.enforced or around.enforced, inside.first or around.first, False, around.parts | inside.parts)
