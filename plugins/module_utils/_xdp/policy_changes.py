# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What differs between two policies, as the changes of a plan: pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._core.converge import Change, tally
from .._policy.merge import IDENTITIES

_FEW = 1000  # entries that are shown
_TRUSTED, _DEFAULT = "trusted", "default"
_MANY = (_TRUSTED, "prefixes")  # what can have very many entries
PARTS = (_TRUSTED, *IDENTITIES, _DEFAULT)


def changes_of(interface: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return a change for each part that is new, gone, different or in another order.

    Args:
        interface: What it judges.
        before: A policy, the documents of all owners made one.
        after: Another.
    """
    return list(_changes(interface, before, after))


def _changes(interface: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old_trusted, new_trusted = (sorted(map(str, one.get(_TRUSTED, ()))) for one in (before, after))
    if old_trusted != new_trusted:
        yield Change((interface, _TRUSTED), _brief(before).get(_TRUSTED) or None, _brief(after).get(_TRUSTED) or None)
    for kind, identity in IDENTITIES.items():
        old, new = ({part[identity]: part for part in one.get(kind, ())} for one in (before, after))
        for name in [*old, *(name for name in new if name not in old)]:
            if old.get(name) != new.get(name):
                yield Change((interface, kind, name), _part(old.get(name), identity), _part(new.get(name), identity))
        first, then = ([name for name in one if name in old and name in new] for one in (old, new))
        if first != then:
            yield Change((interface, kind, "order"), first, then)
    if before.get(_DEFAULT, "pass") != after.get(_DEFAULT, "pass"):
        yield Change((interface, _DEFAULT), before.get(_DEFAULT, "pass"), after.get(_DEFAULT, "pass"))


def _part(part: Mapping[str, Any] | None, identity: str) -> dict[str, Any] | None:
    return None if part is None else {key: value for key, value in _brief(part).items() if key != identity}


def shown(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document in which many entries are one line."""
    return {
        key: [_brief(one) for one in value] if key in IDENTITIES else value for key, value in _brief(document).items()
    }


def _brief(part: Mapping[str, Any]) -> dict[str, Any]:
    many = {key for key, value in part.items() if key in _MANY and isinstance(value, list) and len(value) > _FEW}
    return {key: _long(value) if key in many else value for key, value in part.items()}


def _long(entries: Sequence[Any]) -> str:
    digest = hashlib.sha256("\n".join(map(str, entries)).encode()).hexdigest()
    return f"{len(entries)} entries, SHA-256 {digest}"


def counts(changes: Sequence[Change]) -> dict[str, dict[str, int]]:
    """Return how many parts of each kind a plan for one interface adds, removes and changes."""
    kinds: dict[str, list[Change]] = {kind: [] for kind in PARTS}
    for change in changes:
        if len(change.path) > 1 and change.path[1] in kinds:
            kinds[change.path[1]].append(change)
    return {kind: tally(those) for kind, those in kinds.items() if those}
