# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Prefixes within prefixes, laid flat: where along the addresses what they say together changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

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
    shift = family.shift
    lengths = (1 << shift) - 1
    sizes = [1 << (family.width - length) for length in range(family.width + 1)]
    steps: dict[tuple[int, int], int] = {}
    starts, states = [0], [0]
    # Of the prefix that we are in, and of those around it.
    end, state = 1 << family.width, 0
    around: list[tuple[int, int]] = []
    for number in sorted(labels):
        start = number >> shift
        while start >= end:
            left = end
            end, state = around.pop()
            if starts[-1] == left:
                states[-1] = state
            else:
                starts.append(left)
                states.append(state)
        around.append((end, state))
        way = (state, labels[number])
        if way not in steps:
            steps[way] = step(*way)
        state = steps[way]
        end = start + sizes[number & lengths]
        if starts[-1] == start:
            states[-1] = state
        else:
            starts.append(start)
            states.append(state)
    while around:
        left = end
        end, state = around.pop()
        if left == 1 << family.width:
            break
        if starts[-1] == left:
            states[-1] = state
        else:
            starts.append(left)
            states.append(state)
    return starts, states
