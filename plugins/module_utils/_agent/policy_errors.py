# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""How a request to the policy's socket can fail, beside what any part of the core raises."""

from __future__ import annotations

from collections.abc import Mapping

from .._core.converge import CoreError, Impossible, Invalid, Refused


class Missing(CoreError):
    """There is no policy, revision or ban of that name."""


class Conflict(CoreError):
    """Somebody else was there first: another revision is in force, or a change waits for its confirmation."""


class Busy(CoreError):
    """Too much at once; the same request may be accepted later."""


class Forbidden(CoreError):
    """Whoever asks may not do it."""


# Of errors, as clients tell them apart.
KINDS: Mapping[type[CoreError], str] = {
    Invalid: "invalid",
    Missing: "missing",
    Conflict: "conflict",
    Busy: "busy",
    Forbidden: "forbidden",
    Refused: "refused",
    Impossible: "impossible",
}
FAILED = "failed"


def kind(error: Exception) -> str:
    """Return what clients tell an error by."""
    return next((name for one, name in KINDS.items() if isinstance(error, one)), FAILED)
