# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Prefixes within prefixes, laid flat: where along the addresses what they say together changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from operator import add, and_

from .prefix_set import Family

# Addresses at which a value begins, rising from 0, and the value; a value may be that of the range before.
Ranges = tuple[list[int], list[int]]


def label(groups: Iterable[tuple[Sequence[int], int]], join: Callable[[int, int], int]) -> dict[int, int]:
    """Return the label of each prefix.

    Args:
        groups: Numbers of prefixes, each once in a group, and the label that they all have.
        join: What two labels of one prefix make together.
    """
    labels: dict[int, int] = {}
    for numbers, one in groups:
        shared = labels.keys() & numbers if labels else ()
        joined = {number: join(labels[number], one) for number in shared}
        labels.update(dict.fromkeys(numbers, one))
        labels.update(joined)
    return labels


def flatten(family: Family, labels: Mapping[int, int], step: Callable[[int, int], int]) -> Ranges:
    """Return the state of every address: 0 where no prefix is, else what ``step`` makes of the prefixes around it.

    Args:
        family: Of the prefixes.
        labels: By number of the prefix.
        step: From the state around a prefix and its label to the state in it.
    """
    numbers = sorted(labels)
    firsts = [number >> family.shift for number in numbers]
    sizes = [1 << (family.width - length) for length in range(family.width + 1)]
    lengths = map(and_, numbers, repeat((1 << family.shift) - 1))
    ends = map(add, firsts, map(sizes.__getitem__, lengths))
    top = 1 << family.width
    steps: dict[tuple[int, int], int] = {}
    starts, states = [0], [0]
    # Of the prefix that we are in, and of those around it.
    end, state = top + 1, 0
    around: list[tuple[int, int]] = []
    prefixes = zip(firsts, ends, [*firsts[1:], top], map(labels.__getitem__, numbers))
    for start, behind, following, one in chain(prefixes, [(top, top, top, 0)]):
        while start >= end:
            left = end
            end, state = around.pop()
            if starts[-1] == left:
                states[-1] = state
            else:
                starts.append(left)
                states.append(state)
        if start == top:
            break
        way = (state, one)
        inside = steps[way] if way in steps else steps.setdefault(way, step(*way))
        if starts[-1] == start:
            states[-1] = inside
        else:
            starts.append(start)
            states.append(inside)
        if following >= behind:
            # It holds no other, as most.
            starts.append(behind)
            states.append(state)
        else:
            around.append((end, state))
            end, state = behind, inside
    if starts[-1] == top:
        del starts[-1], states[-1]
    return starts, states
