"""Who holds an access token, as the database said less than a second ago, so that it is not asked for each request.

What ends a session or changes an account is seen at once by all workers of the service, by a number that they share;
what another process did, such as a second replica or `reset_password`, once the answer is too old.
"""

from __future__ import annotations

import mmap
import time
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

# Less than the second within which a session that was ended must be out, by what a request takes.
SECONDS = 0.8
TOKENS = 1024

# gunicorn's master imports this module, so that its workers share the number; see `metrics`.
_changes = memoryview(mmap.mmap(-1, 8)).cast("Q")


class _Answer(NamedTuple, Generic[T]):
    value: T
    moment: float
    changes: int


class Standing(Generic[T]):
    """Answers of the database by token."""

    def __init__(self) -> None:
        self._answers: dict[str, _Answer[T]] = {}

    def get(self, token: str) -> T | None:
        """Return what was kept for the token; None where that is too old, or anything changed since."""
        answer = self._answers.get(token)
        if answer is None or answer.changes != _changes[0] or time.monotonic() > answer.moment + SECONDS:
            return None
        return answer.value

    def asking(self) -> tuple[float, int]:
        """Return the state before the database is asked, which `keep` takes: its answer may be as old as that."""
        return time.monotonic(), _changes[0]

    def keep(self, token: str, value: T, asked: tuple[float, int]) -> None:
        """Keep an answer for a token."""
        if len(self._answers) >= TOKENS:
            # Nearly all of them are too old, and the others are asked for again.
            self._answers.clear()
        self._answers[token] = _Answer(value, *asked)

    def drop(self, token: str) -> None:
        """Keep nothing for a token any more."""
        self._answers.pop(token, None)


def changed() -> None:
    """Let all workers ask again, after the transaction that changed a session or an account."""
    _changes[0] = (_changes[0] + 1) % (1 << 64)
