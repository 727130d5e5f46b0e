# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The steps from what NICs are to what is requested of them, in the order that drivers need.

Pure functions. The order is that of ``hardware``; each step stands where the one before can no longer undo it:

* A closed device is opened first, as some drivers take no settings before (and closed last).
* Private flags choose how a driver works, and with it the limits of all that follows.
* A changed number of channels is refused while the indirection table or a flow rule names a queue that would go, and
  leaves out the queues that come; so our rules and the table give way before, and return after.
* Channels, rings and MTU make a driver set its queues up anew, which loses what is set for each queue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core.converge import Change, Impossible
from .._core.cpulist import format_cpulist
from .._linux import irqbalance
from .._linux.irq_names import OTHER
from .._linux.irqs import Irq as IrqState
from .._xdp.drivers import xdp_limits
from . import resolve
from .drivers import driver, resets_device
from .hints import hints
from .irq_plan import Place, Requirement, place, share_out
from .request import AUTO, OFF, Request, Rps, Rss, rule_body
from .state import HostState, NicState

DEFAULT = "default"
NO_CPUS = "none"
_HOST = "host"
_STEERING = "rx-ntuple-filter"
_GRO = "rx-gro"


@dataclass(frozen=True)
class Target:
    """A NIC and what is requested of it.

    Attributes:
        touched: Whether it is to be brought there now; others only take their share of the CPUs.
        owns_rules: Whether the flow rules within the request's locations are known to be ours.
        released: Whether its original values are restored, so that its interrupts are anybody's again.
    """

    name: str
    request: Request
    touched: bool = True
    owns_rules: bool = False
    released: bool = False


class Table(list):
    """An indirection table, shown by what it does rather than by its hundreds of buckets."""

    brief = True  # in a diff, too

    def __str__(self) -> str:
        shares = Counter(self)
        return f"{len(self)} buckets over queues {format_cpulist(shares)}" + (
            ""
            if len(set(shares.values())) == 1
            else f" ({', '.join(f'{queue}: {shares[queue]}' for queue in sorted(shares))})"
        )


def plan(targets: Sequence[Target], state: HostState, only: Collection[str] | None = None) -> list[Change]:
    """Return the steps from what the NICs are to what is requested of them.

    One NIC after the other, so that a bond never loses all of its members at once.

    Args:
        targets: NICs and requests.
        state: The NICs as they are.
        only: Names of the NICs to plan for; None for all.

    Raises:
        Impossible: Interrupts cannot be placed, which ``limits.faults`` finds before anything is changed.
    """
    places = placements(targets, state)
    reasons = [reason for target in targets if target.touched for reason in reasons_against(target, places)]
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
            changes += _irqs(target, nic, places[target.name])
        if target.touched:
            changes += _xps(target.request, nic, state, places.get(target.name))
            changes += _rps(target.request, nic)
    changes += _sock_flows(targets, state)
    return changes


def placements(targets: Sequence[Target], state: HostState) -> dict[str, Place]:
    """Return where the interrupts go of each NIC whose request places them, whatever their number becomes meanwhile."""
    requirements = [
        Requirement(target.name, resolve.interrupting_queues(target.request, nic), target.request.irq, nic.node)
        for target in targets
        if target.request.irq is not None
        for nic in (state.nics[target.name],)
    ]
    return place(state.topology, requirements)


def reasons_against(target: Target, places: Mapping[str, Place]) -> Sequence[str]:
    """Return why a NIC's interrupts cannot be placed."""
    return places[target.name].reasons if target.name in places else ()


def notes(targets: Sequence[Target], state: HostState) -> dict[str, list[str]]:
    """Return what an operator should know of each NIC."""
    places = placements(targets, state)
    by_nic = {}
    for target in targets:
        nic = state.nics[target.name]
        said = list(places[target.name].notes) if target.name in places else []
        if target.request.irq is not None and nic.pci and not nic.irqs and not nic.link.up:
            said.append("it is down, so it has no interrupts yet; they are placed when it comes up")
        said += hints(target.request, nic)
        limits = xdp_limits(nic.settings.driver)
        if limits.redirects_by_cpu and resolve.receive_queues(target.request, nic) < len(state.topology.online):
            said.append("fewer queues than CPUs: XDP loses packets that the other CPUs redirect to it")
        by_nic[target.name] = said
    return by_nic


def hardware(request: Request, nic: NicState) -> Iterator[Change]:
    """Return the steps that one NIC takes by itself: all but those for its interrupts and its queues' CPUs."""
    settings, name = nic.settings, nic.name
    bounces = driver(settings.driver).bounces and nic.link.up
    channels = resolve.channels(request, nic)
    recount = list(_differ(name, "channels", channels, resolve.counts(settings.channels), bounces))
    if request.up and not nic.link.up:
        yield Change((name, "up"), False, True)
    yield from _differ(name, "private_flags", request.private_flags, settings.private_flags, bounces)
    if recount:
        yield from _rules_that_give_way(request, nic)
        yield from _table_that_gives_way(nic)
    yield from recount
    yield from _differ(name, "rings", resolve.rings(request, nic), resolve.rings_now(nic), bounces)
    if request.mtu is not None and request.mtu != nic.link.mtu:
        yield Change((name, "mtu"), nic.link.mtu, request.mtu, bounces)
    yield from _differ(name, "coalesce", request.coalesce, settings.coalesce)
    active = {feature: found.active for feature, found in settings.features.items()}
    unsteered = active.get(_STEERING) and resolve.features(request, nic).get(_STEERING) is False
    if unsteered:
        # Without it no rule can be removed any more, or drivers keep it on for them.
        for location, rule in resolve.own_rules(request, nic).items():
            yield Change((name, "flow_rules", str(location)), rule_body(rule), None)
    polled = list(_differ(name, "napi", request.napi, nic.napi))
    unpolled = active.get(_GRO) and resolve.features(request, nic).get(_GRO) is False
    if unpolled:
        # A veth without GRO or XDP has no NAPI, and what has none takes no change of its threads.
        yield from polled
    for change in _differ(name, "features", resolve.features(request, nic), active):
        yield replace(change, disrupts=bounces and resets_device(change.path[-1]))
    if not unpolled:
        yield from polled
    yield from _differ(name, "pause", request.pause, settings.pause, bounces)
    if request.txqueuelen is not None and request.txqueuelen != nic.link.txqueuelen:
        yield Change((name, "txqueuelen"), nic.link.txqueuelen, request.txqueuelen)
    yield from _spread(request, nic, bool(recount))
    if not unsteered:
        yield from _rules(request, nic, bool(recount))
    if request.up is False and nic.link.up:
        yield Change((name, "up"), True, False, disrupts=True)


def _differ(
    name: str, section: str, desired: Mapping[str, Any], now: Mapping[str, Any] | None, disrupts: bool = False
) -> Iterator[Change]:
    for key, value in desired.items():
        held = (now or {}).get(key)
        if held != value:
            yield Change((name, section, key), held, value, disrupts)


def _table_that_gives_way(nic: NicState) -> Iterator[Change]:
    table = nic.settings.rss.table if nic.settings.rss else ()
    if table:
        yield Change((nic.name, "rss", "table"), Table(table), DEFAULT)


def _spread(request: Request, nic: NicState, reset: bool) -> Iterator[Change]:
    requested, rss = request.rss, nic.settings.rss
    if requested is None:
        return
    name = nic.name
    if rss is not None and requested.spreads:
        queues = resolve.receive_queues(request, nic)
        # After a change of channels the driver has spread the table evenly over the new ones.
        buckets = resolve.buckets_after(request, nic)
        now = tuple(bucket % queues for bucket in range(buckets)) if reset else rss.table
        after = None if requested.default else resolve.indirection(requested, buckets)
        if not _spreads_alike(requested, now, after, queues):
            yield Change((name, "rss", "table"), Table(now), DEFAULT if after is None else Table(after))
    if rss is not None and requested.key is not None and requested.key != rss.key:
        yield Change((name, "rss", "key"), rss.key.hex(":"), requested.key.hex(":"))
    if rss is not None and requested.function is not None and requested.function != rss.function:
        yield Change((name, "rss", "function"), rss.function, requested.function)
    for flow_type, letters in requested.hash_fields.items():
        held = nic.settings.hash_fields.get(flow_type, "")
        if set(held) != set(letters):
            yield Change((name, "hash_fields", flow_type), held, letters)


def _spreads_alike(requested: Rss, now: Sequence[int], after: Sequence[int] | None, queues: int) -> bool:
    """Whether a table does what is requested. The order of buckets says nothing unless it is requested.

    igb spreads by blocks (0, 0, 1, 1) where others alternate (0, 1, 0, 1); each is as even as the other.
    """
    if requested.table is not None:
        return tuple(now) == after
    if requested.weights is not None:
        return Counter(now) == Counter(after)
    return resolve.is_even(now, requested.equal if requested.equal is not None else queues)


def _rules_that_give_way(request: Request, nic: NicState) -> Iterator[Change]:
    queues = resolve.receive_queues(request, nic)
    for location, rule in resolve.own_rules(request, nic).items():
        if rule.queue is not None and rule.queue >= queues:
            yield Change((nic.name, "flow_rules", str(location)), rule_body(rule), None)


def _rules(request: Request, nic: NicState, recount: bool) -> Iterator[Change]:
    if request.flow_rules is None:
        return
    held, desired = resolve.own_rules(request, nic), resolve.flow_rules(request, nic)
    if recount:
        for change in _rules_that_give_way(request, nic):
            held.pop(int(change.path[-1]))
    for location in sorted(held.keys() - desired.keys()):
        yield Change((nic.name, "flow_rules", str(location)), rule_body(held[location]), None)
    for location, rule in sorted(desired.items()):
        if held.get(location) != rule:
            before = rule_body(held[location]) if location in held else None
            yield Change((nic.name, "flow_rules", str(location)), before, rule_body(rule))


def _ban(targets: Sequence[Target], places: Mapping[str, Place], state: HostState) -> Iterator[Change]:
    if state.irqbalance.command is None:
        return
    placed = {
        irq.number
        for target in targets
        if target.name in places and not target.released
        for irq in state.nics[target.name].irqs
        if irq.movable and _destination(irq, places[target.name]) is not None
    }
    if placed != set(state.irqbalance.banned or ()):
        describe = irqbalance.describe
        yield Change(("irqbalance", "banned"), describe(state.irqbalance.banned), describe(placed))
    elif state.irqbalance.outdated:
        yield Change(("irqbalance", "command"), state.irqbalance.outdated, state.irqbalance.command)
    elif state.irqbalance.unheeded:
        yield Change(("irqbalance", "running"), "without the bans", "with the bans")
    elif state.irqbalance.banned is not None and not placed:
        yield Change(("irqbalance", "drop-in"), "without bans", None)


def _irqs(target: Target, nic: NicState, destination: Place) -> Iterator[Change]:
    request = target.request
    if request.up is False:  # it gives its interrupts back
        return
    covered = set()
    for irq in nic.irqs:
        cpus = _destination(irq, destination)
        covered.add(irq.queue)
        if cpus is not None and irq.movable and irq.cpus != cpus:
            yield Change((nic.name, "irq", irq.name), format_cpulist(irq.cpus), format_cpulist(cpus))
    # Queues that are still to come: a change of channels or the opening of the device brings them.
    coming = (
        target.touched
        and nic.pci is not None
        and (
            resolve.channels_after(request, nic) != resolve.counts(nic.settings.channels)
            or (bool(request.up) and not nic.link.up)
        )
    )
    for queue, cpus in enumerate(destination.queues if coming else ()):
        if queue not in covered:
            yield Change((nic.name, "irq", f"queue {queue}"), None, format_cpulist(cpus))


def _destination(irq: IrqState, destination: Place) -> frozenset[int] | None:
    if irq.queue is None:
        return destination.other if irq.serves == OTHER else None
    return destination.queues[irq.queue] if irq.queue < len(destination.queues) else None


def _xps(request: Request, nic: NicState, state: HostState, destination: Place | None) -> Iterator[Change]:
    if request.xps is None:
        return
    queues = resolve.transmit_queues(request, nic)
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
            yield Change((nic.name, "xps", f"tx-{queue}"), _shown(held), _shown(cpus))


def _rps(request: Request, nic: NicState) -> Iterator[Change]:
    requested = request.rps
    if requested is None:
        return
    for queue in range(resolve.receive_queues(request, nic)):
        known = queue < len(nic.rps)
        held = nic.rps[queue] if known else frozenset()
        if requested.cpus is not None and held != requested.cpus:
            yield Change((nic.name, "rps", f"rx-{queue}"), _shown(held), _shown(requested.cpus))
        flows = resolve.flows_of_queue(request, nic)
        if flows is not None and (nic.rfs[queue] if known else 0) != flows:
            yield Change((nic.name, "rfs", f"rx-{queue}"), nic.rfs[queue] if known else 0, flows)


def _sock_flows(targets: Sequence[Target], state: HostState) -> Iterator[Change]:
    """The table of all sockets must hold the flows of all queues. It is never shrunk, as others may need it."""
    needed = resolve.power_of_two(sum((target.request.rps or Rps()).flow_entries or 0 for target in targets))
    if needed > (state.sock_flow_entries or 0):
        yield Change((_HOST, "rps_sock_flow_entries"), state.sock_flow_entries, needed)


def _shown(cpus: Collection[int]) -> str:
    return format_cpulist(cpus) or NO_CPUS
