# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What differs between two policies, in words: a line for each part, however many entries it has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .merge import IDENTITIES

_SHOWN = 5  # entries that are named
_ENTRIES, _LONG = ("prefixes",), 60


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return a line for each part that is new, gone or different, in the order in which the kernel asks them.

    Args:
        before: A policy, as one owner wrote it or as all make it together.
        after: Another.
    """
    lines = list(_entries("trusted", before.get("trusted", ()), after.get("trusted", ())))
    for key, identity in IDENTITIES.items():
        old = {part[identity]: part for part in before.get(key, ())}
        new = {part[identity]: part for part in after.get(key, ())}
        singular = key[:-1]
        for name, part in old.items():
            if name not in new:
                lines.append(f"{singular} {name}: removed{_owned(part)}")
        for name, part in new.items():
            if name not in old:
                lines.append(f"{singular} {name}: new{_owned(part)}{_summary(part, identity)}")
            else:
                lines += _part(f"{singular} {name}", old[name], part)
        common = [[name for name in names if name in old and name in new] for names in (old, new)]
        if common[0] != common[1]:
            lines.append(f"{key}: in another order")
    if before.get("default", "pass") != after.get("default", "pass"):
        lines.append(f"default: {before.get('default', 'pass')} -> {after.get('default', 'pass')}")
    return lines


def _part(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    fields: list[str] = []
    for field in dict.fromkeys((*before, *after)):
        old, new = before.get(field), after.get(field)
        if old == new:
            continue
        if field in _ENTRIES:
            fields += _entries(field, old or (), new or ())
        else:
            fields.append(f"{field} {_show(old)} -> {_show(new)}")
    if fields:
        yield f"{what}: {', '.join(fields)}"


def _entries(what: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[str]:
    old, new = ({_show(one) for one in some} for some in (before, after))
    if old == new:
        return
    for words, found in (("added", new - old), ("removed", old - new)):
        if found:
            first = sorted(found)[:_SHOWN]
            more = f" and {len(found) - len(first)} more" if len(found) > len(first) else ""
            yield f"{what}: {len(found)} {words} ({', '.join(first)}{more})"


def _owned(part: Mapping[str, Any]) -> str:
    return f", of owner {part['owner']}" if "owner" in part else ""


def _summary(part: Mapping[str, Any], identity: str) -> str:
    words = [
        f"{field} {_show(value)}"
        for field, value in part.items()
        if field not in (identity, "owner", *_ENTRIES) and len(_show(value)) <= _LONG
    ]
    words += [f"{len(part[field])} {field}" for field in _ENTRIES if field in part]
    return f" ({', '.join(words)})" if words else ""


def _show(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
