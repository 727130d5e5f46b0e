"""The name of a request, by which its lines in the logs of all services are found."""

from __future__ import annotations

import logging
import re
import uuid
from contextvars import ContextVar
from typing import Any

HEADER = "X-Request-ID"
# The same for gRPC, whose metadata is in lower case.
METADATA = HEADER.lower()
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")

# Of the request that this thread serves; a thread of its own serves none.
_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def adopt(given: str) -> str:
    """Take a caller's name for a request where it is well-formed, else make one; return it."""
    request_id = given if WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
    _current.set(request_id)
    return request_id


def current() -> str | None:
    """Return the name of the request being served; None where there is none."""
    return _current.get()


def leave() -> None:
    """Serve no request any more: the thread's next lines are nobody's."""
    _current.set(None)


def processor(_logger: logging.Logger, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Put the name into a log line, for structlog."""
    request_id = _current.get()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event
