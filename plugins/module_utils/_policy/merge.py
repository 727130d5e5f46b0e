# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""One policy out of the documents of its owners: the inventory's, the API's, each feed's; none removes another's.

Only parts are looked at, never the entries of a list, so a million prefixes cost nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .._core.converge import Findings, Invalid, Refused

INVENTORY, API, FEED = "inventory", "api", "feed:"
# What the parts of each kind are known by; in the order in which the kernel asks them.
IDENTITIES: Mapping[str, str] = {"lists": "name", "rules": "id", "limits": "name", "services": "name"}
# Parts that an owner may have; trusted sources and the default are the operator's word alone.
_ALLOWED: Mapping[str, frozenset[str]] = {
    INVENTORY: frozenset({*IDENTITIES, "trusted", "default"}),
    API: frozenset(IDENTITIES),
    FEED: frozenset({"lists"}),
}
_OWNER = re.compile(r"inventory|api|feed:[A-Za-z0-9_.-]{1,63}")
_SIDES = ("source", "destination")
_LIMIT_ACTION = "limit:"


def check_owner(owner: str) -> None:
    """Raise Invalid where nobody can own entries of a policy by that name."""
    if not _OWNER.fullmatch(owner):
        raise Invalid(f"owner {owner!r} is none of {INVENTORY}, {API} and {FEED}NAME (letters, digits, '_', '.', '-')")


def merge(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the policy that the documents make together, each of its parts with its owner.

    The inventory's parts come first, then the API's, then those of feeds by name: where two lists have the same prefix,
    or two rules match the same packet, the inventory's decides.

    Args:
        documents: By owner: ``inventory``, ``api`` or ``feed:NAME``.

    Raises:
        Invalid: There is no such owner.
        Refused: An owner has a part that it may not have, two owners use the same name, or one builds on a part that
            another could take away; every reason at once.
    """
    for owner in documents:
        check_owner(owner)
    findings = Findings()
    merged: dict[str, Any] = {}
    holders: dict[tuple[str, str], str] = {}
    for owner in sorted(documents, key=_rank):
        document = documents[owner]
        for key in document:
            if key not in _ALLOWED[_kind(owner)]:
                findings.add(f"owner {owner} has {key}, which {_holders(key)}")
            elif key not in IDENTITIES:
                merged[key] = document[key]
        for key, identity in IDENTITIES.items():
            for part in document.get(key, ()):
                name = part[identity]
                holder = holders.setdefault((key, name), owner)
                if holder != owner:
                    findings.add(
                        f"{_singular(key)} {name} of owner {owner} has the name of one of owner {holder}: rename it, "
                        "or remove the other one there"
                    )
                merged.setdefault(key, []).append({**part, "owner": owner})
    for line in _foreign_references(merged, holders):
        findings.add(line)
    findings.raise_if_any(Refused, "the owners' documents make no policy")
    return merged


def _rank(owner: str) -> tuple[int, str]:
    return (INVENTORY, API, FEED).index(_kind(owner)), owner


def _kind(owner: str) -> str:
    return FEED if owner.startswith(FEED) else owner


def _holders(key: str) -> str:
    found = [owner for owner, allowed in _ALLOWED.items() if key in allowed]
    return f"only {' and '.join(found)} may have" if found else "is no part of a policy"


def _singular(key: str) -> str:
    return key[:-1]


def _foreign_references(merged: Mapping[str, Any], holders: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Yield where a part names another owner's that may go without it being asked; the inventory's are common."""
    for key, identity in IDENTITIES.items():
        for part in merged.get(key, ()):
            for kind, name in _references(part):
                holder = holders.get((kind, name))
                if holder not in (None, INVENTORY, part["owner"]):
                    yield (
                        f"{_singular(key)} {part[identity]} of owner {part['owner']} names {_singular(kind)} {name} of "
                        f"owner {holder}, who may take it away: name one of its own, or of the inventory's"
                    )


def _references(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the kind and the name of every part that a part names."""
    for key in _SIDES:
        side = part.get(key, ())
        # A prefix is no list's name, so nobody holds it.
        yield from (("lists", one) for one in ([side] if isinstance(side, str) else side))
    action = part.get("action")
    if isinstance(action, str) and action.startswith(_LIMIT_ACTION):
        yield "limits", action[len(_LIMIT_ACTION) :]
    if isinstance(part.get("limit"), str):
        yield "limits", part["limit"]
