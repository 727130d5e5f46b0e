"""Answers that go on for as long as somebody reads: how many a worker has, beside its requests.

Such an answer begins as any request does, in one of the threads that serve; from then on it has a thread of its own,
and those that serve are as many as before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from threading import BoundedSemaphore, Lock

from .metrics import HOSTS

# The web interface's server reads one of each host, and may meet one worker with all of them; others read a few.
MOST = HOSTS + 4


class Turn:
    """One of the places of those who serve, from which an answer that lasts makes room for a request.

    Args:
        places: Of the worker.
    """

    def __init__(self, places: BoundedSemaphore) -> None:
        self._places = places
        self._held = False

    def __enter__(self) -> Turn:
        """Wait for a place."""
        self._places.acquire()
        self._held = True
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it, where that was not done before."""
        self.leave()

    def leave(self) -> None:
        """Let a request have the place, while this thread goes on."""
        held, self._held = self._held, False
        if held:
            self._places.release()


# Of the request that this thread serves; in a test's client nobody waits for a place.
SERVED: ContextVar[Callable[[], None]] = ContextVar("served", default=lambda: None)


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
