"""Idempotency-Key: what is sent twice is done once, whatever happens in between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from conftest import PASSWORD, Caller, enrol, sign_in
from contract import ConformingClient
from flask import Flask
from test_policies import Peer, serving

from tripod_api import idempotency
from tripod_api.app import create_app
from tripod_api.config import Settings
from tripod_api.context import EXTENSION, Services
from tripod_api.database import now
from tripod_api.operations import operations

KEY = "0b9d1f6e-5c0a-4f0e-9d51-8f4c8f8f7e11"
NEW = {"email": "new@example.com", "password": PASSWORD, "full_name": "New", "role": "viewer"}
TOKEN = {"name": "script", "scopes": ["policy:read"], "days": 1}


def keyed(key: str = KEY) -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": key}}


def told(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


def rows(app: Flask) -> list[Any]:
    services: Services = app.extensions[EXTENSION]
    with services.database.transaction() as db:
        return [row.as_dict() for row in db(db.idempotency_keys).select(orderby=db.idempotency_keys.id)]


def set_all(app: Flask, **columns: Any) -> None:
    services: Services = app.extensions[EXTENSION]
    with services.database.transaction() as db:
        db(db.idempotency_keys).update(**columns)


def test_what_is_sent_again_is_done_once_and_answered_as_it_was(app: Flask, admin: Caller, settings: Settings) -> None:
    first = admin("POST", "/users", json=NEW, **keyed())
    assert (first.status_code, first.headers.get("Idempotency-Replayed")) == (201, None)
    # After a restart, too; the quotes of a structured field are none of the key's.
    another = create_app(settings)
    another.test_client_class = ConformingClient
    for caller, key in ((admin, KEY), (replace(admin, client=another.test_client()), f'"{KEY}"')):
        again = caller("POST", "/users", json=NEW, **keyed(key))
        assert (again.status_code, again.json, again.headers["Idempotency-Replayed"]) == (201, first.json, "true")
    another.extensions[EXTENSION].planes.close()
    assert told(admin("POST", "/users", json=NEW | {"full_name": "Old"}, **keyed())) == (422, "idempotency_key_reused")
    assert told(admin("POST", "/tokens", json=TOKEN, **keyed())) == (422, "idempotency_key_reused")
    assert admin("GET", "/users").json["pagination"]["total"] == 2
    # Somebody else's key of the same letters is another one.
    other = sign_in(app, enrol(admin, "admin", "other@example.com")["email"])
    assert told(other("POST", "/users", json=NEW, **keyed())) == (409, "email_taken")
    # What was refused may be sent again, once it can be done.
    assert admin("DELETE", f"/users/{first.json['id']}").status_code == 204
    assert other("POST", "/users", json=NEW, **keyed()).status_code == 201
    # Keys end with their account.
    assert len(rows(app)) == 2
    assert admin("DELETE", f"/users/{other.user['id']}").status_code == 204
    assert len(rows(app)) == 1


def test_of_several_at_a_time_one_is_carried_out(app: Flask, admin: Caller) -> None:
    def create(_number: int) -> Any:
        return replace(admin, client=app.test_client())("POST", "/users", json=NEW, **keyed())

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(create, range(4)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert {told(answer) for answer in answers if answer not in made} <= {(409, "still_running")}
    assert [answer.headers.get("Idempotency-Replayed") for answer in made].count(None) == 1
    assert admin("POST", "/users", json=NEW, **keyed()).json == made[0].json
    assert admin("GET", "/users").json["pagination"]["total"] == 2


def test_no_secret_is_kept(app: Flask, admin: Caller) -> None:
    admin("POST", "/users", json=NEW, **keyed())
    token = admin("POST", "/tokens", json=TOKEN, **keyed("another-key"))
    assert token.status_code == 201
    assert told(admin("POST", "/tokens", json=TOKEN, **keyed("another-key"))) == (409, "answer_not_kept")
    assert [one["id"] for one in admin("GET", "/tokens").json["tokens"]] == [token.json["id"]]
    kept = repr(rows(app))
    for secret in (PASSWORD, token.json["token"], KEY, admin.access):
        assert secret not in kept
    # A token has keys of its own, apart from those of whoever made it.
    script = replace(admin, access=token.json["token"])
    assert told(script("POST", "/users", json=NEW, **keyed())) == (403, "forbidden")


def test_a_key_is_kept_for_a_day_and_a_caller_has_so_many(
    app: Flask, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MOST", 1)
    assert admin("POST", "/users", json=NEW, **keyed()).status_code == 201
    set_all(app, began_at=now() - timedelta(hours=23, minutes=59))
    assert admin("POST", "/users", json=NEW, **keyed()).status_code == 201
    refused = admin("POST", "/tokens", json=TOKEN, **keyed("another-key"))
    assert told(refused) == (429, "too_many_idempotency_keys")
    assert refused.headers["Retry-After"]
    set_all(app, began_at=now() - timedelta(hours=24, seconds=1))
    assert admin("POST", "/tokens", json=TOKEN, **keyed("another-key")).status_code == 201
    assert told(admin("POST", "/users", json=NEW, **keyed("one-more-key"))) == (429, "too_many_idempotency_keys")


def test_what_was_cut_off_before_it_did_anything_is_done_by_the_next(app: Flask, admin: Caller) -> None:
    admin("POST", "/users", json=NEW, **keyed())
    admin("DELETE", "/users/2")
    set_all(app, state=idempotency.TAKEN, answer=None, status=None)
    assert told(admin("POST", "/users", json=NEW, **keyed())) == (409, "still_running")
    set_all(app, began_at=now() - idempotency.RUNNING)
    assert admin("POST", "/users", json=NEW, **keyed()).status_code == 201
    # And of what may have been done nothing is done again.
    set_all(app, state=idempotency.MARKED, began_at=now() - idempotency.RUNNING)
    assert told(admin("POST", "/users", json=NEW, **keyed())) == (409, "outcome_unknown")


@pytest.mark.databases("sqlite")
class TestOfWhatTheAgentDoes:
    def test_the_agent_is_asked_once(self, app: Flask, admin: Caller, settings: Settings) -> None:
        class Slow(Peer):
            begun, go_on, times = Event(), Event(), 0

            def Ban(self, request: Any, context: Any) -> Any:  # noqa: N802
                self.times += 1
                self.begun.set()
                assert self.go_on.wait(20)
                return super().Ban(request, context)

        body = {"address": "192.0.2.1", "seconds": 60}
        with serving(Slow(), settings.go_backend_target) as peer, ThreadPoolExecutor(1) as pool:
            assert isinstance(peer, Slow)
            caller = replace(admin, client=app.test_client())
            first = pool.submit(caller, "POST", "/bans", json=body, **keyed())
            assert peer.begun.wait(20)
            running = admin("POST", "/bans", json=body, **keyed())
            assert told(running) == (409, "still_running")
            peer.go_on.set()
            assert first.result().status_code == 201
            assert admin("POST", "/bans", json=body, **keyed()).json == first.result().json
            assert peer.times == 1
            back = admin("POST", "/policies/edge/revert", json={}, **keyed("another-key"))
            assert back.headers["ETag"] == '"9"'
            peer.asked = None
            assert admin("POST", "/policies/edge/revert", json={}, **keyed("another-key")).json == back.json
            assert peer.asked is None
            # The agent says that it failed on the way: what came of it is for a person to see.
            path = "/policies/refuse-INTERNAL-late/revert"
            assert admin("POST", path, json={}, **keyed("a-third-key")).status_code == 500
            assert told(admin("POST", path, json={}, **keyed("a-third-key"))) == (409, "outcome_unknown")
            # It refused, and so did nothing.
            path = "/policies/refuse-NOT_FOUND-late/revert"
            for _ in range(2):
                assert admin("POST", path, json={}, **keyed("a-fourth-key")).status_code == 404

    @pytest.mark.parametrize("key", ["", "short", "x" * 129, "with space", '"half-quoted', "naïve-ü-key", "a/b/c/d/e"])
    def test_a_key_that_is_none_is_refused_in_words(self, admin: Caller, key: str) -> None:
        answer = admin("POST", "/users", json=NEW, **keyed(key))
        assert told(answer) == (422, "invalid_idempotency_key")
        assert "8 to 128" in answer.json["detail"]
        assert admin("GET", "/users").json["pagination"]["total"] == 1

    def test_an_answer_that_is_too_large_is_not_kept(self, admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(idempotency, "ANSWER_BYTES", 10)
        assert admin("POST", "/users", json=NEW, **keyed()).status_code == 201
        assert told(admin("POST", "/users", json=NEW, **keyed())) == (409, "answer_not_kept")

    def test_every_post_that_changes_something_takes_a_key(self, app: Flask) -> None:
        without = {
            one.name for _, method, one in operations(app) if one and method == "POST" and one.writes and not one.keyed
        }
        # Nobody is signed in before the one, nor after the other, and the third changes nothing but the trail.
        assert without == {"login", "logout", "capture"}
