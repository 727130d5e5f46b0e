"""The service as it is run: its own process, gunicorn, real sockets."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tripod_api.config import Database

ADMIN = "admin@example.com"
SECRETS = {"JWT_SECRET": "jWq8cN4rT6yB2mKxZ0pLhVfD3sGaE7uI", "ADMIN_PASSWORD": "tK9vR2nXw5qH8bYc"}
LOGIN = {"email": ADMIN, "password": SECRETS["ADMIN_PASSWORD"]}


# Seconds, of a machine on which others work, too.
PATIENCE = 120.0


def free_port() -> int:
    """Return a port of the loopback that nobody listens on.

    It is below those that the kernel gives to whoever connects (ip_local_port_range), so that nobody takes it by chance
    before the service does.
    """
    while True:
        port = random.randrange(10_000, 30_000)  # noqa: S311  (no secret)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def children(process: int) -> list[int]:
    found = Path("/proc").glob(f"{process}/task/*/children")
    return [int(child) for path in found for child in path.read_text().split()]


class Service:
    """A running `python -m tripod_api`, on a database that is prepared for it unless told otherwise."""

    def __init__(self, address: Database, home: Path, prepared: bool = True, **extra: str) -> None:
        secrets = {**SECRETS, "DB_PASSWORD": address.password}
        for name, value in secrets.items():
            (home / name).write_text(value)
        self.port = free_port()
        self.log = home / "log"
        self.environ = {
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
        if prepared:
            self.first = self.migrate()
            assert self.first.returncode == 0, self.first.stderr
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tripod_api"], env=self.environ, stdout=log, stderr=log
            )

    def migrate(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tripod_api.migrate"]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False)

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

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Return once it is so, for which a busy machine may take a while."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def login(self) -> tuple[int, Any]:
        return self("POST", "/api/v1/auth/login", LOGIN)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(25)

    def children(self) -> list[int]:
        return children(self.process.pid)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
