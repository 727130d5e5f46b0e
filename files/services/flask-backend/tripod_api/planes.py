"""The hosts of the data plane: a way to each, and which of them a request is about.

Each has a connection, circuit breakers and threads of its own, so that one which is away holds up nobody but those who
ask for it.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from time import monotonic
from typing import TypeVar

from .afxdp import CAPTURES, Afxdp
from .agent import Agent
from .channel import DEADLINE, Channel
from .config import GoBackend
from .dataplane import Dataplane
from .errors import ApiError
from .feed import Feed
from .identity import Identity
from .metrics import Circuits

T = TypeVar("T")

# Who asks all hosts at once waits so long in all: for one of which a part does not answer, and the rest does.
PATIENCE = 2 * DEADLINE + 1
# Of each host, for what is asked of all of them: one waits, another one is to see that it need not.
ASKING = 2


class Plane:
    """A host of the data plane.

    Args:
        told: Where it is, and what it is asked with.
        identity: By what both sides know each other; None for plain connections.
        circuits: Where the circuit breakers tell their states.
        places: How many requests may wait for it at a time; None for any number.
        captures: Places for captures of all hosts, each of which has a thread.
    """

    def __init__(
        self,
        told: GoBackend,
        identity: Identity | None,
        circuits: Circuits,
        places: int | None,
        captures: BoundedSemaphore,
    ) -> None:
        self.name = told.name
        self.target = told.target
        self.channel = Channel(told.target, identity, circuits, host=told.name, peer=told.tls_name, places=places)
        self.dataplane = Dataplane(self.channel)
        self.agent = Agent(self.channel, told.secret)
        self.afxdp = Afxdp(self.channel, told.secret, captures)
        self.feed = Feed(self.dataplane)
        self._asking = ThreadPoolExecutor(ASKING, thread_name_prefix=f"ask-{told.name}")

    def ask(self, question: Callable[[Plane], T]) -> Future[T]:
        """Ask it something beside the present thread, for the same request."""
        return self._asking.submit(contextvars.copy_context().run, question, self)

    def close(self) -> None:
        """Drop the connection; the next question makes another."""
        self.channel.close()


class Planes:
    """All hosts of the data plane, in the order in which the deployment names them.

    Args:
        told: They; one at least.
        identity: As of a Plane.
        circuits: Likewise.
        threads: That serve requests: of several hosts none may have all of them wait for it.
    """

    def __init__(self, told: Sequence[GoBackend], identity: Identity | None, circuits: Circuits, threads: int) -> None:
        places = max(2, threads // len(told)) if len(told) > 1 else None
        captures = BoundedSemaphore(CAPTURES)
        self._planes = {one.name: Plane(one, identity, circuits, places, captures) for one in told}

    def __iter__(self) -> Iterator[Plane]:
        """Give each of them."""
        return iter(self._planes.values())

    @property
    def several(self) -> bool:
        """Whether a request has to say which one it means."""
        return len(self._planes) > 1

    def named(self, wanted: Sequence[str]) -> Plane:
        """Return the host that a request means.

        Args:
            wanted: What it calls it: nothing means the only one.

        Raises:
            ApiError: 422 where that is none, or not one.
        """
        known = ", ".join(self._planes)
        if not wanted and self.several:
            raise ApiError(422, "host_needed", f"There are several hosts: say which by `?host=`, of {known}.")
        if len(wanted) > 1:
            raise ApiError(422, "host_needed", f"One request is for one host: say `?host=` once, of {known}.")
        if not wanted:
            return next(iter(self))
        if wanted[0] not in self._planes:
            raise ApiError(422, "unknown_host", f"No host of the data plane goes by this name; there is {known}.")
        return self._planes[wanted[0]]

    def ask_all(self, question: Callable[[Plane], T], otherwise: Callable[[Plane], T]) -> list[T]:
        """Return what each of them answers, or something else of those that do not in time; all are asked at once."""
        asked = [(plane, plane.ask(question)) for plane in self]
        until = monotonic() + PATIENCE
        found = []
        for plane, answer in asked:
            try:
                found.append(answer.result(max(0.0, until - monotonic())))
            except TimeoutError:
                answer.cancel()
                found.append(otherwise(plane))
        return found

    def start(self, goes_on: Callable[[], bool]) -> None:
        """Begin what runs beside the requests.

        Args:
            goes_on: Whether streams of events may.
        """
        for plane in self:
            plane.feed.start(goes_on)

    def close(self) -> None:
        """Drop all connections."""
        for plane in self:
            plane.close()
