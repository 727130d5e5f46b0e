"""The service as it is run: its own process, gunicorn, real sockets, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from servers import Cluster
from service import LOGIN, SECRETS, Service, free_port
from wire import connect, parse, receive

from tripod_api.config import Database

pytestmark = pytest.mark.databases("postgres")


@pytest.mark.databases("postgres", "sqlite")
def test_sixteen_logins_at_once_leave_the_service_healthy(start: Callable[..., Service]) -> None:
    service = start()
    service.wait(service.ready)
    gate = threading.Barrier(16)

    refused = []

    def login(_: int) -> tuple[int, Any]:
        gate.wait()
        while (answer := service.login())[0] == 429:
            refused.append(answer[1]["code"])
            time.sleep(1)
        return answer

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(login, range(16)))
    assert [status for status, _ in answers] == [200] * 16
    assert len({answer["refresh_token"] for _, answer in answers}) == 16
    assert len({answer["access_token"] for _, answer in answers}) == 16
    assert [service("GET", path)[0] for path in ("/healthz", "/readyz") * 12] == [200] * 24
    assert {service("GET", "/api/v1/auth/me", token=answer["access_token"])[0] for _, answer in answers} == {200}

    status, metrics = service("GET", "/metrics")
    assert status == 200
    # Summed over the workers, whichever of them answers.
    assert 'tripod_api_requests_total{method="POST",route="/api/v1/auth/login",status="200"} 16.0' in metrics
    assert set(refused) <= {"busy"}

    assert service.stop() == 0
    text = service.log.read_text()
    events = [json.loads(line) for line in text.splitlines()]
    assert sum(event.get("path") == "/api/v1/auth/login" for event in events) == 16 + len(refused)
    for secret in [*SECRETS.values(), *(answer["refresh_token"] for _, answer in answers)]:
        assert secret not in text


def test_a_killed_worker_is_replaced_and_sessions_go_on(start: Callable[..., Service]) -> None:
    service = start()
    service.wait(service.ready)
    token = service.login()[1]["access_token"]
    assert len(service.children()) >= 2
    for child in service.children():
        os.kill(child, signal.SIGKILL)
    service.wait(service.ready)
    assert service("GET", "/api/v1/auth/me", token=token)[0] == 200
    assert service("GET", "/metrics")[0] == 200


def test_a_service_starts_without_its_database_and_serves_once_it_is_there(
    own_cluster: Cluster, cluster: Cluster, start: Callable[..., Service]
) -> None:
    if own_cluster is not cluster:
        pytest.skip("TRIPOD_TEST_DATABASE names a server that is not ours to stop")
    start().kill()
    own_cluster.control("--mode=immediate", "stop")
    try:
        service = start(prepared=False)
        service.wait(lambda: "Listening at" in service.log.read_text())
        assert service("GET", "/healthz")[0] == 200
        status, answer = service("GET", "/readyz")
        assert (status, answer["code"]) == (503, "database_unavailable")
    finally:
        own_cluster.start()
    service.wait(service.ready)


@pytest.mark.parametrize("seconds", ["0", "5"])
def test_a_migration_waits_for_the_database_and_then_gives_the_reason(
    start: Callable[..., Service], seconds: str
) -> None:
    service = start(prepared=False, DB_PORT=str(free_port()), DB_WAIT_SECONDS=seconds)
    done = service.migrate()
    assert done.returncode == 1
    assert done.stderr.startswith("cannot prepare the database: PostgreSQL 127.0.0.1:")
    assert "waiting for the database" in done.stdout or seconds == "0"


def test_a_stop_is_heard_while_a_migration_waits(start: Callable[..., Service]) -> None:
    service = start(prepared=False, DB_PORT=str(free_port()), DB_WAIT_SECONDS="600")
    command = [sys.executable, "-m", "tripod_api.migrate"]
    with subprocess.Popen(command, env=service.environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "waiting for the database" in process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 1


def test_a_placeholder_secret_is_refused(start: Callable[..., Service], tmp_path: Path) -> None:
    weak = tmp_path / "weak"
    weak.write_text("dev-secret-key-change-in-production!!")
    service = start(prepared=False, JWT_SECRET_FILE=str(weak))
    assert service.process.wait(20) == 1
    assert "holds a placeholder" in service.log.read_text()
    assert "production!!" not in service.log.read_text()


def test_a_stop_lets_requests_finish(address: Database, start: Callable[..., Service]) -> None:
    service = start()
    service.wait(service.ready)
    body = json.dumps(LOGIN).encode()
    head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    with ExitStack() as opened:
        clients = [opened.enter_context(connect(service.port)) for _ in range(2)]
        for client in clients:
            client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
            # From here on a worker has it.
            assert client.recv(65536).startswith(b"HTTP/1.1 100")
            client.sendall(body)
        assert service.stop() == 0
        assert [parse(receive(client))[0] for client in clients] == [200] * 2
    assert replace(address).password not in service.log.read_text()
