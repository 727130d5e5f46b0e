# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a NIC cannot do, or must not while somebody needs it as it is: each with its limit and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._core.cpulist import format_cpulist
from .._linux import irqbalance
from .._xdp.drivers import HARDWARE_GRO, LRO, XdpLimits, xdp_limits
from . import coalesce, napi, resolve
from .drivers import FEATURES, Driver, driver, members
from .plan import Target, placements, reasons_against
from .request import MAXIMUM, Request, Rps, Rss
from .state import HostState, NicState


def faults(targets: Sequence[Target], state: HostState) -> tuple[list[str], list[str]]:
    """Return what the NICs cannot do, and what would harm what is not ours; each with its limit and the way out."""
    limits, refusals = [], []
    for target in targets:
        if target.touched:
            nic = state.nics[target.name]
            limits += [f"{nic.name}: {reason}" for reason in _limits(target.request, nic, state)]
            refusals += [f"{nic.name}: {reason}" for reason in _refusals(target, nic)]
    places = placements(targets, state)
    limits += [reason for target in targets if target.touched for reason in reasons_against(target, places)]
    if state.irqbalance.stray and any(target.request.irq for target in targets if target.touched):
        refusals.append(
            "irqbalance runs, but not by systemd, so nothing keeps it off interrupts that are placed: stop it"
        )
    later = state.irqbalance.overridden
    if later and any(target.request.irq for target in targets):
        refusals.append(
            f"{later} is read after {irqbalance.DROP_IN} and starts irqbalance without the bans of interrupts that are "
            f"placed: give it a name that comes before {irqbalance.DROP_IN.rpartition('/')[2]}"
        )
    return limits, refusals


def _limits(request: Request, nic: NicState, state: HostState) -> Iterator[str]:
    yield from _channel_limits(request, nic)
    yield from _ring_limits(request, nic)
    settings = nic.settings
    yield from _unknown("coalesce", request.coalesce, settings.coalesce, nic)
    yield from coalesce.faults(request.coalesce, settings)
    yield from _unknown("pause", request.pause, settings.pause, nic)
    yield from _unknown("private flags", request.private_flags, settings.private_flags, nic)
    yield from _feature_limits(request, nic)
    yield from _link_limits(request, nic)
    yield from _spread_limits(request, nic)
    yield from _rule_limits(request, nic)
    yield from _irq_limits(request, nic)
    if (request.xps is not None or request.rps is not None or request.napi) and not nic.rps:
        yield "its queues are not below /sys/class/net: this is the sysfs of another network namespace"
        return
    yield from napi.faults(request.napi, nic.napi)
    yield from _xps_limits(request, nic, state)
    yield from _rps_limits(request, state)


def _unknown(what: str, requested: Mapping[str, Any], known: Mapping[str, Any] | None, nic: NicState) -> Iterator[str]:
    if requested and not known:
        yield f"{_driver(nic)} has no {what} to set"
        return
    for key in requested:
        if known is not None and key not in known:
            yield f"{_driver(nic)} has no {what} {key}; it has {', '.join(sorted(known))}"


def _channel_limits(request: Request, nic: NicState) -> Iterator[str]:
    counts = nic.settings.channels or {}
    yield from _unknown("channels", request.channels, nic.settings.channels, nic)
    after = resolve.channels_after(request, nic)
    for kind in request.channels:
        if kind in counts and after[kind] > counts[kind].maximum:
            yield f"{after[kind]} {kind} channels > hardware maximum {counts[kind].maximum}"
    apart = driver(nic.settings.driver).channels_apart and after.get("combined")
    if request.channels and apart and (after.get("rx") or after.get("tx")):
        yield (
            f"combined channels beside rx and tx ones: {_driver(nic)} has either; "
            "request combined 0, or rx 0 and tx 0, too"
        )
    if request.channels and counts and not after.get("combined"):
        yield from (
            f"no {way} channel would be left: at least one is needed" for way in ("rx", "tx") if not after.get(way)
        )


def _ring_limits(request: Request, nic: NicState) -> Iterator[str]:
    counts = nic.settings.rings or {}
    known = resolve.rings_now(nic)
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


def _fitting(value: int, most: int, takes: Driver) -> int:
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


def _feature_limits(request: Request, nic: NicState) -> Iterator[str]:
    known = nic.settings.features
    for word, value in request.features.items():
        switched = members(word, known)
        if not switched:
            close = difflib.get_close_matches(word, [*known, *FEATURES], 3)
            yield f"no feature {word}" + (f"; is {' or '.join(close)} meant?" if close else "")
        if any(known[name].changeable for name in switched):
            continue
        for name in switched:
            if known[name].active != value:
                named = name if name == word else f"{name} ({word})"
                yield f"feature {named} is fixed {'on' if known[name].active else 'off'} in {_driver(nic)}"


def _spread_limits(request: Request, nic: NicState) -> Iterator[str]:
    requested, rss = request.rss, nic.settings.rss
    if requested is None:
        return
    closed = rss is None and not nic.link.up and driver(nic.settings.driver).rss_once_opened
    if closed and request.up:
        return  # opening it comes first, and shows what it has
    if rss is None and (requested.spreads or requested.key or requested.function):
        yield f"{_driver(nic)} has no RSS to set" + (" until it is opened: request up too" if closed else "")
    elif rss is not None:
        yield from _table_limits(
            requested, resolve.buckets_after(request, nic), resolve.receive_queues(request, nic), nic
        )
        if requested.key is not None and len(requested.key) != len(rss.key):
            yield f"an RSS key of {len(requested.key)} bytes; {_driver(nic)} takes {len(rss.key) or 'none'}"
        if requested.function is not None and rss.functions and requested.function not in rss.functions:
            yield f"no RSS function {requested.function}; there are {', '.join(rss.functions)}"
    for flow_type in requested.hash_fields:
        if flow_type not in nic.settings.hash_fields:
            known = ", ".join(nic.settings.hash_fields) or "none"
            yield f"{_driver(nic)} has no hash fields for {flow_type}; it has {known}"


def _table_limits(requested: Rss, buckets: int, queues: int, nic: NicState) -> Iterator[str]:
    if not requested.spreads:
        return
    if not buckets:
        yield f"{_driver(nic)} has no RSS indirection table"
    elif requested.equal is not None and requested.equal > queues:
        yield f"rss.equal {requested.equal} > {queues} receive queues"
    elif requested.weights is not None and len(requested.weights) > queues:
        yield f"rss.weights for {len(requested.weights)} queues > {queues} receive queues"
    elif requested.table is not None and len(requested.table) != buckets:
        yield f"an RSS table of {len(requested.table)} buckets; the hardware has {buckets}"
    elif requested.table is not None and max(requested.table) >= queues:
        yield f"rss.table names queue {max(requested.table)}; the last of {queues} is {queues - 1}"


def _rule_limits(request: Request, nic: NicState) -> Iterator[str]:
    rules, found = request.flow_rules, nic.settings.flow_rules
    if not rules:
        return
    steering = nic.settings.features.get("rx-ntuple-filter")
    if steering is not None and not steering.active:
        if not steering.changeable:
            yield f"flow rules: {_driver(nic)} cannot steer flows (ntuple is fixed off)"
            return
        if not resolve.features(request, nic).get("rx-ntuple-filter"):
            yield "flow rules need ntuple, which is off: request features.ntuple too"
    if found is None or not found.capacity:
        if steering is None or steering.active:
            yield f"flow rules: {_driver(nic)} has no table for them"
        return
    first, last = resolve.locations(request, nic)
    if last >= found.capacity:
        yield f"flow_rule_locations {first}-{last}: the last location of the hardware is {found.capacity - 1}"
    if len(rules) > last - first + 1:
        yield f"{len(rules)} flow rules > {last - first + 1} locations ({first}-{last}): widen flow_rule_locations"
    queues = resolve.receive_queues(request, nic)
    for number, rule in enumerate(rules):
        if rule.location is not None and not first <= rule.location <= last:
            yield f"flow_rules[{number}]: location {rule.location} is not in {first}-{last}, our part of the table"
        if rule.queue is not None and rule.queue >= queues:
            yield f"flow_rules[{number}]: queue {rule.queue}; the last of {queues} is {queues - 1}"


def _irq_limits(request: Request, nic: NicState) -> Iterator[str]:
    unknown = resolve.unknown_irqs(nic)
    if request.irq is not None and unknown and all(irq.queue is None for irq in nic.irqs):
        yield (
            "irq: which queue each of its interrupts serves is not known: the kernel does not tell (Linux 6.8 or newer "
            f"does for some drivers), and {_driver(nic)} is not known to name any {', '.join(unknown)}: leave irq out, "
            "and place them by hand"
        )


def _xps_limits(request: Request, nic: NicState, state: HostState) -> Iterator[str]:
    if request.xps is None or isinstance(request.xps, str):
        return
    queues = resolve.transmit_queues(request, nic) or 1
    if len(request.xps) != queues:
        yield f"xps has CPUs for {len(request.xps)} transmit queues; it has {queues}: give a CPU list for each"
    elif queues == 1 and not nic.xps:
        yield "xps: a NIC of one transmit queue has nothing to choose"
    offline = frozenset().union(*request.xps) - set(state.topology.online)
    if offline:
        yield f"xps names CPUs {format_cpulist(offline)}, which are not online"


def _rps_limits(request: Request, state: HostState) -> Iterator[str]:
    requested = request.rps or Rps()
    offline = (requested.cpus or frozenset()) - set(state.topology.online)
    topology = state.topology
    without = topology.isolated if topology.without_rps is None else topology.without_rps
    isolated = (requested.cpus or frozenset()) & set(without)
    if offline:
        yield f"rps.cpus names CPUs {format_cpulist(offline)}, which are not online"
    if isolated:
        yield f"rps.cpus names CPUs {format_cpulist(isolated)}, which are isolated: the kernel takes none of those"
    if requested.flow_entries and state.sock_flow_entries is None:
        yield "rps.flow_entries: no RFS here, as the kernel lacks it (CONFIG_RPS) or keeps it to its first namespace"


def _refusals(target: Target, nic: NicState) -> Iterator[str]:
    request = target.request
    recount = dict(resolve.channels_after(request, nic)) != resolve.counts(nic.settings.channels)
    if recount and nic.rdma:
        yield (
            f"{nic.rdma} holds its channels for RDMA, and {_driver(nic)} changes none meanwhile: "
            f"unload {nic.rdma} first, or leave them as they are"
        )
    if recount:
        queues = resolve.receive_queues(request, nic)
        ours = resolve.own_rules(request, nic)
        for rule in nic.settings.flow_rules.rules if nic.settings.flow_rules else ():
            if rule.location not in ours and rule.queue is not None and rule.queue >= queues:
                yield (
                    f"flow rule {rule.location}, which is not ours, steers to queue {rule.queue}, but {queues} would "
                    f"be left: remove it first ('ethtool -N {nic.name} delete {rule.location}')"
                )
    if not target.owns_rules:
        desired = resolve.flow_rules(request, nic)
        foreign = [str(place) for place, rule in resolve.own_rules(request, nic).items() if desired.get(place) != rule]
        if foreign:
            yield (
                f"flow rules at {', '.join(foreign)} are not ours: choose other flow_rule_locations, or remove them "
                f"('ethtool -N {nic.name} delete N')"
            )
    if nic.link.xdp.programs.get("native"):
        limits = xdp_limits(nic.settings.driver)
        yield from (f"{reason}; detach the XDP program first" for reason in _xdp_forbids(request, nic, limits, recount))


def _xdp_forbids(request: Request, nic: NicState, limits: XdpLimits, recount: bool) -> Iterator[str]:
    after, counts = resolve.channels_after(request, nic), nic.settings.channels or {}
    if recount and driver(nic.settings.driver).xdp_holds_channels:
        yield f"{_driver(nic)} changes no channels under XDP"
    for kind in ("combined", "tx") if recount and limits.spares_half and not limits.counts_spare else ():
        if kind in counts and after[kind] > counts[kind].maximum // 2:
            yield f"{after[kind]} {kind} channels > {counts[kind].maximum // 2}, half of them, as XDP needs the others"
    if recount and limits.same_queues and after.get("rx") != after.get("tx"):
        yield f"{after.get('rx')} rx and {after.get('tx')} tx channels, but XDP needs as many of both"
    if recount and limits.only_combined and (after.get("rx") or after.get("tx")):
        yield "separate rx and tx channels, but XDP needs combined ones"
    flags = {**(nic.settings.private_flags or {}), **request.private_flags}
    most = limits.largest_mtu(flags.get("legacy-rx", False))
    mtu = nic.link.mtu if request.mtu is None else request.mtu
    if mtu > most and (request.mtu is not None or "legacy-rx" in request.private_flags) and mtu > _mtu_now(nic, limits):
        yield f"MTU {mtu} > {most}, the most that XDP takes in {_driver(nic)}"
    desired = resolve.features(request, nic)
    if desired.get(LRO):
        yield f"{LRO} merges packets, which XDP cannot see"
    if desired.get(HARDWARE_GRO) and limits.refuses_hardware_gro:
        yield f"{HARDWARE_GRO} merges packets, which XDP cannot see"


def _driver(nic: NicState) -> str:
    return nic.settings.driver or "its driver"


def _mtu_now(nic: NicState, limits: XdpLimits) -> int:
    """Return the MTU up to which nothing gets worse: what runs with more than the limit runs with fragments."""
    fits = nic.link.mtu <= limits.largest_mtu((nic.settings.private_flags or {}).get("legacy-rx", False))
    return 0 if fits else nic.link.mtu
