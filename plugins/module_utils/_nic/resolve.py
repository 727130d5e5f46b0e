# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a request comes to on one NIC: ``max`` in numbers, words in the kernel's names, queues as they will be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._linux.ethtool import Count, FlowRule
from .._linux.irq_names import UNKNOWN
from .._xdp.drivers import xdp_limits
from .drivers import driver, members
from .request import MAXIMUM, Request, Rss
from .state import NicState

_OWN_RULES = 64  # flow rules that are ours where nothing else is said: the last of the table, which others fill last


def channels(request: Request, nic: NicState) -> dict[str, int]:
    """Return the desired channels, with ``max`` in numbers: all but those that an attached XDP program needs."""
    limits = nic.settings.channels or {}
    desired = {}
    for kind, value in request.channels.items():
        if value == MAXIMUM:
            most = limits[kind].maximum if kind in limits else 0
            value = max(most // 2, 1) if _spares_half(nic) and kind != "rx" else most
        desired[kind] = int(value)
    return desired


def rings(request: Request, nic: NicState) -> dict[str, int | bool]:
    """Return the desired rings, with ``max`` in numbers."""
    limits = nic.settings.rings or {}
    desired: dict[str, int | bool] = {}
    for kind, value in request.rings.items():
        if not isinstance(value, str):
            desired[kind] = value
        elif kind in limits:
            desired[kind] = limits[kind].maximum
    return desired


def features(request: Request, nic: NicState) -> dict[str, bool]:
    """Return the desired features by the kernel's names.

    A word for a group speaks of those of its members that can be switched, as it does for ethtool(8).
    """
    known = nic.settings.features
    return {
        name: value
        for word, value in request.features.items()
        for name in members(word, known)
        if known[name].changeable
    }


def channels_after(request: Request, nic: NicState) -> dict[str, int]:
    """Return how many channels there will be, of each kind that the driver has."""
    now = counts(nic.settings.channels)
    return {**now, **{kind: count for kind, count in channels(request, nic).items() if kind in now}}


def receive_queues(request: Request, nic: NicState) -> int:
    """Return how many receive queues there will be."""
    after = channels_after(request, nic)
    return after.get("rx", 0) + after.get("combined", 0) or (nic.settings.rss.rings if nic.settings.rss else 0) or 1


def transmit_queues(request: Request, nic: NicState) -> int:
    """Return how many transmit queues there will be."""
    after = channels_after(request, nic)
    return after.get("tx", 0) + after.get("combined", 0) or len(nic.xps)


def interrupting_queues(request: Request, nic: NicState) -> int:
    """Return how many queues will interrupt."""
    after = channels_after(request, nic)
    seen = {irq.queue for irq in nic.irqs if irq.queue is not None}
    if seen and after == counts(nic.settings.channels):
        return max(seen) + 1
    return after.get("combined", 0) + max(after.get("rx", 0), after.get("tx", 0)) or len(seen) or 1


def unknown_irqs(nic: NicState) -> list[str]:
    """Return the names of interrupts of which neither the kernel nor a known name says what they serve."""
    return [irq.name for irq in nic.irqs if irq.serves == UNKNOWN]


def buckets_after(request: Request, nic: NicState) -> int:
    """Return how many buckets the RSS table will have; some drivers size it by their channels."""
    held = len(nic.settings.rss.table) if nic.settings.rss else 0
    size = driver(nic.settings.driver).rss_buckets
    now = counts(nic.settings.channels)
    queues = now.get("rx", 0) + now.get("combined", 0)
    # Where the size of today is not that of the rule, an older kernel or another chip has a fixed one.
    return size(receive_queues(request, nic)) if size and held and size(queues) == held else held


def indirection(requested: Rss, buckets: int) -> tuple[int, ...]:
    """Return the indirection table that is requested."""
    if requested.table is not None:
        return requested.table
    if requested.equal is not None:
        return tuple(bucket % requested.equal for bucket in range(buckets))
    weights = requested.weights or ()
    # The queue whose cumulative share covers the bucket.
    total, reached = sum(weights), 0
    table: list[int] = []
    for queue, weight in enumerate(weights):
        reached += weight
        table += [queue] * (buckets * reached // total - len(table))
    return tuple(table)


def is_even(table: Sequence[int], queues: int) -> bool:
    """Whether a table spreads evenly over exactly the first so many queues, as far as its length allows."""
    shares = Counter(table)
    used = min(queues, len(table))
    return used > 0 and set(shares) == set(range(used)) and max(shares.values()) - min(shares.values()) <= 1


def locations(request: Request, nic: NicState) -> tuple[int, int]:
    """Return the first and the last location of flow rules that are ours."""
    capacity = nic.settings.flow_rules.capacity if nic.settings.flow_rules else 0
    return request.locations or (max(capacity - _OWN_RULES, 0), max(capacity - 1, 0))


def own_rules(request: Request, nic: NicState) -> dict[int, FlowRule]:
    """Return the rules within our locations."""
    if request.flow_rules is None or nic.settings.flow_rules is None:
        return {}
    first, last = locations(request, nic)
    return {
        rule.location: rule
        for rule in nic.settings.flow_rules.rules
        if rule.location is not None and first <= rule.location <= last
    }


def flow_rules(request: Request, nic: NicState) -> dict[int, FlowRule]:
    """Return the rules that are requested; those without a location take the first free ones of ours."""
    rules = request.flow_rules or ()
    first, last = locations(request, nic)
    taken = {rule.location for rule in rules}
    free = (place for place in range(first, last + 1) if place not in taken)
    placed = {}
    for rule in rules:
        location = rule.location if rule.location is not None else next(free, None)
        if location is not None:
            placed[location] = replace(rule, location=location)
    return placed


def flows_of_queue(request: Request, nic: NicState) -> int | None:
    """Return how many flows each receive queue is to hold; None where nothing is requested."""
    if request.rps is None or request.rps.flow_entries is None:
        return None
    queues = receive_queues(request, nic)
    return power_of_two((request.rps.flow_entries + queues - 1) // queues)


def power_of_two(number: int) -> int:
    """Return the power of two that the kernel rounds a flow table up to; 0 for none."""
    return 1 << (number - 1).bit_length() if number else 0


def rings_now(nic: NicState) -> dict[str, Any]:
    """Return the rings, and what else their request can set."""
    return {**(nic.settings.ring_options or {}), **counts(nic.settings.rings)}


def counts(found: Mapping[str, Count] | None) -> dict[str, int]:
    """Return current numbers."""
    return {kind: count.current for kind, count in (found or {}).items()}


def _spares_half(nic: NicState) -> bool:
    limits = xdp_limits(nic.settings.driver)
    return bool(nic.link.xdp.programs.get("native")) and limits.spares_half and not limits.counts_spare
