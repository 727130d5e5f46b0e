# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What each list, rule, limit and service of a policy has met, from the map ``hits``."""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass

from .._linux import bpf
from .._linux.clock import hz
from .._linux.libbpf import check, library

MAP = "hits"
_HIT = struct.Struct("=5Q")  # struct hit: packets, bytes, the same observed, jiffies64 of the last
# Jiffies begin five minutes before their lower half overflows, so that whoever cannot bear that is found out early.
_FIRST_JIFFY_BEFORE_WRAP = 300  # seconds


@dataclass(frozen=True)
class Hits:
    """What a part has met since it is in the policy.

    Attributes:
        part: As ``rule:no-snmp``.
        packets, bytes: That it matched; of a limit, that exceeded it.
        observed_packets, observed_bytes: Likewise, in observe mode.
        last: When, Unix time in seconds, to a second or so; None where it never did.
    """

    part: str
    packets: int
    bytes: int
    observed_packets: int
    observed_bytes: int
    last: float | None


def read(maps: str, slots: Mapping[str, int]) -> list[Hits]:
    """Return the hits of all parts, in the order of their names.

    Args:
        maps: Directory of an interface's pinned maps.
        slots: Slot of each part.

    Raises:
        OSError: The map is not pinned there, or may not be read.
        ValueError: It is another release's.
    """
    with bpf.pinned(f"{maps}/{MAP}") as descriptor:
        size = bpf.map_info(descriptor, meanings=False).layout.value_size
        if size != _HIT.size:
            raise ValueError(f"the map {MAP} has values of {size} bytes, not of {_HIT.size}: it is another release's")
        cpus = check(library().libbpf_num_possible_cpus())
        values = ctypes.create_string_buffer(_HIT.size * cpus)
        found = []
        for part, slot in sorted(slots.items()):
            check(library().bpf_map_lookup_elem(descriptor, struct.pack("=I", slot), values))
            found.append(_sum(part, values.raw))
    return found


def _sum(part: str, values: bytes) -> Hits:
    packets, bytes_, observed_packets, observed_bytes, last = zip(*_HIT.iter_unpack(values))
    return Hits(part, sum(packets), sum(bytes_), sum(observed_packets), sum(observed_bytes), _moment(max(last)))


def _moment(jiffies: int) -> float | None:
    """Return when a jiffy was, Unix time in seconds; None for none."""
    if not jiffies:
        return None
    since_boot = (jiffies - (1 << 32)) / hz() + _FIRST_JIFFY_BEFORE_WRAP
    now = time.time()
    return min(now, now - time.monotonic() + since_boot)
