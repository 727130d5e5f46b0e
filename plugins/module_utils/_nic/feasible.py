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
        yield lambda met: replace(met, channels=request.channels)  # they depend on each other
    yield from _by_key(request, "rings")
    yield from _given(request, "mtu")
    for section in ("coalesce", "features", "pause"):
        yield from _by_key(request, section)
    yield from _given(request, "txqueuelen")
    yield from _rss(request)
    if request.flow_rules is not None:
        yield lambda met: replace(met, flow_rules=request.flow_rules, locations=request.locations)
    if request.irq is not None:
        # Where a CPU of several went offline, the others serve; that the whole cannot be met is found after that.
        yield lambda met: replace(met, irq=_within(request.irq, online))
        yield lambda met: replace(met, irq=request.irq)
    yield from _given(request, "xps")
    yield from _given(request, "rps")


def _given(request: Request, name: str) -> Iterator[_Part]:
    if getattr(request, name) is not None:
        yield lambda met: replace(met, **{name: getattr(request, name)})


def _by_key(request: Request, section: str) -> Iterator[_Part]:
    for key, value in getattr(request, section).items():
        yield lambda met, key=key, value=value: replace(met, **{section: {**getattr(met, section), key: value}})


def _rss(request: Request) -> Iterator[_Part]:
    rss = request.rss
    if rss is None:
        return
    if rss.spreads:
        spread = {"equal": rss.equal, "weights": rss.weights, "table": rss.table, "default": rss.default}
        yield lambda met: replace(met, rss=replace(met.rss or Rss(), **spread))
    for name in ("key", "function"):
        if getattr(rss, name) is not None:
            yield lambda met, name=name: replace(met, rss=replace(met.rss or Rss(), **{name: getattr(rss, name)}))
    for flow_type, letters in rss.hash_fields.items():
        yield lambda met, more={flow_type: letters}: replace(
            met, rss=replace(met.rss or Rss(), hash_fields={**(met.rss or Rss()).hash_fields, **more})
        )


def _within(irq: Irq | None, online: frozenset[int]) -> Irq:
    held = irq or Irq()
    placement = held.placement and tuple(cpus & online for cpus in held.placement)
    kept: dict[str, Any] = {} if placement is None or not all(placement) else {"placement": placement}
    if held.cpus is not None and held.cpus & online:
        kept["cpus"] = held.cpus & online
    if held.other is not None and held.other & online:
        kept["other"] = held.other & online
    return replace(held, **kept, avoid=held.avoid & online)
