# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Durations in a document, made times once: a playbook that runs again does not renew what it requested before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._policy.fields import parse_duration

# By list, or list and prefix: the duration that was requested, and the seconds since 1970 that it came to.
Given = Mapping[str, tuple[str, int]]


def resolve(document: Mapping[str, Any], former: Given, now: float) -> tuple[dict[str, Any], Given]:
    """Return a document with times in place of durations, and what these were made of.

    Args:
        document: Of an owner. A duration counts from when it was first requested for its list or entry.
        former: What durations of this owner's document before were made of.
        now: Seconds since 1970.
    """
    given: dict[str, tuple[str, int]] = {}

    def at(place: str, expires: Any) -> Any:
        seconds = parse_duration(expires) if isinstance(expires, str) else None
        if seconds is None:
            return expires
        before = former.get(place)
        end = int(now) + seconds
        given[place] = (expires, before[1] if before and before[0] == expires else end)
        return given[place][1]

    lists = [_list(one, at) for one in document.get("lists", ())]
    return ({**document, "lists": lists} if "lists" in document else dict(document)), given


def _list(one: Mapping[str, Any], at: Any) -> dict[str, Any]:
    found, name = dict(one), one.get("name")
    if "expires" in one:
        found["expires"] = at(f"{name}", one["expires"])
    if any(isinstance(entry, Mapping) and "expires" in entry for entry in one.get("prefixes", ())):
        found["prefixes"] = list(_entries(name, one["prefixes"], at))
    return found


def _entries(name: Any, entries: Any, at: Any) -> Iterator[Any]:
    for entry in entries:
        if isinstance(entry, Mapping) and "expires" in entry:
            yield {**entry, "expires": at(f"{name} {entry.get('prefix')}", entry["expires"])}
        else:
            yield entry
