# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""When to check which link; touches nothing outside."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from .._core.backoff import Backoff

QUIET = 0.3  # seconds without news of a link before it is checked
LONGEST = 3.0  # seconds that news can put a check off


@dataclass
class _LinkCheck:
    reasons: list[str] = field(default_factory=list)
    first: float | None = None  # When the oldest reason came up; None where there is none.
    due: float | None = None
    failures: int = 0
    last: float | None = None  # When something was applied, or failed.


class Schedule:
    """When to check which link; touches nothing outside.

    A change that is applied can itself bounce the link. The check after it finds nothing and ends that; where somebody
    else keeps changing things back, checks come at growing intervals.

    Args:
        backoff: Between a change, or a failure, and the next check.
    """

    def __init__(self, backoff: Backoff) -> None:
        self.backoff = backoff
        self._checks: dict[str, _LinkCheck] = {}

    def request(self, name: str, reason: str, now: float) -> None:
        """Have a link checked once there was no news of it for a while."""
        check = self._checks.setdefault(name, _LinkCheck())
        if reason not in check.reasons:
            check.reasons.append(reason)
        check.first = now if check.first is None else check.first
        check.due = max(min(now + QUIET, check.first + LONGEST), self._earliest(check))

    def _earliest(self, check: _LinkCheck) -> float:
        return 0.0 if check.last is None else check.last + self.backoff.delay(max(0, check.failures - 1))

    def take(self, now: float) -> dict[str, list[str]]:
        """Return the links to check now, each with its reasons."""
        due = {
            name: check.reasons for name, check in self._checks.items() if check.due is not None and check.due <= now
        }
        for name in due:
            check = self._checks[name]
            check.reasons, check.first, check.due = [], None, None
        return due

    def put_off(self, name: str, reasons: list[str], due: float) -> None:
        """Check a link later than intended."""
        check = self._checks.setdefault(name, _LinkCheck())
        check.reasons = [*reasons, *(one for one in check.reasons if one not in reasons)]
        check.due = due if check.due is None else min(check.due, due)

    def converged(self, name: str, now: float) -> None:
        """Nothing was to be done about a link."""
        check = self._checks.get(name)
        if check and check.last is not None and now - check.last >= self.backoff.limit:
            check.failures, check.last = 0, None

    def acted(self, name: str, now: float) -> None:
        """Something was applied, or failed: the next check is not before a while."""
        check = self._checks.setdefault(name, _LinkCheck())
        if check.last is not None and now - check.last >= 2 * self.backoff.limit:
            check.failures = 0
        check.failures, check.last = check.failures + 1, now

    def retry(self, name: str, reason: str) -> None:
        """Check again by itself, as what failed may do so no longer."""
        check = self._checks[name]
        self.put_off(name, [reason], self._earliest(check))

    def forget(self, names: Collection[str]) -> None:
        """Drop links that are gone, unless somebody waits for them to be checked."""
        for name in names:
            self._checks.pop(name, None)

    def idle(self, now: float) -> float | None:
        """Return the seconds until a link is due, or None where none is."""
        dues = [check.due for check in self._checks.values() if check.due is not None]
        return max(0.0, min(dues) - now) if dues else None
