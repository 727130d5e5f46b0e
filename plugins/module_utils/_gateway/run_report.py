# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What an import did, for an operator: a table of the plan, the difference, the results, and how far it is by now."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._core.converge import Change, describe
from .._core.system import Host
from .plan import ROTATE, Plan, Step
from .server import Ability
from .table import table

PROGRESS_SECONDS = 1.0
_MADE = "made by the server"


@dataclass(frozen=True)
class Report:
    """What an import did, or in check mode would do.

    Attributes:
        ability: How services get to the server.
        cluster_id: The cluster; None where the server has none.
        plan: Every service and mapping once, with what became of it.
        verified: Whether the server's list, read afterwards, says so; None where nothing was written.
        warnings: What the operator should know.
        failures: Why the server does not hold what it is to hold.
        requests: How many were sent.
        seconds: How long all of them took.
    """

    ability: Ability
    cluster_id: int | None
    plan: Plan
    verified: bool | None = None
    warnings: Sequence[str] = ()
    failures: Sequence[str] = ()
    requests: int = 0
    seconds: float = 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """Return what a module answers with."""
        return {
            "changed": bool(self.plan.writes),
            "changes": [line for step in self.plan.writes for line in _lines(step)],
            "cluster_id": self.cluster_id,
            "diff": _diff(self.plan.writes),
            "mode": self.ability.mode,
            "plan": [_entry(step) for step in self.plan.steps],
            "requests": self.requests,
            "summary": self.plan.results,
            "seconds": round(self.seconds, 3),
            "table": table(self.plan).splitlines(),
            "verified": self.verified,
        }


class ProgressFile:
    """A file with one line that says how far a run is, replaced every second.

    Args:
        host: Where it is.
        path: Its path.
        clock: Seconds that only go forward.
    """

    def __init__(self, host: Host, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._host, self._path, self._clock = host, path, clock
        self._began = self._written = clock()

    def __call__(self, done: int, total: int, step: Step) -> None:
        """Note that a step was answered."""
        now = self._clock()
        if now - self._written >= PROGRESS_SECONDS or done == total:
            self._written = now
            self._host.write_atomically(
                self._path, f"{done} of {total} steps, {now - self._began:.1f} s, last: {step.action} {step.name}\n"
            )


def _entry(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "action": step.action,
        "id": step.id,
        "before": dict(step.before),
        "after": _after(step),
        "reason": step.reason,
    }


def _after(step: Step) -> Mapping[str, Any]:
    return {"secret": _MADE} if step.action == ROTATE else dict(step.after)


def _lines(step: Step) -> list[str]:
    """Return ``NAME: ACTION``, or for each field that changes ``NAME FIELD: BEFORE -> AFTER``."""
    if not step.before:
        return [f"{step.name}: {step.action}"]
    return [describe(Change((step.name, key), step.before.get(key), value)) for key, value in _after(step).items()]


def _diff(steps: Sequence[Step]) -> dict[str, Any]:
    before: dict[str, dict[str, Any]] = {}
    after: dict[str, dict[str, Any]] = {}
    for step in steps:
        if step.before:
            before.setdefault(step.name, {}).update(step.before)
        after.setdefault(step.name, {}).update(_after(step))
    return {"before": before, "after": after}
