"""The history of the counters, against a real gRPC server and in the service as it is run."""

from __future__ import annotations

from pathlib import Path

import grpc
from conftest import Caller, enrol, sign_in
from flask import Flask
from service import Service, free_port
from test_dataplane import Peer, serve

from tripod_api.channel import Channel
from tripod_api.config import Database
from tripod_api.dataplane import Dataplane
from tripod_api.gen import backend_pb2 as pb
from tripod_api.history import WINDOW_SECONDS, History


class Counting(Peer):
    """Each reading is a second later, and has passed ten packets more."""

    asked = 0

    def GetStats(self, request: pb.StatsRequest, context: grpc.ServicerContext) -> pb.StatsResponse:  # noqa: N802, ARG002
        self.asked += 1
        answer = pb.StatsResponse()
        answer.timestamp.FromSeconds(self.asked)
        counters = [
            pb.Counter(verdict=pb.VERDICT_PASS, reason="no_rule", packets=10 * self.asked, bytes=0),
            pb.Counter(verdict=pb.VERDICT_DROP, reason="list_drop", packets=0, bytes=0),
        ]
        answer.interfaces.add(name="ens1", mode="native", counters=counters)
        return answer


def test_the_last_minutes_are_kept_and_no_more() -> None:
    port = free_port()
    server = serve(port, Counting())
    channel = Channel(f"127.0.0.1:{port}")
    try:
        history = History(Dataplane(channel), every=WINDOW_SECONDS / 3)
        for _ in range(5):
            history.read()
        kept = [reading["interfaces"][0]["counters"] for reading in history.readings()]
        assert [[counter["packets"] for counter in counters] for counters in kept] == [[30], [40], [50]]
    finally:
        channel.close()
        server.stop(0)


def test_an_absent_go_backend_leaves_a_gap_and_no_error() -> None:
    channel = Channel("127.0.0.1:1")
    history = History(Dataplane(channel))
    for _ in range(5):
        history.read()
    channel.close()
    assert history.readings() == []


def test_only_who_is_signed_in_may_read_it(app: Flask, admin: Caller) -> None:
    viewer = enrol(admin, "viewer")["email"]
    assert sign_in(app, viewer)("GET", "/dataplane/history").json == {"readings": []}
    assert app.test_client().get("/api/v1/dataplane/history").status_code == 401


def test_every_worker_has_a_history_before_anybody_asked(sqlite: Database, tmp_path: Path) -> None:
    port = free_port()
    server = serve(port, Counting())
    service = Service(sqlite, tmp_path, GO_BACKEND_TARGET=f"127.0.0.1:{port}")
    try:
        service.wait(service.ready)
        token = service.login()[1]["access_token"]
        service.wait(lambda: all(len(ask(service, token)) > 1 for _ in range(16)), seconds=30)
    finally:
        service.kill()
        server.stop(0)


def ask(service: Service, token: str) -> list[dict[str, object]]:
    status, answer = service("GET", "/api/v1/dataplane/history", token=token)
    assert status == 200
    readings: list[dict[str, object]] = answer["readings"]
    return readings
