"""The entrypoint with the image's own PostgreSQL: first starts, later starts, cut-short starts, and refusals."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg2
import pytest

ENTRYPOINT = Path(__file__).parents[1] / "entrypoint.sh"
PASSWORD = 'it\'s a \\ "strong" %s :one é'


class Server:
    """One container's worth of PostgreSQL on a data directory."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.port = port
        self.data = home / "data"
        self.secret = home / "db_password"
        self.log = home / "log"
        self.process: subprocess.Popen[bytes] | None = None

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

    def start(self) -> None:
        process = self.launch()
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
        return self.process.wait(30)

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

    def query(self, statement: str, password: str = PASSWORD, user: str = "tripod_api") -> list[tuple[object, ...]]:
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, dbname="tripod", connect_timeout=5
        )
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


@pytest.fixture
def server(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(tmp_path, port)
    server.data.mkdir(mode=0o700)
    server.secret.write_text(PASSWORD + "\n")
    yield server
    if server.process and server.process.poll() is None:
        server.stop(signal.SIGQUIT)


def test_first_start_makes_an_ordinary_account_and_checksums(server):
    server.start()
    assert server.query("SHOW data_checksums") == [("on",)]
    assert server.query(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
        " FROM pg_roles WHERE rolname = current_user"
    ) == [(False,) * 5]
    assert server.query("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'tripod'") == [("tripod_api",)]
    server.query("CREATE TABLE proof (x int)")
    assert PASSWORD not in server.log.read_text()


def test_only_the_right_password_and_account_enter_from_the_network(server):
    server.start()
    for user, password in [("tripod_api", "wrong"), ("tripod_api", ""), ("postgres", PASSWORD), ("postgres", "")]:
        with pytest.raises(psycopg2.OperationalError):
            server.query("SELECT 1", password, user)
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(host="127.0.0.1", port=server.port, user="tripod_api", password=PASSWORD, dbname="postgres")


def test_a_new_password_takes_effect_at_the_next_start(server):
    server.start()
    server.query("CREATE TABLE proof AS SELECT 42 AS x")
    assert server.stop() == 0
    server.secret.write_text("another $(id) `id` password")
    server.start()
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        server.query("SELECT 1")
    assert server.query("SELECT x FROM proof", "another $(id) `id` password") == [(42,)]


def test_what_was_committed_survives_a_kill(server):
    server.start()
    server.query("CREATE TABLE proof AS SELECT 42 AS x")
    server.stop(signal.SIGKILL)
    server.start()
    assert server.query("SELECT x FROM proof") == [(42,)]
    assert "not properly shut down" in server.log.read_text()


def test_a_first_start_cut_short_at_any_time_is_made_good(server):
    for delay in (0.05, 0.3, 0.6, 0.9):
        server.launch()
        time.sleep(delay)
        server.kill()
    server.start()
    assert server.query("SELECT 1") == [(1,)]
    assert not (server.data / ".initdb").exists()


def test_a_volume_serves_one_server_at_a_time(server, tmp_path):
    server.start()
    other = Server(tmp_path, server.port + 1)
    assert "in use by another container" in other.refuse()
    assert server.query("SELECT 1") == [(1,)]


@pytest.mark.parametrize("where", [".", "16"])
def test_a_cluster_of_another_make_is_refused_and_left_alone(server, where):
    other = server.data / where
    other.mkdir(exist_ok=True)
    (other / "PG_VERSION").write_text("16\n")
    assert "holds a cluster of version 16" in server.refuse()
    assert {path.name for path in server.data.iterdir()} <= {".lock", "16", "PG_VERSION"}


def test_a_damaged_cluster_is_never_made_anew(server):
    server.start()
    server.stop()
    (cluster,) = server.data.glob("[0-9]*")
    (cluster / "PG_VERSION").unlink()
    assert "is no cluster; move it away" in server.refuse()
    assert (cluster / "base").is_dir()
    (cluster / "PG_VERSION").write_text(cluster.name)
    shutil.rmtree(cluster / "global")
    assert "does not start; its messages are above" in server.refuse()
    assert (cluster / "base").is_dir()


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"DB_NAME": ""}, "DB_NAME is not set"),
        ({"DB_NAME": "postgres"}, "DB_NAME is 'postgres'"),
        ({"DB_NAME": "a-b"}, "DB_NAME is 'a-b'"),
        ({"DB_NAME": "x" * 64}, "at most 63"),
        ({"DB_USER": "postgres"}, "DB_USER is 'postgres'"),
        ({"DB_USER": "pg_monitor"}, "DB_USER is 'pg_monitor'"),
        ({"DB_USER": "Bob"}, "DB_USER is 'Bob'"),
        ({"DB_USER": 'a"; DROP'}, "DB_USER is"),
        ({"DB_PASSWORD_FILE": ""}, "DB_PASSWORD_FILE is not set"),
        ({"DB_PASSWORD_FILE": "/nonexistent"}, "cannot read /nonexistent as uid"),
        ({"DB_PASSWORD_FILE": "/dev/null"}, "less than 12 bytes"),
        ({"PGDATA": "/nonexistent"}, "/nonexistent is no directory"),
    ],
)
def test_refusals_come_before_anything_is_made(server, environ, reason):
    assert reason in server.refuse(**environ)
    assert list(server.data.iterdir()) == []
