"""Sessions and API tokens of one's own: made, shown, used for no more than they are for, and ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from conftest import PASSWORD, Caller, enrol, sign_in
from flask import Flask

from tripod_api import api_tokens
from tripod_api.database import Database, now
from tripod_api.scopes import OF_ROLE, Scope

READ = {"name": "grafana", "scopes": ["dataplane:read"], "days": 30}


def by_token(caller: Caller, **fields: Any) -> tuple[Caller, dict[str, Any]]:
    """Return a caller that holds a new API token of the account, and what was told of it."""
    answer = caller("POST", "/tokens", json=READ | fields)
    assert answer.status_code == 201, answer.text
    return replace(caller, access=answer.json["token"]), answer.json


def test_a_token_is_shown_once_and_stored_as_a_digest(app: Flask, admin: Caller) -> None:
    script, told = by_token(admin)
    assert told["token"].startswith(api_tokens.PREFIX)
    (listed,) = admin("GET", "/tokens").json["tokens"]
    assert listed == {name: value for name, value in told.items() if name != "token"}
    assert (listed["name"], listed["scopes"], listed["used_at"]) == ("grafana", ["dataplane:read"], None)
    database: Database = app.extensions["tripod"].database
    with database.transaction() as db:
        (row,) = db(db.api_tokens).select()
    assert told["token"] not in str(row.as_dict())
    assert script("GET", "/dataplane/status").status_code == 200
    assert admin("GET", "/tokens").json["tokens"][0]["used_at"] is not None


def test_a_token_is_for_its_scopes_and_never_for_the_account_itself(admin: Caller) -> None:
    script, _ = by_token(admin)
    assert script("GET", "/auth/me").json["email"] == admin.user["email"]
    assert (script("GET", "/users").status_code, script("GET", "/users").json["code"]) == (403, "forbidden")
    for method, path, body in (
        ("POST", "/tokens", READ),
        ("GET", "/tokens", None),
        ("DELETE", "/sessions", None),
        ("POST", "/auth/logout", None),
        ("PUT", "/auth/me/password", {"current_password": "x", "new_password": "another long password"}),
    ):
        answer = script(method, path, json=body)
        assert (answer.status_code, answer.json["code"]) == (403, "session_needed")


def test_nobody_gives_away_what_they_do_not_have(app: Flask, admin: Caller) -> None:
    viewer = sign_in(app, enrol(admin, "viewer")["email"])
    answer = viewer("POST", "/tokens", json=READ | {"scopes": ["dataplane:read", "policy:write"]})
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert "policy:write" in answer.json["detail"]
    assert "dataplane:read" not in answer.json["detail"]


def test_a_demotion_takes_the_scopes_of_tokens_along(app: Flask, admin: Caller) -> None:
    account = enrol(admin, "admin", "second@example.com")
    script, _ = by_token(sign_in(app, account["email"]), scopes=["users:read", "dataplane:read"])
    assert script("GET", "/users").status_code == 200
    admin("PUT", f"/users/{account['id']}", json={"role": "viewer"})
    assert script("GET", "/users").status_code == 403
    assert script("GET", "/dataplane/status").status_code == 200


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "another long password"}])
def test_what_ends_sessions_ends_tokens(app: Flask, admin: Caller, change: dict[str, Any]) -> None:
    account = enrol(admin, "viewer")
    script, _ = by_token(sign_in(app, account["email"]))
    assert admin("PUT", f"/users/{account['id']}", json=change).status_code == 200
    assert script("GET", "/auth/me").status_code == 401


def test_ones_own_new_password_ends_ones_tokens(app: Flask, admin: Caller) -> None:
    person = sign_in(app, enrol(admin, "viewer")["email"])
    script, _ = by_token(person)
    change = {"current_password": PASSWORD, "new_password": "another long password"}
    assert person("PUT", "/auth/me/password", json=change).status_code == 204
    assert script("GET", "/auth/me").json["code"] == "token_revoked"
    assert person("GET", "/tokens").json["tokens"] == []


def test_a_token_ends_when_it_is_revoked_or_out_of_date(app: Flask, admin: Caller) -> None:
    script, told = by_token(admin)
    other, _ = by_token(admin, name="other")
    stranger = sign_in(app, enrol(admin, "admin", "second@example.com")["email"])
    assert stranger("DELETE", f"/tokens/{told['id']}").status_code == 404
    assert script("GET", "/auth/me").status_code == 200
    assert admin("DELETE", f"/tokens/{told['id']}").status_code == 204
    assert admin("DELETE", f"/tokens/{told['id']}").json["code"] == "token_not_found"
    assert script("GET", "/auth/me").json["code"] == "token_revoked"
    assert other("GET", "/auth/me").status_code == 200
    database: Database = app.extensions["tripod"].database
    with database.transaction() as db:
        db(db.api_tokens.name == "other").update(expires_at=now() - timedelta(seconds=1))
    assert other("GET", "/auth/me").json["code"] == "token_expired"
    assert admin("GET", "/tokens").json["tokens"] == []


def test_an_account_has_so_many_tokens_and_no_more(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_tokens, "MOST", 2)
    _, first = by_token(admin)
    by_token(admin)
    assert admin("POST", "/tokens", json=READ).json["code"] == "too_many_tokens"
    assert admin("DELETE", f"/tokens/{first['id']}").status_code == 204
    by_token(admin)


def test_tokens_that_have_ended_are_forgotten_and_few_are_made(
    app: Flask, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_tokens, "MADE_HOURLY", 3)
    database: Database = app.extensions["tripod"].database
    long_ago = now() - timedelta(days=2)
    _, revoked = by_token(admin)
    _, expired = by_token(admin)
    by_token(admin)
    assert admin("POST", "/tokens", json=READ).json["code"] == "too_many_tokens_made"
    with database.transaction() as db:
        table = db.api_tokens
        db(table.id == revoked["id"]).update(created_at=long_ago, revoked_at=long_ago)
        db(table.id == expired["id"]).update(created_at=long_ago, expires_at=long_ago)
    _, kept = by_token(admin)
    with database.transaction() as db:
        ids = {row.id for row in db(db.api_tokens).select(db.api_tokens.id)}
    assert {revoked["id"], expired["id"]}.isdisjoint(ids)
    assert kept["id"] in ids


@pytest.mark.parametrize("token", ["tripod_", "tripod_x", "tripod_" + "é" * 9, "tripod_" + "a" * 8000])
def test_what_is_no_token_is_refused(app: Flask, token: str) -> None:
    answer = app.test_client().get(
        "/api/v1/auth/me", headers={"Authorization": f"Bearer {token}".encode().decode("latin-1")}
    )
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_token")


def test_what_has_not_the_form_of_a_token_costs_no_question(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(app.extensions["tripod"].database, "transaction", asked)
    for token in ("tripod_", "tripod_" + "a" * 42, "tripod_" + "a" * 44, "tripod_" + "." * 43):
        answer = app.test_client().get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json["code"]) == (401, "invalid_token")


@pytest.mark.databases("postgres")
@pytest.mark.parametrize(
    "fields",
    [{"scopes": []}, {"scopes": ["all"]}, {"scopes": "dataplane:read"}, {"days": 0}, {"days": 367}, {"name": ""}],
)
def test_fields_of_a_token_are_checked(admin: Caller, fields: dict[str, Any]) -> None:
    answer = admin("POST", "/tokens", json=READ | fields)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert next(iter(fields)) in answer.json["detail"]


def test_a_scope_of_a_newer_release_is_none_in_this_one(app: Flask, admin: Caller) -> None:
    script, told = by_token(admin)
    database: Database = app.extensions["tripod"].database
    with database.transaction() as db:
        db(db.api_tokens.id == told["id"]).update(scopes="dataplane:read moon:land")
    assert script("GET", "/dataplane/status").status_code == 200
    assert admin("GET", "/tokens").json["tokens"][0]["scopes"] == ["dataplane:read"]


def test_sessions_are_listed_and_ended_by_whose_they_are(app: Flask, admin: Caller) -> None:
    account = enrol(admin, "viewer")
    here, there, away = (sign_in(app, account["email"]) for _ in range(3))
    sessions = here("GET", "/sessions").json["sessions"]
    assert [one["current"] for one in sessions] == [True, False, False]
    second = sessions[1]["id"]
    assert admin("DELETE", f"/sessions/{second}").json["code"] == "session_not_found"
    assert here("DELETE", f"/sessions/{second}").status_code == 204
    assert there("GET", "/auth/me").json["code"] == "session_ended"
    assert away("GET", "/auth/me").status_code == 200
    assert here("DELETE", f"/sessions/{second}").status_code == 404
    assert here("DELETE", "/sessions").status_code == 204
    assert away("GET", "/auth/me").json["code"] == "session_ended"
    assert [one["current"] for one in here("GET", "/sessions").json["sessions"]] == [True]


def test_a_token_makes_nobody_who_may_more_than_itself(app: Flask, admin: Caller) -> None:
    script, _ = by_token(admin, scopes=["users:write", "users:read", *OF_ROLE["viewer"]])
    viewer, maintainer = enrol(admin, "viewer"), enrol(admin, "maintainer")
    own, small, large = (f"/users/{user['id']}" for user in (admin.user, viewer, maintainer))
    for method, path, body, code in (
        (
            "POST",
            "/users",
            {"email": "a@example.com", "password": PASSWORD, "full_name": "A", "role": "viewer"},
            "session_needed",
        ),
        ("PUT", own, {"password": "another long password"}, "session_needed"),
        ("PUT", small, {"password": "another long password"}, "session_needed"),
        ("PUT", small, {"role": "admin"}, "forbidden"),
        ("PUT", small, {"role": "maintainer"}, "forbidden"),
        ("PUT", own, {"email": "mine@example.com"}, "forbidden"),
        ("PUT", large, {"role": "viewer"}, "forbidden"),
        ("PUT", large, {"is_active": False}, "forbidden"),
        ("DELETE", large, None, "forbidden"),
    ):
        answer = script(method, path, json=body)
        assert (answer.status_code, answer.json["code"]) == (403, code), (method, path, body)
    assert sign_in(app, maintainer["email"]).user["role"] == "maintainer"
    assert script("PUT", small, json={"full_name": "Ada", "role": "viewer"}).json["full_name"] == "Ada"
    assert script("DELETE", small).status_code == 204
    whole, _ = by_token(admin, scopes=list(Scope))
    assert whole("PUT", large, json={"role": "admin"}).json["role"] == "admin"


def test_a_session_that_has_ended_makes_no_token(app: Flask, admin: Caller) -> None:
    """Another process ended it, of which this one hears within the second."""
    account = enrol(admin, "viewer")
    person = sign_in(app, account["email"])
    assert person("GET", "/auth/me").status_code == 200
    database: Database = app.extensions["tripod"].database
    with database.transaction() as db:
        db(db.sessions.user_id == account["id"]).update(revoked_at=now())
    answer = person("POST", "/tokens", json=READ)
    assert (answer.status_code, answer.json["code"]) == (401, "session_ended")
    with database.transaction() as db:
        assert db(db.api_tokens.user_id == account["id"]).isempty()


def test_every_scope_can_be_given(admin: Caller) -> None:
    _, told = by_token(admin, scopes=list(Scope))
    assert told["scopes"] == sorted(Scope)
