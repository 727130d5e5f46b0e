# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Values of addresses as the program finds them: an index over the upper bits, sorted ranges where it is not enough."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from typing import Union

from .sweep import Ranges

TABLE_VALUE = 1 << 31
TABLE_SHIFT = 26
NODE_SHIFT, NODE_ENTRIES = 28, 8
RANGE6_BITS, RANGE6_DEEP = 21, 1 << 20
NODE_UNUSED = (1 << 63) - 1
BLOCK4_BITS, BLOCK6_BITS = 16, 42
PAGES, PAGE = 64, 1 << 16
_LOWER = (1 << 64) - 1
_LITTLE = sys.byteorder == "little"

# A block of addresses and the one behind the last that is like it; their value, or the entries of the only one.
_Run = tuple[int, int, Union[int, list[int]]]


class AddressTables:
    """The tables that sources and destinations share; each call adds one of them.

    Attributes:
        ranges4: By the lower 16 bits of IPv4 addresses.
        index6: Pages by bits 6 to 21 of IPv6 addresses.
        nodes6: Trees by the 42 bits that follow; entries, not nodes.
        deep6: Where in ``tails6`` each /64 network is whose addresses differ.
        tails6: By the lower 64 bits.
    """

    def __init__(self) -> None:
        self.ranges4 = array("I")
        self.index6 = array("I")
        self.nodes6 = array("Q")
        self.deep6 = array("I")
        self.tails6 = array("Q")

    def add4(self, flat: Ranges) -> array[int]:
        """Return the index of IPv4 addresses."""
        base, offset = flat[1][0], len(self.ranges4)
        index = array("I", [TABLE_VALUE | base]) * (1 << 32 - BLOCK4_BITS)
        ranges: list[int] = []
        for first, end, found in _runs(flat, BLOCK4_BITS, 32, 16):
            if isinstance(found, int):
                index[first:end] = array("I", [TABLE_VALUE | found]) * (end - first)
                continue
            count = len(found)
            log = (count - 1).bit_length()
            index[first] = log << TABLE_SHIFT | offset + len(ranges)
            ranges += found
            ranges += found[-1:] * ((1 << log) - count)
        self.ranges4.extend(ranges)
        return index

    def add6(self, flat: Ranges) -> array[int]:
        """Return the pages of IPv6 addresses."""
        upper = self._split(flat)
        base = upper[1][0]
        pages = array("I", [TABLE_VALUE | base]) * PAGES
        nodes: list[int] = []
        offset = len(self.nodes6) // NODE_ENTRIES
        unused = [[NODE_UNUSED] * (NODE_ENTRIES - count) for count in range(NODE_ENTRIES + 1)]
        for first, end, found in _runs(upper, BLOCK6_BITS, 64, RANGE6_BITS):
            page = first // PAGE
            if isinstance(found, int):
                self._fill(pages, first, end, TABLE_VALUE | found)
                continue
            at = pages[page]
            if at & TABLE_VALUE:
                at = self._page(pages, page)
            count = len(found)
            if count <= NODE_ENTRIES:
                self.index6[at + first % PAGE] = 1 << NODE_SHIFT | offset + len(nodes) // NODE_ENTRIES
                nodes += found
                nodes += unused[count]
            else:
                depth, tree = _tree(found)
                self.index6[at + first % PAGE] = depth << NODE_SHIFT | offset + len(nodes) // NODE_ENTRIES
                nodes += tree
        self.nodes6.extend(nodes)
        return pages

    def _fill(self, pages: array[int], first: int, end: int, word: int) -> None:
        """Let all blocks from one to before another have one value."""
        while first < end:
            page, stop = first // PAGE, min(end, (first // PAGE + 1) * PAGE)
            if stop - first == PAGE:
                pages[page] = word
            else:
                at = (self._page(pages, page) if pages[page] & TABLE_VALUE else pages[page]) + first % PAGE
                self.index6[at : at + stop - first] = array("I", [word]) * (stop - first)
            first = stop

    def _page(self, pages: array[int], page: int) -> int:
        """Make a page of what was one value, and return where it begins."""
        at = len(self.index6)
        self.index6.extend(array("I", pages[page : page + 1]) * PAGE)
        pages[page] = at
        return at

    def _split(self, flat: Ranges) -> Ranges:
        """Return what the upper 64 bits decide; where the lower ones have a say, that is the number of a deep table."""
        starts: list[int] = []
        values: list[int] = []
        inside: list[int] = []
        within: list[int] = []
        opened = -1
        value = flat[1][0]
        for start, new in zip(*flat):
            if new == value and start:
                continue
            upper, lower = start >> 64, start & _LOWER
            if opened >= 0 and upper != opened:
                self._tail(inside, within)
                if upper != opened + 1:
                    # Behind a deep table the value that it ended with goes on.
                    starts.append(opened + 1)
                    values.append(value)
                opened = -1
            if not lower:
                starts.append(upper)
                values.append(new)
            elif opened >= 0:
                inside.append(lower)
                within.append(new)
            else:
                opened = upper
                inside, within = [0, lower], [value, new]
                deep = RANGE6_DEEP | len(self.deep6)
                if starts[-1] == upper:
                    values[-1] = deep
                else:
                    starts.append(upper)
                    values.append(deep)
            value = new
        if opened >= 0:
            self._tail(inside, within)
            if opened < _LOWER:
                starts.append(opened + 1)
                values.append(value)
        return starts, values

    def _tail(self, starts: list[int], values: list[int]) -> None:
        log = (len(starts) - 1).bit_length()
        more = (1 << log) - len(starts)
        self.deep6.append(log << TABLE_SHIFT | len(self.tails6))
        self.tails6.extend(starts + starts[-1:] * more)
        values = values + values[-1:] * more + [0] * (2 if log == 1 else 0)
        if _LITTLE:
            quads = zip(values[::4], values[1::4], values[2::4], values[3::4])
            self.tails6.extend([a | b << 16 | c << 32 | d << 48 for a, b, c, d in quads])
        else:
            self.tails6.frombytes(array("H", values).tobytes())


def _tree(entries: list[int]) -> tuple[int, list[int]]:
    """Return the depth of a tree whose leaves are the entries, and its nodes."""
    depth = 1
    while NODE_ENTRIES**depth < len(entries):
        depth += 1
    nodes: list[int] = []
    for level in range(1, depth):
        starts = [entry >> RANGE6_BITS << RANGE6_BITS for entry in entries[:: NODE_ENTRIES ** (depth - level)]]
        nodes += starts + [NODE_UNUSED] * (NODE_ENTRIES**level - len(starts))
    return depth, nodes + entries + [NODE_UNUSED] * (-len(entries) % NODE_ENTRIES)


def _runs(flat: Ranges, bits: int, width: int, shift: int) -> Iterator[_Run]:
    """Yield the blocks of 2^bits addresses that are not wholly of the first value.

    Args:
        flat: Ranges.
        bits: Of a block.
        width: Of all addresses.
        shift: Of an entry's start.
    """
    within = (1 << bits) - 1
    pairs = zip(*flat)
    base = value = flat[1][0]
    next(pairs, None)
    behind, block = 0, -1
    entries: list[int] = []
    for start, new in pairs:
        if new == value:
            continue
        if start >> bits == block:
            entries.append((start & within) << shift | new)
            value = new
            continue
        if entries:
            # An entry alone is of the whole block.
            yield block, block + 1, entries if len(entries) > 1 else value
        block = start >> bits
        if value != base and block > behind:
            yield behind, block, value
        behind = block + 1
        low = start & within
        entries = [value, low << shift | new] if low else [new]
        value = new
    if entries:
        yield block, block + 1, entries if len(entries) > 1 else value
    if value != base:
        yield behind, 1 << width - bits, value
