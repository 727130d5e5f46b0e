# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What of a request this host can meet now: one pool, mode or mount that it cannot does not keep the others from it.

For a reapply, where nobody can correct the request before the host has to come up. A function of data only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .._core.sizes import size_token
from . import limits
from .request import Desired, Reservation, faults
from .state import HugepageState


def feasible(desired: Desired, state: HugepageState) -> tuple[Desired, dict[str, str]]:
    """Return what can be met of a request, and why the rest cannot, by the first words of its change's path.

    Pools are judged one after the other, those that free pages first and small pages last, as they are filled.
    """
    if not _reasons(desired, state):
        return desired, {}
    met = replace(desired, reservations=(), mounts=(), transparent={}, default_size=None)
    unmet: dict[str, str] = {}
    for what, tried in _parts(desired, state):
        attempt = replace(met, **{name: _joined(getattr(met, name), part) for name, part in tried.items()})
        reasons = _reasons(attempt, state)
        if reasons:
            unmet[what] = f"{what}: {'; '.join(reasons)}"
        else:
            met = attempt
    default = replace(met, default_size=desired.default_size)
    return (met if _reasons(default, state) else default), unmet


def _reasons(desired: Desired, state: HugepageState) -> list[str]:
    return [*faults(desired), *limits.limits(desired, state), *limits.refusals(desired, state)]


def _parts(desired: Desired, state: HugepageState) -> Iterator[tuple[str, dict[str, Any]]]:
    def rank(one: Reservation) -> tuple[bool, int, int]:
        return (one.count > state.pools[one.node, one.size].reserved, -one.size, one.node)

    for one in sorted(desired.reservations, key=rank):
        yield f"pages {one.node} {size_token(one.size)}", {"reservations": (one,)}
    for key, mode in desired.transparent.items():
        yield f"transparent {key}", {"transparent": {key: mode}}
    for mount in desired.mounts:
        yield f"mount {mount.path}", {"mounts": (mount,)}


def _joined(held: Any, more: Any) -> Any:
    return {**held, **more} if isinstance(more, dict) else (*held, *more)
