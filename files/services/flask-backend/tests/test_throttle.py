"""Guessing is slowed, for whoever guesses and nobody else; all workers know, and a restart forgets nothing."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from conftest import ADMIN, PASSWORD, Caller, enrol, sign_in
from flask import Flask

from tripod_api import throttle
from tripod_api.app import create_app
from tripod_api.config import Settings
from tripod_api.context import EXTENSION
from tripod_api.passwords import ADMITTED_ADDRESS
from tripod_api.proxies import Trust
from tripod_api.throttle import network

HOME, ABROAD = "198.51.100.7", "203.0.113.9"


def attempt(app: Flask, password: str, address: str = ABROAD, email: str = ADMIN) -> Any:
    return app.test_client().post(
        "/api/v1/auth/login",
        json={"email": email, "password": password},
        environ_overrides={"REMOTE_ADDR": address},
    )


@pytest.fixture
def other_worker(settings: Settings) -> Iterator[Flask]:
    """Another process' application on the same database, or the same one after a restart."""
    other = create_app(settings)
    yield other
    other.extensions[EXTENSION].planes.close()


@pytest.fixture(autouse=True)
def pauses(app: Flask) -> list[float]:
    found: list[float] = []
    object.__setattr__(app.extensions[EXTENSION], "pause", found.append)
    return found


class Clock:
    """Stands still, as on a busy machine a hundred guesses take longer than it takes for one to be forgotten."""

    def __init__(self) -> None:
        self.milliseconds = throttle._milliseconds()

    def __call__(self) -> int:
        return self.milliseconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(throttle, "_milliseconds", found)
    return found


def test_guessing_is_slowed_and_signing_in_is_not(app: Flask, admin: Caller, other_worker: Flask) -> None:
    user = enrol(admin, "viewer")
    for _ in range(12):
        sign_in(app, user["email"])
    half = [attempt(app, "wrong", email=user["email"]).status_code for _ in range(5)]
    rest = [attempt(other_worker, "wrong", email=user["email"]) for _ in range(6)]
    assert half + [answer.status_code for answer in rest] == [401] * 10 + [429]
    assert rest[-1].json["code"] == "too_many_attempts"
    assert 0 < int(rest[-1].headers["Retry-After"]) <= 30
    assert attempt(app, PASSWORD, email=user["email"]).status_code == 429
    assert attempt(app, PASSWORD).status_code == 200, "another account is not the one that is guessed"


@pytest.mark.parametrize("guesser", [HOME, ABROAD])
def test_the_right_password_opens_from_where_it_did_before(app: Flask, pauses: list[float], guesser: str) -> None:
    assert attempt(app, PASSWORD, HOME).status_code == 200
    answers = {attempt(app, "wrong", guesser).status_code for _ in range(120)}
    assert answers == ({401} if guesser == HOME else {401, 429})
    assert attempt(app, PASSWORD, HOME).status_code == 200
    if guesser == HOME:
        assert len(pauses) == 110, "who may not be turned away is slowed"
    else:
        assert attempt(app, PASSWORD, "192.0.2.200").status_code == 429, "a new address has to wait"


def test_an_address_is_slowed_whatever_it_guesses(app: Flask) -> None:
    answers = [attempt(app, "wrong", email=f"u{number}@example.com").status_code for number in range(101)]
    assert answers == [401] * 100 + [429]
    assert attempt(app, "wrong", HOME).status_code == 401


def test_an_ipv6_client_is_its_network(app: Flask) -> None:
    answers = [attempt(app, "wrong", f"2001:db8::{n:x}", f"u{n}@example.com").status_code for n in range(101)]
    assert answers[-1] == 429
    assert attempt(app, "wrong", "2001:db8:0:1::1").status_code == 401


def test_an_ipv6_client_is_its_network_among_those_that_are_checked_too(app: Flask) -> None:
    passwords = app.extensions[EXTENSION].passwords
    with ExitStack() as held:
        for number in range(ADMITTED_ADDRESS):
            held.enter_context(passwords.admission(network(f"2001:db8::{number:x}"), f"u{number}@example.com"))
        assert attempt(app, PASSWORD, "2001:db8::77").json["code"] == "busy"
        assert attempt(app, PASSWORD, "2001:db8:0:1::1").status_code == 200
    assert attempt(app, PASSWORD, "2001:db8::77").status_code == 200


def test_a_new_place_is_remembered_by_sign_ins_at_once(app: Flask, admin: Caller) -> None:
    parts = app.extensions[EXTENSION]
    together = threading.Barrier(4)

    def succeed(_: int) -> None:
        for number in range(12):
            together.wait(60)
            with parts.database.transaction() as db:
                parts.throttle.succeeded(db, admin.user["id"], f"192.0.2.{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(succeed, range(4)))
    with parts.database.transaction() as db:
        assert db(db.known_clients.user_id == admin.user["id"]).count() == 13


def test_who_has_to_wait_is_asked_for_in_the_same_way_without_an_account(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []
    real = throttle.Throttle._knows

    def knows(self: Any, db: Any, user_id: int, address: str) -> bool:
        asked.append((address, real(self, db, user_id, address)))
        return asked[-1][1]

    monkeypatch.setattr(throttle.Throttle, "_knows", knows)
    for email in (ADMIN, "nobody@example.com", "no address"):
        asked.clear()
        answers = [attempt(app, "wrong", email=email) for _ in range(11)]
        assert answers[-1].status_code == 429
        assert asked == [(ABROAD, False)] * 11, email


def test_it_is_over_after_a_while_and_a_clock_set_back_does_not_prolong_it(app: Flask, clock: Clock) -> None:
    for _ in range(11):
        last = attempt(app, "wrong")
    assert last.status_code == 429
    began = clock.milliseconds
    for shift, status in (
        (29_999, 429),
        (30_000, 401),
        (30_000, 429),
        (400_000, 401),
        (-10_000_000, 429),
        (-9_960_000, 429),
    ):
        clock.milliseconds = began + shift
        assert attempt(app, "wrong").status_code == status, shift


def test_the_tables_stay_small(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "PLACES", 8)
    for number in range(60):
        attempt(app, "wrong", f"192.0.2.{number}", f"u{number}@example.com")
        assert attempt(app, PASSWORD, f"198.51.100.{number}").status_code in {200, 429}
    with app.extensions[EXTENSION].database.transaction() as db:
        ((rows,),) = db.executesql("SELECT COUNT(*) FROM failed_logins")
        assert 8 < rows <= 16
        assert 0 < db(db.known_clients).count() <= throttle.KNOWN_CLIENTS


@pytest.mark.usefixtures("app")
def test_what_a_client_says_of_itself_is_not_believed(settings: Settings) -> None:
    """An own X-Forwarded-For for each guess."""
    behind = create_app(replace(settings, trusted_proxies=Trust.parse("10.1.0.0/16,!10.1.0.1")))
    object.__setattr__(behind.extensions[EXTENSION], "pause", lambda _: None)

    def guess(number: int, peer: str) -> int:
        status: int = (
            behind.test_client()
            .post(
                "/api/v1/auth/login",
                json={"email": f"u{number}@example.com", "password": "wrong"},
                headers={"X-Forwarded-For": f"192.0.2.{number % 250}, 203.0.113.5"},
                environ_overrides={"REMOTE_ADDR": peer},
            )
            .status_code
        )
        return status

    for peer in ("10.1.0.1", "198.51.100.9", "10.1.0.2"):
        assert [guess(number, peer) for number in range(101)][-1] == 429, peer


def test_a_failed_sign_in_is_logged(app: Flask, admin: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    attempt(app, "wrong guess", email=ADMIN.upper())
    attempt(app, "wrong guess", email="nobody@example.com")
    attempt(app, "wrong guess", email="hunter2 in the wrong field")
    told = [record.__dict__ for record in caplog.records if record.message == "sign-in failed"]
    assert [(line["account"], line["user_id"], line["client"]) for line in told] == [
        (ADMIN, admin.user["id"], ABROAD),
        ("nobody@example.com", None, ABROAD),
        ("(no address)", None, ABROAD),
    ]
    for _ in range(11):
        attempt(app, "wrong guess", email="nobody@example.com")
    assert any(line.__dict__.get("reason") == "too_many_attempts" for line in caplog.records)
    text = json.dumps([record.__dict__ for record in caplog.records], default=str)
    assert "hunter2" not in text
    assert "wrong guess" not in text
