"""gunicorn's threaded worker, with a front that gives a thread only to requests that are there in full.

A thread that waits for a client's next byte is lost to all others, so no deadline is short enough: the event loop reads
each request, and whoever is slow costs a socket and the bytes it sent. The loop also answers `/healthz` and `/readyz`,
on the port that everybody asks, so that health does not depend on a free thread: the first says that this worker
accepts, reads, answers, the second what the worker's watch of the database found.
"""

from __future__ import annotations

import io
import socket
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ
from typing import Any, cast

import gunicorn.util
from gunicorn.http.errors import InvalidChunkSize, InvalidHeader, NoMoreData
from gunicorn.workers.gthread import ThreadWorker

from . import lasting, requestid, tls
from .answers import refusal
from .config import BODY_BYTES, THREADS
from .identity import Identity
from .logs import Output
from .proxies import ACCEPTED
from .reading import Connection, Refused, named

WORKERS = 2
# How many connections a worker has in each state. Their sum stays below CONNECTIONS, at which gunicorn stops accepting.
# 200 who come at once may all meet the same worker, and none of them is to be sent away with a 503.
READING = 256
WAITING = 192
KEPT = 128
LINGERING = 64
CONNECTIONS = READING + WAITING + THREADS + lasting.MOST + KEPT + LINGERING + 64

# For the client to take an answer; the loop itself waits for nobody.
SEND_SECONDS = 10.0
LOOP_SEND_SECONDS = 0.05
LINGER_SECONDS = 2.0
CHECK_SECONDS = 0.25


class Together:
    """A connection that sends an answer's head with the first piece of its body, which follows at once or never."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._head: bytes | None = None
        self._began = False

    def sendall(self, data: bytes) -> None:
        """Send, or keep what is first."""
        if not self._began:
            self._began, self._head = True, data
            return
        if self._head is not None:
            data, self._head = self._head + data, None
        self._line.sendall(data)

    def flush(self) -> None:
        """Send the head of an answer that has no body."""
        if self._head is not None:
            head, self._head = self._head, None
            self._line.sendall(head)

    def __getattr__(self, name: str) -> Any:
        """Be the connection in all else."""
        return getattr(self._line, name)


class Worker(ThreadWorker):  # type: ignore[misc]
    """Reads and lingers in its loop; everything else is gunicorn's."""

    slot: int | None = None
    identity: Identity | None = None
    output: Output | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_keepalived = KEPT
        # In the order of their coming, as dict keeps it.
        self.reading: dict[Connection, None] = {}
        self.lingering: dict[Connection, None] = {}
        # Of the loop alone: how many are served, and who waits for that; a thread that waited would cost others turns.
        self.served = 0
        self.waiting: deque[Connection] = deque()
        self.checked = 0.0

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return threads for those that serve, and for answers that last; `served` keeps the first at their number."""
        return ThreadPoolExecutor(THREADS + lasting.MOST)

    def handle(self, conn: Connection) -> Any:
        """Serve a request; where its answer lasts it makes room for another one."""
        lasting.MAKE_ROOM.set(partial(self.method_queue.defer, self._make_room, conn))
        return super().handle(conn)

    def _serve(self, conn: Connection) -> None:
        """Give a request a thread as soon as fewer than THREADS are served."""
        if self.served >= THREADS:
            self.waiting.append(conn)
            return
        self.served += 1
        conn.served = True
        super().enqueue_req(conn)

    def _make_room(self, conn: Connection) -> None:
        if not conn.served:
            return
        conn.served = False
        self.served -= 1
        if self.waiting:
            self._serve(self.waiting.popleft())

    def accept(self, listener: Any) -> None:
        """Take a connection; where too many are half sent, the one that has been at it longest makes room."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        if len(self.reading) >= READING:
            self._drop(next(iter(self.reading)))
        self.enqueue_req(Connection(self.cfg, client, address, listener.getsockname()))

    def enqueue_req(self, conn: Connection) -> None:
        """Read a request; gunicorn calls this for a new connection, and for a kept one that is readable."""
        conn.begin()
        conn.sock.setblocking(False)
        self.reading[conn] = None
        self.poller.register(conn.sock, EVENT_READ, partial(self._read, conn))
        ahead = conn.parser.unreader.take_buffered() if conn.parser else b""
        self._read(conn, conn.sock, ahead)

    def _read(self, conn: Connection, _socket: Any, data: bytes = b"") -> None:
        if not data:
            try:
                data = conn.receive(self.identity)
            except tls.WAITS:
                return
            if not data:
                self._drop(conn)
                return
        try:
            whole = conn.take(data)
        except Refused as refused:
            self._refuse(conn, refused)
            return
        if not whole:
            if conn.expects:
                conn.expects = False
                self._send(conn, b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        if len(self.waiting) >= WAITING and not conn.health:
            busy = "Too many requests are waiting; try again shortly."
            self._refuse(conn, Refused(503, "overloaded", busy, Retry_After="1"))
            return
        self._forget(conn)
        if conn.health:
            done: Future[Any] = Future()
            done.set_result(self.handle(conn))
            # Not at once, or requests that came in one piece would be nested as deep as they are many.
            self.method_queue.defer(self.finish_request, conn, done)
        else:
            self._serve(conn)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Give the application the whole body; where its framing is wrong, gunicorn answers for it."""
        # The loop sent it before the body came.
        req._expected_100_continue = False
        if req.version >= (1, 1) and not any(name == "HOST" for name, _ in req.headers):
            raise InvalidHeader("Host is required", req=req)
        # All of it is here, so that a framing which asks for more is a wrong one.
        try:
            req.body = io.BytesIO(req.body.read(BODY_BYTES + 1))
        except NoMoreData:
            raise InvalidChunkSize(b"the chunks do not end where they say") from None
        ACCEPTED.set(conn.accepted)
        conn.sock.settimeout(LOOP_SEND_SECONDS if conn.health else SEND_SECONDS)
        line, together = conn.sock, Together(conn.sock)
        conn.sock = cast(socket.socket, together)
        try:
            going_on = super().handle_request(req, conn)
            together.flush()
        except TimeoutError:
            # The client does not take its answer.
            raise StopIteration from None
        finally:
            conn.sock = line
        return going_on

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        """Keep the connection for another request, or close it without waiting for the client."""
        self._make_room(conn)
        if not fs.cancelled() and not fs.exception() and fs.result():
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def murder_pending(self) -> None:
        """Write the log and look at the deadlines; gunicorn calls this in each turn of its loop."""
        if self.output is not None:
            self.output.write_some()
        moment = time.monotonic()
        if moment < self.checked + CHECK_SECONDS:
            return
        self.checked = moment
        for conn in [conn for conn in self.lingering if moment > conn.deadline]:
            self._drop(conn)
        for conn in list(self.reading):
            if not conn.came and (moment > conn.deadline or not self.alive):
                self._drop(conn)
            elif moment > conn.deadline:
                part = "body" if conn.missing else "headers"
                self._refuse(conn, Refused(408, "request_timeout", f"The {part} of the request came too slowly."))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Let gunicorn say what is wrong with a request that its parser does not take."""
        requestid.adopt(named(req))
        try:
            super().handle_error(req, client, addr, exc)
        finally:
            requestid.leave()

    def _refuse(self, conn: Connection, why: Refused) -> None:
        request_id = requestid.adopt(conn.named)
        self.log.warning("refused a request of %s: %s %s", conn.client[0], why.status, why.code)
        self._send(conn, refusal(why.status, why.code, str(why), request_id, **why.headers))
        requestid.leave()
        self._forget(conn)
        self._linger(conn)

    def _linger(self, conn: Connection) -> None:
        """Close once the client has, or soon: what it still sends must not turn the answer into a reset."""
        try:
            conn.sock.setblocking(False)
            tls.part(conn.sock)
            conn.sock.shutdown(socket.SHUT_WR)
            if len(self.lingering) >= LINGERING:
                self._drop(next(iter(self.lingering)))
            self.poller.register(conn.sock, EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError, KeyError):
            self.nr_conns -= 1
            conn.close()
            return
        conn.deadline = time.monotonic() + LINGER_SECONDS
        self.lingering[conn] = None

    def _drain(self, conn: Connection, _socket: Any) -> None:
        try:
            if conn.sock.recv(65536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._drop(conn)

    def _send(self, conn: Connection, data: bytes) -> None:
        try:
            conn.sock.send(data)
        except OSError:
            self.log.debug("%s does not take an answer", conn.client[0])

    def _forget(self, conn: Connection) -> None:
        self.reading.pop(conn, None)
        self.lingering.pop(conn, None)
        self.poller.unregister(conn.sock)

    def _drop(self, conn: Connection) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()


def _write_error(sock: Any, status: int, reason: str, message: str) -> None:
    code = "_".join(reason.lower().split())
    request_id = requestid.current() or requestid.adopt("")
    gunicorn.util.write_nonblock(sock, refusal(status, code, message or f"{reason}.", request_id))


# gunicorn's own is HTML, and every error of its parser leaves through it.
gunicorn.util.write_error = _write_error
