"""What the others wait beside trouble, over what they wait without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from service import Service
from wire import percentile

RATIO = 3.0
TURNS = 7
TRIES = 3
SAMPLES = 100

Ask = Callable[[], Any]


def latencies(ask: Ask, samples: int = SAMPLES) -> list[float]:
    found = []
    for _ in range(samples):
        began = time.perf_counter()
        ask()
        found.append(time.perf_counter() - began)
    return found


def ratio(ask: Ask, trouble: Callable[[], Any], turns: int = TURNS) -> float:
    """Return the others' 99th percentile beside trouble, over the one without it.

    Both are taken in turns, and of each the lower quartile of all turns counts: whatever else the machine does at times
    makes a turn slower, and never faster. Where it was busy all along, it is tried again, a few times at most.
    """
    found = []
    while len(found) < TRIES and (not found or found[-1] >= RATIO):
        found.append(_ratio(ask, trouble, turns))
    return min(found)


def _ratio(ask: Ask, trouble: Callable[[], Any], turns: int) -> float:
    latencies(ask, 20)
    quiet, beside = [], []
    for _ in range(turns):
        quiet.append(percentile(latencies(ask), 0.99))
        with trouble():
            beside.append(percentile(latencies(ask), 0.99))
    for name, found in (("without it", quiet), ("beside it", beside)):
        print(f"p99 {name} (ms): {', '.join(f'{1000 * one:.1f}' for one in sorted(found))}")
    return percentile(beside, 0.25) / percentile(quiet, 0.25)


def timed(service: Service, path: str, token: str | None = None) -> tuple[int, float]:
    """Return the status of an answer, and the seconds until it was there."""
    began = time.monotonic()
    return service("GET", path, token=token)[0], time.monotonic() - began


def others(service: Service) -> Ask:
    """Return what somebody else does: a request that asks the database, and a health probe."""
    token = service.login()[1]["access_token"]

    def ask() -> None:
        assert service("GET", "/api/v1/auth/me", token=token)[0] == 200
        assert service("GET", "/healthz")[0] == 200

    return ask


@contextmanager
def background(work: Callable[[threading.Event], None], number: int = 1) -> Iterator[None]:
    over = threading.Event()
    threads = [threading.Thread(target=work, args=(over,)) for _ in range(number)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
