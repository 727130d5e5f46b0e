"""The service as it is run: its own process, gunicorn, real sockets, real signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ADMIN, Cluster, free_port

from tripod_api.config import Database

SECRETS = {"JWT_SECRET": "jWq8cN4rT6yB2mKxZ0pLhVfD3sGaE7uI", "ADMIN_PASSWORD": "tK9vR2nXw5qH8bYc"}


class Service:
    """A running `python -m tripod_api`."""

    def __init__(self, address: Database, home: Path, **extra: str) -> None:
        secrets = {**SECRETS, "DB_PASSWORD": address.password}
        for name, value in secrets.items():
            (home / name).write_text(value)
        self.port = free_port()
        self.log = home / "log"
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "TMPDIR": str(home),
            "HTTP_PORT": str(self.port),
            "DB_TYPE": address.type,
            "DB_NAME": address.name,
            "DB_HOST": address.host,
            "DB_PORT": str(address.port),
            "DB_USER": address.user,
            "ADMIN_EMAIL": ADMIN,
            "GO_BACKEND_TARGET": "127.0.0.1:1",
            **{f"{name}_FILE": str(home / name) for name in secrets},
            **extra,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "tripod_api"], env=environ, stdout=log, stderr=log)

    def __call__(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if "json" in answer.headers.get(
                "Content-Type", ""
            ) else data.decode()
        finally:
            connection.close()

    def ready(self) -> bool:
        try:
            return self("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def wait(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def login(self) -> tuple[int, Any]:
        return self("POST", "/api/v1/auth/login", {"email": ADMIN, "password": SECRETS["ADMIN_PASSWORD"]})

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(25)


@pytest.fixture
def address(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(getattr(request, "param", "postgres"))
    if found.type == "postgres":
        # The service holds its own account to the rule that the tests' one, made of odd characters, breaks on purpose.
        assert len(found.password) >= 12
    return found


@pytest.fixture
def start(address: Database, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    running: list[Service] = []

    def begin(**extra: str) -> Service:
        running.append(Service(address, tmp_path, **extra))
        return running[-1]

    yield begin
    for service in running:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()


@pytest.mark.parametrize("address", ["postgres", "sqlite"], indirect=True)
def test_sixteen_logins_at_once_leave_the_service_healthy(start: Callable[..., Service]) -> None:
    service = start()
    service.wait(service.ready)
    gate = threading.Barrier(16)

    def login(_: int) -> tuple[int, Any]:
        gate.wait()
        return service.login()

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

    assert service.stop() == 0
    text = service.log.read_text()
    events = [json.loads(line) for line in text.splitlines()]
    assert sum(event.get("path") == "/api/v1/auth/login" for event in events) == 16
    for secret in [*SECRETS.values(), *(answer["refresh_token"] for _, answer in answers)]:
        assert secret not in text


def test_a_killed_worker_is_replaced_and_sessions_go_on(start: Callable[..., Service]) -> None:
    service = start()
    service.wait(service.ready)
    token = service.login()[1]["access_token"]
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    assert len(children) >= 2
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    service.wait(service.ready)
    assert service("GET", "/api/v1/auth/me", token=token)[0] == 200
    assert service("GET", "/metrics")[0] == 200


def test_a_start_waits_for_the_database(own_cluster: Cluster, cluster: Cluster, start: Callable[..., Service]) -> None:
    if own_cluster is not cluster:
        pytest.skip("TRIPOD_TEST_DATABASE names a server that is not ours to stop")
    own_cluster.control("--mode=immediate", "stop")
    try:
        service = start()
        service.wait(lambda: "waiting for the database" in service.log.read_text())
        assert not service.ready()
    finally:
        own_cluster.start()
    service.wait(service.ready)


def test_a_start_without_database_ends_with_the_reason(start: Callable[..., Service]) -> None:
    service = start(DB_PORT=str(free_port()), DB_WAIT_SECONDS="0")
    assert service.process.wait(20) == 1
    last = json.loads(service.log.read_text().splitlines()[-1])
    assert last["level"] == "critical"
    assert "cannot start: PostgreSQL 127.0.0.1:" in last["message"]


def test_a_stop_is_heard_while_waiting(start: Callable[..., Service]) -> None:
    service = start(DB_PORT=str(free_port()), DB_WAIT_SECONDS="600")
    service.wait(lambda: "waiting for the database" in service.log.read_text())
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 5


def test_a_placeholder_secret_is_refused(start: Callable[..., Service], tmp_path: Path) -> None:
    weak = tmp_path / "weak"
    weak.write_text("dev-secret-key-change-in-production!!")
    service = start(JWT_SECRET_FILE=str(weak))
    assert service.process.wait(20) == 1
    assert "holds a placeholder" in service.log.read_text()
    assert "production!!" not in service.log.read_text()


def test_a_stop_lets_requests_finish(address: Database, start: Callable[..., Service]) -> None:
    service = start()
    service.wait(service.ready)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(service.login) for _ in range(4)]
        time.sleep(0.15)
        assert service.stop() == 0
        assert [answer.result()[0] for answer in answers] == [200] * 4
    assert replace(address).password not in service.log.read_text()
