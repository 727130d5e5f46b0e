"""Whatever goes wrong is told in one shape, and leaves the service whole."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from conftest import ADMIN, PASSWORD, Caller, sign_in
from flask import Flask
from flask.testing import FlaskClient
from servers import Cluster
from wire import PROBLEM

from tripod_api.config import Settings


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("GET", "/api/v1/users/", {}, 404, "not_found"),
        ("GET", "/api/v1//hello", {}, 404, "not_found"),
        ("GET", "/api/v1/policies/%2F/history", {}, 404, "not_found"),
        ("PATCH", "/api/v1/auth/login", {}, 405, "method_not_allowed"),
        ("POST", "/api/v1/auth/login", {"data": "a=b"}, 415, "unsupported_media_type"),
        ("POST", "/api/v1/auth/login", {"data": "{}", "content_type": "text/plain"}, 415, "unsupported_media_type"),
        (
            "POST",
            "/api/v1/auth/login",
            {"data": b" " * (1 << 20), "content_type": "application/json"},
            413,
            "request_entity_too_large",
        ),
        ("POST", "/api/v1/auth/login", {"data": "{", "content_type": "application/json"}, 400, "malformed_json"),
        ("POST", "/api/v1/auth/login", {"json": {}}, 422, "invalid_input"),
    ],
)
def test_errors_have_one_shape(
    client: FlaskClient, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    answer = client.open(path, method=method, **options)
    assert (answer.status_code, answer.json.keys(), answer.json["code"]) == (status, PROBLEM, code)
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    if status == 405:
        assert "POST" in answer.headers["Allow"]


def test_every_answer_carries_the_protective_headers(client: FlaskClient) -> None:
    for path in ("/healthz", "/nowhere", "/api/v1/auth/me"):
        headers = client.get(path, headers={"X-Request-ID": "trace-7"}).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Request-ID"] == "trace-7"
    assert client.get("/healthz", headers={"X-Request-ID": "a b" * 99}).headers["X-Request-ID"] != "a b" * 99


def test_a_failed_statement_does_not_spoil_the_connection(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    @app.get("/broken")
    def broken() -> str:
        with app.extensions["tripod"].database.transaction() as db:
            db(db.users.email == ADMIN).update(full_name="Nobody")
            db.executesql("SELECT * FROM no_such_table")
        return ""

    admin = sign_in(app)
    for _ in range(20):
        answer = app.test_client().get("/broken")
        assert answer.status_code in {500, 503}
        assert "no_such_table" not in answer.text
        assert admin("GET", "/auth/me").json["full_name"] == "Administrator"
        assert admin.client.get("/readyz").status_code == 200
    assert "no_such_table" in str([record.__dict__ for record in caplog.records])


def test_nothing_secret_is_logged(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    admin = sign_in(app)
    again = admin.refreshed()
    again("PUT", f"/users/{admin.user['id']}", json={"password": "another long password"})
    app.test_client().post("/api/v1/auth/login", json={"email": ADMIN, "password": "wrong guess"})
    text = "\n".join(str(record.__dict__) for record in caplog.records)
    assert "/api/v1/auth/login" in text
    for secret in (
        PASSWORD,
        "another long password",
        "wrong guess",
        admin.access,
        admin.refresh,
        again.refresh,
        "$2b$",
    ):
        assert secret not in text


def test_metrics_name_routes_not_callers(client: FlaskClient) -> None:
    client.get("/scanner/probe")
    client.open("/api/v1/users/77", method="WEIRD")
    text = client.get("/metrics").text
    assert 'route="none",status="404"' in text
    assert "probe" not in text
    assert "WEIRD" not in text


def test_the_service_survives_its_database(
    app: Flask, admin: Caller, settings: Settings, request: pytest.FixtureRequest
) -> None:
    if settings.database.type != "postgres":
        return
    cluster: Cluster = request.getfixturevalue("own_cluster")
    if cluster.port != settings.database.port:
        pytest.skip("TRIPOD_TEST_DATABASE names a server that is not ours to stop")

    def in_threads(expected: int) -> None:
        statuses: list[int] = []
        threads = [
            threading.Thread(target=lambda: statuses.append(admin("GET", "/users").status_code)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [expected] * 4

    in_threads(200)
    cluster.control("--mode=immediate", "stop")
    try:
        for _ in range(2):
            in_threads(503)
            assert admin("GET", "/users").json["code"] == "database_unavailable"
            assert app.test_client().get("/readyz").status_code == 503
            assert app.test_client().get("/healthz").status_code == 200
    finally:
        cluster.start()
    in_threads(200)
    assert admin("GET", "/auth/me").status_code == 200
    assert app.test_client().get("/readyz").status_code == 200


def test_connections_killed_by_the_server_are_replaced(
    cluster: Cluster, app: Flask, admin: Caller, settings: Settings
) -> None:
    if settings.database.type != "postgres":
        return
    for _ in range(3):
        cluster.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{settings.database.name}'"
        )
        assert admin("GET", "/auth/me").status_code == 200
    assert sign_in(app).user["email"] == ADMIN
