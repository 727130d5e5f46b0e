"""Clients that send next to nothing, for as long as they are let, through the web interface."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.site import API, WEB
from tests.support.threads import in_threads

HEAD = (
    b"POST /api/v1/auth/login HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
)


@contextmanager
def slow_bodies(count: int) -> Iterator[list[bytes]]:
    """Send a byte a second over each of as many connections; yields what they are answered, once they are."""
    address = (urlsplit(WEB).hostname, urlsplit(WEB).port)
    answers: list[bytes] = []

    def drip(over: threading.Event) -> None:
        with socket.create_connection(address, timeout=1) as connection, suppress(ConnectionError):
            connection.sendall(HEAD)
            while not over.is_set():
                try:
                    answers.append(connection.recv(4096))
                    return
                except TimeoutError:
                    connection.sendall(b"x")

    with in_threads(drip, count):
        yield answers


def p99(url: str, session: requests.Session, seconds: float) -> float:
    """Return the 99th percentile of the answers' times; each answer is a good one."""
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        assert session.get(url, timeout=10).status_code == 200
        times.append(time.monotonic() - began)
    return sorted(times)[int(len(times) * 0.99)]


@pytest.mark.full
def test_slow_bodies_hold_neither_the_api_nor_others() -> None:
    with requests.Session() as session:
        for url in (f"{WEB}/api/v1/status", f"{API}/healthz"):
            p99(url, session, 2)
            quiet = p99(url, session, 4)
            with slow_bodies(64) as answers:
                # Shorter than the deadline of a body.
                loaded = p99(url, session, 4)
                time.sleep(6)
            print(f"{url}: p99 {quiet * 1000:.1f} ms quiet, {loaded * 1000:.1f} ms beside 64 slow bodies")
            # A few milliseconds are the machine's own.
            assert loaded < max(3 * quiet, 0.02)
            assert len(answers) == 64
            assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers), set(answers)
