"""Every change leaves a trail, with what was and what became of it, and nobody changes the trail."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from conftest import PASSWORD, Caller, enrol, sign_in
from flask import Flask, g
from flask.testing import FlaskClient

from tripod_api import audit, standing
from tripod_api import trail as trail_table
from tripod_api.database import Database, DatabaseUnavailable, now
from tripod_api.errors import ApiError
from tripod_api.operations import operations
from tripod_api.scopes import Scope
from tripod_api.sessions import unauthorized
from tripod_api.trail import Entry

# These change nothing that lasts: another pair of tokens of the same session, and questions too long for a GET.
QUESTIONS = {"refresh", "preview_policy", "dataplane_trace", "event_readers"}


def trail(admin: Caller, **query: Any) -> list[dict[str, Any]]:
    answer = admin("GET", "/audit", query_string=query)
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json["entries"]
    return entries


def test_every_operation_that_writes_says_so(app: Flask) -> None:
    silent = {
        told.name for _, method, told in operations(app) if told is not None and method != "GET" and told.writes is None
    }
    assert silent == QUESTIONS
    assert [told.name for _, method, told in operations(app) if told and method == "GET" and told.writes] == []


def test_an_account_is_on_record_from_birth_to_deletion(admin: Caller) -> None:
    user = enrol(admin, "viewer")
    changed = admin("PUT", f"/users/{user['id']}", json={"role": "maintainer", "password": "another long password"})
    admin("DELETE", f"/users/{user['id']}")
    removed, change, created = trail(admin, limit=3)
    # What a change is to name is no part of what the account was.
    made, became = ({key: one[key] for key in one if key != "etag"} for one in (user, changed.json))
    assert [entry["action"] for entry in (created, change, removed)] == ["user created", "user changed", "user removed"]
    assert (created["was"], created["became"]) == (None, made)
    assert (change["was"], change["became"]) == (made, became | {"password": "new"})
    assert (removed["was"], removed["became"]) == (became, None)
    assert {entry["target"] for entry in (created, change, removed)} == {f"user {user['id']}"}
    assert change["request_id"] == changed.headers["X-Request-ID"]
    assert (change["account"], change["user_id"]) == (admin.user["email"], admin.user["id"])


def test_a_sign_in_that_leaves_no_trail_is_none(app: Flask, admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise DatabaseUnavailable("the disk is full")

    sessions = len(admin("GET", "/sessions").json["sessions"])
    with monkeypatch.context() as patch:
        patch.setattr(trail_table, "add", full)
        answer = app.test_client().post("/api/v1/auth/login", json={"email": admin.user["email"], "password": PASSWORD})
    assert answer.status_code == 503
    assert len(admin("GET", "/sessions").json["sessions"]) == sessions


def test_a_stolen_session_that_ends_is_on_record(app: Flask, admin: Caller) -> None:
    account = enrol(admin, "viewer")
    person = sign_in(app, account["email"])
    person.refreshed()
    thief = app.test_client()
    for _ in range(2):
        stolen = {"json": {"refresh_token": person.refresh}, "headers": {"User-Agent": "another"}}
        assert thief.post("/api/v1/auth/refresh", **stolen).json["code"] == "refresh_token_reused"
    newest, before = trail(admin, limit=2)
    assert newest["action"] == "session ended: its refresh token was used again"
    assert (newest["account"], newest["user_id"]) == (account["email"], account["id"])
    # Once, however often it comes.
    assert before["action"] == "signed in"


def test_what_is_refused_leaves_nothing(admin: Caller) -> None:
    before = trail(admin)
    assert admin("DELETE", f"/users/{admin.user['id']}").status_code == 409
    assert admin("POST", "/users", json={}).status_code == 422
    assert trail(admin) == before


def test_nobody_changes_the_trail(app: Flask, admin: Caller) -> None:
    database: Database = app.extensions["tripod"].database
    before = trail(admin)
    columns = "(id, moment, request_id, account, client, action, target)"
    row = f"{columns} VALUES ({before[0]['id']}, '2026-01-01 00:00:00', '', 'x', '', '', '')"
    statements = {
        "sqlite": [
            f"REPLACE INTO audit {row}",
            f"INSERT INTO audit {row} ON CONFLICT (id) DO UPDATE SET account = 'x'",
        ],
        "mysql": [
            *(f"REPLACE INTO audit {row}", f"INSERT INTO audit {row} ON DUPLICATE KEY UPDATE account = 'x'"),
            *("TRUNCATE audit", "DROP TABLE audit"),
        ],
        "postgres": [f"INSERT INTO audit {row} ON CONFLICT (id) DO UPDATE SET account = 'x'", "TRUNCATE audit"],
    }
    for statement in ("UPDATE audit SET account = 'x'", "DELETE FROM audit", *statements[database.address.type]):
        with pytest.raises(Exception, match=r"audit.stays|foreign key"), database.transaction() as db:
            db.executesql(statement)
    assert before
    assert trail(admin) == before


def test_the_trail_comes_in_pages_and_whole(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PIECE", 2)
    monkeypatch.setattr(audit, "SETTLED", timedelta())
    for number in range(4):
        enrol(admin, "viewer", f"viewer-{number}@example.com")
    whole = trail(admin)
    assert [entry["action"] for entry in whole] == [*["user created"] * 4, "signed in", "user created"]
    assert (whole[-1]["account"], whole[-1]["user_id"]) == ("the deployment", None)
    first = admin("GET", "/audit?limit=4").json
    second = admin("GET", f"/audit?limit=4&before={first['next']}").json
    assert first["entries"] + second["entries"] == whole
    assert second["next"] is None
    exported = admin("GET", "/audit/export")
    assert exported.mimetype == "application/jsonl"
    assert [json.loads(line) for line in exported.text.splitlines()] == whole[::-1]
    rest = admin("GET", f"/audit/export?after={whole[2]['id']}").text
    assert [json.loads(line) for line in rest.splitlines()] == whole[:2][::-1]


def test_an_export_stops_where_an_entry_may_come_yet(
    app: Flask, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry has its number when it is inserted, and others cannot see it before its transaction ends."""
    database: Database = app.extensions["tripod"].database
    enrol(admin, "viewer")
    assert admin("GET", "/audit/export").text == ""
    later = now() + audit.SETTLED
    monkeypatch.setattr(audit, "now", lambda: later)
    with database.transaction() as db:
        db.audit.insert(moment=later, request_id="", account="a", client="", action="young", target="")
        trail_table.add(db, Entry("old, with a larger number", "nothing", "a test"))
    exported = [json.loads(line)["action"] for line in admin("GET", "/audit/export").text.splitlines()]
    assert exported == ["user created", "signed in", "user created"]


def test_entries_from_before_the_clock_was_set_back_hold_nobody_up(app: Flask, admin: Caller) -> None:
    day = timedelta(days=1)
    with app.extensions["tripod"].database.transaction() as db:
        for action, moment in (("of tomorrow", now() + day), ("of yesterday", now() - day)):
            db.audit.insert(moment=moment, request_id="", account="a", client="", action=action, target="")
    first, *_ = trail(admin, limit=3)[1:]
    exported = admin("GET", f"/audit/export?after={first['id'] - 1}").text
    assert [json.loads(line)["action"] for line in exported.splitlines()] == ["of tomorrow", "of yesterday"]


def test_an_export_is_broken_off_once_its_reader_may_not_have_it(
    app: Flask, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(_token: str) -> int:
        raise unauthorized("token_expired", "The access token has expired; refresh it.")

    monkeypatch.setattr(audit, "PIECE", 1)
    monkeypatch.setattr(audit, "SETTLED", timedelta())
    other = sign_in(app, enrol(admin, "admin", "other@example.com")["email"])
    headers = {"Authorization": f"Bearer {other.access}"}
    # Not the tests' client, which reads the whole.
    pieces = iter(FlaskClient(app).get("/api/v1/audit/export", headers=headers, buffered=False).response)
    assert json.loads(next(pieces))["action"] == "user created"
    # The session's next access token is another one, and no reason.
    with monkeypatch.context() as patch:
        patch.setattr(standing, "SECONDS", 0)
        patch.setattr(app.extensions["tripod"].sessions, "_session_of", ended)
        assert json.loads(next(pieces))["action"] == "signed in"
    assert other("POST", "/auth/logout").status_code == 204
    with pytest.raises(ApiError, match="session has ended"):
        list(pieces)


def test_a_page_is_as_large_as_a_worker_bears(app: Flask, admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE_BYTES", 5000)
    monkeypatch.setattr(audit, "SETTLED", timedelta())
    with app.extensions["tripod"].database.transaction() as db:
        for number in range(4):
            trail_table.add(db, Entry(f"large {number}", "nothing", "a test", was={"text": "x" * 2000}))
        trail_table.add(db, Entry("huge", "nothing", "a test", was={"text": "x" * 9000}))
    pages = []
    before = 0
    while before is not None:
        page = admin("GET", f"/audit?limit=1000&before={before}").json
        pages.append([entry["action"] for entry in page["entries"]])
        before = page["next"]
    assert pages == [["huge"], ["large 3", "large 2"], ["large 1", "large 0"], ["signed in", "user created"]]
    exported = [json.loads(line)["action"] for line in admin("GET", "/audit/export").text.splitlines()]
    assert exported == [action for page in pages for action in page][::-1]


def test_no_secret_is_on_record(app: Flask, admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "SETTLED", timedelta())
    new = "another long password"
    account = enrol(admin, "admin", "second@example.com")
    person = sign_in(app, account["email"])
    token = person("POST", "/tokens", json={"name": "n", "scopes": ["users:write"], "days": 1}).json["token"]
    person("PUT", "/auth/me/password", json={"current_password": PASSWORD, "new_password": new})
    admin("PUT", f"/users/{account['id']}", json={"password": new})
    told = admin("GET", "/audit/export").text
    assert "API token made" in told
    for secret in (PASSWORD, new, token, "$2b$", person.access, person.refresh):
        assert secret not in told


def test_an_entry_is_json_whatever_it_is_of(app: Flask, admin: Caller) -> None:
    with app.extensions["tripod"].database.transaction() as db:
        trail_table.add(db, Entry("tried", "nothing", "a test", was={"number": float("inf")}))
    (entry,) = trail(admin, limit=1)
    assert entry["was"] == {"no_json": "{'number': inf}"}


def test_who_came_by_a_token_is_known(admin: Caller) -> None:
    viewer = enrol(admin, "viewer")
    made = admin("POST", "/tokens", json={"name": "n", "scopes": list(Scope), "days": 1}).json
    replace(admin, access=made["token"])("PUT", f"/users/{viewer['id']}", json={"full_name": "Ada"})
    newest, before = trail(admin, limit=2)
    assert (newest["action"], newest["token_id"]) == ("user changed", made["id"])
    assert (before["action"], before["token_id"]) == ("API token made", None)


def test_what_cannot_be_printed_is_on_record_all_the_same(app: Flask, admin: Caller) -> None:
    with app.test_request_context(), app.extensions["tripod"].database.transaction() as db:
        g.operation = next(told for _, _, told in operations(app) if told and told.name == "unban")
        g.principal = app.extensions["tripod"].sessions.authenticate(admin.access)
        audit.record(db, "ban \0\ud800\n\u00e9", {"odd": "\0\ud800"}, None)
    (entry,) = trail(admin, limit=1)
    assert entry["target"] == r"ban \x00\ud800\né"
    assert entry["was"] == {"odd": "\0\ud800"}
