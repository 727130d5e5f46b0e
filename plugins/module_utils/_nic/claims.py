# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Who speaks for a NIC: several requests may, as of a bond and of its member, but each setting has one owner.

A NIC's own request goes before that of its bond. What is requested newly takes a setting from the request that had it:
``plan_state_file`` removes it there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from .identity import Entry
from .original import fitted
from .parse import parse
from .plan import Target
from .request import Request, overlaid
from .state import NicState


@dataclass(frozen=True)
class Claim:
    """A request that speaks for a NIC.

    Attributes:
        entry: Where it comes from.
        request: The part of it that this NIC takes.
        member: Whether it is that of the NIC's bond.
    """

    entry: Entry
    request: Request
    member: bool = False

    def __str__(self) -> str:
        return f"{self.entry.link.name}, whose member it is" if self.member else f"{self.entry.request}"


def claims(entries: Sequence[Entry], nics: Mapping[str, NicState]) -> dict[str, list[Claim]]:
    """Return the requests that speak for each NIC, bonds' before its own."""
    found: dict[str, list[Claim]] = {}
    for entry in entries:
        nic = nics.get(entry.link.name)
        if nic is None:
            continue
        if nic.link.kind != "bond":
            found.setdefault(nic.name, []).append(Claim(entry, entry.request))
            continue
        found.setdefault(nic.name, []).append(Claim(entry, entry.request.of_link()))
        for name in (name for name in nic.members if name in nics):
            found.setdefault(name, []).append(Claim(entry, entry.request.of_hardware(), member=True))
    return {name: sorted(several, key=lambda one: not one.member) for name, several in found.items()}


def targets(
    speaking: Mapping[str, Sequence[Claim]],
    nics: Mapping[str, NicState],
    keys: Mapping[str, str],
    body: Mapping[str, Any],
    reapplied: bool,
) -> Iterator[Target]:
    """Return what is requested of each NIC, once.

    Args:
        speaking: Requests by NIC, as ``claims`` returns them.
        nics: The NICs as they are.
        keys: Of the state file, by NIC.
        body: The state file's.
        reapplied: Whether the requests are those of the state file, so that what they name is ours.
    """
    ours = {key for key, held in body.get("nics", {}).items() if "flow_rules" in held}
    for name, several in speaking.items():
        listed = [one for one in several if one.entry.listed]
        saved = [one for one in several if not one.entry.listed]
        ending = bool(listed) and not any(one.entry.request.present for one in listed)
        request = _merged(name, [one for one in listed if one.entry.request.present] or ([] if ending else saved))
        if ending:
            original = body.get("original", {}).get(keys[name])
            request = fitted(parse({**original, "name": name}) if original else Request(name=name), nics[name])
            if saved:  # somebody else still speaks for it
                request = overlaid(request, _merged(name, saved))
        elif listed and saved and request.irq is None:
            request = replace(request, irq=_merged(name, saved).irq)  # its share of the CPUs
        keys_of = {keys[name], *(one.entry.key for one in listed)}
        yield Target(
            name,
            request,
            touched=bool(listed),
            owns_rules=reapplied or not listed or bool(keys_of & ours),
            released=ending and not saved,
        )


def twice(speaking: Mapping[str, Sequence[Claim]]) -> list[str]:
    """Return why one list cannot speak for a NIC in several places; to forget it twice is to forget it."""
    reasons = []
    for name in sorted(speaking):
        listed = [one for one in speaking[name] if one.entry.listed]
        if len(listed) > 1 and any(one.entry.request.present for one in listed):
            places = " and ".join(map(str, listed))
            reasons.append(
                f"{name} is requested {len(listed)} times, by itself or in a bond ({places}): once is enough"
            )
    return reasons


def _merged(name: str, several: Sequence[Claim]) -> Request:
    if len(several) == 1:
        return several[0].request
    return reduce(overlaid, (one.request for one in several), Request(name=name))
