# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""From a request and the table as it is to what changes. Functions of data only."""

from __future__ import annotations

from .._core import state_store
from .._core.converge import Change
from .._core.state_store import StateFile
from .request import KIND, STATE_FILE, Request
from .ruleset import FAMILY, TABLE, chains
from .state import FirewallState

PLACE = f"table {FAMILY} {TABLE}"


def plan(request: Request | None, state: FirewallState) -> list[Change]:
    """Return what changes in the table, chain by chain, then the state file; None requests that neither be there."""
    if request is None:
        found = [Change((PLACE,), "present", None)] if state.chains is not None else []
        if state.state_file is not None:
            found.append(Change(("state file", STATE_FILE), dict(state.state_file.body), None))
        return found
    return [*table_changes(request, state), *state_store.plan(state.state_file, state_file(request))]


def table_changes(request: Request, state: FirewallState) -> list[Change]:
    """Return what changes in the table."""
    desired, held = chains(request), state.chains or {}
    found = [
        Change((PLACE, name), held[name].lines() if name in held else None, chain.lines())
        for name, chain in desired.items()
        if held.get(name) != chain
    ]
    found += [Change((PLACE, name), held[name].lines(), None) for name in held if name not in desired]
    return found + [Change((PLACE, other), "present", None) for other in state.others]


def state_file(request: Request) -> StateFile:
    """Return what is to be reapplied at boot."""
    return StateFile(STATE_FILE, KIND, request.to_body())
