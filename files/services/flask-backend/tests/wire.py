"""Requests as they are on the wire, for what no HTTP client would send."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable
from typing import Any

# Every error has these members, and no other.
PROBLEM = {"type", "title", "status", "detail", "code", "request_id", "error"}


def connect(port: int) -> socket.socket:
    found = socket.create_connection(("127.0.0.1", port), timeout=40)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def receive(client: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    pieces = []
    while True:
        try:
            piece = client.recv(65536)
        except ConnectionResetError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def say(port: int, *pieces: bytes, pause: float = 0.0) -> tuple[int, dict[str, str], bytes]:
    """Send the pieces, and return status, headers and body of the answer; (0, {}, b"") where there was none."""
    with connect(port) as client:
        for piece in pieces:
            client.sendall(piece)
            if pause:
                time.sleep(pause)
        return parse(receive(client))


def parse(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    if not answer:
        return 0, {}, b""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def error_code(answer: tuple[int, dict[str, str], bytes]) -> Any:
    """Return the code of an answer, which has to be of the one form that errors have."""
    _, headers, body = answer
    assert headers["Content-Type"] == "application/problem+json", answer
    told = json.loads(body)
    assert told.keys() == PROBLEM
    assert told["status"] == answer[0]
    assert told["error"] == told["detail"]
    assert told["request_id"] == headers["X-Request-ID"]
    return told["code"]


def chunked(pieces: Iterable[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
