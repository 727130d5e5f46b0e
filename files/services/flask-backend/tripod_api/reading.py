"""What a client has sent of a request, and how far that may go: read by a worker's loop, parsed by gunicorn, once."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from gunicorn.http import RequestParser
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import TConn

from . import requestid, tls
from .chunks import Chunks
from .config import BODY_BYTES
from .identity import Identity

# Seconds, from the first moment on: for a request's head; for its body, and more with each byte of it that came.
HEAD_SECONDS = 10.0
BODY_SECONDS = 5.0
BODY_SECONDS_AT_MOST = 30.0
BODY_BYTES_PER_SECOND = 8192
HEAD_BYTES = 32 * 1024

# What the loop answers, as it never waits for anything.
HEALTH = {"/healthz", "/readyz"}


class Refused(Exception):
    """The request is answered before it is whole."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


class Parser(RequestParser):  # type: ignore[misc]
    """gunicorn's, of one request: the loop has it parse a head once that is there, and a thread gets what it found.

    It has what the loop gives it, and never reads the socket.
    """

    def __init__(self, cfg: Any, head: bytes, client: Any) -> None:
        self._pieces = deque([head])
        super().__init__(cfg, self._given(), client)
        self._found: Any = None

    def _given(self) -> Iterator[bytes]:
        while True:
            yield self._pieces.popleft() if self._pieces else b""

    def give(self, data: bytes) -> None:
        """Add what came of the body."""
        self._pieces.append(data)

    def parse(self) -> Any:
        """Return the request; None where it is a wrong one, as `next` will say.

        Raises:
            NoMoreData, StopIteration: The head is not there yet.
        """
        try:
            self._found = super().__next__()
        except (NoMoreData, StopIteration):
            raise
        except Exception as error:
            # Whatever gunicorn finds wrong, gunicorn answers.
            self._found = error
            return None
        return self._found

    def __next__(self) -> Any:
        """Return the request, or raise what is wrong with it; there is none behind it."""
        found, self._found = self._found, None
        if isinstance(found, Exception):
            raise found
        return found


class Connection(TConn):  # type: ignore[misc]
    """A client's connection, and what of a request it has sent so far."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.accepted = time.time()
        # The loop waits for data, and a thread never does.
        self.data_ready = True
        self.sock: socket.socket
        self.opened = False
        self.served = False
        self.begin()

    def begin(self) -> None:
        """Wait for a request's first byte."""
        self.came = 0
        self.head = bytearray()
        self.deadline = time.monotonic() + HEAD_SECONDS
        self.body_began = 0.0
        self.missing: Callable[[bytes], int] | None = None
        self.expects = False
        self.health = False
        self.named = ""

    def receive(self, identity: Identity | None) -> bytes:
        """Return what the client sent, nothing where it is gone.

        Raises:
            tls.WAITS: Nothing came since.
        """
        try:
            if identity is not None and not self.opened:
                self.sock = tls.opened(self.sock, identity)
            self.opened = True
            return bytes(self.sock.recv(65536))
        except tls.WAITS:
            raise
        except OSError:
            return b""

    def take(self, data: bytes) -> bool:
        """Add what came, and tell whether the request is whole, or so wrong that gunicorn's parser will say so.

        Raises:
            Refused: It is larger than any request may be.
        """
        self.came += len(data)
        if self.missing is None:
            searched = max(0, len(self.head) - 3)
            self.head += data
            if self.head.find(b"\r\n\r\n", searched) < 0:
                if self.came > HEAD_BYTES:
                    raise Refused(431, "request_header_fields_too_large", f"More than {HEAD_BYTES} bytes of headers.")
                return False
            parser = Parser(self.cfg, bytes(self.head), self.client)
            try:
                request = parser.parse()
            except (NoMoreData, StopIteration):
                return False
            self.parser = parser
            if request is None:
                return True
            data = parser.unreader.take_buffered()
            parser.unreader.unread(data)
            self.named = named(request)
            self.expects = request._expected_100_continue
            self.missing = _measure(request.body.reader)
            self.health = request.path in HEALTH and request.method in {"GET", "HEAD"}
            self.body_began = time.monotonic()
            self._paid = 0
        else:
            self.parser.give(data)
        if self.came > HEAD_BYTES + 2 * BODY_BYTES:
            raise _too_large()
        left = self.missing(data)
        self._paid += len(data)
        allowed = BODY_SECONDS + self._paid / BODY_BYTES_PER_SECOND
        self.deadline = self.body_began + min(allowed, BODY_SECONDS_AT_MOST)
        return left <= 0


def _measure(reader: Any) -> Callable[[bytes], int]:
    """Return what tells, of each piece of a body, how many bytes are still to come (at least)."""
    if isinstance(reader, ChunkedReader):
        chunks = Chunks()

        def more_chunks(data: bytes) -> int:
            chunks.feed(data)
            if chunks.size > BODY_BYTES:
                raise _too_large()
            return 0 if chunks.done else 1

        return more_chunks
    left = reader.length if isinstance(reader, LengthReader) else 0
    if left > BODY_BYTES:
        raise _too_large()

    def more_bytes(data: bytes) -> int:
        nonlocal left
        left -= len(data)
        return int(left)

    return more_bytes


def named(request: Any) -> str:
    """Return what a request calls itself; empty where it does not, or nobody could read it."""
    wanted = requestid.HEADER.upper()
    return next((value for name, value in getattr(request, "headers", ()) if name == wanted), "")


def _too_large() -> Refused:
    return Refused(413, "request_entity_too_large", f"The body is larger than {BODY_BYTES} bytes.")
