"""Real database servers of the tests' own."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
import pymysql
import pytest
from service import free_port

from tripod_api.config import Database

NO_POSTGRES = "no PostgreSQL server is installed under /usr/lib/postgresql"

# Every character that has a meaning in an address.
ROLE_PASSWORD = "p@ss/w:rd %41?#é'\\"


def nobody() -> dict[str, Any]:
    """Return what makes a child be nobody where the tests are root, which the servers refuse to be."""
    if os.getuid():
        return {}
    return {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}


def belong_to_nobody(*paths: Path) -> None:
    if os.getuid() == 0:
        for path in paths:
            shutil.chown(path, "nobody", pwd.getpwnam("nobody").pw_gid)


def run_as_nobody(home: Path, *command: str) -> None:
    # A file, as a server started by pg_ctl keeps it open: a pipe would never end.
    with (home / "out").open("ab") as out:
        done = subprocess.run(command, cwd=home, stdout=out, stderr=out, check=False, **nobody())
    assert done.returncode == 0, (home / "out").read_text()


def account(url: str, port: int) -> tuple[str, int, str, str]:
    """Return host, port, user and password of `scheme://user:password@host:port`."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.username
    return parts.hostname, parts.port or port, unquote(parts.username), unquote(parts.password or "")


@dataclass
class Cluster:
    """A PostgreSQL server and an account on it that may create databases."""

    host: str
    port: int
    user: str
    password: str
    home: Path | None = None
    binaries: Path | None = None
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def execute(self, statement: str, database: str = "postgres") -> Any:
        connection = psycopg2.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, dbname=database
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def create_database(self) -> Database:
        name = f"tripod_{os.getpid()}_{next(self.numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return Database("postgres", name, self.host, self.port, self.user, self.password)

    def drop_database(self, address: Database) -> None:
        self.execute(f"DROP DATABASE {address.name} WITH (FORCE)")

    def control(self, *arguments: str) -> None:
        """Start or stop the server; only where it is ours."""
        assert self.binaries
        assert self.home
        self.run("pg_ctl", "--wait", "--pgdata", str(self.home / "data"), *arguments)

    def start(self) -> None:
        assert self.home
        options = f"-p {self.port} -k {self.home} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=100"
        self.control("--log", str(self.home / "log"), "--options", options, "start")

    def run(self, program: str, *arguments: str) -> None:
        assert self.binaries
        assert self.home
        run_as_nobody(self.home, str(self.binaries / program), *arguments)


def postgres_binaries() -> list[Path]:
    """Return where the programs of each release are, the newest last."""
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


@contextmanager
def own_postgres() -> Iterator[Cluster]:
    """A server of one's own, which may be stopped."""
    found = postgres_binaries()
    if not found:
        raise SystemExit(NO_POSTGRES)
    home = Path(tempfile.mkdtemp(prefix="tripod-postgres-"))
    cluster = Cluster("127.0.0.1", free_port(), "tripod", ROLE_PASSWORD, home, found[-1])
    secret = home / "password"
    secret.write_text(ROLE_PASSWORD)
    belong_to_nobody(home, secret)
    try:
        cluster.run(
            "initdb",
            "--no-sync",
            "--encoding=UTF8",
            "--auth=scram-sha-256",
            f"--username={cluster.user}",
            f"--pwfile={secret}",
            f"--pgdata={home / 'data'}",
        )
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.control("--mode=immediate", "stop")
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def own_cluster() -> Iterator[Cluster]:
    """A server of the tests' own, which they may stop."""
    if not postgres_binaries():
        pytest.skip(NO_POSTGRES)
    with own_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The server named by TRIPOD_TEST_DATABASE, or the tests' own."""
    given = os.environ.get("TRIPOD_TEST_DATABASE")
    if not given:
        own: Cluster = request.getfixturevalue("own_cluster")
        return own
    return Cluster(*account(given, 5432))


@dataclass
class Maria:
    """A MariaDB server and an account on it that may do everything."""

    host: str
    port: int
    user: str
    password: str
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def execute(self, statement: str, *values: str) -> Any:
        account = {"user": self.user, "password": self.password.encode()}
        connection = pymysql.connect(host=self.host, port=self.port, autocommit=True, **account)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def create_database(self) -> Database:
        name = f"tripod_{os.getpid()}_{next(self.numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return Database("mysql", name, self.host, self.port, self.user, self.password)

    def drop_database(self, address: Database) -> None:
        # Who still has it open would hold its lock.
        for (one,) in self.execute("SELECT id FROM information_schema.processlist WHERE db = %s", address.name):
            with suppress(pymysql.OperationalError):
                self.execute(f"KILL {one}")
        self.execute(f"DROP DATABASE {address.name}")


@contextmanager
def own_maria(*options: str) -> Iterator[Maria]:
    """A server of the tests' own, with further options."""
    home = Path(tempfile.mkdtemp(prefix="tripod-mariadb-"))
    belong_to_nobody(home)
    server = Maria("127.0.0.1", free_port(), "tripod", ROLE_PASSWORD)
    data, socket = f"--datadir={home / 'data'}", str(home / "socket")
    command = [
        *("/usr/sbin/mariadbd", "--no-defaults", data, f"--socket={socket}", f"--pid-file={home / 'pid'}"),
        *(f"--port={server.port}", "--bind-address=127.0.0.1", "--skip-name-resolve"),
        *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"),
        # Which the tables must not depend on.
        "--character-set-server=latin1",
        # As MySQL by default, and whoever has a replica.
        "--log-bin",
        *options,
    ]
    as_root = ("--auth-root-authentication-method=normal", "--skip-test-db")
    try:
        run_as_nobody(home, "/usr/bin/mariadb-install-db", "--no-defaults", data, *as_root)
        with (home / "log").open("ab") as log:
            process = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, **nobody())
        try:
            with _root(process, socket, home / "log") as root, root.cursor() as cursor:
                cursor.execute(f"CREATE USER {server.user} IDENTIFIED BY %s", (server.password,))
                cursor.execute(f"GRANT ALL ON *.* TO {server.user} WITH GRANT OPTION")
            yield server
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(home)


def _root(process: subprocess.Popen[bytes], socket: str, log: Path) -> pymysql.Connection[Any]:
    deadline = time.monotonic() + 120
    # It is there once the server listens; PyMySQL leaves its end open where it is not.
    while not Path(socket).exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return pymysql.connect(unix_socket=socket, user="root", charset="utf8mb4")


@pytest.fixture(scope="session")
def maria() -> Iterator[Maria]:
    """The server named by TRIPOD_TEST_MARIADB, or the tests' own."""
    given = os.environ.get("TRIPOD_TEST_MARIADB")
    if given:
        yield Maria(*account(given, 3306))
    elif Path("/usr/sbin/mariadbd").exists():
        with own_maria() as server:
            yield server
    else:
        pytest.skip("no MariaDB server is installed (Debian: mariadb-server)")
