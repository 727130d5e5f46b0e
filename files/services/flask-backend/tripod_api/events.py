"""What happens, as it happens: a stream of events (text/event-stream), and who may read it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, jsonify, request

from . import shapes
from .api_tokens import PREFIX
from .context import Services, bearer, holder, permit, plane, services
from .database import DatabaseUnavailable
from .errors import ApiError
from .feed import Feed, notice
from .lasting import LASTING, MAKE_ROOM
from .migrations import SchemaMismatch
from .operations import operation
from .schemas import Events, Tokens
from .scopes import Access, Scope
from .sessions import unauthorized

blueprint = Blueprint("events", __name__, url_prefix="/api/v1")

MEDIA = "text/event-stream"
RESUME = "Last-Event-ID"
# How late a stream notices that its session has ended, beside the age of what is known of that; see `standing`.
CHECK_SECONDS = 0.15
# Fronts and browsers take silence for an end.
BEAT_SECONDS = 5.0
BEAT = b": \n\n"
# How long a client of the standard waits before it connects again.
RETRY = b"retry: 2000\n\n"

# One of them looks at a time: of all that have the same token the first one asks the database, and however many there
# are, they have one connection to it.
_looking = threading.Lock()


@dataclass(frozen=True)
class Stream:
    """One reader's stream.

    Attributes:
        feed: What is read.
        begin: At which place.
        lost: Whether what the reader had last is not known any more.
        check: Raises where the reader may not read any longer.
        seconds: How long it goes on.
    """

    feed: Feed
    begin: int
    lost: bool
    check: Callable[[], None]
    seconds: float

    def __iter__(self) -> Iterator[bytes]:
        """Give events until the end, which is an event, too."""
        MAKE_ROOM.get()()
        place, lost, kept, complete = self.begin, self.lost, self.feed.count, False
        end, checked, sent = time.monotonic() + self.seconds, 0.0, 0.0
        yield RETRY
        while self.feed.goes_on() and time.monotonic() < end:
            if lost:
                yield notice("lost")
            items, place, lost = self.feed.since(place, CHECK_SECONDS)
            # One by one, as each has its own deadline to be taken by: a reader that takes none is cut off, and what it
            # has not taken waits in no queue.
            for text in [item.text for item in items] or [b""]:
                if time.monotonic() > checked + CHECK_SECONDS:
                    if over := self._over():
                        yield over
                        return
                    checked = time.monotonic()
                if text:
                    yield text
            now = time.monotonic()
            if (place >= kept and not complete) or (not items and now > sent + BEAT_SECONDS):
                # The first one says that all that was kept is there.
                complete = True
                yield BEAT
                sent = now
            elif items:
                sent = now
        yield notice("end", code="stream_over", detail="This stream is over; connect again.")

    def _over(self) -> bytes:
        """Return what to end with where the reader may not read any longer, or nobody knows."""
        try:
            with _looking:
                self.check()
        except ApiError as error:
            return notice("end", code=error.code, detail=error.message)
        except (DatabaseUnavailable, SchemaMismatch):
            return notice("end", code="database_unavailable", detail="The database does not answer.")
        return b""


@operation(
    blueprint,
    "GET",
    "/events",
    Scope.DATAPLANE_READ,
    window=Events,
    gives=bytes,
    media=MEDIA,
    refusals=(429,),
    of_host=True,
)
def stream_events(window: Events) -> Response:
    """Send each reading of the counters as it comes, from where the reader was."""
    parts, feed, token = services(), plane().feed, bearer()
    leave = LASTING.enter()
    if leave is None:
        raise ApiError(429, "busy", "Others read the events at this moment; try again shortly.", Retry_After="5")
    begin, lost = feed.begin(request.headers.get(RESUME, ""), window.begin == "oldest")
    stream = Stream(feed, begin, lost, lambda: permit(holder(parts, token), Scope.DATAPLANE_READ), window.seconds)
    response = Response(iter(stream), mimetype=MEDIA)
    # Whoever stands before us is to keep nothing and hold nothing back.
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(leave)
    return response


@operation(blueprint, "POST", "/events/readers", Access.ANYONE, takes=Tokens, gives=shapes.Readers, refusals=(503,))
def event_readers(wanted: Tokens) -> Response:
    """Tell which tokens are good for the stream of events: for who passes one stream on to many."""
    return jsonify(readers=readers(services(), wanted.tokens))


def readers(parts: Services, tokens: list[str]) -> list[dict[str, Any]]:
    """Return whether the holders of tokens may read events.

    Nobody has to be signed in to ask, so what is made up must not cost a question to the database each.
    """
    parts.sessions.look_up([token for token in set(tokens) if not token.startswith(PREFIX)])
    made = parts.api_tokens.made({token for token in tokens if token.startswith(PREFIX)})
    found: dict[str, dict[str, Any]] = {}
    for token in set(tokens):
        try:
            if token.startswith(PREFIX) and token not in made:
                raise unauthorized("invalid_token", "The API token is not valid.")
            permit(holder(parts, token), Scope.DATAPLANE_READ)
        except ApiError as error:
            found[token] = {"allowed": False, "status": error.status, "code": error.code, "detail": error.message}
        else:
            found[token] = {"allowed": True, "status": 200, "code": None, "detail": None}
    return [found[token] for token in tokens]
