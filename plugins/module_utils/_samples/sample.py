# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A sample: a packet that the XDP program dropped, or would have, with who decided it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from . import packet

CAPTURED = 128  # SAMPLE_BYTES
_LAYOUT = struct.Struct(f"=QIIHHHHBBBBB3x{CAPTURED}s")  # struct sample
SIZE = _LAYOUT.size
# enum xdp_action and enum tripod_reason; a number that a newer program has stays a number.
VERDICTS = ("aborted", "drop", "pass", "tx", "redirect")
DROPS = ("aborted", "drop")
REASONS = (
    *("no_rule", "list_pass", "list_drop", "not_ip", "malformed", "trusted", "rule_pass", "rule_drop", "limit"),
    *("service_pass", "service_drop", "ban", "syn_cookie", "afxdp", "default"),
)
DROP_REASONS = ("list_drop", "malformed", "rule_drop", "limit", "service_drop", "ban", "default")


class Sample(NamedTuple):
    """A packet and its verdict.

    Attributes:
        time: When it was judged, Unix time in nanoseconds.
        interface: The NIC's name.
        ifindex: The NIC's number.
        queue: Its receive queue.
        length: Of the frame, in bytes.
        frame: Its first bytes.
        verdict, reason: What became of it, and why.
        part: The list, rule, limit or service that decided it, as ``rule:no-snmp``; "" where none did.
        would: What would have become of it, had the first observed part been enforced; "" where none was met.
        would_reason, would_part: Likewise why, and by which part.
    """

    time: int
    interface: str
    ifindex: int
    queue: int
    length: int
    frame: bytes
    verdict: str
    reason: str
    part: str
    would: str = ""
    would_reason: str = ""
    would_part: str = ""

    @property
    def dropped(self) -> bool:
        """Whether it was dropped, and not only would have been."""
        return self.verdict in DROPS

    @property
    def observed(self) -> bool:
        """Whether the first observed part would have dropped it."""
        return self.would in DROPS


def parse(record: bytes, interface: str, parts: Mapping[int, str], offset: int) -> tuple[Sample, int]:
    """Read a record of the ring buffer.

    Args:
        record: ``SIZE`` bytes.
        interface: Name of the NIC whose ring buffer it is.
        parts: What has which slot, as ``rule:no-snmp``.
        offset: Nanoseconds from the monotonic clock to Unix time.

    Returns:
        The sample, and the taps that took it, as bits.
    """
    time, index, length, captured, slot, would_slot, queue, verdict, reason, would, would_reason, taps, data = (
        _LAYOUT.unpack(record)
    )
    sample = Sample(
        time=time + offset,
        interface=interface,
        ifindex=index,
        queue=queue,
        length=length,
        frame=data[:captured],
        verdict=_name(VERDICTS, verdict),
        reason=_name(REASONS, reason),
        part=_part(parts, slot),
    )
    if would:
        sample = sample._replace(
            would=_name(VERDICTS, would), would_reason=_name(REASONS, would_reason), would_part=_part(parts, would_slot)
        )
    return sample, taps


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def _part(parts: Mapping[int, str], slot: int) -> str:
    # One that was removed since, or that came so lately that nobody wrote its name down yet.
    return parts.get(slot, f"slot:{slot}") if slot else ""


def in_words(sample: Sample) -> str:
    """Return what became of a packet as words a program can find: ``verdict=drop reason=limit part=limit:dns``."""
    words = {"verdict": sample.verdict, "reason": sample.reason, "part": sample.part}
    if sample.would:
        words |= {"would": sample.would, "would_reason": sample.would_reason, "would_part": sample.would_part}
    return " ".join(f"{name}={value}" for name, value in words.items() if value)


def facts(sample: Sample) -> dict[str, Any]:
    """Return a sample for JSON; None where something does not apply, or the packet does not say."""
    seen = packet.parse(sample.frame)
    return {
        "time": sample.time,
        "interface": sample.interface,
        "queue": sample.queue,
        "verdict": sample.verdict,
        "reason": sample.reason,
        "part": sample.part or None,
        "would": sample.would or None,
        "would_reason": sample.would_reason or None,
        "would_part": sample.would_part or None,
        "length": sample.length,
        "source": packet.address(seen.source) if seen.source else None,
        "destination": packet.address(seen.destination) if seen.destination else None,
        "protocol": seen.protocol,
        "source_port": seen.source_port,
        "destination_port": seen.destination_port,
        "vlan": seen.vlan,
        "frame": sample.frame.hex(),
    }
