# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Limits as the kernel's token buckets take them: costs and bursts in jiffies of 2^-36."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from .layout import LIMIT, MAX_SPAN, SCOPES, TICK_BITS
from .model import Limit, Rate
from .slots import slot_name

# Bytes of the longest frame that the program can see.
LONGEST_FRAME = 65536


def cost(rate: Rate, hz: int) -> int:
    """Return what one packet or byte costs, in jiffies of 2^-36."""
    return max(1, ((hz * rate.seconds << TICK_BITS) + rate.count // 2) // rate.count)


def too_fine(limits: Sequence[Limit], hz: int) -> Iterator[str]:
    """Yield what a host's clock cannot keep of limits.

    Args:
        limits: Of a policy.
        hz: Ticks of that clock in a second.
    """
    for limit in limits:
        for quantity, rate in _rates(limit):
            each = cost(rate, hz)
            a_tick = -(-rate.count // (rate.seconds * hz))
            if rate.burst < a_tick:
                yield (
                    f"{limit.place}: a burst of {rate.burst} {quantity} < {a_tick}, what the rate lets through in a "
                    f"tick of 1/{hz} s: give a burst of {a_tick} or more"
                )
            if rate.burst * each > MAX_SPAN:
                yield (
                    f"{limit.place}: a burst of {rate.burst} {quantity} takes {rate.burst * rate.seconds // rate.count}"
                    f" s to accrue > the limit of {MAX_SPAN // hz >> TICK_BITS} s: give a burst of "
                    f"{MAX_SPAN // each} or less, or a higher rate"
                )


def first_entries(limits: Sequence[Limit]) -> dict[str, int]:
    """Return the number of each limit, or of the first of its two."""
    numbers, number = {}, 1
    for limit in limits:
        numbers[limit.name] = number
        number += len(_rates(limit))
    return numbers


def pack_limits(limits: Sequence[Limit], hz: int, seed: bytes, slots: Mapping[str, int]) -> bytes:
    """Return ``struct policy_limit`` of each limit, behind that of none.

    Args:
        limits: Of a policy.
        hz: Ticks of the host's clock in a second.
        seed: The host's secret.
        slots: Counter slots.
    """
    packed = [bytes(LIMIT.size)]
    for limit in limits:
        rates = _rates(limit)
        v6_mask = _mask(limit.v6_length, 128)
        for place, (quantity, rate) in enumerate(rates):
            each = cost(rate, hz)
            packed.append(
                LIMIT.pack(
                    each if quantity == "packets" else 0,
                    each if quantity == "bytes" else 0,
                    rate.burst * each,
                    _key(seed, limit.name, quantity),
                    v6_mask >> 64,
                    v6_mask & (1 << 64) - 1,
                    _mask(limit.v4_length, 32),
                    slots[slot_name("limit", limit.name)],
                    len(packed) + 1 if place + 1 < len(rates) else 0,
                    SCOPES[limit.per],
                    limit.observe,
                )
            )
    return b"".join(packed)


def _rates(limit: Limit) -> list[tuple[str, Rate]]:
    return [(name, rate) for name, rate in (("packets", limit.packets), ("bytes", limit.bytes)) if rate is not None]


def _mask(length: int, width: int) -> int:
    return (1 << width) - (1 << width - length)


def _key(seed: bytes, name: str, quantity: str) -> int:
    """Return the secret by which a limit's buckets are found, so that nobody can aim at a line of their table."""
    digest = hashlib.sha256(b"\0".join((seed, name.encode(), quantity.encode()))).digest()
    return int.from_bytes(digest[:8], "big")
