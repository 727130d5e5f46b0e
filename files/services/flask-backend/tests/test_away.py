"""The database frozen, stopped and killed beside the service as it is run: what is told, how soon, what comes back."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from others import RATIO, TRIES, Ask, background, ratio, timed
from servers import Cluster
from service import Service

from tripod_api.database import TRANSACTION_SECONDS

pytestmark = pytest.mark.databases("postgres")


def processes(cluster: Cluster) -> list[int]:
    assert cluster.home
    postmaster = int((cluster.home / "data" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


@pytest.fixture
def ours(own_cluster: Cluster, cluster: Cluster) -> Cluster:
    """The server that the tests use, where it is one that they may stop."""
    if own_cluster is not cluster:
        pytest.skip("TRIPOD_TEST_DATABASE names a server that is not ours to stop")
    return own_cluster


@contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    """Stop the server as `docker pause` does; its kernel goes on to acknowledge."""
    stopped: list[int] = []
    try:
        for _ in range(2):
            for process in set(processes(cluster)) - set(stopped):
                os.kill(process, signal.SIGSTOP)
                stopped.append(process)
        yield
    finally:
        for process in reversed(stopped):
            os.kill(process, signal.SIGCONT)


def test_a_frozen_database_is_an_answer(ours: Cluster, service: Service) -> None:
    token = service.login()[1]["access_token"]
    health: Ask = lambda: service("GET", "/healthz")  # noqa: E731

    def ask(_: int = 0) -> tuple[int, float]:
        return timed(service, "/api/v1/users", token)

    @contextmanager
    def trouble() -> Iterator[None]:
        def work(over: threading.Event) -> None:
            while not over.is_set():
                ask()
                over.wait(0.2)

        with frozen(ours), background(work, 8):
            yield
        service.wait(lambda: ask()[0] == 200)

    # A turn takes as long as a deadline of the database.
    assert ratio(health, trouble, turns=3) < RATIO
    with frozen(ours):
        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(ask, range(80)))
        assert {status for status, _ in answers} == {503}
        assert max(seconds for _, seconds in answers) < 15
        # Once each worker knows, one of its requests asks the server, and nobody else waits.
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(80)))
        assert {status for status, _ in answers} == {503}
        assert statistics.median(seconds for _, seconds in answers) < 2
        # That one may have stood in line already.
        for _ in range(3):
            assert ask()[1] < TRANSACTION_SECONDS - 2
            time.sleep(1.5)
        status, answer = service("GET", "/readyz")
        assert (status, answer["code"]) == (503, "database_unavailable")
    # Each worker finds out for itself.
    service.wait(lambda: {ask()[0] for _ in range(16)} == {200})
    service.wait(lambda: service.login()[0] == 200)


@contextmanager
def stopped(cluster: Cluster, mode: str) -> Iterator[None]:
    """Stop the server in its own way, or kill it."""
    if mode == "killed":
        for process in processes(cluster):
            os.kill(process, signal.SIGKILL)
    else:
        cluster.control(f"--mode={mode}", "stop")
    try:
        yield
    finally:
        cluster.start()


@pytest.mark.parametrize("mode", ["frozen", "fast", "immediate", "killed"])
def test_readiness_ends_within_two_seconds_and_comes_back_by_itself(ours: Cluster, service: Service, mode: str) -> None:
    """Beside more requests than there are threads, which wait for the database."""
    token = service.login()[1]["access_token"]

    def work(over: threading.Event) -> None:
        while not over.is_set():
            service("GET", "/api/v1/users", token=token)

    def probes(path: str) -> tuple[set[int], float]:
        answers = [timed(service, path) for _ in range(12)]
        return {status for status, _ in answers}, max(seconds for _, seconds in answers)

    def once() -> tuple[set[int], set[int], bool]:
        began = time.monotonic()
        with frozen(ours) if mode == "frozen" else stopped(ours, mode):
            time.sleep(max(0, began + 2 - time.monotonic()))
            ready, slowest = probes("/readyz")
            healthy, slowest_health = probes("/healthz")
        service.wait(lambda: probes("/readyz")[0] == {200})
        return ready, healthy, max(slowest, slowest_health) < 1

    with background(work, 40):
        # What else a machine does makes it late at times, and never early.
        found = [once()]
        while found[-1] != ({503}, {200}, True) and len(found) < TRIES:
            found.append(once())
    assert found[-1] == ({503}, {200}, True), found
    assert service.login()[0] in {200, 429}


def test_workers_that_never_saw_the_database_answer_too(ours: Cluster, service: Service) -> None:
    def lives() -> bool:
        try:
            return {service("GET", "/healthz")[0] for _ in range(8)} == {200}
        except OSError:
            return False

    with frozen(ours):
        for process in service.children():
            os.kill(process, signal.SIGKILL)
        service.wait(lives)
        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(lambda _: timed(service, "/readyz"), range(80)))
        assert {status for status, _ in answers} == {503}
        assert max(seconds for _, seconds in answers) < 15
    service.wait(lambda: {service("GET", "/readyz")[0] for _ in range(16)} == {200})
