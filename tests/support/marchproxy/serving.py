"""An HTTP server on the loopback that logs every request, and fails when and how a test says."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

WRITES = ("POST", "PATCH", "PUT", "DELETE")
POOL = 30  # requests at once that the real server's pool of connections bears
# What a test may do to a request: drop the connection before it is carried out, or after; answer "500 Internal Server
# Error" instead of it, or after it; send the answer that many seconds late.
BEFORE, AFTER, FAIL, FAIL_AFTER = "before", "after", "fail", "fail after"


@dataclass
class Request:
    """One request as the server read it, and what it answered (0: nothing)."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any
    port: int
    status: int = 0

    @property
    def line(self) -> str:
        """Method and path, as in ``PATCH /services/3``."""
        return f"{self.method} {self.path.removeprefix('/api/v1')}"

    @property
    def writes(self) -> bool:
        """Whether it is meant to change something; a login is not."""
        return self.method in WRITES and not self.path.startswith("/api/v1/auth/")


@dataclass
class Answer:
    """A status, and a body: JSON, or text as of an error that nobody handled."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[bytes, str]:
        """Return the body and its type."""
        if self.body is None:
            return b"", ""
        if isinstance(self.body, str):
            return self.body.encode(), "text/plain; charset=utf-8"
        return json.dumps(self.body, default=str).encode(), "application/json"


class Clock:
    """Seconds that a test puts forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Raised(Exception):
    """An answer that ends a request where it stands."""

    def __init__(self, status: int, detail: Any, **headers: str) -> None:
        super().__init__(detail)
        self.answer = Answer(
            status, {"detail": detail}, {key.replace("_", "-"): value for key, value in headers.items()}
        )


class Broken(Exception):
    """What no handler expected: 500, and the connection is dropped without a word."""


class MockServer:
    """What the two servers share; ``handle`` is theirs.

    Attributes:
        log: Every request, in order.
        fault: Called with a request's number (from 1, over the whole log) and the request; returns what is done to it.
        client: The process that asks, where a fault is to end it.
        most_at_once: Requests that were in work at the same time, at most.
        freeze_seconds: How long the server stands still after more than POOL requests at once.
    """

    def __init__(self) -> None:
        self.log: list[Request] = []
        self.fault: Callable[[int, Request], str | float | None] = lambda number, request: None
        self.freeze_seconds = 30.0
        self.client = 0
        self.most_at_once = 0
        self._at_once = 0
        self._frozen_until = 0.0
        self._counting = threading.Lock()
        self.lock = threading.RLock()  # over the rows, as the database has
        self.url = ""

    def handle(self, request: Request) -> Answer:
        """Carry out a request, or raise Raised or Broken."""
        raise NotImplementedError

    def answer(self, request: Request) -> Answer:
        """Return what is sent back; nothing that a handler raises is lost."""
        try:
            return self.handle(request)
        except Raised as raised:
            return raised.answer
        except Broken:
            return Answer(500, "Internal Server Error")

    @property
    def lines(self) -> list[str]:
        """Method and path of every request."""
        return [request.line for request in self.log]

    @property
    def writes(self) -> list[Request]:
        """The requests that are meant to change something."""
        return [request for request in self.log if request.writes]

    def forget(self) -> None:
        """Begin a new log."""
        self.log = []

    def serve(self, request: Request) -> tuple[Answer | None, float]:
        """Log and carry out a request; return its answer, None for none, and the seconds to wait before it."""
        with self._counting:
            self.log.append(request)
            number = len(self.log)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            if self._at_once > POOL:
                self._frozen_until = time.monotonic() + self.freeze_seconds
        try:
            while self._frozen_until > time.monotonic():
                time.sleep(0.01)
            fault = self.fault(number, request)
            if fault == BEFORE:
                return None, 0
            if fault == FAIL:
                return Answer(500, "Internal Server Error"), 0
            answer = self.answer(request)
            if fault == AFTER:
                return None, 0
            if fault == FAIL_AFTER:
                answer = Answer(500, "Internal Server Error")
            request.status = answer.status
            return answer, fault if isinstance(fault, float) else 0
        finally:
            with self._counting:
                self._at_once -= 1


Mock = TypeVar("Mock", bound=MockServer)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _any(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(
            self.command,
            parts.path,
            dict(urllib.parse.parse_qsl(parts.query)),
            dict(self.headers.items()),
            _parsed(content),
            self.client_address[1],
        )
        answer, seconds = self.server.mock.serve(request)
        time.sleep(seconds)
        if answer is None:
            self._drop()
            return
        content, kind = answer.encoded()
        self.send_response(answer.status)
        for name, value in {**({"Content-Type": kind} if kind else {}), **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        if answer.status == 500:
            self._drop()  # without "Connection: close"

    def _drop(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_OPTIONS = do_HEAD = _any  # noqa: N815

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the log is the server's."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, mock: MockServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mock = mock

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that is gone is what many tests are about."""


@contextmanager
def served(mock: Mock) -> Iterator[Mock]:
    """Let a server answer on a free port of the loopback while the body runs; its ``url`` says where."""
    server = _Server(mock)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    mock.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield mock
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content.decode("utf-8", "replace")
