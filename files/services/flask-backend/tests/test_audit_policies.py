"""What the host's agent changes is on record before it is asked, and what came of it afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Caller
from flask import Flask
from test_policies import Peer, peer

from tripod_api import audit
from tripod_api.database import Conflict, DatabaseUnavailable
from tripod_api.migrations import SchemaMismatch

# Fixtures, which pytest finds here.
__all__ = ["peer"]

pytestmark = pytest.mark.databases("sqlite")

NEW = {"lists": [{"name": "a", "action": "drop"}]}


def last(admin: Caller, count: int) -> list[tuple[str, str, Any, Any]]:
    """Return the last entries, the oldest first: action, target, what was, what became."""
    entries = admin("GET", f"/audit?limit={count}").json["entries"]
    return [(entry["action"], entry["target"], entry["was"], entry["became"]) for entry in entries[::-1]]


@pytest.mark.usefixtures("peer")
def test_a_policy_is_on_record_before_and_after(admin: Caller, maintainer: Caller) -> None:
    made = maintainer("PUT", "/policies/edge", json={"document": NEW}).json
    maintainer("POST", "/policies/edge/confirm", json={"revision": 9})
    asked, done, confirm, confirmed = last(admin, 4)
    assert asked == ("policy changed asked", "policy edge", {}, NEW)
    assert done == (
        "policy changed done",
        "policy edge",
        None,
        {key: made[key] for key in ("changed", "revision", "pending", "summary")},
    )
    assert confirm[:2] == ("policy confirmed asked", "policy edge")
    assert confirmed == ("policy confirmed done", "policy edge", None, {"revision": 9})


@pytest.mark.usefixtures("peer")
@pytest.mark.parametrize(
    ("kind", "status", "step", "code"),
    [
        ("NOT_FOUND", 404, "refused", "not_found"),
        ("FAILED_PRECONDITION", 409, "refused", "policy_refused"),
        # It may be in force.
        ("INTERNAL", 500, "unanswered", "policy_failed"),
        ("UNAVAILABLE", 503, "unanswered", "policy_unavailable"),
    ],
)
def test_a_refusal_is_told_from_no_answer(
    admin: Caller,
    maintainer: Caller,
    kind: str,
    status: int,
    step: str,
    code: str,
) -> None:
    banned = f"refuse-{kind}"
    assert maintainer("DELETE", f"/bans/{banned}").status_code == status
    asked, came = last(admin, 2)
    assert asked == ("ban taken back asked", f"ban {banned}", {"address": banned}, None)
    assert came == (f"ban taken back {step}", f"ban {banned}", None, {"code": code})


@pytest.mark.usefixtures("peer")
@pytest.mark.parametrize("fault", [Conflict, DatabaseUnavailable, SchemaMismatch])
def test_what_the_agent_said_is_told_though_the_trail_fails_after_it(
    maintainer: Caller,
    monkeypatch: pytest.MonkeyPatch,
    fault: type[Exception],
) -> None:
    real = audit.record

    def once(*words: Any, step: str = "", **more: Any) -> None:
        if step != "asked":
            raise fault("no more")
        real(*words, step=step, **more)

    monkeypatch.setattr(audit, "record", once)
    assert maintainer("POST", "/bans", json={"address": "192.0.2.1", "seconds": 60}).status_code == 201
    assert maintainer("DELETE", "/bans/refuse-NOT_FOUND").status_code == 404


def test_without_the_trail_nothing_is_asked(
    app: Flask,
    maintainer: Caller,
    peer: Peer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("the disk is full")

    monkeypatch.setattr("tripod_api.audit.record", full)
    answer = maintainer("POST", "/bans", json={"address": "192.0.2.1", "seconds": 60})
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert peer.asked is None
    assert app.test_client().get("/healthz").status_code == 200
