# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Rules, services and trusted flows as sets of bits: for each value of a field, the parts that it does not exclude.

The parts that match a packet are in the sets of all its fields.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from .layout import (
    FIELDS,
    MAX_RULES,
    MAX_SERVICES,
    RULE_WORDS,
    SERVICE_WORDS,
    SET_RESERVED,
    VALUES,
    refuse_more,
)
from .model import Match, Range

# Where the bits of a kind begin in a set.
RULES, SERVICES, FLOWS = 0, MAX_RULES, MAX_RULES + MAX_SERVICES
_FRAGMENTS = {"first": 1, "later": 2}
_WORD = (1 << 64) - 1

# Bit of a part, and what it matches.
Parts = Sequence[tuple[int, Match]]
# None where a part does not look at the field.
_Values = Optional[Sequence[Range]]


@dataclass(frozen=True)
class FieldTables:
    """Of the fields that a packet's headers have.

    Attributes:
        fields: Bits of all fields that any part looks at.
        members: Numbers of the sets, by value of each field; as ``struct policy`` has them.
        sets: The sets of each field that any part looks at.
    """

    fields: int
    members: Mapping[str, bytes]
    sets: Mapping[str, Sequence[int]]


class Sets:
    """Sets of parts by number, each once. Number 0 is the empty one, which the program asks no further."""

    def __init__(self) -> None:
        self.sets: list[int] = [0]
        self._numbers: dict[int, int] = {0: 0}

    def number(self, one: int) -> int:
        """Return the number of a set.

        Raises:
            Impossible: There are more sets than numbers for them.
        """
        if one not in self._numbers:
            refuse_more("sets", len(self.sets) + 1)
            self._numbers[one] = len(self.sets)
            self.sets.append(one)
        return self._numbers[one]

    def packed(self) -> bytes:
        """Return ``struct field_set`` of each."""
        packed = array("Q")
        for one in self.sets:
            words = [one >> 64 * word & _WORD for word in range(RULE_WORDS + SERVICE_WORDS + 1)]
            rules, services, flows = words[:RULE_WORDS], words[RULE_WORDS:-1], words[-1]
            used = sum(1 << word for word, bits in enumerate(rules) if bits)
            packed.extend([flows, used, *services, *rules, *[0] * SET_RESERVED])
        return packed.tobytes()


def bit(kind: int, number: int) -> int:
    """Return the bit of a part: ``RULES``, ``SERVICES`` or ``FLOWS``, and its place among those."""
    return 1 << (kind + number)


def regardless(parts: Parts, field: str) -> int:
    """Return the parts that do not look at a field."""
    return sum(one for one, match in parts if _LOOKS[field](match) is None)


def field_tables(parts: Parts, sets: Sets) -> FieldTables:
    """Return the tables of all fields but addresses.

    Args:
        parts: All rules, services and flows.
        sets: Where sets are numbered.
    """
    # Flows are looked up by these two; and what looks at no field has to be found by one.
    always = {"protocol"} if parts else set()
    if any(one >= 1 << FLOWS for one, _match in parts):
        always.add("destination_port")
    members: dict[str, bytes] = {}
    used: dict[str, Sequence[int]] = {}
    for name in VALUES:
        if name in always or any(_LOOKS[name](match) is not None for _one, match in parts):
            members[name], used[name] = _by_value(name, parts, sets)
    return FieldTables(sum(1 << FIELDS.index(name) for name in used), members, used)


def _by_value(name: str, parts: Parts, sets: Sets) -> tuple[bytes, list[int]]:
    # Where ranges begin or end, the bits of their parts.
    changes: dict[int, int] = {}
    current = 0
    for one, match in parts:
        ranges = _LOOKS[name](match)
        if ranges is None:
            current |= one
            continue
        for low, high in _apart(ranges):
            changes[low] = changes.get(low, 0) ^ one
            changes[high + 1] = changes.get(high + 1, 0) ^ one
    numbers = array("H")
    used: dict[int, None] = {}
    for point in sorted({*changes, VALUES[name]}):
        if point > len(numbers):
            used[current] = None
            numbers.extend(array("H", [sets.number(current)]) * (point - len(numbers)))
        current ^= changes.get(point, 0)
    return numbers.tobytes(), list(used)


def _apart(ranges: Sequence[Range]) -> Iterator[Range]:
    """Yield the same as ranges that do not overlap."""
    low, high = 0, -1
    for start, end in sorted(ranges):
        if start > high:
            if high >= low:
                yield low, high
            low = start
        high = max(high, end)
    if high >= low:
        yield low, high


def _singles(numbers: Sequence[int]) -> _Values:
    return [(number, number) for number in numbers] or None


def _or_later(name: str, ranges: _Values, match: Match) -> _Values:
    """Return ranges of a field that later fragments have not."""
    later = VALUES[name] - 1
    return [*ranges, (later, later)] if ranges and match.later_fragments else ranges


def _tcp_flags(match: Match) -> _Values:
    looked_at = match.tcp_set | match.tcp_clear
    if not looked_at:
        return None
    return _singles([value for value in range(256) if value & looked_at == match.tcp_set])


_LOOKS: Mapping[str, Callable[[Match], _Values]] = {
    "source": lambda match: None if match.source is None else (),
    "destination": lambda match: None if match.destination is None else (),
    "protocol": lambda match: _singles(match.protocols),
    "fragment": lambda match: _singles([_FRAGMENTS[match.fragment]] if match.fragment else []),
    "tcp_flags": lambda match: _or_later("tcp_flags", _tcp_flags(match), match),
    "icmp_type": lambda match: _or_later("icmp_type", _singles(match.icmp_types), match),
    "vlan": lambda match: match.vlans or None,
    "source_port": lambda match: _or_later("source_port", match.source_ports or None, match),
    "destination_port": lambda match: _or_later("destination_port", match.destination_ports or None, match),
    "length": lambda match: match.lengths or None,
}
