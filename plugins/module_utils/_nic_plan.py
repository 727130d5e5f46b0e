# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""From what is asked of NICs and what they are to the steps between, in the order that drivers need.

Pure functions. The order is that of ``hardware``; each step stands where the one before can no longer undo it:

* A closed device is opened first, as some drivers take no settings before (and closed last).
* Private flags choose how a driver works, and with it the limits of all that follows.
* A changed number of channels is refused while the indirection table or a flow rule names a queue that would go, and
  leaves out the queues that come; so our rules and the table give way before, and return after.
* Channels, rings and MTU make a driver set its queues up anew, which loses what is set for each queue.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import _irqbalance
from ._core import Change, Impossible
from ._cpulist import format_cpulist
from ._irq_plan import Demand, Place, place, share_out
from ._nic_drivers import FEATURES, driver, members, resets_device
from ._nic_request import AUTO, MAXIMUM, OFF, Irq, Request, Rps, Rss, rule_body
from ._nic_state import HostState, NicState
from ._rxnfc import FlowRule
from ._xdp_limits import XdpLimits, xdp_limits

DEFAULT = "default"
_OWN_RULES = 64  # flow rules that are ours where nothing else is said: the last of the table, which others fill last
_HOST = "host"


@dataclass(frozen=True)
class Target:
    """A NIC and what is asked of it.

    Attributes:
        touched: Whether it is to be brought there now; others only take their share of the CPUs.
        owns_rules: Whether the flow rules within the request's locations are known to be ours.
    """

    name: str
    request: Request
    touched: bool = True
    owns_rules: bool = False


class Table(list):
    """An indirection table, shown by what it does rather than by its hundreds of buckets."""

    def __str__(self) -> str:
        shares = Counter(self)
        return f"{len(self)} buckets over queues {format_cpulist(shares)}" + (
            ""
            if len(set(shares.values())) == 1
            else f" ({', '.join(f'{queue}: {shares[queue]}' for queue in sorted(shares))})"
        )


def plan(targets: Sequence[Target], state: HostState, only: Collection[str] | None = None) -> list[Change]:
    """Return the steps from what the NICs are to what is asked of them.

    One NIC after the other, so that a bond never loses all of its members at once.

    Args:
        targets: NICs and requests.
        state: The NICs as they are.
        only: Names of the NICs to plan for; None for all.

    Raises:
        Impossible: Interrupts cannot be placed, which ``faults`` finds before anything is changed.
    """
    places = placements(targets, state)
    reasons = [reason for one in places.values() for reason in one.reasons]
    if reasons:
        raise Impossible("; ".join(reasons), reasons=reasons)
    changes: list[Change] = []
    concerned = [target for target in targets if only is None or target.name in only]
    for target in concerned:
        if target.touched:
            changes += hardware(target.request, state.nics[target.name])
    changes += _ban(targets, places, state)
    for target in concerned:
        nic = state.nics[target.name]
        if target.name in places:
            changes += _irqs(target.request, nic, places[target.name])
        if target.touched:
            changes += _xps(target.request, nic, state, places.get(target.name))
            changes += _rps(target.request, nic)
    changes += _sock_flows(targets, state)
    return changes


def placements(targets: Sequence[Target], state: HostState) -> dict[str, Place]:
    """Return where the interrupts of each NIC that asks for it go, whatever happens to their number meanwhile."""
    demands = [
        Demand(target.name, _queues_after(target.request, nic), target.request.irq, nic.node)
        for target in targets
        if target.request.irq is not None
        for nic in (state.nics[target.name],)
    ]
    return place(state.topology, demands)


def faults(targets: Sequence[Target], state: HostState) -> tuple[list[str], list[str]]:
    """Return what the NICs cannot do, and what would harm what is not ours; each with its limit and the way out."""
    limits, refusals = [], []
    for target in targets:
        if target.touched:
            nic = state.nics[target.name]
            limits += [f"{nic.name}: {reason}" for reason in _limits(target.request, nic, state)]
            refusals += [f"{nic.name}: {reason}" for reason in _refusals(target, nic)]
    limits += [reason for one in placements(targets, state).values() for reason in one.reasons]
    if state.irqbalance.stray and any(target.request.irq for target in targets):
        refusals.append(
            "irqbalance runs, but not by systemd, so it cannot be told to keep off interrupts that are placed: stop it"
        )
    return limits, refusals


def previous(request: Request, nic: NicState) -> Request:
    """Return the request that would bring a NIC back to what it is now, in everything that this one could change."""
    settings, rss = nic.settings, nic.settings.rss
    channels = _now(request.channels, _counts(settings.channels))
    asked = request.rss or Rss()
    spread: Rss | None = None
    if request.rss is not None or channels:
        spread = Rss(
            **_table_now(nic) if asked.spreads or channels else {},
            key=rss.key if rss and asked.key else None,
            function=rss.function if rss and asked.function else None,
            hash_fields=_now(asked.hash_fields, settings.hash_fields),
        )
    return Request(
        up=None if request.up is None else nic.link.up,
        mtu=None if request.mtu is None else nic.link.mtu,
        txqueuelen=None if request.txqueuelen is None else nic.link.txqueuelen,
        private_flags=_now(request.private_flags, settings.private_flags),
        channels=channels,
        rings=_now(request.rings, _rings(nic)),
        coalesce=_now(request.coalesce, settings.coalesce),
        features={name: settings.features[name].active for name in _features(request, nic)[0]},
        pause=_now(request.pause, settings.pause),
        rss=None if spread == Rss() else spread,
        flow_rules=None if request.flow_rules is None else tuple(_own_rules(request, nic).values()),
        locations=None if request.flow_rules is None or settings.flow_rules is None else _span(request, nic),
        irq=None if request.irq is None else _irqs_now(nic),
        xps=(nic.xps if any(nic.xps) else OFF) if request.xps is not None and nic.xps else None,
        rps=None if request.rps is None else _rps_now(request.rps, nic),
    )


def notes(targets: Sequence[Target], state: HostState) -> dict[str, list[str]]:
    """Return what an operator should know of each NIC."""
    places = placements(targets, state)
    told = {}
    for target in targets:
        nic = state.nics[target.name]
        said = list(places[target.name].notes) if target.name in places else []
        if target.request.irq is not None and nic.pci and not nic.irqs and not nic.link.up:
            said.append("it is down, so it has no interrupts yet; they are placed when it comes up")
        limits = xdp_limits(nic.settings.driver)
        if limits.redirects_by_cpu and _receive_queues(target.request, nic) < len(state.topology.online):
            said.append("fewer queues than CPUs: XDP loses packets that the other CPUs redirect to it")
        told[target.name] = said
    return told


def hardware(request: Request, nic: NicState) -> Iterator[Change]:
    """Return the steps that one NIC takes by itself: all but those for its interrupts and its queues' CPUs."""
    settings, name = nic.settings, nic.name
    bounces = driver(settings.driver).bounces and nic.link.up
    channels = _wanted_channels(request, nic)
    recount = list(_differ(name, "channels", channels, _counts(settings.channels), bounces))
    if request.up and not nic.link.up:
        yield Change((name, "up"), False, True)
    yield from _differ(name, "private_flags", request.private_flags, settings.private_flags, bounces)
    if recount:
        yield from _rules_that_give_way(request, nic)
        yield from _table_that_gives_way(nic)
    yield from recount
    yield from _differ(name, "rings", _wanted_rings(request, nic), _rings(nic), bounces)
    if request.mtu is not None and request.mtu != nic.link.mtu:
        yield Change((name, "mtu"), nic.link.mtu, request.mtu, bounces)
    yield from _differ(name, "coalesce", request.coalesce, settings.coalesce)
    active = {feature: found.active for feature, found in settings.features.items()}
    for change in _differ(name, "features", _features(request, nic)[0], active):
        yield replace(change, disrupts=bounces and resets_device(change.path[-1]))
    yield from _differ(name, "pause", request.pause, settings.pause, bounces)
    if request.txqueuelen is not None and request.txqueuelen != nic.link.txqueuelen:
        yield Change((name, "txqueuelen"), nic.link.txqueuelen, request.txqueuelen)
    yield from _spread(request, nic, bool(recount))
    yield from _rules(request, nic, bool(recount))
    if request.up is False and nic.link.up:
        yield Change((name, "up"), True, False, disrupts=True)


def _differ(
    name: str, section: str, wanted: Mapping[str, Any], now: Mapping[str, Any] | None, disrupts: bool = False
) -> Iterator[Change]:
    for key, value in wanted.items():
        held = (now or {}).get(key)
        if held != value:
            yield Change((name, section, key), held, value, disrupts)


def _wanted_channels(request: Request, nic: NicState) -> dict[str, int]:
    counts = nic.settings.channels or {}
    wanted = {}
    for kind, value in request.channels.items():
        if value == MAXIMUM:
            most = counts[kind].maximum if kind in counts else 0
            value = max(most // 2, 1) if _spares_half(nic) and kind != "rx" else most
        wanted[kind] = int(value)
    return wanted


def _wanted_rings(request: Request, nic: NicState) -> dict[str, int | bool]:
    counts = nic.settings.rings or {}
    return {
        kind: counts[kind].maximum if value == MAXIMUM and kind in counts else value
        for kind, value in request.rings.items()
        if not isinstance(value, str) or kind in counts
    }  # type: ignore[misc]


def _spares_half(nic: NicState) -> bool:
    return bool(nic.link.xdp.programs.get("native")) and xdp_limits(nic.settings.driver).spares_half


def _channels_after(request: Request, nic: NicState) -> dict[str, int]:
    return {**_counts(nic.settings.channels), **_wanted_channels(request, nic)}


def _receive_queues(request: Request, nic: NicState) -> int:
    after = _channels_after(request, nic)
    return after.get("rx", 0) + after.get("combined", 0) or (nic.settings.rss.rings if nic.settings.rss else 0) or 1


def _transmit_queues(request: Request, nic: NicState) -> int:
    after = _channels_after(request, nic)
    return after.get("tx", 0) + after.get("combined", 0) or len(nic.xps)


def _queues_after(request: Request, nic: NicState) -> int:
    """Return how many queues will interrupt."""
    after = _channels_after(request, nic)
    seen = {irq.queue for irq in nic.irqs if irq.queue is not None}
    if seen and after == _counts(nic.settings.channels):
        return max(seen) + 1
    return after.get("combined", 0) + max(after.get("rx", 0), after.get("tx", 0)) or len(seen) or 1


def _table_that_gives_way(nic: NicState) -> Iterator[Change]:
    table = nic.settings.rss.table if nic.settings.rss else ()
    if table:
        yield Change((nic.name, "rss", "table"), Table(table), DEFAULT)


def _spread(request: Request, nic: NicState, reset: bool) -> Iterator[Change]:
    asked, rss = request.rss, nic.settings.rss
    if asked is None:
        return
    name = nic.name
    if rss is not None and asked.spreads:
        queues = _receive_queues(request, nic)
        # After a change of channels the driver has spread the table evenly over the new ones.
        now = tuple(bucket % queues for bucket in range(len(rss.table))) if reset else rss.table
        after = None if asked.default else wanted_table(asked, len(rss.table))
        if not _spreads_alike(asked, now, after, queues):
            yield Change((name, "rss", "table"), Table(now), DEFAULT if after is None else Table(after))
    if rss is not None and asked.key is not None and asked.key != rss.key:
        yield Change((name, "rss", "key"), rss.key.hex(":"), asked.key.hex(":"))
    if rss is not None and asked.function is not None and asked.function != rss.function:
        yield Change((name, "rss", "function"), rss.function, asked.function)
    for flow_type, letters in asked.hash_fields.items():
        held = nic.settings.hash_fields.get(flow_type, "")
        if set(held) != set(letters):
            yield Change((name, "hash_fields", flow_type), held, letters)


def wanted_table(asked: Rss, buckets: int) -> tuple[int, ...]:
    """Return the indirection table that is asked for."""
    if asked.table is not None:
        return asked.table
    if asked.equal is not None:
        return tuple(bucket % asked.equal for bucket in range(buckets))
    weights = asked.weights or ()
    # The queue whose cumulative share covers the bucket.
    total, table, reached = sum(weights), [], 0
    for queue, weight in enumerate(weights):
        reached += weight
        table += [queue] * (buckets * reached // total - len(table))
    return tuple(table)


def _spreads_alike(asked: Rss, now: Sequence[int], after: Sequence[int] | None, queues: int) -> bool:
    """Whether a table does what is asked. The order of buckets says nothing unless it was asked for.

    igb spreads by blocks (0, 0, 1, 1) where others alternate (0, 1, 0, 1); each is as even as the other.
    """
    if asked.table is not None:
        return tuple(now) == after
    if asked.weights is not None:
        return Counter(now) == Counter(after)
    return is_even(now, asked.equal if asked.equal is not None else queues)


def is_even(table: Sequence[int], queues: int) -> bool:
    """Whether a table spreads evenly over exactly the first so many queues, as far as its length allows."""
    shares = Counter(table)
    used = min(queues, len(table))
    return set(shares) == set(range(used)) and max(shares.values()) - min(shares.values()) <= 1


def _span(request: Request, nic: NicState) -> tuple[int, int]:
    capacity = nic.settings.flow_rules.capacity if nic.settings.flow_rules else 0
    return request.locations or (max(capacity - _OWN_RULES, 0), max(capacity - 1, 0))


def _own_rules(request: Request, nic: NicState) -> dict[int, FlowRule]:
    """Return the rules within our locations."""
    if request.flow_rules is None or nic.settings.flow_rules is None:
        return {}
    first, last = _span(request, nic)
    return {
        rule.location: rule
        for rule in nic.settings.flow_rules.rules
        if rule.location is not None and first <= rule.location <= last
    }


def _wanted_rules(request: Request, nic: NicState) -> dict[int, FlowRule]:
    """Return the rules that are asked for; those without a location take the first free ones of ours."""
    rules = request.flow_rules or ()
    first, last = _span(request, nic)
    taken = {rule.location for rule in rules}
    free = (place for place in range(first, last + 1) if place not in taken)
    placed = {}
    for rule in rules:
        location = rule.location if rule.location is not None else next(free, None)
        if location is not None:
            placed[location] = replace(rule, location=location)
    return placed


def _rules_that_give_way(request: Request, nic: NicState) -> Iterator[Change]:
    queues = _receive_queues(request, nic)
    for location, rule in _own_rules(request, nic).items():
        if rule.queue is not None and rule.queue >= queues:
            yield Change((nic.name, "flow_rules", str(location)), rule_body(rule), None)


def _rules(request: Request, nic: NicState, recount: bool) -> Iterator[Change]:
    if request.flow_rules is None:
        return
    held, wanted = _own_rules(request, nic), _wanted_rules(request, nic)
    if recount:
        for change in _rules_that_give_way(request, nic):
            held.pop(int(change.path[-1]))
    for location in sorted(held.keys() - wanted.keys()):
        yield Change((nic.name, "flow_rules", str(location)), rule_body(held[location]), None)
    for location, rule in sorted(wanted.items()):
        if held.get(location) != rule:
            before = rule_body(held[location]) if location in held else None
            yield Change((nic.name, "flow_rules", str(location)), before, rule_body(rule))


def _ban(targets: Sequence[Target], places: Mapping[str, Place], state: HostState) -> Iterator[Change]:
    if state.irqbalance.command is None:
        return
    placed = {
        irq.number
        for target in targets
        if target.name in places
        for irq in state.nics[target.name].irqs
        if irq.movable and _destination(irq.queue, places[target.name]) is not None
    }
    if placed != set(state.irqbalance.banned or ()):
        describe = _irqbalance.describe
        yield Change(("irqbalance", "banned"), describe(state.irqbalance.banned), describe(placed))


def _irqs(request: Request, nic: NicState, destination: Place) -> Iterator[Change]:
    covered = set()
    for irq in nic.irqs:
        cpus = _destination(irq.queue, destination)
        covered.add(irq.queue)
        if cpus is not None and irq.movable and irq.cpus != cpus:
            yield Change((nic.name, "irq", irq.name), format_cpulist(irq.cpus), format_cpulist(cpus))
    # Queues that are still to come: a change of channels or the opening of the device brings them.
    coming = nic.pci is not None and (
        _channels_after(request, nic) != _counts(nic.settings.channels) or (bool(request.up) and not nic.link.up)
    )
    for queue, cpus in enumerate(destination.queues if coming else ()):
        if queue not in covered:
            yield Change((nic.name, "irq", f"queue {queue}"), None, format_cpulist(cpus))


def _destination(queue: int | None, destination: Place) -> frozenset[int] | None:
    if queue is None:
        return destination.other
    return destination.queues[queue] if queue < len(destination.queues) else None


def _xps(request: Request, nic: NicState, state: HostState, destination: Place | None) -> Iterator[Change]:
    if request.xps is None:
        return
    queues = _transmit_queues(request, nic)
    if request.xps == AUTO:
        homes = destination.queues if destination else ()
        shares = share_out(state.topology.local(nic.node), queues, homes)
    elif request.xps == OFF:
        shares = [frozenset()] * queues
    else:
        shares = list(request.xps)  # type: ignore[arg-type]
    if queues < 2 and not nic.xps:  # one queue takes all, and sysfs offers nothing to write
        return
    for queue, cpus in enumerate(shares):
        held = nic.xps[queue] if queue < len(nic.xps) else frozenset()
        if held != cpus:
            yield Change((nic.name, "xps", f"tx-{queue}"), format_cpulist(held), format_cpulist(cpus))


def _rps(request: Request, nic: NicState) -> Iterator[Change]:
    asked = request.rps
    if asked is None:
        return
    for queue in range(_receive_queues(request, nic)):
        known = queue < len(nic.rps)
        held = nic.rps[queue] if known else frozenset()
        if asked.cpus is not None and held != asked.cpus:
            yield Change((nic.name, "rps", f"rx-{queue}"), format_cpulist(held), format_cpulist(asked.cpus))
        flows = _flows_of_queue(request, nic)
        if flows is not None and (nic.rfs[queue] if known else 0) != flows:
            yield Change((nic.name, "rfs", f"rx-{queue}"), nic.rfs[queue] if known else 0, flows)


def _flows_of_queue(request: Request, nic: NicState) -> int | None:
    total = request.rps.flow_entries if request.rps else None
    if total is None:
        return None
    return _power_of_two(-(-total // _receive_queues(request, nic)))


def _sock_flows(targets: Sequence[Target], state: HostState) -> Iterator[Change]:
    """The table of all sockets must hold the flows of all queues. It is never shrunk, as others may need it."""
    needed = _power_of_two(sum((target.request.rps or Rps()).flow_entries or 0 for target in targets))
    if needed > (state.sock_flow_entries or 0):
        yield Change((_HOST, "rps_sock_flow_entries"), state.sock_flow_entries, needed)


def _power_of_two(number: int) -> int:
    """Return the power of two that the kernel rounds a flow table up to; 0 for none."""
    return 1 << (number - 1).bit_length() if number else 0


def _counts(counts: Mapping[str, Any] | None) -> dict[str, Any]:
    return {kind: count.current for kind, count in (counts or {}).items()}


def _rings(nic: NicState) -> dict[str, Any]:
    return {**(nic.settings.ring_options or {}), **_counts(nic.settings.rings)}


def _now(asked: Mapping[str, Any], held: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: held[key] for key in asked if key in held} if held else {}


def _table_now(nic: NicState) -> dict[str, Any]:
    rss = nic.settings.rss
    if rss is None or not rss.table:
        return {}
    return {"default": True} if is_even(rss.table, rss.rings) else {"table": tuple(rss.table)}


def _irqs_now(nic: NicState) -> Irq | None:
    by_queue = {irq.queue: irq.cpus for irq in nic.irqs if irq.queue is not None}
    others = [irq.cpus for irq in nic.irqs if irq.queue is None]
    if not by_queue:
        return None
    return Irq(tuple(by_queue[queue] for queue in sorted(by_queue)), other=others[0] if others else None)


def _rps_now(asked: Rps, nic: NicState) -> Rps:
    cpus = nic.rps[0] if nic.rps else frozenset()
    return Rps(None if asked.cpus is None else cpus, None if asked.flow_entries is None else sum(nic.rfs))


# What a NIC cannot do


def _limits(request: Request, nic: NicState, state: HostState) -> Iterator[str]:
    yield from _channel_limits(request, nic)
    yield from _ring_limits(request, nic)
    settings = nic.settings
    yield from _unknown("coalesce", request.coalesce, settings.coalesce, nic)
    yield from _unknown("pause", request.pause, settings.pause, nic)
    yield from _unknown("private flags", request.private_flags, settings.private_flags, nic)
    yield from _features(request, nic)[1]
    yield from _link_limits(request, nic)
    yield from _spread_limits(request, nic)
    yield from _rule_limits(request, nic)
    if (request.xps is not None or request.rps is not None) and not nic.rps:
        yield "its queues are not below /sys/class/net: this is the sysfs of another network namespace"
        return
    yield from _xps_limits(request, nic, state)
    yield from _rps_limits(request, state)


def _unknown(what: str, asked: Mapping[str, Any], known: Mapping[str, Any] | None, nic: NicState) -> Iterator[str]:
    if asked and not known:
        yield f"{_driver(nic)} has no {what} to set"
        return
    for key in asked:
        if known is not None and key not in known:
            yield f"{_driver(nic)} has no {what} {key}; it has {', '.join(sorted(known))}"


def _channel_limits(request: Request, nic: NicState) -> Iterator[str]:
    counts = nic.settings.channels or {}
    yield from _unknown("channels", request.channels, nic.settings.channels, nic)
    wanted = {kind: value for kind, value in _wanted_channels(request, nic).items() if kind in counts}
    for kind, value in wanted.items():
        if value > counts[kind].maximum:
            yield f"{value} {kind} channels > hardware maximum {counts[kind].maximum}"
    after = {**_counts(counts), **wanted}
    if wanted and counts and not after.get("combined", 0):
        yield from (
            f"no {way} channel would be left: at least one is needed" for way in ("rx", "tx") if not after.get(way)
        )


def _ring_limits(request: Request, nic: NicState) -> Iterator[str]:
    counts = nic.settings.rings or {}
    known = _rings(nic)
    takes = driver(nic.settings.driver)
    yield from _unknown("rings", request.rings, known or None, nic)
    for kind, value in request.rings.items():
        if kind not in counts:
            if value == MAXIMUM and kind in known:
                yield f"{kind} ring {MAXIMUM}: the driver names no maximum; give a value"
            continue
        most = counts[kind].maximum
        if isinstance(value, bool):
            yield f"{kind} ring {value} is no number of descriptors: 1 to {most}"
        elif value != MAXIMUM and int(value) > most:
            yield f"{kind} ring {value} > hardware maximum {most}"
        elif value != MAXIMUM and kind in ("rx", "tx") and (fit := _fitting(int(value), most, takes)) != int(value):
            yield f"{kind} ring {value} would become another size in {_driver(nic)}: use {fit}"


def _fitting(value: int, most: int, takes: Any) -> int:
    """Return the ring size nearest above that a driver takes as it is."""
    value = max(value, takes.ring_minimum)
    if takes.ring_power:
        value = 1 << (value - 1).bit_length()
    return min(-(-value // takes.ring_multiple) * takes.ring_multiple, most)


def _link_limits(request: Request, nic: NicState) -> Iterator[str]:
    link, mtu = nic.link, request.mtu
    if mtu is not None and link.max_mtu and mtu > link.max_mtu:
        yield f"MTU {mtu} > hardware maximum {link.max_mtu}"
    if mtu is not None and mtu < link.min_mtu:
        yield f"MTU {mtu} < hardware minimum {link.min_mtu}"


def _features(request: Request, nic: NicState) -> tuple[dict[str, bool], list[str]]:
    """Return the wanted features by the kernel's names, and what cannot be had."""
    known = nic.settings.features
    wanted: dict[str, bool] = {}
    reasons = []
    for word, value in request.features.items():
        switched = members(word, known)
        if not switched:
            close = difflib.get_close_matches(word, [*known, *FEATURES], 3)
            reasons.append(f"no feature {word}" + (f"; is {' or '.join(close)} meant?" if close else ""))
            continue
        movable = [name for name in switched if known[name].changeable]
        # A word for a group speaks of those of its members that can be switched, as it does for ethtool(8).
        fixed = [] if movable else [name for name in switched if known[name].active != value]
        for name in fixed:
            named = name if name == word else f"{name} ({word})"
            reasons.append(f"feature {named} is fixed {'on' if known[name].active else 'off'} in {_driver(nic)}")
        wanted.update(dict.fromkeys(movable, value))
    return wanted, reasons


def _spread_limits(request: Request, nic: NicState) -> Iterator[str]:
    asked, rss = request.rss, nic.settings.rss
    if asked is None:
        return
    if rss is None and (asked.spreads or asked.key or asked.function):
        yield f"{_driver(nic)} has no RSS to set"
    elif rss is not None:
        yield from _table_limits(asked, len(rss.table), _receive_queues(request, nic), nic)
        if asked.key is not None and len(asked.key) != len(rss.key):
            yield f"an RSS key of {len(asked.key)} bytes; {_driver(nic)} takes {len(rss.key) or 'none'}"
        if asked.function is not None and rss.functions and asked.function not in rss.functions:
            yield f"no RSS function {asked.function}; there are {', '.join(rss.functions)}"
    for flow_type in asked.hash_fields:
        if flow_type not in nic.settings.hash_fields:
            known = ", ".join(nic.settings.hash_fields) or "none"
            yield f"{_driver(nic)} has no hash fields for {flow_type}; it has {known}"


def _table_limits(asked: Rss, buckets: int, queues: int, nic: NicState) -> Iterator[str]:
    if not asked.spreads:
        return
    if not buckets:
        yield f"{_driver(nic)} has no RSS indirection table"
    elif asked.equal is not None and asked.equal > queues:
        yield f"rss.equal {asked.equal} > {queues} receive queues"
    elif asked.weights is not None and len(asked.weights) > queues:
        yield f"rss.weights for {len(asked.weights)} queues > {queues} receive queues"
    elif asked.table is not None and len(asked.table) != buckets:
        yield f"an RSS table of {len(asked.table)} buckets; the hardware has {buckets}"
    elif asked.table is not None and max(asked.table) >= queues:
        yield f"rss.table names queue {max(asked.table)}; the last of {queues} is {queues - 1}"


def _rule_limits(request: Request, nic: NicState) -> Iterator[str]:
    rules, found = request.flow_rules, nic.settings.flow_rules
    if not rules:
        return
    steering = nic.settings.features.get("rx-ntuple-filter")
    if steering is not None and not steering.active:
        if not steering.changeable:
            yield f"flow rules: {_driver(nic)} cannot steer flows (ntuple is fixed off)"
            return
        if not _features(request, nic)[0].get("rx-ntuple-filter"):
            yield "flow rules need ntuple, which is off: ask for features.ntuple too"
    if found is None or not found.capacity:
        if steering is None or steering.active:
            yield f"flow rules: {_driver(nic)} has no table for them"
        return
    first, last = _span(request, nic)
    if last >= found.capacity:
        yield f"flow_rule_locations {first}-{last}: the last location of the hardware is {found.capacity - 1}"
    if len(rules) > last - first + 1:
        yield f"{len(rules)} flow rules > {last - first + 1} locations ({first}-{last}): widen flow_rule_locations"
    queues = _receive_queues(request, nic)
    for number, rule in enumerate(rules):
        if rule.location is not None and not first <= rule.location <= last:
            yield f"flow_rules[{number}]: location {rule.location} is not in {first}-{last}, our part of the table"
        if rule.queue is not None and rule.queue >= queues:
            yield f"flow_rules[{number}]: queue {rule.queue}; the last of {queues} is {queues - 1}"


def _xps_limits(request: Request, nic: NicState, state: HostState) -> Iterator[str]:
    if request.xps is None or isinstance(request.xps, str):
        return
    queues = _transmit_queues(request, nic) or 1
    if len(request.xps) != queues:
        yield f"xps has CPUs for {len(request.xps)} transmit queues; it has {queues}: give a CPU list for each"
    elif queues == 1 and not nic.xps:
        yield "xps: a NIC of one transmit queue has nothing to choose"
    offline = frozenset().union(*request.xps) - set(state.topology.online)
    if offline:
        yield f"xps names CPUs {format_cpulist(offline)}, which are not online"


def _rps_limits(request: Request, state: HostState) -> Iterator[str]:
    asked = request.rps or Rps()
    offline = (asked.cpus or frozenset()) - set(state.topology.online)
    isolated = (asked.cpus or frozenset()) & set(state.topology.isolated)
    if offline:
        yield f"rps.cpus names CPUs {format_cpulist(offline)}, which are not online"
    if isolated:
        yield f"rps.cpus names CPUs {format_cpulist(isolated)}, which are isolated: the kernel takes none of those"
    if asked.flow_entries and state.sock_flow_entries is None:
        yield "rps.flow_entries: this kernel has no RFS (CONFIG_RPS)"


# What would harm what is not ours


def _refusals(target: Target, nic: NicState) -> Iterator[str]:
    request = target.request
    recount = dict(_channels_after(request, nic)) != _counts(nic.settings.channels)
    if recount and nic.rdma:
        yield (
            f"{nic.rdma} holds its channels for RDMA, and {_driver(nic)} changes none meanwhile: "
            f"unload {nic.rdma} first, or leave them as they are"
        )
    if recount:
        queues = _receive_queues(request, nic)
        ours = _own_rules(request, nic)
        for rule in nic.settings.flow_rules.rules if nic.settings.flow_rules else ():
            if rule.location not in ours and rule.queue is not None and rule.queue >= queues:
                yield (
                    f"flow rule {rule.location}, which is not ours, steers to queue {rule.queue}, but {queues} would "
                    f"be left: remove it first ('ethtool -N {nic.name} delete {rule.location}')"
                )
    if not target.owns_rules:
        wanted = _wanted_rules(request, nic)
        foreign = [str(place) for place, rule in _own_rules(request, nic).items() if wanted.get(place) != rule]
        if foreign:
            yield (
                f"flow rules at {', '.join(foreign)} are not ours: choose other flow_rule_locations, or remove them "
                f"('ethtool -N {nic.name} delete N')"
            )
    if nic.link.xdp.programs.get("native"):
        limits = xdp_limits(nic.settings.driver)
        yield from (f"{reason}; detach the XDP program first" for reason in _xdp_forbids(request, nic, limits, recount))


def _xdp_forbids(request: Request, nic: NicState, limits: XdpLimits, recount: bool) -> Iterator[str]:
    after, counts = _channels_after(request, nic), nic.settings.channels or {}
    if recount and driver(nic.settings.driver).xdp_holds_channels:
        yield f"{_driver(nic)} changes no channels under XDP"
    for kind in ("combined", "tx") if recount and limits.spares_half else ():
        if kind in counts and after[kind] > counts[kind].maximum // 2:
            yield f"{after[kind]} {kind} channels > {counts[kind].maximum // 2}, half of them, as XDP needs the others"
    if recount and limits.same_queues and after.get("rx") != after.get("tx"):
        yield f"{after.get('rx')} rx and {after.get('tx')} tx channels, but XDP needs as many of both"
    if recount and limits.only_combined and (after.get("rx") or after.get("tx")):
        yield "separate rx and tx channels, but XDP needs combined ones"
    if request.mtu is not None and request.mtu > max(limits.mtu, nic.link.mtu):
        yield f"MTU {request.mtu} > {limits.mtu}, the most that XDP takes in {_driver(nic)}"
    wanted = _features(request, nic)[0]
    if wanted.get("rx-lro"):
        yield "rx-lro merges packets, which XDP cannot see"
    if wanted.get("rx-gro-hw") and limits.refuses_hardware_gro:
        yield "rx-gro-hw merges packets, which XDP cannot see"


def _driver(nic: NicState) -> str:
    return nic.settings.driver or "its driver"
