"""A real PostgreSQL for the tests, and an application on it; the same on SQLite."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from service import ADMIN, Service, free_port

from tripod_api.__main__ import prepare
from tripod_api.app import create_app
from tripod_api.config import Database, Settings
from tripod_api.context import EXTENSION, Services

PASSWORD = "correct horse battery"
JWT_SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEF"

# Every character that has a meaning in an address.
ROLE_PASSWORD = "p@ss/w:rd %41?#é'\\"


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
        # PostgreSQL refuses to be root.
        account: dict[str, Any] = {}
        if os.getuid() == 0:
            account = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
        # A file, as a server started by pg_ctl keeps it open: a pipe would never end.
        with (self.home / "out").open("ab") as out:
            command = [self.binaries / program, *arguments]
            done = subprocess.run(command, cwd=self.home, stdout=out, stderr=out, check=False, **account)
        assert done.returncode == 0, (self.home / "out").read_text()


@pytest.fixture(scope="session")
def own_cluster() -> Iterator[Cluster]:
    """A server of the tests' own, which they may stop."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        pytest.skip("no PostgreSQL server is installed under /usr/lib/postgresql")
    home = Path(tempfile.mkdtemp(prefix="tripod-postgres-"))
    cluster = Cluster("127.0.0.1", free_port(), "tripod", ROLE_PASSWORD, home, found[-1])
    secret = home / "password"
    secret.write_text(ROLE_PASSWORD)
    if os.getuid() == 0:
        for path in (home, secret):
            shutil.chown(path, "nobody", pwd.getpwnam("nobody").pw_gid)
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
        yield cluster
        cluster.control("--mode=immediate", "stop")
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The server named by TRIPOD_TEST_DATABASE, or the tests' own."""
    given = os.environ.get("TRIPOD_TEST_DATABASE")
    if not given:
        own: Cluster = request.getfixturevalue("own_cluster")
        return own
    parts = urlsplit(given)
    assert parts.hostname
    assert parts.username
    return Cluster(parts.hostname, parts.port or 5432, unquote(parts.username), unquote(parts.password or ""))


@pytest.fixture
def postgres(cluster: Cluster) -> Iterator[Database]:
    address = cluster.create_database()
    yield address
    cluster.drop_database(address)


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    return Database("sqlite", str(tmp_path / "tripod.db"))


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def settings(address: Database) -> Settings:
    return Settings(
        database=address,
        jwt_secret=JWT_SECRET,
        admin_email=ADMIN,
        admin_password=PASSWORD,
        go_backend_target="127.0.0.1:1",
        bcrypt_rounds=4,
        database_wait=0,
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    prepare(settings)
    app = create_app(settings)
    yield app
    services: Services = app.extensions[EXTENSION]
    services.dataplane.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@dataclass(frozen=True)
class Caller:
    """Somebody signed in."""

    client: FlaskClient
    access: str
    refresh: str
    user: dict[str, Any]

    def __call__(self, method: str, path: str, **arguments: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.access}"}
        return self.client.open(f"/api/v1{path}", method=method, headers=headers, **arguments)

    def refreshed(self) -> Caller:
        answer = self.client.post("/api/v1/auth/refresh", json={"refresh_token": self.refresh})
        assert answer.status_code == 200, answer.text
        return replace(self, access=answer.json["access_token"], refresh=answer.json["refresh_token"])


@pytest.fixture
def start(address: Database, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start the service on the database, with further variables."""
    running: list[Service] = []

    def begin(**extra: str) -> Service:
        running.append(Service(address, tmp_path, **extra))
        return running[-1]

    yield begin
    for service in running:
        service.kill()


def sign_in(app: Flask, email: str = ADMIN, password: str = PASSWORD) -> Caller:
    client = app.test_client()
    answer = client.post("/api/v1/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    return Caller(client, answer.json["access_token"], answer.json["refresh_token"], answer.json["user"])


@pytest.fixture
def admin(app: Flask) -> Caller:
    return sign_in(app)


def enrol(admin: Caller, role: str, email: str | None = None) -> dict[str, Any]:
    """Create an account with the common password."""
    body = {"email": email or f"{role}@example.com", "password": PASSWORD, "full_name": role.title(), "role": role}
    answer = admin("POST", "/users", json=body)
    assert answer.status_code == 201, answer.text
    user: dict[str, Any] = answer.json
    return user
