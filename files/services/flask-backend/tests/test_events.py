"""The stream of events in the service as it is run, on PostgreSQL: resumed, bounded, and only for who may."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from conftest import Caller, enrol, sign_in
from flask import Flask
from service import SECRETS, Service, free_port
from test_dataplane import serve
from test_feed import Recording

from tripod_api.api_tokens import PREFIX
from tripod_api.config import Database
from tripod_api.database import Database as Connected
from tripod_api.database import now
from tripod_api.feed import KEPT
from tripod_api.lasting import MOST
from tripod_api.metrics import HOSTS
from tripod_api.worker import THREADS, WORKERS

pytestmark = pytest.mark.databases("postgres")

# Beside the time in which a session must be out, that of a busy machine; a stream that notices nothing goes on.
SOON = 10.0


class Ticking(Recording):
    """Has a new reading ten times a second."""

    def __init__(self) -> None:
        super().__init__(20)
        self.over = threading.Event()
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while not self.over.wait(0.1):
            self.add(1)


@pytest.fixture
def peer() -> Iterator[tuple[Ticking, str]]:
    port = free_port()
    peer = Ticking()
    server = serve(port, peer)
    yield peer, f"127.0.0.1:{port}"
    peer.over.set()
    server.stop(0).wait()


@pytest.fixture
def live(start: Callable[..., Service], peer: tuple[Ticking, str]) -> Service:
    service = start(GO_BACKEND_TARGET=peer[1])
    service.wait(service.ready)
    return service


class Stream:
    """A reader of the stream; a test's are closed after it."""

    opened: ClassVar[list[Stream]] = []

    def __init__(self, service: Service, token: str, query: str = "", last: str | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
        headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last} if last is not None else {})
        self.connection.request("GET", f"/api/v1/events{query}", headers=headers)
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.opened.append(self)

    def events(self) -> Iterator[dict[str, str]]:
        """Give events until the end; comments have no kind."""
        told: dict[str, str] = {}
        for line in self.answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                told[name] = value
            elif told:
                yield told
                told = {}

    def take(self, count: int) -> list[dict[str, str]]:
        """Return so many readings, and what comes between them."""
        found: list[dict[str, str]] = []
        for event in self.events():
            if "event" in event:
                found.append(event)
            if sum(one["event"] == "reading" for one in found) == count:
                break
        return found

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    for stream in Stream.opened:
        stream.close()
    Stream.opened.clear()


def numbers(events: list[dict[str, str]]) -> list[int]:
    assert {event["event"] for event in events} == {"reading"}
    return [int(event["id"].rpartition("-")[2]) for event in events]


def token_of(service: Service) -> str:
    token: str = service.login()[1]["access_token"]
    return token


def test_who_was_cut_off_goes_on_without_loss_at_whichever_worker(live: Service) -> None:
    token, last, seen = token_of(live), None, []
    for _ in range(12):
        stream = Stream(live, token, last=last)
        assert (stream.status, stream.answer.headers["Content-Type"].partition(";")[0]) == (200, "text/event-stream")
        assert stream.answer.headers["X-Accel-Buffering"] == "no"
        events = stream.take(3)
        stream.close()
        seen += numbers(events)
        last = events[-1]["id"]
    assert seen == list(range(seen[0], seen[0] + len(seen)))


def test_all_that_is_kept_comes_where_that_is_asked_for_and_then_the_rest(
    live: Service, peer: tuple[Ticking, str]
) -> None:
    stream = Stream(live, token_of(live), "?begin=oldest")
    made = peer[0].made
    kept = min(made, KEPT)
    seen = numbers(stream.take(kept + 5))
    stream.close()
    assert seen == list(range(seen[0], seen[0] + kept + 5))
    # Some of a second may be on their way.
    assert made - kept - 20 <= seen[0] <= made - kept + 20


def test_a_loss_is_said(live: Service) -> None:
    stream = Stream(live, token_of(live), last="another-17")
    first, *rest = stream.take(2)
    stream.close()
    assert first["event"] == "lost"
    assert json.loads(first["data"])["time"]
    assert numbers(rest)[1] == numbers(rest)[0] + 1


def test_a_stream_ends_with_its_session(live: Service) -> None:
    token = token_of(live)
    stream = Stream(live, token)
    stream.take(1)
    live("POST", "/api/v1/auth/logout", token=token)
    began = time.monotonic()
    *_, last = stream.events()
    assert time.monotonic() - began < SOON
    assert last["event"] == "end"
    assert json.loads(last["data"])["code"] == "session_ended"


def test_a_stream_ends_when_its_time_is_over(live: Service) -> None:
    token = token_of(live)
    began = time.monotonic()
    *_, last = Stream(live, token, "?seconds=1").events()
    assert json.loads(last["data"])["code"] == "stream_over"
    assert time.monotonic() - began < 1 + SOON


def test_there_is_one_of_each_host_whichever_worker_is_met(live: Service) -> None:
    # Of the hosts that one API may serve, read by one web interface, all at one worker at worst.
    token = token_of(live)
    held = [Stream(live, token) for _ in range(HOSTS)]
    assert {stream.status for stream in held} == {200}
    for stream in held:
        assert len(numbers(stream.take(2))) == 2


def test_streams_are_bounded_and_leave_all_threads_for_others(live: Service) -> None:
    token = token_of(live)
    held = [Stream(live, token) for _ in range(2 * MOST * WORKERS)]
    good = [stream for stream in held if stream.status == 200]
    refused = [stream for stream in held if stream.status == 429]
    assert MOST < len(good) <= MOST * WORKERS < len(held) == len(good) + len(refused)
    assert json.loads(refused[0].answer.read())["code"] == "busy"
    for stream in good:
        stream.take(1)
    # More streams than threads, and as many requests at once as there are of these.
    assert len(good) > THREADS * WORKERS
    with ThreadPoolExecutor(THREADS * WORKERS) as pool:
        for status in pool.map(lambda _: live("GET", "/api/v1/auth/me", token=token)[0], range(200)):
            assert status == 200
    for stream in held:
        stream.close()
    # Their places are free again once it is noticed that they have gone.
    live.wait(lambda: attempt(live, token) == 200)


def attempt(service: Service, token: str) -> int:
    stream = Stream(service, token, "?seconds=1")
    stream.close()
    return stream.status


def test_a_reader_that_takes_nothing_is_cut_off_and_holds_no_place(live: Service) -> None:
    token = token_of(live)
    with socket.create_connection(("127.0.0.1", live.port)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        lazy.sendall(
            f"GET /api/v1/events?begin=oldest HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        time.sleep(1)
        assert live("GET", "/api/v1/auth/me", token=token)[0] == 200


def test_streams_do_not_keep_the_service_from_stopping(live: Service) -> None:
    stream = Stream(live, token_of(live))
    stream.take(1)
    began = time.monotonic()
    assert live.stop() == 0
    # Where it waited for them, it would be for gunicorn's 20 s.
    assert time.monotonic() - began < 18
    *_, last = stream.events()
    assert last["event"] == "end"


def test_the_reader_of_many_learns_of_each_whether_it_may(live: Service) -> None:
    first, second = token_of(live), token_of(live)
    lacking = live("POST", "/api/v1/tokens", {"name": "x", "scopes": ["policy:read"], "days": 1}, first)[1]["token"]
    able = live("POST", "/api/v1/tokens", {"name": "y", "scopes": ["dataplane:read"], "days": 1}, first)[1]["token"]
    asked = {"tokens": [first, second, able, lacking, "nonsense", "", PREFIX + "x" * 43]}

    def codes() -> list[Any]:
        status, answer = live("POST", "/api/v1/events/readers", asked)
        assert status == 200
        return [(one["allowed"], one["status"], one["code"]) for one in answer["readers"]]

    refused = [(False, 403, "forbidden"), *[(False, 401, "invalid_token")] * 3]
    assert codes() == [*[(True, 200, None)] * 3, *refused]
    live("POST", "/api/v1/auth/logout", token=second)
    assert codes() == [(True, 200, None), (False, 401, "session_ended"), (True, 200, None), *refused]


def test_the_reader_of_many_learns_at_once_what_another_process_did(live: Service, postgres: Database) -> None:
    """As it passes the answer on, and asks twice a second only: an age of the answer's own would come on top."""
    token = token_of(live)

    def allowed() -> set[bool]:
        answers = [live("POST", "/api/v1/events/readers", {"tokens": [token]}) for _ in range(8)]
        return {answer["readers"][0]["allowed"] for _, answer in answers}

    assert allowed() == {True}
    with Connected(postgres).transaction() as db:
        db(db.sessions).update(revoked_at=now())
    assert allowed() == {False}


def test_many_are_asked_about_with_one_question_to_the_database(app: Flask, admin: Caller) -> None:
    tokens = [sign_in(app, enrol(admin, "viewer", f"{at}@example.com")["email"]).access for at in range(5)]
    answer = app.test_client().post("/api/v1/events/readers", json={"tokens": tokens * 40})
    assert [one["allowed"] for one in answer.json["readers"]] == [True] * 200
    assert app.test_client().post("/api/v1/events/readers", json={"tokens": ["x"] * 257}).status_code == 422


def test_a_demoted_reader_is_out(live: Service) -> None:
    admin = token_of(live)
    account = {"email": "v@example.com", "password": SECRETS["ADMIN_PASSWORD"], "full_name": "V", "role": "viewer"}
    user = live("POST", "/api/v1/users", account, admin)[1]
    login = {"email": account["email"], "password": account["password"]}
    viewer = live("POST", "/api/v1/auth/login", login)[1]["access_token"]
    stream = Stream(live, viewer)
    stream.take(1)
    live("PUT", f"/api/v1/users/{user['id']}", {"is_active": False}, admin)
    *_, last = stream.events()
    assert json.loads(last["data"])["code"] == "session_ended"
