# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A BPF ring buffer of records of one size, read in its own memory by any number of readers at once.

libbpf's reader consumes: what one process has read, no other sees, so an operator who watches would rob the exporter.
Here each reader has a position of its own. The consumer's position, which all of them move forward, only says what the
kernel may overwrite; what was overwritten before it was copied is found out afterwards, and counted as missed.
"""

from __future__ import annotations

import mmap
import threading

from . import bpf

# linux/bpf.h: flags in a record's header, whose first four bytes hold its length.
_BUSY, _DISCARDED = 1 << 31, 1 << 30
_HEADER = 8
_ALIGNMENT = 8
_PAGE = mmap.PAGESIZE


class RingBuffer:
    """A reader with a position of its own.

    Args:
        descriptor: Of a BPF_MAP_TYPE_RINGBUF; may be closed afterwards.
        record: Bytes of every record. That all have this size lets a reader begin anywhere, as positions are multiples.
        history: Begin with what is still there, read by others or not; else with what comes from now on.

    Attributes:
        missed: Records that the kernel wrote and overwrote before this reader had them.

    Raises:
        ValueError: The map is no ring buffer.
        OSError: It may not be mapped.

    Source: kernel/bpf/ringbuf.c and Documentation/bpf/ringbuf.rst in the Linux tree.
    """

    def __init__(self, descriptor: int, record: int, history: bool = False) -> None:
        layout = bpf.map_info(descriptor, meanings=False).layout
        if layout.type != "ringbuf":
            raise ValueError(f"the map is no ring buffer, but of type {layout.type}")
        self._size, self._record = layout.max_entries, record
        # The kernel keeps the length and the flags of a record before it, and begins each at a multiple of 8.
        self._step = -(-(_HEADER + record) // _ALIGNMENT) * _ALIGNMENT
        self._fence = threading.Lock()
        self._mapped = mmap.mmap(descriptor, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # The producer's position, then the data, twice in a row, so that no record is in two pieces.
        self._data = mmap.mmap(descriptor, _PAGE + 2 * self._size, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE)
        self._consumed, self._produced = memoryview(self._mapped).cast("Q"), memoryview(self._data).cast("Q")
        self._headers = memoryview(self._data).cast("I")
        self.missed = 0
        self._position = self._oldest() if history else self._produced[0]
        self._release()

    def __enter__(self) -> RingBuffer:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        for view in (self._consumed, self._produced, self._headers):
            view.release()
        self._mapped.close()
        self._data.close()

    def read(self) -> list[bytes]:
        """Return the records that came since the last call, the oldest first; it does not wait for one.

        Raises:
            ValueError: Records have another size than this reader was given.
        """
        self._skip_to(self._oldest())
        end = self._produced[0]
        found: list[tuple[int, bytes]] = []
        strange = None
        while self._position < end:
            place = _PAGE + self._position % self._size
            header = self._headers[place // 4]
            if header & _BUSY:  # still being written; those behind it wait
                break
            length = header & ~_DISCARDED
            if length != self._record:
                strange = length
                break
            if not header & _DISCARDED:
                self._order()
                found.append((self._position, self._data[place + _HEADER : place + _HEADER + length]))
            self._position += self._step
        self._order()
        oldest = self._oldest()
        if strange is not None and self._position >= oldest:
            raise ValueError(f"the ring buffer has records of {strange} bytes where {self._record} were expected")
        whole = [data for position, data in found if position >= oldest]
        self.missed += len(found) - len(whole)
        self._skip_to(oldest)
        self._release()
        return whole

    def _oldest(self) -> int:
        """Return the position of the oldest record that nobody writes over.

        The kernel fills in one header before it moves the producer's position, so one record less is safe than fits.
        """
        return max(0, -(-(self._produced[0] + self._step - self._size) // self._step) * self._step)

    def _skip_to(self, position: int) -> None:
        if position > self._position:
            self.missed += (position - self._position) // self._step
            self._position = position

    def _release(self) -> None:
        """Let the kernel write over what was read; a reader that is behind another leaves that to it."""
        self._order()
        if self._consumed[0] < self._position:
            self._consumed[0] = self._position

    def _order(self) -> None:
        """Keep the loads and stores before this ahead of those behind it, on CPUs that would exchange them too.

        Releasing a lock orders what came before it, taking one what comes behind, and the two are not exchanged.
        """
        for _round in range(2):
            with self._fence:
                pass
