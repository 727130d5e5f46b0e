"""Answers that go on for as long as somebody reads: how many a worker has, beside its requests.

Such an answer begins as any request does, in one of the threads that serve; from then on it has a thread of its own,
and those that serve are as many as before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from threading import Lock

from .metrics import HOSTS

# The web interface's server reads one of each host, and may meet one worker with all of them; others read a few.
MOST = HOSTS + 4
# Lets another request have the place of the one that this thread serves; in a test's client nobody waits for it.
MAKE_ROOM: ContextVar[Callable[[], None]] = ContextVar("make_room", default=lambda: None)


class Lasting:
    """Those of this worker.

    Args:
        most: There may be at a time.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = Lock()
        self.count = 0

    def enter(self) -> Callable[[], None] | None:
        """Take a place and return what leaves it, as often as it is called; None where there is none."""
        with self._lock:
            if self.count >= self._most:
                return None
            self.count += 1
        held = Lock()

        def leave() -> None:
            if held.acquire(blocking=False):
                with self._lock:
                    self.count -= 1

        return leave


LASTING = Lasting()
