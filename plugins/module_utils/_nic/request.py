# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What may be requested of a NIC, and its one canonical form in a state file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._core.cpulist import format_cpulist
from .._linux import ethtool

MAXIMUM = "max"
LOCAL = "local"
AUTO, OFF = "auto", "off"

CpuSet = frozenset[int]


@dataclass(frozen=True)
class Rss:
    """How received packets are to be spread; None means "not compared".

    Attributes:
        equal: Evenly over the first so many queues.
        weights: By queue, in these proportions.
        table: Queue by bucket.
        default: As the driver spreads them by itself: over all queues.
        key: Hash key.
        function: Hash function.
        hash_fields: ethtool(8)'s letters by flow type.
    """

    equal: int | None = None
    weights: tuple[int, ...] | None = None
    table: tuple[int, ...] | None = None
    default: bool = False
    key: bytes | None = None
    function: str | None = None
    hash_fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def spreads(self) -> bool:
        """Whether anything is requested of the indirection table."""
        return self.default or any(one is not None for one in (self.equal, self.weights, self.table))


@dataclass(frozen=True)
class Irq:
    """Where interrupts are to be handled.

    Attributes:
        placement: CPUs by queue, or once for all queues; None to choose them near the NIC.
        cpus: The only ones to choose from, isolated ones among them; None for those of the NIC's node.
        avoid: Housekeeping CPUs: no queue's, but those of every other vector.
        other: CPUs of the vectors that serve no queue; ``avoid`` where it is None.
    """

    placement: tuple[CpuSet, ...] | None = None
    cpus: CpuSet | None = None
    avoid: CpuSet = frozenset()
    other: CpuSet | None = None


@dataclass(frozen=True)
class Rps:
    """Receive packet steering in software.

    Attributes:
        cpus: CPUs of every receive queue; empty for none.
        flow_entries: Flows that the NIC's queues hold together (RFS); None is "not compared".
    """

    cpus: CpuSet | None = None
    flow_entries: int | None = None


@dataclass(frozen=True)
class Request:
    """What is requested of one NIC, or of every member of a bond. None, or a key that is missing: not compared.

    Attributes:
        name, pci, mac: Which one; all that are given must agree.
        present: False restores the original values, those before the first change.
        flow_rules: All rules within ``locations``.
        locations: First and last location that are ours; None for the last of the table.
        xps: ``auto``, ``off``, or CPUs by transmit queue.
        napi: How all its queues are polled; ``gro_flush_timeout`` is in nanoseconds.
    """

    name: str | None = None
    pci: str | None = None
    mac: str | None = None
    present: bool = True
    up: bool | None = None
    mtu: int | None = None
    txqueuelen: int | None = None
    private_flags: Mapping[str, bool] = field(default_factory=dict)
    channels: Mapping[str, int | str] = field(default_factory=dict)
    rings: Mapping[str, int | bool | str] = field(default_factory=dict)
    coalesce: Mapping[str, int | bool] = field(default_factory=dict)
    features: Mapping[str, bool] = field(default_factory=dict)
    pause: Mapping[str, bool] = field(default_factory=dict)
    napi: Mapping[str, int | bool] = field(default_factory=dict)
    rss: Rss | None = None
    flow_rules: tuple[ethtool.FlowRule, ...] | None = None
    locations: tuple[int, int] | None = None
    irq: Irq | None = None
    xps: str | tuple[CpuSet, ...] | None = None
    rps: Rps | None = None

    def __str__(self) -> str:
        given = (("name", self.name), ("pci", self.pci), ("mac", self.mac))
        return ", ".join(f"{kind} {value}" for kind, value in given if value) or "a NIC without name, pci or mac"

    def of_link(self) -> Request:
        """Return the part that a bond itself takes; its members take the rest."""
        return replace(self, **_NOTHING_OF_HARDWARE)

    def of_hardware(self) -> Request:
        """Return the part that the members of a bond take."""
        return replace(self, up=None, mtu=None, txqueuelen=None)

    def to_body(self) -> dict[str, Any]:
        """Return JSON-ready data from which ``parse`` makes an equal request."""
        body: dict[str, Any] = {}
        for name in ("name", "pci", "mac", "up", "mtu", "txqueuelen"):
            if getattr(self, name) is not None:
                body[name] = getattr(self, name)
        for name in (*_BY_KEY, "channels"):
            if getattr(self, name):
                body[name] = dict(getattr(self, name))
        if not self.present:
            body["state"] = "absent"
        if self.rss is not None:
            body["rss"] = _rss_body(self.rss)
        if self.flow_rules is not None:
            body["flow_rules"] = [rule_body(rule) for rule in self.flow_rules]
        if self.locations is not None:
            body["flow_rule_locations"] = "{}-{}".format(*self.locations)
        if self.irq is not None:
            body["irq"] = _irq_body(self.irq)
        if self.xps is not None:
            body["xps"] = self.xps if isinstance(self.xps, str) else [format_cpulist(cpus) for cpus in self.xps]
        if self.rps is not None:
            given = {"cpus": _list(self.rps.cpus), "flow_entries": self.rps.flow_entries}
            body["rps"] = {key: value for key, value in given.items() if value is not None}
        return body


# Settings of which each key is one of its own; all others are one setting each.
_BY_KEY = ("private_flags", "rings", "coalesce", "features", "pause", "napi")
_WHOLE = ("up", "mtu", "txqueuelen", "channels", "rss", "flow_rules", "locations", "irq", "xps", "rps")


def overlaid(below: Request, above: Request) -> Request:
    """Return what two requests for one NIC come to: where both speak of a setting, the upper one decides."""
    merged: dict[str, Any] = {name: {**getattr(below, name), **getattr(above, name)} for name in _BY_KEY}
    whole: dict[str, Any] = {name: getattr(below, name) for name in _WHOLE if not _speaks_of(above, name)}
    return replace(above, **merged, **whole)


def without(request: Request, taken: Request) -> tuple[Request, list[str]]:
    """Return a request without the settings that another one speaks of, and their names."""
    less: dict[str, Any] = {}
    names = []
    for name in _BY_KEY:
        held = getattr(request, name)
        both = sorted(held.keys() & getattr(taken, name).keys())
        less[name] = {key: value for key, value in held.items() if key not in both}
        names += [f"{name}.{key}" for key in both]
    for name in _WHOLE:
        if _speaks_of(request, name) and _speaks_of(taken, name):
            less[name] = {} if name == "channels" else None
            names += [name]
    return replace(request, **less), names


def requests_nothing(request: Request) -> bool:
    """Whether nothing is requested of a NIC but its name."""
    return not any(_speaks_of(request, name) for name in (*_BY_KEY, *_WHOLE))


def _speaks_of(request: Request, name: str) -> bool:
    return getattr(request, name) not in (None, {})


_NOTHING_OF_HARDWARE: dict[str, Any] = {
    **{name: {} for name in (*_BY_KEY, "channels")},
    **dict.fromkeys(("rss", "flow_rules", "locations", "irq", "xps", "rps")),
}


def rule_body(rule: ethtool.FlowRule) -> dict[str, Any]:
    """Return a flow rule in the form of the module's option."""
    body: dict[str, Any] = {"flow_type": rule.flow_type, "match": dict(rule.match)}
    if rule.queue is None:
        body["drop"] = True
    else:
        body["queue"] = rule.queue
    if rule.location is not None:
        body["location"] = rule.location
    return body


def _rss_body(rss: Rss) -> dict[str, Any]:
    body: dict[str, Any] = {
        "equal": rss.equal,
        "weights": None if rss.weights is None else list(rss.weights),
        "table": None if rss.table is None else list(rss.table),
        "default": rss.default or None,
        "key": rss.key.hex(":") if rss.key else None,
        "function": rss.function,
        "hash_fields": dict(rss.hash_fields) or None,
    }
    return {key: value for key, value in body.items() if value is not None}


def _irq_body(irq: Irq) -> dict[str, Any]:
    body = {
        "placement": LOCAL if irq.placement is None else [format_cpulist(cpus) for cpus in irq.placement],
        "cpus": _list(irq.cpus),
        "avoid": _list(irq.avoid or None),
        "other": _list(irq.other),
    }
    return {key: value for key, value in body.items() if value is not None}


def _list(cpus: CpuSet | None) -> str | None:
    return None if cpus is None else format_cpulist(cpus)
