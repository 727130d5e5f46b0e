"""The counters as they are read each second, for all streams of this worker: go-backend is asked once, whoever listens.

What came last is kept once, and each stream has no more than its place in it. So a reader that is slow costs nothing,
and whoever was cut off goes on where it was.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from .dataplane import Dataplane
from .errors import ApiError

logger = logging.getLogger(__name__)

# As many readings as go-backend keeps: five minutes of one a second.
KEPT = 300
# go-backend reads once a second, and answers as soon as it has.
WAIT_SECONDS = 1.5
PAUSE_SECONDS = 1.0
# A stream takes so many, then its reader's session is looked at again.
AT_ONCE = 32


class Item(NamedTuple):
    """What a stream is sent, as it is sent.

    Attributes:
        name: By which a reader goes on behind it; empty of what is no reading.
        text: The event.
    """

    name: str
    text: bytes


def event(kind: str, data: dict[str, Any], name: str = "") -> bytes:
    """Return an event as the HTML standard has it; JSON has no newlines of its own."""
    told = f"id: {name}\n" if name else ""
    return f"{told}event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def notice(kind: str, **more: str) -> bytes:
    """Return an event that is no reading."""
    return event(kind, {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **more})


class Feed:
    """The last readings.

    Args:
        dataplane: Whom to ask.
    """

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._came = threading.Condition()
        self._items: deque[Item] = deque(maxlen=KEPT)
        self._count = 0
        self._after = ""
        self._away = ""
        self._asked = threading.Event()
        self.goes_on: Callable[[], bool] = lambda: True

    def start(self, goes_on: Callable[[], bool]) -> None:
        """Begin to read; after gunicorn's fork, as threads do not survive one.

        Args:
            goes_on: Whether streams may; a worker that stops ends them.
        """
        self.goes_on = goes_on
        threading.Thread(target=self._run, name="feed", daemon=True).start()

    def begin(self, name: str, oldest: bool) -> tuple[int, bool]:
        """Return the place behind an item, and whether it is not known any more: then it is the oldest one's.

        Args:
            name: Of the item; empty for none, which is to begin with the latest.
            oldest: Where there is no name, begin with the oldest.
        """
        # A worker that has just begun is about to have what the others have.
        self._asked.wait(WAIT_SECONDS)
        with self._came:
            if name:
                # The reader may have had it of another worker, which had it a moment earlier.
                self._came.wait_for(lambda: self._behind(name) is not None, WAIT_SECONDS)
                behind = self._behind(name)
                return (self._first, True) if behind is None else (behind, False)
            return (self._first if oldest else max(self._first, self._count - 1)), False

    @property
    def count(self) -> int:
        """The place behind the latest item."""
        return self._count

    @property
    def _first(self) -> int:
        return self._count - len(self._items)

    def _behind(self, name: str) -> int | None:
        found = (self._count - at for at, item in enumerate(reversed(self._items)) if item.name == name)
        return next(found, None)

    def since(self, place: int, seconds: float) -> tuple[Sequence[Item], int, bool]:
        """Return what is at a place and behind it, the next place, and whether something was lost before.

        Args:
            place: As `begin` or an earlier call had it.
            seconds: How long to wait where nothing is there yet.
        """
        with self._came:
            if place >= self._count:
                self._came.wait(seconds)
            first = self._first
            lost, place = place < first, max(place, first)
            items = list(islice(self._items, place - first, place - first + AT_ONCE))
            return items, place + len(items), lost

    def read(self) -> bool:
        """Take what came since the last time, and tell whether there was an answer."""
        try:
            readings, lost = self._dataplane.readings(self._after, WAIT_SECONDS)
        except ApiError as error:
            if self._away != error.code:
                self._away = error.code
                self._add([Item("", notice("away", code=error.code, detail=error.message))])
            return False
        # Of a go-backend that has just begun nothing is known, and it has nothing: what comes is new.
        items = [Item("", notice("lost"))] if lost else []
        items += [Item(name, event("reading", reading, name)) for name, reading in readings]
        if readings:
            self._after = readings[-1][0]
        elif lost:
            self._after = ""
        if readings or lost:
            self._away = ""
            self._add(items)
        return True

    def _add(self, items: list[Item]) -> None:
        with self._came:
            self._items.extend(items)
            self._count += len(items)
            self._came.notify_all()

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            answered = False
            try:
                answered = self.read()
            except Exception:
                # A reading that nobody foresaw must not end all those to come.
                logger.exception("the counters could not be read")
            self._asked.set()
            if not answered or time.monotonic() - began < PAUSE_SECONDS / 10:
                # Most often it was go-backend that waited.
                time.sleep(PAUSE_SECONDS / 2)
