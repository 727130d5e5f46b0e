# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The CPU plan on a host: service manager, interrupts, workqueues, governor, and what requires a reboot."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, Findings, Impossible, Outcome, converge
from .._core.cpulist import format_cpulist, format_mask, parse_cpulist
from .._core.errors import reason
from .._core.state_store import StateFile
from .._core.system import Host
from .._linux.topology import CPUS, read_cpus
from .changes import drop_in_text, plan_changes, with_originals
from .limits import check_governor, check_isolation
from .plan import resolve
from .request import Request, parse_request
from .state import DROP_IN, IRQ_DEFAULT, KIND, WORKQUEUES, State, read_state

# What the agent reapplies by.
__all__ = ["KIND", "CpuIsolation", "reapply"]

_logger = logging.getLogger(__name__)


class CpuIsolation:
    """Resource: the host follows a CPU plan, or, where the request is None, none of ours.

    Args:
        request: What is requested.
        save: Whether the request is saved in the state file; not while that is being reapplied.
    """

    def __init__(self, request: Request | None, save: bool = True) -> None:
        self._request = request
        self._save = save

    def read(self, host: Host) -> State:
        """Read the CPUs and everything that says what runs on them."""
        nics = [one.nic for one in self._request.assignments if one.nic] if self._request else []
        return read_state(host, nics)

    def files(self, _state: State) -> Iterator[str]:
        """Yield what is written."""
        yield DROP_IN
        yield state_store.path(KIND)

    def validate(self, desired: Request | None, state: State) -> None:
        """Raise Impossible with every reason why the host cannot follow the plan."""
        if desired is None:
            return
        wrong = Findings()
        resolve(desired, state.topology, wrong)
        for one in (*check_isolation(desired, state), *check_governor(desired.governor, state.governors)):
            wrong.add(one)
        wrong.raise_if_any(Impossible, "this host cannot follow the CPU plan")

    def plan(self, desired: Request | None, state: State) -> list[Change]:
        """Return the settings that differ, then the state file."""
        return plan_changes(desired, state, self._save)

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write each setting; the original values are saved before the first one."""
        if any(change.path[0] == "state file" for change in changes):
            host.prove_writable(state_store.path(KIND))
        before = with_originals(changes)
        if before:
            state_store.store(host, before)
        for change in changes:
            try:
                _apply(host, change)
            except OSError as error:
                raise ApplyFailed(f"{' '.join(change.path)} -> {change.after}: {reason(error)}") from error


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the host to what a state file requests; CPUs that are not online now are left out.

    Args:
        body: The state file's.
        host: The machine.
        check: Plan only.
        only: Interfaces concerned; the CPU plan concerns none, so there is nothing to do but for None.
    """
    # A run that was killed, or failed, has saved original values and no plan yet.
    if only is not None or "housekeeping" not in body:
        return Outcome((), None, checked=check)
    online = frozenset(read_cpus(host).online)
    # Containers keep the CPUs they were started with, so the assignments need no reapplying.
    request = replace(parse_request({**body, "assignments": ()}), split_cores=True)
    housekeeping, isolated = request.housekeeping or frozenset(), request.isolated or frozenset()
    absent = (housekeeping | isolated) - online
    if absent:
        _logger.warning("CPUs %s of the CPU plan are not online and are left out", format_cpulist(absent))
    request = replace(request, housekeeping=(housekeeping | (online - isolated)) & online, isolated=isolated & online)
    return converge(CpuIsolation(request, save=False), request, host, check=check)


def _apply(host: Host, change: Change) -> None:
    what, name = change.path
    if what == "systemd":
        if change.after is None:
            host.remove(DROP_IN)
        else:
            host.write_atomically(DROP_IN, drop_in_text(change.after) + "\n")
    elif what == "irq":
        host.write_attribute(IRQ_DEFAULT, format_mask(parse_cpulist(change.after)))
    elif what == "workqueue":
        host.write_attribute(WORKQUEUES, format_mask(parse_cpulist(change.after)))
    elif what == "governor":
        host.write_attribute(f"{CPUS}/{name}/cpufreq/scaling_governor", change.after)
    elif change.after is None:
        state_store.discard(host, KIND)
    else:
        state_store.store(host, StateFile(KIND, KIND, change.after))
