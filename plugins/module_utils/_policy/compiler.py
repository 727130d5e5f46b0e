# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""From a policy to the bytes that the XDP program judges by; files/bpf/tripod_policy.h says what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._core.converge import Findings, Invalid
from . import layout
from .digest import policy_digest
from .entries import HEADLINE, read_entries
from .layout import ACTIONS, OFFSETS, Bounds
from .model import Part, Policy
from .rates import first_entries, pack_limits, too_fine
from .slots import assign, slot_name
from .tables import build
from .warnings import warnings


@dataclass(frozen=True)
class Compiled:
    """A policy as the program takes it.

    Attributes:
        data: Value of the inner map, ``bounds["size"]`` bytes.
        bounds: ``struct policy_bounds``, by its names.
        features: Bits of ``enum policy_feature``.
        slots: Counter slot of each part, as ``list:NAME``, ``rule:ID``, ``limit:NAME`` and ``service:NAME``.
        digest: See ``policy_digest``.
        warnings: What it does that its writer may not expect.
        next_expiry: Seconds since 1970 at which it must be compiled again; None is never.
    """

    data: bytearray = field(repr=False)
    bounds: Bounds
    features: int
    slots: Mapping[str, int]
    digest: bytes
    warnings: Sequence[str]
    next_expiry: int | None


def compile_policy(
    policy: Policy, *, hz: int, seed: bytes, slots: Mapping[str, int] | None = None, bounds: Bounds | None = None
) -> Compiled:
    """Return a policy compiled.

    Args:
        policy: Without what has ended; see ``Policy.at``.
        hz: Ticks of the host's clock in a second.
        seed: The host's secret, of which the keys of token buckets are made.
        slots: Counter slots of the policy that is replaced.
        bounds: Of the program that runs; kept where the policy fits into them.

    Raises:
        Invalid: Files that it names have words that are no prefixes, lists are longer than they may be, or limits are
            finer than the host's clock; with all faults.
        Impossible: It parts packets into more kinds than the tables can tell apart.
    """
    findings = Findings()
    entries = read_entries(policy, findings)
    for fault in too_fine(policy.limits, hz):
        findings.add(fault)
    findings.raise_if_any(Invalid, HEADLINE)
    kept = assign(_slot_names(policy), slots or {})
    tables = build(policy, entries, kept)
    bounds = layout.bounds_for(tables.counts, bounds)
    digest = policy_digest(policy, hz=hz, seed=seed)
    numbers = first_entries(policy.limits)
    every_packet = [numbers[one.name] for one in policy.limits if one.every_packet]
    observed = sum(1 << number for number, rule in enumerate(policy.rules) if rule.observe)

    data = bytearray(bounds["size"])
    layout.HEADER.pack_into(
        data,
        0,
        layout.POLICY_ABI,
        tables.features,
        tables.fields,
        ACTIONS[policy.default],
        int.from_bytes(every_packet, "little"),
        digest,
        *(observed >> 64 * word & (1 << 64) - 1 for word in range(layout.RULE_WORDS)),
    )
    members = {
        "limits": pack_limits(policy.limits, hz, seed, kept),
        "lists": _lists(policy, kept, numbers),
        "rules": _parts("rule", policy.rules, kept, numbers),
        "services": _parts("service", policy.services, kept, numbers),
        **tables.members,
    }
    for at, content in (
        *((OFFSETS[name], content) for name, content in members.items()),
        *((bounds[name], content) for name, content in tables.behind.items()),
    ):
        data[at : at + len(content)] = content
    said = list(warnings(policy, entries, tables.sets))
    return Compiled(data, bounds, tables.features, kept, digest, said, policy.next_expiry)


def _slot_names(policy: Policy) -> Iterator[str]:
    yield from (slot_name("list", one.name) for one in policy.lists if one.action != "none")
    yield from (slot_name("rule", one.name) for one in policy.rules)
    yield from (slot_name("limit", one.name) for one in policy.limits)
    yield from (slot_name("service", one.name) for one in policy.services)


def _lists(policy: Policy, slots: Mapping[str, int], limits: Mapping[str, int]) -> bytes:
    """Return ``struct policy_list`` of each list, behind that of none."""
    packed = [bytes(layout.LIST.size)]
    for one in policy.lists:
        slot = slots.get(slot_name("list", one.name), 0)
        packed.append(layout.LIST.pack(slot, limits.get(one.limit, 0), ACTIONS[one.action]))
    return b"".join(packed)


def _parts(kind: str, parts: Sequence[Part], slots: Mapping[str, int], limits: Mapping[str, int]) -> bytes:
    """Return ``struct policy_part`` of each part."""
    return b"".join(
        layout.PART.pack(slots[slot_name(kind, one.name)], limits.get(one.limit, 0), ACTIONS[one.action])
        for one in parts
    )
