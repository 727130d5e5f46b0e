"""The image's own PostgreSQL, started by its entrypoint as a container starts it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg2

ENTRYPOINT = Path(__file__).parents[1] / "entrypoint.sh"
PASSWORD = 'it\'s a \\ "strong" %s :one é'


def free_port() -> int:
    """Return a port of the loopback that nobody listens on.

    It is below those that the kernel gives to whoever connects (ip_local_port_range), so that nobody takes it by chance
    before the service does.
    """
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """One container's worth of PostgreSQL on a data directory."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.port = port
        self.data = home / "data"
        self.secret = home / "db_password"
        self.log = home / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Make the directory of the data, empty, and the file of the password."""
        self.data.mkdir(mode=0o700)
        self.secret.write_text(PASSWORD + "\n")

    def launch(self, **environ: str) -> subprocess.Popen[bytes]:
        given = {
            "PGDATA": str(self.data),
            "PGPORT": str(self.port),
            "DB_NAME": "tripod",
            "DB_USER": "tripod_api",
            "DB_PASSWORD_FILE": str(self.secret),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([ENTRYPOINT], env=os.environ | given | environ, stdout=log, stderr=log)
        return self.process

    def start(self, **environ: str) -> None:
        process = self.launch(**environ)
        deadline = time.monotonic() + 60
        while subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode:
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def refuse(self, **environ: str) -> str:
        """Start where no start is possible; return the reason."""
        before = self.log.stat().st_size if self.log.exists() else 0
        assert self.launch(**environ).wait(60) == 1
        return self.log.read_bytes()[before:].decode()

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        assert self.process
        if how == signal.SIGKILL:
            return self.kill()
        self.process.send_signal(how)
        return self.process.wait(60)

    def kill(self) -> int:
        """End it as a container ends: the kernel takes the rest with process 1, wherever it is."""
        assert self.process
        self.process.kill()
        status = self.process.wait()
        deadline = time.monotonic() + 60
        killed: set[int] = set()
        # Until its parent has taken notice of a process, PostgreSQL takes it for a running one.
        while (holders := self.holders()) or any(Path(f"/proc/{number}").exists() for number in killed):
            assert time.monotonic() < deadline
            for number in holders:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            killed.update(holders)
            time.sleep(0.05)
        return status

    def holders(self) -> list[int]:
        """Return the processes that have the data directory's lock, which every child inherits."""
        lock = str(self.data / ".lock")
        found = []
        for descriptor in Path("/proc").glob("[0-9]*/fd/9"):
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) == lock:
                    found.append(int(descriptor.parts[2]))
        return found

    def query(
        self, statement: str, password: str = PASSWORD, user: str = "tripod_api", **words: str
    ) -> list[tuple[object, ...]]:
        where = {"host": "127.0.0.1", "port": self.port, "dbname": "tripod", "connect_timeout": 30} | words
        connection = psycopg2.connect(user=user, password=password, **where)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()
