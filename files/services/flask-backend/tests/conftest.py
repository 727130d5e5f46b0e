"""An application for the tests, on each kind of database that it may have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from contract import ConformingClient
from flask import Flask
from flask.testing import FlaskClient
from servers import Cluster, Maria, cluster, maria, own_cluster
from service import ADMIN, Service, free_port

from tripod_api.app import create_app
from tripod_api.config import Database, Settings
from tripod_api.context import EXTENSION, Services
from tripod_api.migrate import prepare

# Fixtures of the servers, which pytest finds here.
__all__ = ["cluster", "maria", "own_cluster"]

PASSWORD = "correct horse battery"
JWT_SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
# What go-backend takes for policies, workers and packets.
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def postgres(cluster: Cluster) -> Iterator[Database]:
    address = cluster.create_database()
    yield address
    cluster.drop_database(address)


@pytest.fixture
def mysql(maria: Maria) -> Iterator[Database]:
    address = maria.create_database()
    yield address
    maria.drop_database(address)


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    return Database("sqlite", str(tmp_path / "tripod.db"))


# Many inputs of one check, which each get a database, are for one kind: PostgreSQL where one may come to a query, as it
# is the strictest, and else SQLite, which is made at once.
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "databases(*kinds): what a test is for; without it a test is for all kinds")


# Before pytest's own, which reads what is added here.
@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("databases")
    if marker and "address" in metafunc.fixturenames:
        metafunc.definition.add_marker(pytest.mark.parametrize("address", marker.args, indirect=True))


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
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
        # Nobody is there, until a test plays it.
        go_backend_target=f"127.0.0.1:{free_port()}",
        go_backend_secret=SECRET,
        bcrypt_rounds=4,
        database_wait=0,
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    prepare(settings)
    app = create_app(settings)
    app.test_client_class = ConformingClient
    yield app
    services: Services = app.extensions[EXTENSION]
    services.planes.close()


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
        headers = {"Authorization": f"Bearer {self.access}", **arguments.pop("headers", {})}
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


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    """The service on the database, ready."""
    found = start()
    found.wait(found.ready)
    return found


def sign_in(app: Flask, email: str = ADMIN, password: str = PASSWORD) -> Caller:
    client = app.test_client()
    answer = client.post("/api/v1/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    return Caller(client, answer.json["access_token"], answer.json["refresh_token"], answer.json["user"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def admin(app: Flask) -> Caller:
    return sign_in(app)


@pytest.fixture
def maintainer(app: Flask, admin: Caller) -> Caller:
    return sign_in(app, enrol(admin, "maintainer")["email"])


@pytest.fixture
def viewer(app: Flask, admin: Caller) -> Caller:
    return sign_in(app, enrol(admin, "viewer")["email"])


def enrol(admin: Caller, role: str, email: str | None = None) -> dict[str, Any]:
    """Create an account with the common password."""
    body = {"email": email or f"{role}@example.com", "password": PASSWORD, "full_name": role.title(), "role": role}
    answer = admin("POST", "/users", json=body)
    assert answer.status_code == 201, answer.text
    user: dict[str, Any] = answer.json
    return user
