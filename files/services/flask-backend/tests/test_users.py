"""Accounts: who may do what, and what can't be done to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import ADMIN, PASSWORD, Caller, enrol, sign_in
from flask import Flask
from wire import PROBLEM

NEW = {"email": "new@example.com", "password": PASSWORD, "full_name": "New", "role": "viewer"}
FRAME = "00" * 14


def test_an_account_from_birth_to_deletion(app: Flask, admin: Caller) -> None:
    created = admin("POST", "/users", json=NEW | {"email": "New@Example.COM"})
    assert created.status_code == 201
    user = created.json
    assert user == {
        "id": user["id"],
        "email": "new@example.com",
        "full_name": "New",
        "role": "viewer",
        "is_active": True,
        "created_at": user["created_at"],
        "etag": user["etag"],
    }
    assert user["created_at"].endswith("Z")
    assert admin("GET", f"/users/{user['id']}").json == user
    changed = admin("PUT", f"/users/{user['id']}", json={"full_name": "O'Brien % \\ ☃", "role": "maintainer"})
    assert changed.json == user | {
        "full_name": "O'Brien % \\ ☃",
        "role": "maintainer",
        "etag": changed.json["etag"],
    }
    assert admin("PUT", f"/users/{user['id']}", json={"email": "renamed@example.com"}).status_code == 200
    renamed = sign_in(app, "renamed@example.com")
    assert admin("DELETE", f"/users/{user['id']}").status_code == 204
    assert renamed("GET", "/auth/me").json["code"] == "session_ended"
    for method in ("GET", "DELETE"):
        gone = admin(method, f"/users/{user['id']}")
        assert (gone.status_code, gone.json["code"]) == (404, "user_not_found")


def test_the_list_comes_in_pages(admin: Caller) -> None:
    for number in range(4):
        enrol(admin, "viewer", f"v{number}@example.com")
    answer = admin("GET", "/users?page=2&per_page=2").json
    assert [user["email"] for user in answer["users"]] == ["v1@example.com", "v2@example.com"]
    assert answer["pagination"] == {"page": 2, "per_page": 2, "total": 5, "pages": 3}
    assert admin("GET", "/users?page=9").json["users"] == []


@pytest.mark.databases("postgres")
@pytest.mark.parametrize(
    "query",
    [
        *("page=0", "page=-3", "per_page=0", "per_page=101", "page=x", "page=1e3", "page=9999999", "page="),
        # Which Python takes for numbers, and whoever stands before the API may not.
        *("page=1.0", "page=%2B1", "page=1_0", "page=01", "page=%201", "page=%D9%A1"),
        "page=1&page=2",
    ],
)
def test_impossible_pages_are_refused(admin: Caller, query: str) -> None:
    answer = admin("GET", f"/users?{query}")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")


@pytest.mark.parametrize(
    "number", ["0", "999", str((1 << 63) - 1), str(1 << 63), "9" * 40, "-1", "x", "\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_no_number_breaks_the_lookup(admin: Caller, number: str) -> None:
    assert admin("GET", f"/users/{number}").status_code == 404


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("GET", "/auth/me", None, "admin maintainer viewer"),
        ("GET", "/hello", None, "admin maintainer viewer"),
        ("GET", "/dataplane/status", None, "admin maintainer viewer"),
        ("GET", "/dataplane/stats", None, "admin maintainer viewer"),
        ("POST", "/dataplane/trace", {"interface": "eth0", "frame": FRAME}, "admin maintainer"),
        ("GET", "/users", None, "admin"),
        ("POST", "/users", NEW, "admin"),
        ("GET", "/users/1", None, "admin"),
        ("PUT", "/users/1", {"full_name": "Chief"}, "admin"),
        ("DELETE", "/users/999", None, "admin"),
    ],
)
def test_roles(app: Flask, admin: Caller, method: str, path: str, body: Any, allowed: str) -> None:
    for role in ("admin", "maintainer", "viewer"):
        caller = sign_in(app, enrol(admin, role, f"{role}2@example.com")["email"])
        status = caller(method, path, **({"json": body} if body else {})).status_code
        assert (status == 403) == (role not in allowed.split()), (role, status)
        assert status != 401
    assert app.test_client().open(f"/api/v1{path}", method=method, json=body).status_code == 401


MALFORMED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"1",
    b"{}",
    b'{"email": null}',
    b"\xff\xfe",
    b"[" * 5000,
    b'{"email": "a@example.com", "password": "long enough pass", "full_name": "\\ud800", "role": "viewer"}',
]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "target", ["POST /auth/login", "POST /auth/refresh", "POST /users", "PUT /users/1", "POST /dataplane/trace"]
)
def test_malformed_bodies_are_the_callers_fault(admin: Caller, target: str) -> None:
    method, path = target.split()
    for body in MALFORMED:
        answer = admin(method, path, data=body, content_type="application/json")
        assert answer.status_code in {400, 422}, (body, answer.text)
        assert answer.json.keys() == PROBLEM
    assert admin("GET", "/auth/me").status_code == 200


@pytest.mark.databases("postgres")
@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"email": "not-an-email"}, "email"),
        ({"email": "a" * 250 + "@example.com"}, "email"),
        ({"email": "a\0b@example.com"}, "email"),
        ({"email": 7}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 73}, "password"),
        ({"password": "é" * 37}, "password"),
        ({"full_name": ""}, "full_name"),
        ({"full_name": "x" * 201}, "full_name"),
        ({"full_name": "a\0b"}, "full_name"),
        ({"full_name": "two\nlines"}, "full_name"),
        ({"role": "root"}, "role"),
        ({"role": None}, "role"),
        ({"is_admin": True}, "is_admin"),
    ],
)
def test_fields_are_checked_and_named_and_never_repeated(admin: Caller, fields: dict[str, Any], where: str) -> None:
    for answer in (admin("POST", "/users", json=NEW | fields), admin("PUT", "/users/1", json=fields)):
        assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
        assert where in answer.json["detail"]
        assert "x" * 73 not in answer.text
    assert admin("GET", "/users").json["pagination"]["total"] == 1


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("value", ["false", 0, 1, "yes", None])
def test_a_switch_takes_only_booleans(admin: Caller, value: Any) -> None:
    assert admin("PUT", "/users/1", json={"is_active": value}).status_code == 422


def test_an_address_belongs_to_one_account(app: Flask, admin: Caller) -> None:
    other = enrol(admin, "viewer")
    for answer in (
        admin("POST", "/users", json=NEW | {"email": ADMIN.upper()}),
        admin("PUT", f"/users/{other['id']}", json={"email": ADMIN}),
    ):
        assert (answer.status_code, answer.json["code"]) == (409, "email_taken")
    assert admin("PUT", f"/users/{other['id']}", json={"email": other["email"]}).status_code == 200

    def create(_: int) -> int:
        headers = {"Authorization": f"Bearer {admin.access}"}
        status = 429
        while status == 429:
            # Few of one admin's passwords are hashed at a time.
            status = app.test_client().post("/api/v1/users", json=NEW, headers=headers).status_code
        return status

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(4))) == [201, 409, 409, 409]


@pytest.mark.parametrize(
    "change", [{"role": "viewer"}, {"is_active": False}, {"role": "maintainer", "full_name": "x"}, None]
)
def test_the_last_admin_stays(admin: Caller, change: dict[str, Any] | None) -> None:
    number = admin.user["id"]
    answer = admin("PUT", f"/users/{number}", json=change) if change else admin("DELETE", f"/users/{number}")
    assert (answer.status_code, answer.json["code"]) == (409, "last_admin")
    assert admin("GET", "/auth/me").json == admin.user
    second = enrol(admin, "admin", "second@example.com")
    assert admin("PUT", f"/users/{second['id']}", json={"is_active": False}).status_code == 200
    answer = admin("PUT", f"/users/{number}", json={"role": "viewer"})
    assert answer.json["code"] == "last_admin", "an inactive admin does not count"


def test_two_admins_cannot_demote_each_other(app: Flask, admin: Caller) -> None:
    enrol(admin, "admin", "second@example.com")
    pair = [admin, sign_in(app, "second@example.com")]
    numbers = [caller.user["id"] for caller in pair]

    def demote(caller: Caller, number: int) -> int:
        status: int = caller("PUT", f"/users/{number}", json={"role": "viewer"}).status_code
        return status

    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(demote, pair, reversed(numbers)))
    assert statuses.count(200) == 1
    with app.extensions["tripod"].database.transaction() as db:
        assert db(db.users.role == "admin").count() == 1


def test_a_demotion_holds_from_the_next_request_on(app: Flask, admin: Caller) -> None:
    second = sign_in(app, enrol(admin, "admin", "second@example.com")["email"])
    assert second("GET", "/users").status_code == 200
    admin("PUT", f"/users/{second.user['id']}", json={"role": "viewer"})
    answer = second("GET", "/users")
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
