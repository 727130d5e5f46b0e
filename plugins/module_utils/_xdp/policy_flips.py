# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What another policy would make of packets: of the last minute's samples, and of the frames of the policy's tests."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .._core.converge import CoreError
from .._core.errors import in_words
from .._policy.frame import LONGEST
from .._samples import packet
from .._samples.feed import history
from .._samples.sample import Sample
from .policy_assignment import Assignment
from .policy_twin import Twin
from .request import pin_directory

SECONDS = 60.0  # that a preview looks back
_MOST = 500  # different packets of a preview
_PARTS = ("list", "rule", "service")

_log = logging.getLogger("tripod-host")


class Flip(NamedTuple):
    """A packet of which something else would become.

    Attributes:
        frame: What it is, in words.
        before: What becomes of it now, and by whose word.
        after: What would.
    """

    frame: str
    before: str
    after: str


def recent(assignment: Assignment, seconds: float) -> list[Sample]:
    """Return the samples of an interface's last seconds, in the order of their time; whoever took them still has them.

    Args:
        assignment: The interface's.
        seconds: How far to look back; a ring buffer holds 3,120 samples, and less where nobody drains it.
    """
    name, since = assignment.interface, time.time_ns() - int(seconds * 10**9)
    try:
        found = history(
            name,
            f"{pin_directory(assignment.pin_root, name)}/maps",
            {slot: part for part, slot in assignment.slots.items()},
        )
    except (OSError, ValueError) as error:  # not attached at this moment
        _log.warning("%s gives no samples: %s", name, error)
        return []
    return sorted((one for one in found if one.time >= since), key=lambda one: one.time)


def of_samples(assignment: Assignment, now: Twin, then: Twin) -> Iterator[Flip]:
    """Yield what would become otherwise of the packets of an interface's last minute, the newest first."""
    frames = {_whole(one): one for one in reversed(recent(assignment, SECONDS))}
    named = {frame: packet.in_words(one.frame, one.length) for frame, one in list(frames.items())[:_MOST]}
    try:
        yield from flips(((f"{assignment.interface} {words}", frame) for frame, words in named.items()), now, then)
    except CoreError as error:
        _log.warning("%s: its last packets cannot be tried: %s", assignment.interface, in_words(error))


def flips(frames: Iterable[tuple[str, bytes]], now: Twin, then: Twin) -> Iterator[Flip]:
    """Yield those of some frames, each with what it is called, that two policies judge in two ways.

    Raises:
        Impossible: The kernel runs no program on such a frame.
    """
    for name, frame in frames:
        before, after = in_short(now.judge(frame)), in_short(then.judge(frame))
        if before != after:
            yield Flip(name, before, after)


def _whole(sample: Sample) -> bytes:
    """Return a sampled packet at its length; what was not kept of it is zero."""
    return sample.frame.ljust(min(sample.length, LONGEST), b"\0")


def in_short(path: Mapping[str, Any]) -> str:
    """Return what becomes of a packet, and by whose word."""
    words = [path["verdict"], path["reason"], *(f"{part}:{path[part]}" for part in _PARTS if path[part])]
    words += [f"limit:{one['name']}" for one in path["limits"] if one["outcome"] == "exceeded"]
    if path["would"]:
        words.append(f"(would {path['would']}: {path['would_reason']})")
    return " ".join(words)
