# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Samples added up to flows: packets of one kind that met one fate within a short time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from . import packet
from .packet import Packet
from .sample import Sample

_ETHERNET_HEADER = 14


class Key(NamedTuple):
    """What packets of a flow have in common.

    Attributes:
        interface, ifindex: The NIC.
        dropped: Whether they were dropped; else they would have been.
        reason, part: Why, and by which list, rule, limit or service, as in a sample.
        headers: Of the packets, less what differs within a flow: lengths and flags.
        ethernet: Destination and source address (6 bytes each) of what has no readable IP header; else empty.
    """

    interface: str
    ifindex: int
    dropped: bool
    reason: str
    part: str
    headers: Packet
    ethernet: bytes


@dataclass
class Flow:
    """How many packets of a flow were seen.

    Attributes:
        key: What they have in common.
        start, end: When the first and the last was judged, Unix time in nanoseconds.
        packets: Number of samples.
        octets: Of their IP packets, or behind the Ethernet header where that cannot be read.
        tcp_flags: All that any of them had.
    """

    key: Key
    start: int
    end: int
    packets: int = 0
    octets: int = 0
    tcp_flags: int = 0


class Flows:
    """Flows since they were last taken.

    Args:
        most: How many to keep; samples of further ones are left out and counted.

    Attributes:
        left_out: Samples for whose flow there was no room, in all.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._flows: dict[Key, Flow] = {}
        self.left_out = 0

    def add(self, sample: Sample) -> None:
        """Count a sample; a dropped one for what dropped it, another for the observed part that would have."""
        seen = packet.parse(sample.frame)
        reason, part = (sample.reason, sample.part) if sample.dropped else (sample.would_reason, sample.would_part)
        headers = seen._replace(octets=None, tcp_flags=None)
        ethernet = b"" if seen.version else sample.frame[:12]
        key = Key(sample.interface, sample.ifindex, sample.dropped, reason, part, headers, ethernet)
        flow = self._flows.get(key)
        if flow is None:
            if len(self._flows) >= self._most:
                self.left_out += 1
                return
            flow = self._flows[key] = Flow(key, sample.time, sample.time)
        flow.start, flow.end = min(flow.start, sample.time), max(flow.end, sample.time)
        flow.packets += 1
        behind = max(0, sample.length - _ETHERNET_HEADER)
        # A malformed packet may claim any length.
        flow.octets += behind if seen.octets is None else min(seen.octets, behind)
        flow.tcp_flags |= seen.tcp_flags or 0

    def take(self) -> list[Flow]:
        """Return all flows, the oldest first, and begin anew."""
        flows = list(self._flows.values())
        self._flows.clear()
        return flows
