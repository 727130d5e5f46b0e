# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether a map that exists can serve another program: its sizes, and what its bytes mean."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .._linux.bpf import MapLayout

# What the kernel adds by itself: a program may not write to a devmap (BPF_F_RDONLY_PROG).
_ADDED_FLAGS: Mapping[str, int] = {"devmap": 1 << 7, "devmap_hash": 1 << 7}
_ENUMERATORS = re.compile(r"(?<=\))\{([^{}@]*)\}")
_SHOWN = 200


def fits(pinned: MapLayout, requested: MapLayout) -> bool:
    """Whether a pinned map can serve a program that requests this one."""
    return not differences(pinned, requested)


def differences(pinned: MapLayout, requested: MapLayout) -> list[str]:
    """Return what keeps a pinned map from serving a program, as ``value_size 4 -> 8``."""
    found = []
    for attribute in ("type", "key_size", "value_size", "max_entries"):
        before, after = getattr(pinned, attribute), getattr(requested, attribute)
        # Entries requested as 0 are counted by libbpf when it loads (per CPU, per page).
        if before != after and not (attribute == "max_entries" and after == 0):
            found.append(f"{attribute} {before} -> {after}")
    added = _ADDED_FLAGS.get(pinned.type, 0)
    if pinned.flags & ~added != requested.flags & ~added:
        found.append(f"flags {pinned.flags} -> {requested.flags}")
    if found:
        return found  # what the bytes mean follows from their number
    for attribute in ("key", "value"):
        before, after = getattr(pinned, attribute), getattr(requested, attribute)
        # Neither side of a map without BTF says what it holds; the sizes have to do.
        if before is not None and after is not None and not same_meaning(before, after):
            found.append(f"{attribute} {_from_where_they_part(before, after)}")
    return found


def same_meaning(one: str, other: str) -> bool:
    """Whether bytes of one type can be read as the other's, both as ``Btf.describe`` says them.

    An enumerator that only one of them has is no difference: releases add some, and one may go back to an older.
    """
    if _ENUMERATORS.sub("", one) != _ENUMERATORS.sub("", other):
        return False
    pairs = zip(_ENUMERATORS.findall(one), _ENUMERATORS.findall(other))
    return all(_agree(_values(first), _values(second)) for first, second in pairs)


def _values(enumerators: str) -> dict[str, str]:
    return dict(one.split("=") for one in enumerators.split(", ") if one)


def _agree(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    if any(other.get(name, value) != value for name, value in one.items()):
        return False
    names: dict[str, set[str]] = {}
    for name, value in other.items():
        names.setdefault(value, set()).add(name)
    first = {value: {name for name, held in one.items() if held == value} for value in one.values()}
    return all(value not in names or names[value] & held for value, held in first.items())


def _from_where_they_part(before: str, after: str) -> str:
    same = next((place for place, (one, other) in enumerate(zip(before, after)) if one != other), 0)
    begin = max(before.rfind(mark, 0, same) + 1 for mark in "{;,") if same > _SHOWN // 2 else 0
    lead = "..." if begin else ""
    return " -> ".join(f"{lead}{text[begin:].strip()[:_SHOWN]}" for text in (before, after))
