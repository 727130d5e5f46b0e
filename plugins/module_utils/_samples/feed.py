# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The samples of one NIC: its tap and its ring buffer, by the pins of its program's maps."""

from __future__ import annotations

import time
from collections.abc import Mapping

from .._linux import bpf
from .._linux.ring_buffer import RingBuffer
from .control import MAP as CONTROL
from .control import Filter, Tap
from .sample import SIZE, Sample, parse

RING = "samples"


class Feed:
    """Samples as they come; a context manager.

    Args:
        interface: The NIC's name.
        maps: Directory of its pinned maps.
        tap: STANDING or SESSION.
        history: Begin with what is still there, whoever took it.

    Attributes:
        parts: What has which slot, as ``rule:no-snmp``; to be kept up to date by the owner.

    Raises:
        OSError: Nothing is pinned there, or it may not be opened.
        ValueError: The maps are another release's.
    """

    def __init__(self, interface: str, maps: str, tap: int, history: bool = False) -> None:
        self.interface = interface
        self.parts: Mapping[int, str] = {}
        self._maps, self._bit, self._everything = maps, 1 << tap, history
        with bpf.pinned(f"{maps}/{CONTROL}") as descriptor:
            self.tap = Tap(descriptor, tap)
        try:
            with bpf.pinned(f"{maps}/{RING}") as descriptor:
                self._id = bpf.map_info(descriptor, meanings=False).id
                self._ring = RingBuffer(descriptor, SIZE, history)
        except BaseException:
            self.tap.close()
            raise

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def open(self, requested: Filter, hz: int) -> None:
        """Have samples taken; see ``Tap.open``."""
        self.tap.open(requested, hz)

    def read(self) -> list[Sample]:
        """Return the samples that this tap took since the last call, the oldest first; it does not wait for one.

        Raises:
            ValueError: The ring buffer is another release's.
        """
        found = _read(self._ring, self.interface, self.parts)
        everything, self._everything = self._everything, False
        return [sample for sample, taps in found if everything or taps & self._bit]

    @property
    def missed(self) -> int:
        """Samples that this reader was too slow for."""
        return self._ring.missed

    @property
    def in_use(self) -> bool:
        """Whether these are still the maps that are pinned: a program may have been replaced, or removed."""
        try:
            with bpf.pinned(f"{self._maps}/{RING}") as descriptor:
                return bpf.map_info(descriptor, meanings=False).id == self._id
        except OSError:
            return False

    def close(self) -> None:
        """Have none taken any more, and give everything back."""
        self.tap.close_off()
        self.tap.close()
        self._ring.close()


def history(interface: str, maps: str, parts: Mapping[int, str]) -> list[Sample]:
    """Return the samples that are still there, whoever took them, the oldest first, and have none taken for this.

    Args:
        interface: The NIC's name.
        maps: Directory of its pinned maps.
        parts: What has which slot.

    Raises:
        OSError: Nothing is pinned there, or it may not be opened.
        ValueError: The ring buffer is another release's.
    """
    with bpf.pinned(f"{maps}/{RING}") as descriptor, RingBuffer(descriptor, SIZE, history=True) as ring:
        return [sample for sample, _taps in _read(ring, interface, parts)]


def _read(ring: RingBuffer, interface: str, parts: Mapping[int, str]) -> list[tuple[Sample, int]]:
    records = ring.read()
    offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return [parse(record, interface, parts, offset) for record in records]
