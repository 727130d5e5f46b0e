# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Original values: what a NIC is now as a request for later, and that request made to fit the NIC of later.

A closed NIC shows zeros for what its driver sets up when it is opened. Those were never in effect: they are not
restored, and the driver's default is requested where there is a way to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .._linux.irq_names import OTHER
from . import resolve
from .drivers import driver
from .request import AUTO, MAXIMUM, OFF, Irq, Request, Rps, Rss
from .state import HostState, NicState


def previous(request: Request, nic: NicState, state: HostState) -> Request:
    """Return the request that would bring a NIC back to what it is now, in everything that this one could change."""
    settings, rss = nic.settings, nic.settings.rss
    channels = _now(request.channels, resolve.counts(settings.channels))
    if not nic.link.up and not any(resolve.counts(settings.channels).values()):
        channels = {}
    requested = request.rss or Rss()
    spread: Rss | None = None
    if request.rss is not None or channels:
        spread = Rss(
            **_table_now(nic) if requested.spreads or channels else {},
            # A key of zeros is no key: all packets would go to queue 0.
            key=rss.key if rss and requested.key and any(rss.key) else None,
            function=rss.function if rss and requested.function else None,
            hash_fields=_now(requested.hash_fields, settings.hash_fields),
        )
    return Request(
        up=None if request.up is None else nic.link.up,
        mtu=None if request.mtu is None else nic.link.mtu,
        txqueuelen=None if request.txqueuelen is None else nic.link.txqueuelen,
        private_flags=_now(request.private_flags, settings.private_flags),
        channels=channels,
        rings={
            kind: value for kind, value in _now(request.rings, resolve.rings_now(nic)).items() if _shown(value, nic)
        },
        coalesce=_coalesce_now(request, nic),
        features={name: settings.features[name].active for name in resolve.features(request, nic)},
        pause=_now(request.pause, settings.pause),
        napi=_now(request.napi, nic.napi),
        rss=None if spread == Rss() else spread,
        flow_rules=None if request.flow_rules is None else tuple(resolve.own_rules(request, nic).values()),
        locations=None
        if request.flow_rules is None or settings.flow_rules is None
        else resolve.locations(request, nic),
        irq=None if request.irq is None else _irqs_now(nic, state.default_affinity),
        xps=(nic.xps if any(nic.xps) else OFF) if request.xps is not None and nic.xps else None,
        rps=None if request.rps is None else _rps_now(request.rps, nic),
    )


def fitted(request: Request, nic: NicState) -> Request:
    """Return a request for original values, for a NIC whose queues and limits may have changed since."""
    settings = nic.settings
    counts = {"channels": settings.channels or {}, "rings": settings.rings or {}}
    held: dict[str, Any] = {
        section: {
            kind: MAXIMUM if kind in known and 0 < known[kind].maximum < value else value
            for kind, value in getattr(request, section).items()
        }
        for section, known in counts.items()
    }
    request = replace(request, **held)
    queues = resolve.receive_queues(request, nic)
    rss, irq, xps = request.rss, request.irq, request.xps
    buckets = len(settings.rss.table) if settings.rss else 0
    if rss is not None and rss.table is not None and (len(rss.table) != buckets or max(rss.table) >= queues):
        request = replace(request, rss=replace(rss, table=None, default=True))
    placement = irq.placement if irq is not None else None
    if (
        irq is not None
        and placement is not None
        and len(placement)
        not in (
            1,
            resolve.interrupting_queues(request, nic),
        )
    ):
        request = replace(request, irq=replace(irq, placement=(frozenset().union(*placement),)))
    if isinstance(xps, tuple) and len(xps) != resolve.transmit_queues(request, nic):
        request = replace(request, xps=AUTO)  # a queue for each CPU, as drivers do by themselves
    if request.flow_rules is not None:
        rules = tuple(rule for rule in request.flow_rules if rule.queue is None or rule.queue < queues)
        request = replace(request, flow_rules=rules)
    return request


def _now(requested: Mapping[str, Any], held: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: held[key] for key in requested if key in held} if held else {}


def _table_now(nic: NicState) -> dict[str, Any]:
    rss = nic.settings.rss
    if rss is None and driver(nic.settings.driver).rss_once_opened and not nic.link.up:
        return {"default": True}  # what the first opening brings
    if rss is None or not rss.table:
        return {}
    if not nic.link.up and not any(rss.table):
        return {"default": True}
    return {"default": True} if resolve.is_even(rss.table, rss.rings) else {"table": tuple(rss.table)}


def _irqs_now(nic: NicState, default: frozenset[int]) -> Irq | None:
    by_queue = {irq.queue: irq.cpus for irq in nic.irqs if irq.queue is not None}
    others = [irq.cpus for irq in nic.irqs if irq.serves == OTHER]
    if not by_queue:  # closed: this is what they will get when it is opened
        return Irq((default,), other=default) if default else None
    return Irq(tuple(by_queue[queue] for queue in sorted(by_queue)), other=others[0] if others else None)


def _rps_now(requested: Rps, nic: NicState) -> Rps:
    cpus = nic.rps[0] if nic.rps else frozenset()
    return Rps(None if requested.cpus is None else cpus, None if requested.flow_entries is None else sum(nic.rfs))


def _coalesce_now(request: Request, nic: NicState) -> dict[str, Any]:
    held = nic.settings.coalesce or {}
    if not nic.link.up and not any(held.values()):
        return {}
    now = _now(request.coalesce, held)
    # What an adaptive driver shows is its choice of this moment, and several refuse it as a request.
    adaptive = tuple(way for way in ("rx", "tx") if held.get(f"adaptive_{way}"))
    return {
        key: value
        for key, value in now.items()
        if key not in {f"{way}_{what}" for way in adaptive for what in ("usecs", "frames")}
    }


def _shown(value: Any, nic: NicState) -> bool:
    return nic.link.up or value != 0 or isinstance(value, bool)
