"""The feed of readings, against a real gRPC server that plays go-backend's side of the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from threading import Event

import grpc
import pytest
from conftest import Caller, enrol, sign_in
from flask import Flask
from service import free_port
from test_dataplane import PROGRAM, Peer, serve

from tripod_api import feed as feeds
from tripod_api.channel import Channel
from tripod_api.dataplane import Dataplane
from tripod_api.feed import AT_ONCE, KEPT, Feed, Item
from tripod_api.gen import backend_pb2 as pb

NUMBERS = count()


class Recording(Peer):
    """Keeps readings as go-backend does; each has passed ten packets more than the one before."""

    def __init__(self, readings: int = 0) -> None:
        self.process = f"p{next(NUMBERS)}"
        self.made = 0
        self.came = Event()
        self.asked: list[str] = []
        self.add(readings)

    def add(self, readings: int) -> None:
        self.made += readings
        self.came.set()

    def ListReadings(  # noqa: N802
        self,
        request: pb.ListReadingsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ListReadingsResponse:
        self.asked.append(request.after)
        process, _, number = request.after.partition("-")
        known = process == self.process
        begin = int(number) + 1 if known else max(0, self.made - KEPT)
        if begin >= self.made and (known or not process):
            self.came.clear()
            self.came.wait(request.wait_ms / 1000)
        lost = bool(process) and not known
        return pb.ListReadingsResponse(readings=[self._reading(at) for at in range(begin, self.made)], lost=lost)

    def _reading(self, number: int) -> pb.Reading:
        stats = pb.StatsResponse()
        stats.timestamp.FromSeconds(1_800_000_000 + number)
        counters = [pb.Counter(verdict=pb.VERDICT_PASS, reason="no_rule", packets=10 * number, bytes=60 * number)]
        stats.interfaces.add(name="ens1", mode="native", program=PROGRAM, counters=counters)
        return pb.Reading(id=f"{self.process}-{number}", stats=stats)

    def GetRates(self, request: pb.GetRatesRequest, context: grpc.ServicerContext) -> pb.GetRatesResponse:  # noqa: N802, ARG002
        answer = pb.GetRatesResponse(begin=1_800_000_000, step_seconds=request.resolution, left_out=request.steps)
        rates = pb.Rates(verdict=pb.VERDICT_DROP, reason="list_drop", packets=[0, 0, 1 << 63], bytes=[0, 0, 60])
        answer.interfaces.add(name="ens1", known_ms=[1000, 0, 998], rates=[rates])
        return answer


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def feed(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    monkeypatch.setattr(feeds, "WAIT_SECONDS", 0.1)
    channel = Channel(f"127.0.0.1:{port}")
    found = Feed(Dataplane(channel))
    found._asked.set()
    yield found
    channel.close()


def names(items: list[Item]) -> list[str]:
    return [item.name for item in items]


def everything(feed: Feed) -> list[Item]:
    place, items = feed.begin("", True)[0], []
    while True:
        some, place, lost = feed.since(place, 0)
        assert not lost
        if not some:
            return items
        assert len(some) <= AT_ONCE
        items += some


def test_a_reader_has_each_reading_once_wherever_it_was(feed: Feed, port: int) -> None:
    peer = Recording(5)
    server = serve(port, peer)
    try:
        assert feed.read()
        place, lost = feed.begin("", False)
        assert (names(feed.since(place, 0)[0]), lost) == ([f"{peer.process}-4"], False)
        place, lost = feed.begin(f"{peer.process}-1", False)
        items, place, _ = feed.since(place, 0)
        assert (names(items), lost) == ([f"{peer.process}-{at}" for at in (2, 3, 4)], False)
        peer.add(2)
        assert feed.read()
        items, place, _ = feed.since(place, 0)
        assert names(items) == [f"{peer.process}-5", f"{peer.process}-6"]
        kind, data = items[0].text.decode().split("\n")[1:3]
        assert kind == "event: reading"
        assert json.loads(data.removeprefix("data: "))["interfaces"][0]["counters"][0]["packets"] == 50
        assert peer.asked == ["", f"{peer.process}-4"]
    finally:
        server.stop(0)


def test_no_more_is_kept_than_five_minutes_and_who_is_slower_is_told(feed: Feed, port: int) -> None:
    peer = Recording(KEPT)
    server = serve(port, peer)
    try:
        feed.read()
        place, _ = feed.begin("", True)
        peer.add(7)
        feed.read()
        assert names(everything(feed)) == [f"{peer.process}-{at}" for at in range(7, KEPT + 7)]
        items, _, lost = feed.since(place, 0)
        assert (items[0].name, lost) == (f"{peer.process}-7", True)
        assert feed.begin(f"{peer.process}-3", False)[1]
        assert feed.begin("no such", False)[1]
    finally:
        server.stop(0)


def test_a_go_backend_that_is_away_or_another_is_an_event_and_no_reading(feed: Feed, port: int) -> None:
    peer = Recording(2)
    server = serve(port, peer)
    feed.read()
    server.stop(0).wait()
    for _ in range(3):
        assert not feed.read()
    first = peer.process
    peer = Recording(1)
    server = serve(port, peer)
    try:
        while not feed.read():
            continue
        kinds = [item.text.decode().partition("event: ")[2].partition("\n")[0] for item in everything(feed)]
        assert kinds == ["reading", "reading", "away", "lost", "reading"]
        assert names(everything(feed)) == [f"{first}-0", f"{first}-1", "", "", f"{peer.process}-0"]
    finally:
        server.stop(0)


@pytest.mark.parametrize(("resolution", "number"), [("second", 1), ("ten_seconds", 2), ("five_minutes", 3)])
def test_the_history_has_null_where_nothing_is_known(port: int, resolution: str, number: int) -> None:
    server = serve(port, Recording())
    channel = Channel(f"127.0.0.1:{port}")
    try:
        told = Dataplane(channel).rates(resolution, 9)
    finally:
        channel.close()
        server.stop(0)
    assert (told["step_seconds"], told["left_out"], told["begin"]) == (number, 9, "2027-01-15T08:00:00+00:00")
    assert told["interfaces"] == [
        {
            "name": "ens1",
            "known_ms": [1000, 0, 998],
            "rates": [
                {"verdict": "drop", "reason": "list_drop", "packets": [0, None, 1 << 63], "bytes": [0, None, 60]}
            ],
        }
    ]


def test_only_who_is_signed_in_may_read_the_history(app: Flask, admin: Caller) -> None:
    viewer = sign_in(app, enrol(admin, "viewer")["email"])
    assert viewer("GET", "/dataplane/history").status_code == 503
    assert viewer("GET", "/dataplane/history?resolution=year").status_code == 422
    assert app.test_client().get("/api/v1/dataplane/history").status_code == 401
