"""Sessions: how they begin, go on, and end."""

from __future__ import annotations

import base64
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from conftest import ADMIN, JWT_SECRET, PASSWORD, Caller, enrol, sign_in
from flask import Flask
from flask.testing import FlaskClient

from tripod_api.passwords import Passwords


def login(client: FlaskClient, email: str, password: str) -> Any:
    return client.post("/api/v1/auth/login", json={"email": email, "password": password})


def test_login_answers_what_the_contract_promises(client: FlaskClient) -> None:
    answer = login(client, ADMIN.upper(), PASSWORD)
    assert answer.status_code == 200
    assert answer.json.keys() == {"success", "access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert (answer.json["success"], answer.json["token_type"], answer.json["expires_in"]) == (True, "Bearer", 900)
    assert answer.json["user"].keys() == {"id", "email", "full_name", "role", "is_active", "created_at", "etag"}
    claims = jwt.decode(answer.json["access_token"], JWT_SECRET, ["HS256"], audience="tripod-api", issuer="tripod")
    assert claims["sub"] == str(answer.json["user"]["id"])
    assert len(claims["jti"]) == 32


def test_every_failed_login_reads_the_same(app: Flask, admin: Caller) -> None:
    closed = enrol(admin, "viewer")
    assert admin("PUT", f"/users/{closed['id']}", json={"is_active": False}).status_code == 200
    pairs = [
        (ADMIN, "wrong"),
        ("nobody@example.com", PASSWORD),
        (closed["email"], PASSWORD),
        (ADMIN, PASSWORD + "x" * 72),
        ("not an address", PASSWORD),
        ("nul\0@example.com", PASSWORD),
        (ADMIN, ""),
        ("' OR 1=1 --", "' OR 1=1 --"),
    ]
    answers = [login(app.test_client(), *pair) for pair in pairs]
    # But for the name that each request has.
    words = [answer.text.replace(answer.json["request_id"], "") for answer in answers]
    assert {(answer.status_code, said) for answer, said in zip(answers, words, strict=True)} == {(401, words[0])}
    assert answers[0].json["code"] == "invalid_credentials"
    assert sign_in(app).user["email"] == ADMIN


def test_only_the_whole_password_opens() -> None:
    passwords = Passwords(4)
    longest = "é" * 36
    assert passwords.check(longest, passwords.hash(longest))
    assert not passwords.check(longest + "x", passwords.hash(longest))


def test_an_unknown_account_takes_as_long_as_a_wrong_password(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = app.extensions["tripod"]
    slow = Passwords(9)
    object.__setattr__(parts, "passwords", slow)
    monkeypatch.setattr(parts.throttle, "failed", lambda *_: None)
    with parts.database.transaction() as db:
        db(db.users.email == ADMIN).update(password_hash=slow.hash(PASSWORD))

    def seconds(email: str) -> float:
        began = time.perf_counter()
        assert login(app.test_client(), email, "wrong").status_code == 401
        return time.perf_counter() - began

    # In turns, as the machine may be busy for a while.
    ratios = [seconds("nobody@example.com") / seconds(ADMIN) for _ in range(9)]
    assert 0.5 < statistics.median(ratios) < 2


def test_refresh_continues_the_session(admin: Caller) -> None:
    again = admin.refreshed()
    assert again.refresh != admin.refresh
    assert again("GET", "/auth/me").json["email"] == ADMIN
    assert again.refreshed()("GET", "/auth/me").status_code == 200


def refresh(caller: Caller, token: str | None = None, **client: Any) -> Any:
    return caller.client.post("/api/v1/auth/refresh", json={"refresh_token": token or caller.refresh}, **client)


ANOTHER = [
    {"headers": {"User-Agent": "another browser"}},
    {"environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}},
]


@pytest.mark.parametrize("thief_is", ANOTHER)
def test_reuse_of_a_refresh_token_ends_the_whole_session(app: Flask, admin: Caller, thief_is: Any) -> None:
    elsewhere = sign_in(app)
    thief = admin.refreshed()
    answer = refresh(admin, **thief_is)
    assert (answer.status_code, answer.json["code"]) == (401, "refresh_token_reused")
    assert thief("GET", "/auth/me").json["code"] == "session_ended"
    late = admin.client.post("/api/v1/auth/refresh", json={"refresh_token": thief.refresh})
    assert (late.status_code, late.json["code"]) == (401, "invalid_refresh_token")
    assert elsewhere("GET", "/auth/me").status_code == 200


def test_a_thief_who_comes_first_loses_the_session_to_nobody(admin: Caller) -> None:
    stolen = refresh(admin, **ANOTHER[0])
    assert stolen.status_code == 200
    assert refresh(admin).json["code"] == "refresh_token_reused"
    assert refresh(admin, stolen.json["refresh_token"], **ANOTHER[0]).status_code == 401


def test_the_grace_is_short_and_bounded(app: Flask, admin: Caller) -> None:
    again = admin.refreshed()
    assert [refresh(admin).status_code for _ in range(33)] == [200] * 32 + [401]
    assert again("GET", "/auth/me").status_code == 401
    late = sign_in(app)
    kept = late.refreshed()
    with app.extensions["tripod"].database.transaction() as db:
        used = db(db.refresh_tokens.used_at != None)  # noqa: E711
        for row in used.select():
            row.update_record(used_at=row.used_at - timedelta(seconds=11))
    assert refresh(late).json["code"] == "refresh_token_reused"
    assert kept("GET", "/auth/me").json["code"] == "session_ended"


@pytest.mark.parametrize("pause", [0.0, 0.015, 0.06, 2.0])
def test_a_reload_within_a_reload_goes_on(admin: Caller, pause: float) -> None:
    first = refresh(admin)
    time.sleep(pause)
    second = refresh(admin)
    for answer in (first, second):
        assert answer.status_code == 200
        tab = replace(admin, access=answer.json["access_token"], refresh=answer.json["refresh_token"])
        assert tab.refreshed()("GET", "/auth/me").status_code == 200


def test_an_answer_that_got_lost_ends_nothing(admin: Caller) -> None:
    for _ in range(3):
        assert refresh(admin).status_code == 200
    assert admin.refreshed().refreshed()("GET", "/auth/me").status_code == 200


def test_of_parallel_refreshes_all_go_on(app: Flask, admin: Caller) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: refresh(replace(admin, client=app.test_client())), range(16)))
    assert [answer.status_code for answer in answers] == [200] * 16
    assert len({answer.json["refresh_token"] for answer in answers}) == 16
    for answer in answers:
        tab = replace(admin, access=answer.json["access_token"], refresh=answer.json["refresh_token"])
        assert tab("GET", "/auth/me").status_code == 200
        assert tab.refreshed()("GET", "/auth/me").status_code == 200


def test_logout_ends_both_tokens_and_no_other_session(app: Flask, admin: Caller) -> None:
    elsewhere = sign_in(app)
    answer = admin("POST", "/auth/logout")
    assert (answer.status_code, answer.data) == (204, b"")
    assert admin("GET", "/auth/me").json["code"] == "session_ended"
    assert admin.client.post("/api/v1/auth/refresh", json={"refresh_token": admin.refresh}).status_code == 401
    assert elsewhere("GET", "/auth/me").status_code == 200


@pytest.mark.parametrize("change", [{"password": "another long password"}, {"is_active": False}])
def test_a_new_password_or_a_deactivation_ends_sessions(app: Flask, admin: Caller, change: dict[str, Any]) -> None:
    user = enrol(admin, "viewer")
    viewer = sign_in(app, user["email"])
    assert admin("PUT", f"/users/{user['id']}", json=change).status_code == 200
    assert viewer("GET", "/auth/me").json["code"] == "session_ended"
    assert login(viewer.client, user["email"], PASSWORD).status_code == 401


def test_a_session_ends_in_time(app: Flask, admin: Caller) -> None:
    with app.extensions["tripod"].database.transaction() as db:
        row = db(db.sessions).select().first()
        row.update_record(expires_at=row.created_at)
    assert admin("GET", "/auth/me").json["code"] == "session_ended"
    assert admin.client.post("/api/v1/auth/refresh", json={"refresh_token": admin.refresh}).status_code == 401
    sign_in(app)
    with app.extensions["tripod"].database.transaction() as db:
        assert db(db.sessions).count() == 1


def signed(claims: dict[str, Any]) -> str:
    """Sign whatever it is; jwt.encode() would refuse it."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), JWT_SECRET)


DEEP = base64.urlsafe_b64encode(b"[" * 3000).decode().rstrip("=")
GOOD = {"iss": "tripod", "aud": "tripod-api", "sub": "1", "sid": "1", "jti": "x", "iat": 1, "exp": 1 << 33}


@pytest.mark.databases("postgres")
@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "not_signed_in"),
        ("Basic YTpi", "not_signed_in"),
        ("Bearer", "not_signed_in"),
        ("Bearer garbage", "invalid_token"),
        ("Bearer " + jwt.encode(GOOD, "another key, long enough to be taken"), "invalid_token"),
        ("Bearer " + jwt.encode(GOOD, "", algorithm="none"), "invalid_token"),
        ("Bearer " + jwt.encode(GOOD | {"aud": "other"}, JWT_SECRET), "invalid_token"),
        ("Bearer " + jwt.encode(GOOD | {"iss": "other"}, JWT_SECRET), "invalid_token"),
        ("Bearer " + jwt.encode(GOOD | {"exp": 2}, JWT_SECRET), "token_expired"),
        ("Bearer " + jwt.encode(GOOD | {"sid": "x"}, JWT_SECRET), "invalid_token"),
        ("Bearer " + jwt.encode(GOOD | {"sid": "999"}, JWT_SECRET), "session_ended"),
        ("Bearer " + jwt.encode(GOOD | {"sid": "9" * 19}, JWT_SECRET), "session_ended"),
        *[
            ("Bearer " + signed(GOOD | {"sid": odd}), "invalid_token")
            for odd in (["1"], {"a": 1}, True, 1, 1.5, None, "", "-1", " 1", "1_0", "\u0661", "9" * 40, float("inf"))
        ],
        *[
            ("Bearer " + signed(GOOD | {claim: odd}), "invalid_token")
            for claim in ("exp", "iat", "aud", "iss")
            for odd in ([1], {"a": 1}, None, [[]], "x")
        ],
        *[
            ("Bearer " + signed(GOOD | {claim: odd}), "invalid_token")
            for claim in ("sub", "jti")
            for odd in ([1], {"a": 1}, None, 1, True)
        ],
        *[("Bearer " + signed(GOOD | {"nbf": odd}), "invalid_token") for odd in ([1], {"a": 1}, "x", 1 << 33)],
        ("Bearer " + signed(GOOD | {"exp": 1e400}), "invalid_token"),
        *[(f"Bearer {head}.{head}.AAAA", "invalid_token") for head in ("W10", "bnVsbA", "MQ", DEEP)],
        ("Bearer " + jwt.encode({k: v for k, v in GOOD.items() if k != "jti"}, JWT_SECRET), "invalid_token"),
        ("Bearer é", "invalid_token"),
    ],
)
def test_bad_tokens_are_refused(client: FlaskClient, header: str | None, code: str) -> None:
    answer = client.get("/api/v1/auth/me", headers={"Authorization": header} if header else {})
    assert (answer.status_code, answer.json["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
