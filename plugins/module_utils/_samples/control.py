# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which packets are sampled, and how many: the taps in the map ``control``, written in the program's own memory."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterable
from dataclasses import dataclass

from .._linux import bpf
from .._policy.model import Rate
from .._policy.rates import cost
from .sample import REASONS

MAP = "control"
# Of the exporter, which always listens, and of a person: one's narrow filter and rate are not the other's.
STANDING, SESSION = range(2)
_LONGEST_BURST = 1000  # samples; a third of the ring


class _Tap(ctypes.Structure):  # struct tap
    _fields_ = [
        ("reasons", ctypes.c_uint32),
        ("observed", ctypes.c_uint32),
        ("slot", ctypes.c_uint16),
        ("reserved", ctypes.c_uint16 * 3),
        ("cost", ctypes.c_uint64),
        ("span", ctypes.c_uint64),
        ("unused", ctypes.c_uint64 * 4),
        ("arrival", ctypes.c_uint64),
        ("taken", ctypes.c_uint64),
        ("lost", ctypes.c_uint64),
        ("unused_either", ctypes.c_uint64 * 5),
    ]


class _Control(ctypes.Structure):  # struct control
    _fields_ = [
        ("bans", ctypes.c_uint32),
        ("reasons", ctypes.c_uint32),
        ("observed", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 13),
        ("taps", _Tap * 2),
    ]


SIZE = ctypes.sizeof(_Control)


@dataclass(frozen=True)
class Filter:
    """Which packets a tap takes.

    Attributes:
        reasons: Of packets that were judged for one of these.
        observed: Of packets that would have been dropped for one of these.
        slot: Only of the part that counts in this slot; 0 for any.
        rate: Samples in a second at most.
    """

    reasons: Iterable[str]
    observed: Iterable[str]
    slot: int
    rate: int


class Tap:
    """One of the program's taps; closed until ``open``.

    Args:
        descriptor: Of the map ``control``; may be closed afterwards.
        number: STANDING or SESSION. Nobody else may have it at the same time.

    Raises:
        OSError: The map may not be written, or not be mapped.
        ValueError: It is another release's.
    """

    def __init__(self, descriptor: int, number: int) -> None:
        size = bpf.map_info(descriptor, meanings=False).layout.value_size
        if size != SIZE:
            raise ValueError(f"the map {MAP} has a value of {size} bytes, not of {SIZE}: it is another release's")
        self._mapped = mmap.mmap(descriptor, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # Every store is one instruction, so that the program never reads half a number.
        self._control: _Control | None = _Control.from_buffer(self._mapped)
        self._number = number

    def open(self, requested: Filter, hz: int) -> None:
        """Take samples from now on.

        Args:
            requested: Which, and how many.
            hz: The kernel's ticks in a second.
        """
        self.close_off()
        tap = self._tap
        one = cost(Rate(requested.rate, 1, requested.rate), hz)
        tap.slot, tap.cost, tap.span = requested.slot, one, one * min(requested.rate, _LONGEST_BURST)
        tap.reasons, tap.observed = _bits(requested.reasons), _bits(requested.observed)
        self._gather()

    def close_off(self) -> None:
        """Take none any more."""
        self._tap.reasons = self._tap.observed = 0
        self._gather()

    @property
    def taken(self) -> int:
        """Samples that were written for this tap since the map was made."""
        return int(self._tap.taken)

    @property
    def lost(self) -> int:
        """Samples that this tap was due, and that found the ring buffer full, since the map was made."""
        return int(self._tap.lost)

    def close(self) -> None:
        """Give the memory back; the tap stays as it is."""
        self._control = None
        self._mapped.close()

    @property
    def _tap(self) -> _Tap:
        return self._held.taps[self._number]

    @property
    def _held(self) -> _Control:
        if self._control is None:
            raise ValueError(f"the map {MAP} was closed")
        return self._control

    def _gather(self) -> None:
        """Say in the line that is read for every packet what any tap takes; another process may do so meanwhile."""
        control = self._held
        while True:
            one, other = control.taps
            reasons, observed = one.reasons | other.reasons, one.observed | other.observed
            if (control.reasons, control.observed) == (reasons, observed):
                return
            control.reasons, control.observed = reasons, observed


def _bits(reasons: Iterable[str]) -> int:
    return sum(1 << REASONS.index(one) for one in set(reasons))
