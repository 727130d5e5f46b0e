# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which packets a rule, a service or a trusted flow is about, from what its writer gave."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .fields import ICMP, ICMP_TYPES, ICMPV6, PROTOCOLS, TCP, TCP_FLAGS, UDP, parse_range
from .model import UNTAGGED, Match, Range, Side
from .prefix import Prefix, parse_prefix
from .prefix_set import gather
from .schema import NAME

# Of these the program reads the ports.
WITH_PORTS = (TCP, UDP)
_NAMES = {number: name for name, number in PROTOCOLS.items()}
_NAME = re.compile(NAME)


def read_match(part: Mapping[str, Any], add: Callable[[str], None], lists: Iterable[str] = ()) -> Match:
    """Return what a part matches.

    Args:
        part: Of a shape that its schema allows.
        add: Takes each fault, in words that begin with the key.
        lists: Names of the lists that there are.
    """
    reader = _Reader(part, add, lists)
    set_, clear = reader.flags("set"), reader.flags("clear")
    destination_port = "destination_port" if "destination_port" in part else "port"
    match = Match(
        source=reader.side("source"),
        destination=reader.side("destination"),
        protocols=reader.protocols(destination_port),
        source_ports=reader.ranges("source_port", 65535),
        destination_ports=reader.ranges(destination_port, 65535),
        tcp_set=set_,
        tcp_clear=clear,
        icmp_types=reader.icmp_types(),
        vlans=reader.ranges("vlan", 4095, {"none": UNTAGGED}),
        fragment=part.get("fragment", ""),
        lengths=reader.ranges("length", 65535),
        later_fragments=part.get("later_fragments") == "match",
    )
    reader.check(match)
    return match


def several(given: Any) -> Sequence[Any]:
    """Return what may be given alone or as a list."""
    return given if isinstance(given, (list, tuple)) else [given]


class _Reader:
    """Reads one part and says what is wrong with it."""

    def __init__(self, part: Mapping[str, Any], add: Callable[[str], None], lists: Iterable[str]) -> None:
        self._part, self._add, self._lists = part, add, lists
        self._protocols = {self._protocol(one) for one in several(part.get("protocol", ()))}

    def side(self, key: str) -> Side | None:
        if key not in self._part:
            return None
        prefixes: list[Prefix] = []
        names: list[str] = []
        for one in several(self._part[key]):
            if _NAME.fullmatch(one):
                if one not in self._lists:
                    known = ", ".join(self._lists) or "none"
                    self._add(f"{key}: there is no list {one!r}; those that are: {known}")
                names.append(one)
                continue
            try:
                prefixes.append(parse_prefix(one))
            except ValueError as error:
                self._add(f"{key}: {error}")
        return Side(gather(prefixes), tuple(dict.fromkeys(names)))

    def protocols(self, destination_port: str) -> tuple[int, ...]:
        """Return the protocols given, or those that have the other fields; what has them not is refused."""
        needed: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(("source_port", destination_port), WITH_PORTS),
            "tcp_flags": (TCP,),
            "icmp_type": (ICMP, ICMPV6),
        }
        keys = [key for key in needed if key in self._part]
        implied = set.intersection(*(set(needed[key]) for key in keys)) if keys else set()
        if keys and not implied and not self._protocols:
            self._add(f"{' and '.join(keys)}: no protocol has all of these: leave some out")
        for key in keys:
            protocols = needed[key]
            without = sorted(self._protocols.difference(protocols))
            if without:
                self._add(
                    f"{key}: protocol {_NAMES.get(without[0], without[0])} has none, only "
                    f"{' and '.join(_NAMES[one] for one in protocols)}: leave {key} out, or give another protocol"
                )
        return tuple(sorted(self._protocols or implied))

    def _protocol(self, given: int | str) -> int:
        number = PROTOCOLS.get(given) if isinstance(given, str) else given
        if number is None:
            number = int(given)
        if number > 255:
            self._add(f"protocol: {number} > the limit 255")
        return number

    def ranges(self, key: str, highest: int, words: Mapping[str, int] | None = None) -> tuple[Range, ...]:
        found = []
        for given in several(self._part.get(key, ())):
            if words and given in words:
                found.append((words[given], words[given]))
                continue
            try:
                low, high = parse_range(given)
            except ValueError as error:
                self._add(f"{key}: {error}")
                continue
            if high > highest:
                self._add(f"{key}: {high} > the limit {highest}")
            found.append((low, high))
        return tuple(sorted(set(found)))

    def flags(self, key: str) -> int:
        given = self._part.get("tcp_flags", {}).get(key) or ()
        return sum(1 << TCP_FLAGS.index(flag) for flag in set(given))

    def icmp_types(self) -> tuple[int, ...]:
        bases = [
            (place, one) for place, one in enumerate((ICMP, ICMPV6)) if not self._protocols or one in self._protocols
        ]
        types: set[int] = set()
        for given in several(self._part.get("icmp_type", ())):
            if given in ICMP_TYPES:
                found = [(place, ICMP_TYPES[given][place]) for place, _one in bases]
                if all(number is None for _place, number in found):
                    names = " and ".join(_NAMES[one] for _place, one in bases)
                    self._add(f"icmp_type: {names} has no type {given!r}: leave it out, or give the other protocol")
                types.update(256 * place + number for place, number in found if number is not None)
                continue
            try:
                low, high = parse_range(given)
            except ValueError as error:
                self._add(f"icmp_type: {error}")
                continue
            if high > 255:
                self._add(f"icmp_type: {high} > the limit 255")
                continue
            types.update(256 * place + number for place, _one in bases for number in range(low, high + 1))
        return tuple(sorted(types))

    def check(self, match: Match) -> None:
        both = match.tcp_set & match.tcp_clear
        if both:
            names = ", ".join(flag for bit, flag in enumerate(TCP_FLAGS) if both >> bit & 1)
            self._add(f"tcp_flags: {names} cannot be both set and clear: leave it out of one")
        if "tcp_flags" in self._part and not match.tcp_set | match.tcp_clear:
            self._add("tcp_flags: give flags to be set or to be clear, or leave it out")
        if match.fragment == "later" and match.transport:
            self._add(
                "fragment: later fragments have no ports, flags and types: leave those out, or leave out fragment and "
                "give later_fragments: match"
            )
        if match.fragment == "first" and match.later_fragments:
            self._add("later_fragments: match takes later fragments, fragment: first excludes them: leave one out")
        versions = _versions(match.source), _versions(match.destination)
        if all(versions) and not versions[0] & versions[1]:
            self._add("source and destination are of different IP versions, so no packet has both: give both of one")


def _versions(side: Side | None) -> set[int]:
    """Return the IP versions that a side is of; none where lists or nothing say."""
    if side is None or side.lists:
        return set()
    return {version for version, numbers in ((4, side.prefixes.v4), (6, side.prefixes.v6)) if numbers}
