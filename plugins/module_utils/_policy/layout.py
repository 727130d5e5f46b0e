# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Bytes of a compiled policy: ``struct policy`` of files/bpf/tripod_policy.h and the tables behind it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from .._core.converge import Impossible

POLICY_ABI = 1

RULE_WORDS, SERVICE_WORDS = 16, 2
MAX_RULES, MAX_SERVICES, MAX_TRUSTED_FLOWS = RULE_WORDS * 64, SERVICE_WORDS * 64, 64
MAX_LISTS = MAX_LIMITS = 256  # with 0, which is none
MAX_EVERY_PACKET = 4
MAX_HITS = 4096
TICK_BITS = 36
MAX_SPAN = 1 << (TICK_BITS + 26)

# enum policy_action, enum limit_scope
ACTIONS: Mapping[str, int] = {"": 0, "none": 0, "pass": 1, "drop": 2, "limit": 3, "afxdp": 4, "syncookie": 5}
SCOPES: Mapping[str, int] = {"source": 1, "service": 2, "global": 3}

# enum policy_feature
FEATURE_SOURCES, FEATURE_TRUSTED_FLOWS, FEATURE_RULES, FEATURE_SERVICES = 1, 2, 4, 8

# enum policy_field, in the order of its bits
FIELDS = (
    *("source", "destination", "protocol", "source_port", "destination_port"),
    *("tcp_flags", "icmp_type", "vlan", "fragment", "length"),
)

HEADER = struct.Struct(f"=IIIB3xQ8x32s{RULE_WORDS}Q")
LIMIT = struct.Struct("=QQQQQQIHHBB6x")
LIST = struct.Struct("=HHB3x")
PART = struct.Struct("=HHB3x")
SOURCE_RESULT = struct.Struct("=BBHHBx")
# Words of struct field_set, those in reserve among them.
SET_WORDS, SET_RESERVED = 24, 4

# Values of each field that has a table; the last two are of packets without it, and of later fragments, which might
# have had it (WITHOUT, IN_LATER_FRAGMENT).
VALUES: Mapping[str, int] = {
    "protocol": 256,
    "fragment": 3,
    "tcp_flags": 256 + 2,
    "icmp_type": 512 + 2,
    "vlan": 4096 + 2,
    "source_port": 65536 + 2,
    "destination_port": 65536 + 2,
    "length": 65536,
}

# Members of struct policy behind the header: bytes of an element, and how many.
_MEMBERS = {
    "limits": (LIMIT.size, MAX_LIMITS),
    "lists": (LIST.size, MAX_LISTS),
    "rules": (PART.size, MAX_RULES),
    "services": (PART.size, MAX_SERVICES),
    "protocol": (2, 256),
    "fragment": (2, 4),
    "tcp_flags": (2, 256 + 4),
    "icmp_type": (2, 512 + 4),
    "vlan": (2, 4096 + 4),
    "source_port": (2, 65536 + 4),
    "destination_port": (2, 65536 + 4),
    "length": (2, 65536),
    "source6_pages": (4, 64),
    "destination6_pages": (4, 64),
    "source4": (4, 65536),
    "destination4": (4, 65536),
}


class Table(NamedTuple):
    """A table behind struct policy.

    Attributes:
        size: Bytes of an element.
        least: Elements for which there always is room.
        most: Elements that it can have.
    """

    size: int
    least: int
    most: int


TABLES: Mapping[str, Table] = {
    "results": Table(SOURCE_RESULT.size, 4096, 1 << 16),
    "sets": Table(8 * SET_WORDS, 2048, 1 << 16),
    "ranges4": Table(4, 1 << 16, 1 << 26),
    "index6": Table(4, 12 << 16, 128 << 16),
    "nodes6": Table(64, 1 << 14, 1 << 28),
    "deep6": Table(4, 1 << 14, (1 << 20) - 1),
    "tails6": Table(8, 1 << 16, 1 << 26),
}
_WAYS_OUT = {
    "results": "rules and lists part the sources into too many kinds: name lists in rules, rather than prefixes",
    "sets": "rules and services part the packets into too many kinds: use fewer ranges and prefixes",
    "deep6": "too many networks of /64 have longer prefixes in them: take whole networks of /64",
}
_ALIGNMENT, _PAGE = 64, 4096

Bounds = Mapping[str, int]


def _offsets() -> tuple[dict[str, int], int]:
    offsets, at = {}, HEADER.size
    for name, (size, count) in _MEMBERS.items():
        offsets[name] = at
        at += size * count
    return offsets, at


OFFSETS, POLICY_SIZE = _offsets()


def header_digest(header: bytes) -> bytes | None:
    """Return the digest in the first ``HEADER.size`` bytes of a compiled policy; None where they mean another thing."""
    abi, *others = HEADER.unpack(header)
    return others[-RULE_WORDS - 1] if abi == POLICY_ABI else None


def refuse_more(name: str, count: int) -> None:
    """Raise where a table cannot have so many elements.

    Raises:
        Impossible: The message names the limit and the way out.
    """
    if count > TABLES[name].most:
        words = _WAYS_OUT.get(name, "give fewer prefixes")
        raise Impossible(f"the policy needs {count} elements of {name} > the limit {TABLES[name].most}: {words}")


def bounds_for(counts: Mapping[str, int], former: Bounds | None = None) -> dict[str, int]:
    """Return ``struct policy_bounds`` with room for tables of so many elements, and a quarter more.

    Room comes in steps of half as much again, so that a policy that grows seldom outgrows the program that runs.

    Args:
        counts: Elements of each table.
        former: Of the program that runs; kept where the tables fit, and never made smaller.

    Raises:
        Impossible: A table has more elements than its indices can tell apart.
    """
    for name in TABLES:
        refuse_more(name, counts[name])
    if former is not None and all(counts[name] <= former[f"{name}_count"] for name in TABLES):
        return dict(former)
    bounds = {"size": 0}
    at = _aligned(POLICY_SIZE, _ALIGNMENT)
    for name, table in TABLES.items():
        room = min(table.most, max(table.least, _step(counts[name] + counts[name] // 4)))
        if name == "sets":  # whose numbers the program masks
            room = _power(room)
        if former is not None:
            room = max(room, former[f"{name}_count"])
        bounds[name], bounds[f"{name}_count"] = at, room
        at = _aligned(at + table.size * room, _ALIGNMENT)
    bounds["size"] = _aligned(at, _PAGE)
    return bounds


def _step(count: int) -> int:
    power = _power(count)
    return power * 3 // 4 if count <= power * 3 // 4 else power


def _power(count: int) -> int:
    return 1 << max(0, count - 1).bit_length()


def _aligned(at: int, alignment: int) -> int:
    return -(-at // alignment) * alignment
