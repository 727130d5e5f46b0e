# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What of a request a NIC can meet now: one setting that it cannot meet does not keep the others from it.

For a reapply, where nobody can correct the request before the host has to come up. A function of data only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from .limits import faults
from .plan import Target
from .request import Irq, Request, Rss
from .state import HostState

_Part = Callable[[Request], Request]


def feasible(target: Target, state: HostState) -> tuple[Target, list[str]]:
    """Return a NIC with what it can meet of its request, and why it cannot meet the rest.

    Settings are taken in the order that drivers need, each judged on those before it: flow rules for the channels that
    there will be, whether or not those that are requested can be had.
    """
    if not _reasons(target, state):
        return target, []
    request = target.request
    met = Request(name=request.name, pci=request.pci, mac=request.mac, present=request.present)
    reasons: list[str] = []
    for part in _parts(request, frozenset(state.topology.online)):
        tried = part(met)
        against = _reasons(replace(target, request=tried), state)
        if against:
            reasons += [reason for reason in against if reason not in reasons]
        else:
            met = tried
    return replace(target, request=met), reasons


def _reasons(target: Target, state: HostState) -> list[str]:
    # A NIC that only takes its share of the CPUs is not brought anywhere, but its share must be one.
    limits, refusals = faults([replace(target, touched=True)], state)
    return [*limits, *refusals]


def _parts(request: Request, online: frozenset[int]) -> Iterator[_Part]:
    yield from _given(request, "up")
    yield from _by_key(request, "private_flags")
    if request.channels:
        yield _with(channels=request.channels)  # they depend on each other
    yield from _by_key(request, "rings")
    yield from _given(request, "mtu")
    for section in ("coalesce", "features", "pause", "napi"):
        yield from _by_key(request, section)
    yield from _given(request, "txqueuelen")
    yield from _rss(request)
    if request.flow_rules is not None:
        yield _with(flow_rules=request.flow_rules, locations=request.locations)
    if request.irq is not None:
        # Where a CPU of several went offline, the others serve; that the whole cannot be met is found after that.
        yield _with(irq=_within(request.irq, online))
    for name in ("irq", "xps", "rps"):
        yield from _given(request, name)


def _with(**parts: Any) -> _Part:
    return lambda met: replace(met, **parts)


def _given(request: Request, name: str) -> Iterator[_Part]:
    if getattr(request, name) is not None:
        yield _with(**{name: getattr(request, name)})


def _by_key(request: Request, section: str) -> Iterator[_Part]:
    for key, value in getattr(request, section).items():
        yield partial(_add, section=section, more={key: value})


def _add(met: Request, section: str, more: dict[str, Any]) -> Request:
    merged: dict[str, Any] = {section: {**getattr(met, section), **more}}
    return replace(met, **merged)


def _rss(request: Request) -> Iterator[_Part]:
    rss = request.rss
    if rss is None:
        return
    if rss.spreads:
        spread = {"equal": rss.equal, "weights": rss.weights, "table": rss.table, "default": rss.default}
        yield partial(_add_rss, more=spread)
    for name in ("key", "function"):
        if getattr(rss, name) is not None:
            yield partial(_add_rss, more={name: getattr(rss, name)})
    for flow_type, letters in rss.hash_fields.items():
        yield partial(_add_hash, more={flow_type: letters})


def _add_rss(met: Request, more: dict[str, Any]) -> Request:
    return replace(met, rss=replace(met.rss or Rss(), **more))


def _add_hash(met: Request, more: dict[str, str]) -> Request:
    rss = met.rss or Rss()
    return replace(met, rss=replace(rss, hash_fields={**rss.hash_fields, **more}))


def _within(irq: Irq | None, online: frozenset[int]) -> Irq:
    held = irq or Irq()
    placement = held.placement and tuple(cpus & online for cpus in held.placement)
    kept: dict[str, Any] = {} if placement is None or not all(placement) else {"placement": placement}
    if held.cpus is not None and held.cpus & online:
        kept["cpus"] = held.cpus & online
    if held.other is not None and held.other & online:
        kept["other"] = held.other & online
    return replace(held, **kept, avoid=held.avoid & online)
