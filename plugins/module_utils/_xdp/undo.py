# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Steps that can be undone, and named where they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .._core.converge import ApplyFailed
from .._linux.netlink import NetlinkError


class Undo:
    """The steps that restore what was, last one first."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], None]]] = []
        self._finally: list[Callable[[], None]] = []

    def add(self, what: str, opposite: Callable[[], None]) -> None:
        """Note a step's opposite; ``what`` names it where it fails in turn."""
        self._steps.append((what, opposite))

    def on_success(self, step: Callable[[], None]) -> None:
        """Note what is cleared away once nothing will be undone."""
        self._finally.append(step)

    def run(self) -> list[str]:
        """Undo every step; return those that could not be undone."""
        failed = []
        for what, step in reversed(self._steps):
            try:
                step()
            except OSError as error:
                failed.append(f"{what} ({error})")
        return failed

    def accept(self) -> None:
        """Let what was done stand, and clear away what undoing it would have needed."""
        for step in self._finally:
            step()


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say in an error which step it was."""
    try:
        yield
    except OSError as error:
        raise ApplyFailed(f"cannot {what}: {error if isinstance(error, NetlinkError) else error.strerror}") from error
