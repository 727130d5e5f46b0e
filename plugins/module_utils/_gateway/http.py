# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""One HTTP request at a time, on a connection of its own, in a time of its own; no word of an answer's body gets out.

The server drops a connection after an error without saying so, and stands still when more than thirty requests come at
once: so connections are not kept, and nothing is sent beside something else. Its answers hold secrets, and its errors
repeat the passwords that were sent: so what is said of an answer is its status and, of an error, a short reason.
"""

from __future__ import annotations

import functools
import http.client
import io
import json
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core.converge import CoreError, Invalid

REQUEST_SECONDS = 60.0  # the real server stands still for thirty when others ask too much of it
WHOLE_SECONDS = 3600.0
ANSWER_BYTES = 64 << 20  # a page of a thousand services has one
_PIECE = 1 << 16  # bytes
_REASON = 200  # characters
_HIDDEN = "********"


class Unanswered(CoreError):
    """No answer came: the connection was refused or lost, or the time was up. Whatever was sent may have been done."""


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        status: Its HTTP status.
        body: What its JSON holds, secrets too; None where it holds none.
        allow: Methods that its ``Allow`` header names.
        location: Where a redirection leads.
        retry_after: Seconds to wait, of a server that limits its clients; None where it names none.
    """

    status: int
    body: Any = field(default=None, repr=False)
    allow: Collection[str] = ()
    location: str = ""
    retry_after: float | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the request was carried out, as far as the server says."""
        return 200 <= self.status < 300


class Http:
    """The way to one server.

    Args:
        address: ``http`` or ``https``, host, and maybe port and path: what goes before ``/api``.
        secrets: What must never be shown, whatever the server repeats.
        ca_file: Certificates to trust instead of the system's.
        request_seconds: For one request.
        whole_seconds: For all of them together.
        clock: Seconds that only go forward.

    Attributes:
        requests: How many were sent.

    Raises:
        Invalid: The address is none.
    """

    def __init__(
        self,
        address: str,
        secrets: Collection[str] = (),
        ca_file: str | None = None,
        request_seconds: float = REQUEST_SECONDS,
        whole_seconds: float = WHOLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = parsed_address(address)
        self._secrets = [secret for secret in secrets if secret]
        self._seconds, self._whole, self._clock = request_seconds, whole_seconds, clock
        self._began = clock()
        self._tls = _trusting(ca_file) if self._parts.scheme == "https" else None
        self.requests = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the first could be sent."""
        return self._clock() - self._began

    def hide(self, *secrets: str | None) -> None:
        """Show these no more, as they came with an answer."""
        self._secrets += [secret for secret in secrets if secret]

    def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Send one request and return its answer; redirections are not followed.

        Args:
            method: HTTP method.
            path: Path below the address, with its query.
            body: What goes as JSON; None for nothing.
            headers: Further headers.

        Raises:
            Unanswered: None came in time.
        """
        left = min(self._seconds, self._whole - self.elapsed)
        if left <= 0:
            raise Unanswered(f"{method} {path}: not sent, because all {self._whole:g} s for the whole run are used up")
        self.requests += 1
        until = self._clock() + left
        connection = self._connection(left)
        connection.response_class = functools.partial(_InTime, until=until, clock=self._clock)  # type: ignore[assignment]
        content = None if body is None else json.dumps(body).encode("utf-8")
        sent = {"Accept": "application/json", "Connection": "close", **(headers or {})}
        if content is not None:
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, self._parts.path + path, content, sent)
            answer = connection.getresponse()
            return _reply(answer, _content(answer))
        except TimeoutError as error:
            raise Unanswered(f"{method} {path}: no whole answer within {left:g} s") from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            # Without its cause: of an answer that broke off, that holds what came of the body.
            raise Unanswered(f"{method} {path}: {self.place}: {_said(error)}") from None
        finally:
            connection.close()

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return self._parts.netloc

    @property
    def in_clear(self) -> bool:
        """Whether secrets cross a network without encryption."""
        return self._tls is None and self._parts.hostname not in ("localhost", "127.0.0.1", "::1")

    def reason(self, reply: Reply) -> str:
        """Return what an answer's error says, in a few words that hold no secret.

        A refusal of what was sent (422) repeats it, so of that only the names of the fields are said.
        """
        detail = reply.body.get("detail") if isinstance(reply.body, Mapping) else None
        if isinstance(detail, str) and reply.status != 422:
            words = detail
        elif isinstance(detail, list):
            places = [error.get("loc") for error in detail if isinstance(error, Mapping)]
            fields = {str(place[-1]) for place in places if isinstance(place, list) and place}
            words = f"refuses {', '.join(sorted(fields))}" if fields else ""
        elif 300 <= reply.status < 400:
            words = f"redirections are not followed: give the address that it leads to{_place_of(reply.location)}"
        else:
            words = ""
        # Whole secrets, and of two that begin alike the longer one: before anything of the text is replaced or cut off.
        for secret in sorted(self._secrets, key=len, reverse=True):
            words = words.replace(secret, _HIDDEN)
        words = "".join(character if character.isprintable() else " " for character in words[:_REASON])
        return f"{reply.status} {words}".strip()

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls:
            return http.client.HTTPSConnection(host, port, timeout=seconds, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=seconds)


class _InTime(http.client.HTTPResponse):
    """An answer that has come as a whole by a moment, however slowly its bytes trickle."""

    def __init__(self, sock: socket.socket, *, until: float, clock: Callable[[], float], **further: Any) -> None:
        super().__init__(sock, **further)
        self.fp.close()
        self.fp = io.BufferedReader(_Timed(sock, until, clock))


class _Timed(io.RawIOBase):
    def __init__(self, sock: socket.socket, until: float, clock: Callable[[], float]) -> None:
        self._sock, self._until, self._clock = sock, until, clock
        # The connection closes its socket once it knows that no further answer follows; this keeps it open to read.
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - self._clock()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TooLong(http.client.HTTPException):
    pass


def _content(answer: http.client.HTTPResponse) -> bytes:
    """Return all of a body; reading a piece does not say that it is a shorter one than was announced."""
    content = bytearray()
    while piece := answer.read(_PIECE):
        content += piece
        if len(content) > ANSWER_BYTES:
            raise _TooLong
    if answer.length:
        raise http.client.IncompleteRead(b"")
    return bytes(content)


def _reply(answer: http.client.HTTPResponse, content: bytes) -> Reply:
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    allow = tuple(word.strip().upper() for word in (answer.getheader("Allow") or "").split(",") if word.strip())
    wait = answer.getheader("Retry-After") or ""
    seconds = float(wait) if wait.isdigit() else None
    return Reply(answer.status, body, allow, answer.getheader("Location") or "", seconds)


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Invalid(f"ca_file: {ca_file} holds no certificates: {error.strerror or error}") from error


def parsed_address(address: str) -> urllib.parse.SplitResult:
    """Return the parts of a server's address.

    Raises:
        Invalid: It is none, or holds more than an address.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urllib.parse.SplitResult("", "", "", "", ""), None
    if parts.username or parts.password:
        # Not repeated: it holds a secret.
        raise Invalid("api: an address with a user or a password is not accepted: give those by their own options")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise Invalid(f"api: '{address}' is no address such as https://gateway.example.com:8000")
    path = parts.path.rstrip("/")
    if not address.isascii() or not address.isprintable() or " " in address or path.endswith("/api/v1"):
        raise Invalid(f"api: '{address}': give the server's address alone, without /api/v1 and without spaces")
    return parts._replace(path=path)


def _place_of(location: str) -> str:
    """Return where a redirection leads, without user, path and query; nothing of one to the same server."""
    try:
        parts = urllib.parse.urlsplit(location)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return f", at {parts.scheme}://{host}" if parts.scheme and host else ""


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}): give the authority's with ca_file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnicodeError):
        return "is no host name"
    if isinstance(error, _TooLong):
        return f"the answer is longer than {ANSWER_BYTES >> 20} MiB"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection was dropped within the answer"
    if isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
        return "the connection was dropped without an answer"
    return "what answers does not speak HTTP"
