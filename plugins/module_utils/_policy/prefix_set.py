# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Very many prefixes at once, each as one number.

A million prefixes leave no time for a function call each, so words are joined, split, converted and sorted as a
whole; only where something is wrong are they read one by one, to say what.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from operator import and_, eq

from .prefix import Prefix, parse_prefix


@dataclass(frozen=True)
class Family:
    """How the prefixes of an IP version become numbers: ``first address << shift | length``.

    Attributes:
        version: 4 or 6.
        width: Bits of an address.
        shift: Bits of the number that hold the length.
    """

    version: int
    width: int
    shift: int


V4 = Family(4, 32, 6)
V6 = Family(6, 128, 8)
_LENGTHS = {str(length): length for length in range(129)}


@dataclass(frozen=True)
class PrefixSet:
    """Prefixes by their numbers, sorted, each once.

    Attributes:
        v4: Numbers of family V4.
        v6: Numbers of family V6.
    """

    v4: Sequence[int] = ()
    v6: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.v4) + len(self.v6)

    def __iter__(self) -> Iterator[Prefix]:
        for family, numbers in ((V4, self.v4), (V6, self.v6)):
            for number in numbers:
                yield to_prefix(family, number)

    def union(self, prefixes: PrefixSet) -> PrefixSet:
        """Return these and others."""
        if not self or not prefixes:
            return self or prefixes
        return PrefixSet(sorted({*self.v4, *prefixes.v4}), sorted({*self.v6, *prefixes.v6}))

    def without(self, prefixes: PrefixSet) -> PrefixSet:
        """Return what is not among others."""
        v4, v6 = set(prefixes.v4), set(prefixes.v6)
        return PrefixSet(
            [number for number in self.v4 if number not in v4] if v4 else self.v4,
            [number for number in self.v6 if number not in v6] if v6 else self.v6,
        )

    def sha256(self) -> str:
        """Return a digest of the prefixes."""
        digest = hashlib.sha256(struct.pack(f">Q{len(self.v4)}Q", len(self.v4), *self.v4))
        digest.update(b"".join([number.to_bytes(17, "big") for number in self.v6]))
        return digest.hexdigest()


EMPTY = PrefixSet()


@dataclass(frozen=True)
class Parsed:
    """What became of a sequence of words.

    Attributes:
        prefixes: Those that are prefixes.
        faults: Place in the sequence, and what is wrong with the word there.
    """

    prefixes: PrefixSet
    faults: Sequence[tuple[int, str]] = ()


def to_prefix(family: Family, number: int) -> Prefix:
    """Return the prefix of a number."""
    address = (number >> family.shift).to_bytes(family.width // 8, "big")
    return Prefix(family.version, address, number & ((1 << family.shift) - 1))


def to_number(prefix: Prefix) -> int:
    """Return the number of a prefix."""
    return int.from_bytes(prefix.address, "big") << (V4 if prefix.version == 4 else V6).shift | prefix.length


def gather(prefixes: Iterable[Prefix]) -> PrefixSet:
    """Return prefixes as a set."""
    numbers: dict[int, set[int]] = {4: set(), 6: set()}
    for prefix in prefixes:
        numbers[prefix.version].add(to_number(prefix))
    return PrefixSet(sorted(numbers[4]), sorted(numbers[6]))


def parse_prefixes(words: Sequence[str]) -> Parsed:
    """Return the prefixes in words such as ``10.0.0.0/8`` or ``2001:db8::1``; see ``prefix.parse_prefix``."""
    sixes = [word for word in words if ":" in word]
    fours = [word for word in words if ":" not in word] if sixes else words
    faults: list[tuple[int, str]] = []
    try:
        v4, v6 = _numbers4(fours), _numbers6(sixes)
    except (OSError, ValueError, LookupError):
        v4, v6, faults = _one_by_one(words)
    return Parsed(PrefixSet(_once(v4), _once(v6)), faults)


def _once(numbers: list[int]) -> list[int]:
    """Return numbers sorted, each once."""
    numbers.sort()
    if any(map(eq, numbers, islice(numbers, 1, None))):
        return list(dict.fromkeys(numbers))
    return numbers


def _numbers4(words: Sequence[str]) -> list[int]:
    addresses, lengths = _halves(words, "/32")
    packed = b"".join(map(socket.inet_pton, repeat(socket.AF_INET), addresses))
    behind = [(1 << (32 - length)) - 1 for length in range(33)]
    starts = struct.unpack(f">{len(words)}I", packed)
    if any(map(and_, starts, map(behind.__getitem__, lengths))):
        raise ValueError("bits behind the length")
    return [start << 6 | length for start, length in zip(starts, lengths)]


def _numbers6(words: Sequence[str]) -> list[int]:
    addresses, lengths = _halves(words, "/128")
    packed = b"".join(map(socket.inet_pton, repeat(socket.AF_INET6), addresses))
    behind = [(1 << (128 - length)) - 1 for length in range(129)]
    halves = struct.unpack(f">{2 * len(words)}Q", packed)
    starts = [upper << 64 | lower for upper, lower in zip(halves[::2], halves[1::2])]
    if any(map(and_, starts, map(behind.__getitem__, lengths))):
        raise ValueError("bits behind the length")
    return [start << 8 | length for start, length in zip(starts, lengths)]


def _halves(words: Sequence[str], longest: str) -> tuple[list[str], list[int]]:
    """Return addresses and lengths of words."""
    slashed = sum([1 for word in words if "/" in word])
    if slashed != len(words):
        words = [word if "/" in word else word + longest for word in words]
    halves = "/".join(words).split("/") if words else []
    # As many slashes as words, and one in each: none has two.
    if len(halves) != 2 * len(words):
        raise ValueError("more than one slash")
    return halves[::2], list(map(_LENGTHS.__getitem__, halves[1::2]))


def _one_by_one(words: Sequence[str]) -> tuple[list[int], list[int], list[tuple[int, str]]]:
    numbers: dict[int, list[int]] = {4: [], 6: []}
    faults = []
    for place, word in enumerate(words):
        try:
            prefix = parse_prefix(word)
        except ValueError as error:
            faults.append((place, str(error)))
            continue
        numbers[prefix.version].append(to_number(prefix))
    return numbers[4], numbers[6], faults
