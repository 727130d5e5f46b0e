"""How soon a change of a session or an account is seen where the database is not asked each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import PASSWORD, Caller, enrol, sign_in
from flask import Flask
from service import Service

from tripod_api import standing
from tripod_api.config import Database as Address
from tripod_api.database import Database, now
from tripod_api.standing import Standing

pytestmark = pytest.mark.databases("postgres")

# Each worker has the token after so many requests on connections of their own.
ROUND = 12


@pytest.fixture
def counted(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return what tells how many transactions there were."""
    database: Database = app.extensions["tripod"].database
    plain, number = database.transaction, 0

    def transaction(*arguments: Any, **more: Any) -> Any:
        nonlocal number
        number += 1
        return plain(*arguments, **more)

    monkeypatch.setattr(database, "transaction", transaction)
    return lambda: number


def test_the_database_is_asked_once_for_many_requests(
    admin: Caller, counted: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "SECONDS", 60)
    for _ in range(20):
        assert admin("GET", "/hello").status_code == 200
    assert counted() == 1


def test_it_is_asked_again_once_the_answer_is_too_old(
    admin: Caller, counted: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "SECONDS", 0)
    for _ in range(3):
        assert admin("GET", "/hello").status_code == 200
    assert counted() == 3


@pytest.mark.parametrize("change", ["role", "inactive", "password", "deleted", "own password", "signed out", "stolen"])
def test_what_the_api_changes_it_sees_at_once(
    app: Flask, admin: Caller, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(standing, "SECONDS", 60)
    user = enrol(admin, "maintainer")
    held, other = sign_in(app, user["email"]), sign_in(app, user["email"])
    assert held("GET", "/hello").json["role"] == other("GET", "/hello").json["role"] == "maintainer"
    path, another = f"/users/{user['id']}", "gravel tuba sixteen"
    if change == "role":
        assert admin("PUT", path, json={"role": "viewer"}).status_code == 200
        assert held("GET", "/hello").json["role"] == "viewer"
        return
    if change == "own password":
        body = {"current_password": PASSWORD, "new_password": another}
        assert other("PUT", "/auth/me/password", json=body).status_code == 204
    elif change == "signed out":
        assert held("POST", "/auth/logout").status_code == 204
    elif change == "stolen":
        held.refreshed()
        agent = {"User-Agent": "somebody else's"}
        stolen = app.test_client().post("/api/v1/auth/refresh", json={"refresh_token": held.refresh}, headers=agent)
        assert stolen.json["code"] == "refresh_token_reused"
    elif change == "deleted":
        assert admin("DELETE", path).status_code == 204
    else:
        body = {"is_active": False} if change == "inactive" else {"password": another}
        assert admin("PUT", path, json=body).status_code == 200
    assert held("GET", "/hello").status_code == 401


def test_a_change_while_the_database_is_asked_is_not_lost() -> None:
    answers: Standing[str] = Standing()
    asked = answers.asking()
    standing.changed()
    answers.keep("token", "as it was before", asked)
    assert answers.get("token") is None
    answers.keep("token", "as it is", answers.asking())
    assert answers.get("token") == "as it is"


def test_any_number_of_tokens_takes_no_more_room() -> None:
    answers: Standing[int] = Standing()
    for number in range(3 * standing.TOKENS):
        answers.keep(str(number), number, answers.asking())
        assert len(answers._answers) <= standing.TOKENS
    assert answers.get(str(3 * standing.TOKENS - 1)) is not None


def statuses(service: Service, token: str) -> list[int]:
    """Return what both workers say of a token."""
    return [service("GET", "/api/v1/users", token=token)[0] for _ in range(ROUND)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda db: db(db.sessions).update(revoked_at=now()), 401),
        (lambda db: db(db.users).update(is_active=False), 401),
        (lambda db: db(db.users).update(role="viewer"), 403),
        (lambda db: db(db.users).delete(), 401),
    ],
    ids=["revoked", "inactive", "role", "deleted"],
)
def test_what_another_process_changes_is_seen_within_a_second(
    postgres: Address, start: Callable[..., Service], change: Callable[[Any], Any], expected: int
) -> None:
    """Such as a second replica, or reset_password."""
    service = start()
    service.wait(service.ready)
    token = service.login()[1]["access_token"]
    assert set(statuses(service, token)) == {200}
    with Database(postgres).transaction() as db:
        change(db)
    began = time.monotonic()
    while time.monotonic() < began + 1:
        # Whoever asks all the time must not keep the answer alive.
        service("GET", "/api/v1/users", token=token)
    assert set(statuses(service, token)) == {expected}


def test_a_sign_out_is_seen_by_all_workers_at_once(start: Callable[..., Service]) -> None:
    service = start()
    service.wait(service.ready)
    for _ in range(5):
        token = service.login()[1]["access_token"]
        assert set(statuses(service, token)) == {200}
        assert service("POST", "/api/v1/auth/logout", token=token)[0] == 204
        assert set(statuses(service, token)) == {401}
