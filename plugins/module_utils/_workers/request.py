# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Workers of packets as the inventory has them, and as go-backend reads them from its file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from .._core.converge import Findings, Invalid
from .._core.names import interface_fault
from .._core.sizes import parse_size
from . import handlers

# Of the map of sockets in files/bpf/maps.h: a queue beyond it has no place there.
QUEUES = 64
# The kernel's limits of a ring, and of the pieces of one packet (internal/xsk), and of a frame (internal/umem).
MOST_ENTRIES, PIECES = 1 << 15, 18
FRAME_SIZES = (2048, 4096)
KERNEL_HEADROOM = 256
_LEAST_ROOM = 1280 + 14 + 4  # the smallest MTU of IPv6, with Ethernet's header and a VLAN tag
MODES = ("auto", "zero-copy", "copy")
PAGES = ("", "2M", "1G")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_RANGES = {
    "batch": (PIECES, 4096),
    "busy_poll_us": (0, 1_000_000),
    "busy_poll_budget": (1, 65535),
    "watchdog_ms": (50, 60_000),
    "node": (-1, 1023),
}

# Options of the modules that take workers; the names are those of go-backend's file.
WORKER: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "nic": {"type": "str", "required": True},
    "queues": {"type": "list", "elements": "int", "required": True},
    "handler": {"type": "str", "required": True},
    "options": {"type": "dict", "default": {}},
    "cpus": {"type": "list", "elements": "int", "default": []},
    "mode": {"type": "str", "choices": list(MODES), "default": "auto"},
    "generic": {"type": "bool", "default": False},
    "multi_buffer": {"type": "bool", "default": False},
    "rx_ring": {"type": "int", "default": 2048},
    "tx_ring": {"type": "int", "default": 2048},
    "fill_ring": {"type": "int"},
    "frame_size": {"type": "int", "default": 4096},
    "frame_count": {"type": "int"},
    "headroom": {"type": "int", "default": 0},
    "hugepages": {"type": "str", "choices": list(PAGES), "default": ""},
    "hugepages_fallback": {"type": "bool", "default": False},
    "node": {"type": "int"},
    "batch": {"type": "int", "default": 64},
    "spin": {"type": "bool", "default": False},
    "busy_poll_us": {"type": "int", "default": 0},
    "busy_poll_budget": {"type": "int", "default": 64},
    "watchdog_ms": {"type": "int", "default": 100},
}


@dataclass(frozen=True)
class Worker:
    """One worker: a thread for each of its queues.

    Attributes:
        name: What services name it by, ``afxdp:NAME``.
        options: The handler's.
        cpus: One for each queue in their order; empty to have them chosen.
        mode: ``auto``, ``zero-copy`` or ``copy``.
        generic: Whether a program in generic mode is good enough.
        rx_ring, tx_ring: Entries; ``fill_ring`` twice ``rx_ring`` where it is None.
        frame_size: Bytes.
        frame_count: Of each queue; as many as its rings hold where it is None.
        headroom: Bytes before each packet, beside the kernel's.
        hugepages: Size of page of its memory, ``2M``, ``1G``, or empty for the system's smallest.
        node: NUMA node of its memory; None for the NIC's, -1 for any.
        spin: Whether it never sleeps.
        busy_poll_us, watchdog_ms: Microseconds and milliseconds.
    """

    name: str
    nic: str
    queues: tuple[int, ...]
    handler: str
    options: Mapping[str, Any] = field(default_factory=dict)
    cpus: tuple[int, ...] = ()
    mode: str = "auto"
    generic: bool = False
    multi_buffer: bool = False
    rx_ring: int = 2048
    tx_ring: int = 2048
    fill_ring: int | None = None
    frame_size: int = 4096
    frame_count: int | None = None
    headroom: int = 0
    hugepages: str = ""
    hugepages_fallback: bool = False
    node: int | None = None
    batch: int = 64
    spin: bool = False
    busy_poll_us: int = 0
    busy_poll_budget: int = 64
    watchdog_ms: int = 100

    def __str__(self) -> str:
        return f"worker {self.name}"

    @property
    def nics(self) -> tuple[str, ...]:
        """The NICs of which it serves its queues: a worker that forwards has two."""
        peer = handlers.peer(self.handler, self.options)
        return (self.nic, peer) if peer else (self.nic,)

    @property
    def fill(self) -> int:
        """Entries of a fill ring."""
        return 2 * self.rx_ring if self.fill_ring is None else self.fill_ring

    @property
    def frames_needed(self) -> int:
        """Frames that the rings of one queue may hold at once."""
        return len(self.nics) * (self.fill + self.tx_ring)

    @property
    def room(self) -> int:
        """Bytes of a packet that a frame takes."""
        return self.frame_size - KERNEL_HEADROOM - self.headroom

    @property
    def memory(self) -> int:
        """Bytes of its frames, whole pages of them."""
        size = (self.frame_count or self.frames_needed) * len(self.queues) * self.frame_size
        page = self.page or 4096
        return -(-size // page) * page

    @property
    def page(self) -> int | None:
        """Bytes of a huge page; None where it takes none."""
        return parse_size(self.hugepages) if self.hugepages else None

    def to_body(self) -> dict[str, Any]:
        """Return what go-backend's file says of it: only what is not as it would be anyway."""
        body = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in ("name", "nic", "queues", "handler") or (value != one.default and value not in ((), {})):
                body[one.name] = list(value) if isinstance(value, tuple) else value
        return body


def render(workers: Sequence[Worker]) -> str:
    """Return the text of go-backend's file, the same for the same workers in whatever order."""
    bodies = [worker.to_body() for worker in sorted(workers, key=lambda worker: worker.name)]
    return json.dumps({"workers": bodies}, indent=2, sort_keys=True) + "\n"


def parse(options: Sequence[Mapping[str, Any]]) -> list[Worker]:
    """Return workers from options of the form of ``WORKER``.

    Raises:
        Invalid: With everything that is wrong whatever the host is.
    """
    findings = Findings()
    workers = []
    for option in options:
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in option.items()
            if value is not None
        }
        worker = Worker(**given)
        for reason in _faults(worker):
            findings.add(f"{worker}: {reason}")
        workers.append(worker)
    for reason in _overlaps(workers):
        findings.add(reason)
    findings.raise_if_any(Invalid, "workers")
    return workers


def _faults(worker: Worker) -> Iterator[str]:
    if not _NAME.fullmatch(worker.name):
        yield "its name must begin with a letter, and have up to 63 letters, digits, and signs of _.-"
    fault = interface_fault(worker.nic)
    if fault:
        yield f"nic {worker.nic!r} {fault}, which no name of an interface does"
    yield from _queue_faults(worker)
    yield from _ring_faults(worker)
    yield from _frame_faults(worker)
    for name, (least, most) in _RANGES.items():
        value = getattr(worker, name)
        if value is not None and not least <= value <= most:
            yield f"{name} {value}: {least} to {most} are possible"
    yield from handlers.faults(worker.handler, worker.options)
    if handlers.peer(worker.handler, worker.options) == worker.nic:
        yield f"it forwards to {worker.nic}, where the packets come from"


def _queue_faults(worker: Worker) -> Iterator[str]:
    if not worker.queues:
        yield "queues is empty: name one at least"
    for queue in dict.fromkeys(worker.queues):
        if worker.queues.count(queue) > 1:
            yield f"queue {queue} is named {worker.queues.count(queue)} times: once is enough"
        if not 0 <= queue < QUEUES:
            yield f"queue {queue}: 0 to {QUEUES - 1} have a place in the program's map of sockets"
    if worker.cpus and len(worker.cpus) != len(worker.queues):
        yield f"{len(worker.cpus)} CPUs for {len(worker.queues)} queues: give one for each, or none"


def _ring_faults(worker: Worker) -> Iterator[str]:
    least = PIECES if worker.multi_buffer else 1
    rings = {"rx_ring": worker.rx_ring, "tx_ring": worker.tx_ring}
    if worker.fill_ring is not None or _is_ring(worker.rx_ring):
        rings["fill_ring"] = worker.fill
    for name, entries in rings.items():
        if not _is_ring(entries):
            yield f"{name} {entries}: a power of two up to {MOST_ENTRIES} is possible"
        elif entries < least:
            yield f"{name} {entries}: a packet of {PIECES} frames (multi_buffer) has to fit"
    if worker.fill < worker.rx_ring:
        yield f"fill_ring {worker.fill} < rx_ring {worker.rx_ring}: it must have a frame for each"


def _is_ring(entries: int) -> bool:
    return 1 <= entries <= MOST_ENTRIES and not entries & (entries - 1)


def _frame_faults(worker: Worker) -> Iterator[str]:
    if worker.frame_size not in FRAME_SIZES:
        sizes = " or ".join(map(str, FRAME_SIZES))
        yield f"frame_size {worker.frame_size}: the kernel takes {sizes} bytes; longer packets need multi_buffer"
    else:
        most = worker.frame_size - KERNEL_HEADROOM - _LEAST_ROOM
        if not 0 <= worker.headroom <= most:
            size = worker.frame_size
            yield f"headroom {worker.headroom}: 0 to {most} bytes leave room for a packet in a frame of {size}"
    if worker.frame_count is not None and worker.frame_count < worker.frames_needed:
        yield f"frame_count {worker.frame_count}: its rings hold up to {worker.frames_needed} frames for each queue"


def _overlaps(workers: Sequence[Worker]) -> Iterator[str]:
    names = [worker.name for worker in workers]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"worker {name} is there {names.count(name)} times: give each a name of its own"
    owners: dict[tuple[str, int], Worker] = {}
    for worker in workers:
        for nic in worker.nics:
            for queue in dict.fromkeys(worker.queues):
                other = owners.setdefault((nic, queue), worker)
                if other is not worker:
                    yield f"{worker}: queue {queue} of {nic} is {other}'s already"
