"""Deadlines for a database server that hold without its help.

A server's own limits are the server's, and the kernel of a frozen one still acknowledges what is sent, so that no
setting of the socket ends the wait either. psycopg2 calls this module whenever it would wait; `mariadb` asks it.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import extensions

_this = threading.local()

MESSAGE = "no answer within the deadline"


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """End every wait of this thread for a database once the seconds are over; the outermost deadline holds."""
    if getattr(_this, "end", None) is not None:
        yield
        return
    _this.end = time.monotonic() + seconds
    try:
        yield
    finally:
        _this.end = None


def left() -> float | None:
    """Return the seconds that this thread may still wait, at least 0; None where it has no deadline."""
    end: float | None = getattr(_this, "end", None)
    return None if end is None else max(end - time.monotonic(), 0)


def install() -> None:
    """Have every connection of psycopg2's in this process wait here."""
    extensions.set_wait_callback(_wait)


def _wait(connection: Any) -> None:
    events = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}
    while (state := connection.poll()) != extensions.POLL_OK:
        if state not in events:
            raise psycopg2.OperationalError(f"psycopg2 is in the unknown state {state}")
        poll = select.poll()
        poll.register(connection.fileno(), events[state])
        seconds = left()
        if seconds == 0 or not poll.poll(None if seconds is None else seconds * 1000):
            # psycopg2 closes the connection.
            raise psycopg2.OperationalError(MESSAGE)
