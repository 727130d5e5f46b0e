# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Fields of a packet, amounts and times as people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

# IANA's assigned protocol numbers.
PROTOCOLS: Mapping[str, int] = {
    **{"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51},
    **{"icmpv6": 58, "ospf": 89, "pim": 103, "vrrp": 112, "l2tp": 115, "sctp": 132, "udplite": 136},
}
ICMP, TCP, UDP, ICMPV6 = PROTOCOLS["icmp"], PROTOCOLS["tcp"], PROTOCOLS["udp"], PROTOCOLS["icmpv6"]
# In the order of their bits, from the lowest.
TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
# Type of ICMP, of ICMPv6; None where there is none.
ICMP_TYPES: Mapping[str, tuple[int | None, int | None]] = {
    "echo-request": (8, 128),
    "echo-reply": (0, 129),
    "destination-unreachable": (3, 1),
    "time-exceeded": (11, 3),
    "parameter-problem": (12, 4),
    "redirect": (5, 137),
    "packet-too-big": (None, 2),
    "timestamp-request": (13, None),
    "router-solicitation": (10, 133),
    "router-advertisement": (9, 134),
    "neighbor-solicitation": (None, 135),
    "neighbor-advertisement": (None, 136),
}
_KILOS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_AMOUNT = re.compile(r"([0-9]+)([kMG]?)")
_PERIODS = {"s": 1, "m": 60, "h": 3600}
_DURATIONS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}  # milliseconds
_DURATION = re.compile(r"([0-9]{1,9})(ms|[smhdw])")


def parse_range(given: int | str) -> tuple[int, int]:
    """Return first and last of a number or of a range such as ``1024-2047``.

    Raises:
        ValueError: It runs backwards.
    """
    first, dash, last = str(given).partition("-")
    low, high = int(first), int(last if dash else first)
    if low > high:
        raise ValueError(f"{given!r} runs backwards: write {high}-{low}")
    return low, high


def parse_amount(given: int | str) -> int:
    """Return how many ``50``, ``50k``, ``50M`` or ``50G`` are.

    Raises:
        ValueError: It is no amount, or 0.
    """
    match = _AMOUNT.fullmatch(str(given))
    if match is None:
        raise ValueError(f"{given!r} is no amount: give a number, or one with k, M or G, such as 200M")
    amount = int(match[1]) * _KILOS[match[2]]
    if amount < 1:
        raise ValueError(f"{given!r}: give 1 or more")
    return amount


def parse_rate(given: str) -> tuple[int, int]:
    """Return how many in how many seconds a rate such as ``200M/s``, ``10/m`` or ``1/h`` is.

    Raises:
        ValueError: It is no rate, or 0.
    """
    amount, _slash, period = given.partition("/")
    if period not in _PERIODS:
        raise ValueError(f"{given!r} is no rate: give an amount a second, minute or hour, such as 200M/s")
    return parse_amount(amount), _PERIODS[period]


def parse_duration(given: str) -> int | None:
    """Return how many seconds ``30s``, ``10m``, ``24h``, ``7d`` or ``2w`` are; None if it is no duration of seconds."""
    milliseconds = None if given.endswith("ms") else parse_milliseconds(given)
    return None if milliseconds is None else milliseconds // 1000


def parse_milliseconds(given: str) -> int | None:
    """Return how many milliseconds ``500ms``, or a duration as ``parse_duration`` takes it, are; None if it is none."""
    match = _DURATION.fullmatch(given)
    return int(match[1]) * _DURATIONS[match[2]] if match else None


def parse_time(given: int | str, now: float | None = None) -> int:
    """Return seconds since 1970 of a time such as ``2026-12-01T00:00:00Z``, or of a duration's end, such as ``24h``.

    Args:
        given: A time, a duration, or seconds since 1970.
        now: When a duration begins, in seconds since 1970.

    Raises:
        ValueError: It is neither, has no zone, or nobody knows when the duration began.
    """
    if isinstance(given, int) or (given.isascii() and given.isdigit()):
        return int(given)
    duration = parse_duration(given)
    if duration is not None and now is not None:
        return int(now) + duration
    if duration is not None:
        raise ValueError(f"{given!r} is a duration, and it is not known when it began: give the time at which it ends")
    try:
        # Python 3.9 knows no Z.
        time = datetime.fromisoformat(given[:-1] + "+00:00" if given.endswith("Z") else given)
    except ValueError:
        raise ValueError(
            f"{given!r} is no time: give a duration such as 24h, or a time such as 2026-12-01T00:00:00Z"
        ) from None
    if time.tzinfo is None:
        raise ValueError(f"{given!r} has no zone: write {given}Z for UTC")
    return int(time.timestamp())
