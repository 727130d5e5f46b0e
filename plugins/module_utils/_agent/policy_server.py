# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The policy's Unix socket: who may speak, how much, how often and for how long.

Whoever connects is known by the kernel (SO_PEERCRED), not by what it says. No client can take memory, threads or time
that others need: each user has a number of connections, a rate and one large request at a time, and each step of a
connection has a deadline.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .._core.converge import CoreError, Invalid
from .._core.errors import in_words
from .policy_errors import Busy, Forbidden
from .policy_protocol import ANSWER_BYTES, REQUEST_BYTES, SMALL_BYTES, Request, answer, failure, parse

DIRECTORY_MODE, SOCKET_MODE = 0o750, 0o660
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_CHUNK = 1 << 16
_WAITING = 16  # connections that the kernel holds until they are accepted
_WAKE = 0.5  # seconds in which an end is noticed

log = logging.getLogger("tripod-host")


@dataclass(frozen=True)
class Peer:
    """The process at the other end, as the kernel knows it."""

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Bounds:
    """What one user may take.

    Attributes:
        connections: At a time.
        rate: Requests a second.
        burst: Requests at once.
        idle: Seconds between two requests.
        transfer: Seconds from the first byte of a request to its last, and of an answer.
        patience: Seconds that a large request waits for the one before it.
    """

    connections: int = 8
    rate: float = 100.0
    burst: float = 200.0
    idle: float = 60.0
    transfer: float = 30.0
    patience: float = 10.0


class Server:
    """Accepts connections and has their requests carried out, each connection in a thread of its own.

    Args:
        path: Of the socket; what is there is replaced.
        group: Number of the group that may connect, beside root.
        users: Numbers of the users that may; root may always.
        handle: Carries out a request for a peer and returns its result.
        bounds: Of each user.
    """

    def __init__(
        self,
        path: str,
        group: int,
        users: Collection[int],
        handle: Callable[[Request, Peer], Mapping[str, Any]],
        bounds: Bounds | None = None,
    ) -> None:
        self._users = {0, *users}
        self._handle = handle
        self._bounds = bounds or Bounds()
        self._connections: Counter[int] = Counter()
        self._buckets: dict[int, _Bucket] = {}
        self._fence = threading.Lock()
        self._large: dict[int, threading.Semaphore] = {}
        self._socket = _listen(path, group)

    def run(self, ended: threading.Event) -> None:
        """Serve until the event is set."""
        with self._socket:
            while not ended.is_set():
                try:
                    connection, _address = self._socket.accept()
                except socket.timeout:
                    continue
                except OSError as error:  # no descriptors left, say
                    log.warning("a connection cannot be accepted: %s", in_words(error))
                    ended.wait(_WAKE)
                    continue
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client is gone, or slower than it may be
            peer = _peer(connection)
            try:
                with self._admitted(peer):
                    self._converse(connection, peer)
            except CoreError as error:
                self._send(connection, failure(error.facts.get("id"), error))

    @contextmanager
    def _admitted(self, peer: Peer) -> Iterator[None]:
        if peer.uid not in self._users:
            log.warning("process %d of user %d is not let in", peer.pid, peer.uid)
            raise Forbidden(f"user {peer.uid} may not speak about policies: root may, and the data-plane service")
        with self._fence:
            if self._connections[peer.uid] >= self._bounds.connections:
                raise Busy(f"user {peer.uid} has {self._bounds.connections} connections, all that it may: close one")
            self._connections[peer.uid] += 1
            self._buckets.setdefault(peer.uid, _Bucket(self._bounds.rate, self._bounds.burst))
            self._large.setdefault(peer.uid, threading.Semaphore())
        try:
            yield
        finally:
            with self._fence:
                self._connections[peer.uid] -= 1

    def _converse(self, connection: socket.socket, peer: Peer) -> None:
        reader = _Reader(connection, self._bounds, self._large[peer.uid])
        while True:
            with reader.line() as line:
                if line is None:
                    return
                reply = self._reply(line, peer)
            self._send(connection, reply)

    def _reply(self, line: bytes, peer: Peer) -> bytes:
        identity = None
        try:
            with self._fence:
                self._buckets[peer.uid].take(peer.uid)
            request = parse(line)
            identity = request.id
            reply = answer(identity, self._handle(request, peer))
            if len(reply) > ANSWER_BYTES:
                raise Invalid(f"the answer has {len(reply)} bytes > {ANSWER_BYTES}: request less of it")
            return reply
        except (CoreError, OSError) as error:
            shown = error if isinstance(error, CoreError) else CoreError(in_words(error))
            return failure(identity if identity is not None else shown.facts.get("id"), shown)
        except Exception:
            # Whatever it is, the next request still has to be answered.
            log.exception("a request cannot be carried out")
            return failure(identity, CoreError("the request failed in the agent; its log has the reason"))

    def _send(self, connection: socket.socket, content: bytes) -> None:
        connection.settimeout(self._bounds.transfer)
        connection.sendall(content)


class _Reader:
    """Lines of a connection, one at a time."""

    def __init__(self, connection: socket.socket, bounds: Bounds, large: threading.Semaphore) -> None:
        self._connection, self._bounds, self._large = connection, bounds, large
        self._buffer = bytearray()

    @contextmanager
    def line(self) -> Iterator[bytes | None]:
        """Give the next line, None at the end; a large one keeps others from being read while the body runs.

        Raises:
            Invalid: It is longer than a request may be.
            Busy: Another large one takes too long.
            OSError: It did not come in time.
        """
        deadline = time.monotonic() + (self._bounds.transfer if self._buffer else self._bounds.idle)
        started = bool(self._buffer)
        large, searched = False, 0
        try:
            while (end := self._buffer.find(b"\n", searched)) < 0:
                searched = len(self._buffer)
                if len(self._buffer) > SMALL_BYTES and not large:
                    large = self._large.acquire(timeout=self._bounds.patience)
                    if not large:
                        raise Busy("another large request is being carried out: try again")
                    deadline = time.monotonic() + self._bounds.transfer
                if len(self._buffer) > REQUEST_BYTES:
                    raise Invalid(f"the request is longer than {REQUEST_BYTES} bytes: a list may come from a file")
                self._connection.settimeout(max(0.001, deadline - time.monotonic()))
                received = self._connection.recv(_CHUNK)
                if not received:
                    break
                if not started:
                    started, deadline = True, time.monotonic() + self._bounds.transfer
                self._buffer += received
            line = bytes(self._buffer[:end]) if end >= 0 else None
            del self._buffer[: end + 1]
            yield line
        finally:
            if large:
                self._large.release()


class _Bucket:
    """Requests that a user may still make."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._then = burst, time.monotonic()

    def take(self, uid: int) -> None:
        """Take one.

        Raises:
            Busy: There is none.
        """
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._then) * self._rate)
        self._then = now
        if self._left < 1:
            raise Busy(f"user {uid} makes more than {self._rate:g} requests a second: wait a moment")
        self._left -= 1


def _listen(path: str, group: int) -> socket.socket:
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=DIRECTORY_MODE, exist_ok=True)
    os.chown(directory, -1, group)
    os.chmod(directory, DIRECTORY_MODE)
    with suppress(FileNotFoundError):
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.settimeout(_WAKE)
    # Nobody can connect before it has its group and mode: the directory is open to the same group only.
    listening.bind(path)
    os.chown(path, -1, group)
    os.chmod(path, SOCKET_MODE)
    listening.listen(_WAITING)
    return listening


def _peer(connection: socket.socket) -> Peer:
    return Peer(*_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))
