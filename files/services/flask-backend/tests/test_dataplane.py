"""The gRPC client against a real gRPC server that plays go-backend's side of the contract."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from conftest import Caller, enrol, sign_in
from flask import Flask
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from service import PATIENCE, free_port

from tripod_api import channel, dataplane
from tripod_api.config import Settings
from tripod_api.gen import backend_pb2 as pb
from tripod_api.gen import backend_pb2_grpc
from tripod_api.metrics import Circuits

pytestmark = pytest.mark.databases("sqlite")

FRAME = "ffffffffffff0200000000010800"
PROGRAM = pb.Program(id=7, name="tripod_xdp", tag="0011223344556677", mode="native")


class Peer(backend_pb2_grpc.BackendServiceServicer):
    """Answers from the request, so that a mixed-up field shows."""

    def ProcessData(self, request: pb.DataRequest, context: grpc.ServicerContext) -> pb.DataResponse:  # noqa: N802
        refusals = {
            "short0": grpc.StatusCode.INVALID_ARGUMENT,
            "none0": grpc.StatusCode.NOT_FOUND,
            "odd0": grpc.StatusCode.FAILED_PRECONDITION,
            "bug0": grpc.StatusCode.INTERNAL,
        }
        if request.interface in refusals:
            context.abort(refusals[request.interface], f"{request.interface}: refused")
        if request.interface == "slow0":
            time.sleep(3 * channel.DEADLINE)
        dropped = request.data[:6] == b"\xff" * 6
        return pb.DataResponse(
            interface=request.interface,
            verdict=pb.VERDICT_DROP if dropped else pb.VERDICT_PASS,
            reason="list_drop" if dropped else "no_rule",
            would=pb.VERDICT_UNSPECIFIED if dropped else pb.VERDICT_DROP,
            would_reason="" if dropped else "limit",
            path=[
                pb.Step(part="list", id="bogons", says="drop")
                if dropped
                else pb.Step(part="limit", id="syn", says="exceeded", observed=True),
                *([] if dropped else [pb.Step(part="default", says="pass")]),
            ],
            extended=dropped,
            program=PROGRAM,
            duration_ns=41,
        )

    def GetStats(self, request: pb.StatsRequest, context: grpc.ServicerContext) -> pb.StatsResponse:  # noqa: N802, ARG002
        answer = pb.StatsResponse()
        answer.timestamp.FromJsonString("2026-01-02T03:04:05Z")
        counter = pb.Counter(verdict=pb.VERDICT_REDIRECT, reason="afxdp", packets=(1 << 63) + 1, bytes=9)
        # The kernel's program may count what this release has no name for.
        unnamed = pb.Counter(verdict=8, reason="unknown_15", packets=2, bytes=120)  # type: ignore[arg-type]
        answer.interfaces.add(name="ens1", mode="native", program=PROGRAM, counters=[counter, unnamed])
        if request.parts:
            met = answer.interfaces[0].parts.add(part="list", id="bogons", packets=1, bytes=60, observed_packets=2)
            met.last.FromJsonString("2026-01-02T03:04:00Z")
            answer.interfaces[0].parts.add(part="rule", id="no-snmp")
        answer.problems.add(interface="ens2", state="damaged", problem="pin counters of ens2 is gone: attach again")
        answer.problems.add(state="object_unusable", problem="no object")
        return answer


class Blind(Peer):
    """Runs, but sees no pins."""

    def GetStats(self, request: pb.StatsRequest, context: grpc.ServicerContext) -> pb.StatsResponse:  # noqa: N802, ARG002
        context.abort(grpc.StatusCode.UNAVAILABLE, "no pins")
        raise AssertionError


def serve(
    port: int, peer: Peer | None = None, health_status: Any = health_pb2.HealthCheckResponse.SERVING
) -> grpc.Server:
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    backend_pb2_grpc.add_BackendServiceServicer_to_server(peer or Peer(), server)  # type: ignore[no-untyped-call]
    state = health.HealthServicer()
    state.set("", health_status)
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server


@pytest.fixture
def peer(settings: Settings) -> Iterator[None]:
    server = serve(int(settings.go_backend_target.rpartition(":")[2]))
    yield
    server.stop(None).wait()


def trace(caller: Caller, interface: str = "ens1", frame: str = FRAME) -> Any:
    return caller("POST", "/dataplane/trace", json={"interface": interface, "frame": frame})


@pytest.mark.usefixtures("peer")
def test_status_and_stats_speak_the_contract(admin: Caller) -> None:
    program = {"id": 7, "name": "tripod_xdp", "tag": "0011223344556677"}
    problems = [
        {"interface": "ens2", "state": "damaged", "problem": "pin counters of ens2 is gone: attach again"},
        {"interface": None, "state": "object_unusable", "problem": "no object"},
    ]
    assert admin("GET", "/dataplane/status").json == {
        "reachable": True,
        "status": "serving",
        "interfaces": [{"name": "ens1", "mode": "native", "program": program}],
        "problems": problems,
    }
    counter = {"verdict": "redirect", "reason": "afxdp", "packets": (1 << 63) + 1, "bytes": 9}
    unnamed = {"verdict": "unknown_7", "reason": "unknown_15", "packets": 2, "bytes": 120}
    assert admin("GET", "/dataplane/stats").json == {
        "timestamp": "2026-01-02T03:04:05Z",
        "interfaces": [{"name": "ens1", "mode": "native", "program": program, "counters": [counter, unnamed]}],
        "problems": problems,
    }


def test_a_go_backend_that_cannot_serve_is_not_taken_for_one_that_is_away(admin: Caller, settings: Settings) -> None:
    port = int(settings.go_backend_target.rpartition(":")[2])
    server = serve(port, Blind(), health_pb2.HealthCheckResponse.NOT_SERVING)
    try:
        for _ in range(2 * channel.FAILURES_TO_OPEN):
            assert admin("GET", "/dataplane/stats").status_code == 503
            status = admin("GET", "/dataplane/status").json
            assert status == {"reachable": True, "status": "not_serving", "interfaces": [], "problems": []}
    finally:
        server.stop(None).wait()


@pytest.mark.usefixtures("peer")
def test_every_part_is_told_with_what_it_met(admin: Caller, app: Flask) -> None:
    nothing = {"packets": 0, "bytes": 0, "observed_packets": 0, "observed_bytes": 0, "last": None}
    met = {**nothing, "packets": 1, "bytes": 60, "observed_packets": 2, "last": "2026-01-02T03:04:00Z"}
    viewer = sign_in(app, enrol(admin, "viewer")["email"])
    assert viewer("GET", "/dataplane/parts").json == {
        "timestamp": "2026-01-02T03:04:05Z",
        "interfaces": [
            {
                "name": "ens1",
                "parts": [{"part": "list", "id": "bogons", **met}, {"part": "rule", "id": "no-snmp", **nothing}],
            }
        ],
    }


@pytest.mark.usefixtures("peer")
def test_trace_tells_verdict_reason_and_the_whole_path(admin: Caller, app: Flask) -> None:
    program = {"id": 7, "name": "tripod_xdp", "tag": "0011223344556677"}
    maintainer = sign_in(app, enrol(admin, "maintainer")["email"])
    assert trace(maintainer).json == {
        "interface": "ens1",
        "verdict": "drop",
        "reason": "list_drop",
        "would": None,
        "path": [{"part": "list", "id": "bogons", "says": "drop", "observed": False}],
        "extended": True,
        "program": program,
    }
    assert trace(maintainer, frame="00" * 60).json == {
        "interface": "ens1",
        "verdict": "pass",
        "reason": "no_rule",
        "would": {"verdict": "drop", "reason": "limit"},
        "path": [
            {"part": "limit", "id": "syn", "says": "exceeded", "observed": True},
            {"part": "default", "id": None, "says": "pass", "observed": False},
        ],
        "extended": False,
        "program": program,
    }


@pytest.mark.usefixtures("peer")
@pytest.mark.parametrize(
    ("interface", "status", "code"),
    [
        ("short0", 422, "invalid_frame"),
        ("none0", 404, "interface_not_found"),
        ("odd0", 409, "program_mismatch"),
        ("bug0", 503, "dataplane_unavailable"),
    ],
)
def test_refusals_of_go_backend_reach_the_caller(admin: Caller, interface: str, status: int, code: str) -> None:
    answer = trace(admin, interface)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    if status != 503:
        assert answer.json["detail"] == f"{interface}: refused"


@pytest.mark.usefixtures("peer")
def test_a_question_that_go_backend_does_not_know_costs_the_others_nothing(admin: Caller) -> None:
    """As one of another release, which has no history."""
    for _ in range(2 * channel.FAILURES_TO_OPEN):
        answer = admin("GET", "/dataplane/history")
        assert (answer.status_code, answer.json["code"]) == (503, "dataplane_unavailable")
    assert admin("GET", "/dataplane/stats").status_code == 200


@pytest.mark.usefixtures("peer")
def test_a_callers_mistakes_do_not_open_the_breaker(admin: Caller) -> None:
    for _ in range(3 * channel.FAILURES_TO_OPEN):
        assert trace(admin, "none0").status_code == 404
    assert trace(admin).status_code == 200


@pytest.mark.parametrize(
    ("interface", "frame"),
    [
        ("", FRAME),
        ("a" * 16, FRAME),
        ("a/b", FRAME),
        ("a b", FRAME),
        ("é", FRAME),
        (7, FRAME),
        ("ens1", "00"),
        ("ens1", "zz" * 14),
        ("ens1", "0" * 29),
        ("ens1", "00" * 65536),
        ("ens1", None),
    ],
)
def test_bad_questions_are_not_asked(admin: Caller, interface: Any, frame: Any) -> None:
    assert trace(admin, interface, frame).status_code == 422


def test_without_go_backend_the_rest_goes_on_at_once(admin: Caller) -> None:
    began = time.monotonic()
    for _ in range(20):
        answer = admin("GET", "/dataplane/stats")
        assert (answer.status_code, answer.json["code"]) == (503, "dataplane_unavailable")
        assert trace(admin).status_code == 503
        assert admin("GET", "/dataplane/status").json == {
            "reachable": False,
            "status": "unreachable",
            "interfaces": [],
            "problems": [],
        }
        assert admin("GET", "/auth/me").status_code == 200
    # Where each waited for a deadline, it would be three times as long.
    assert time.monotonic() - began < 20 * channel.DEADLINE


def test_a_silent_go_backend_costs_one_deadline_then_nothing(
    app: Flask, admin: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine is, the breaker stays open.
    monkeypatch.setattr(channel, "OPEN_SECONDS", 600)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", int(settings.go_backend_target.rpartition(":")[2])))
        silent.listen()

        def ask(_: int) -> int:
            headers = {"Authorization": f"Bearer {admin.access}"}
            return app.test_client().get("/api/v1/dataplane/stats", headers=headers).status_code

        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(ask, range(4))) == [503] * 4
        # In turn they would take four deadlines.
        assert time.monotonic() - began < 3.5 * channel.DEADLINE
        monkeypatch.setattr(dataplane, "DEADLINE", 60.0)
        began = time.monotonic()
        assert ask(0) == 503
        assert time.monotonic() - began < dataplane.DEADLINE / 2


def test_the_breaker_closes_once_go_backend_is_back(
    admin: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "OPEN_SECONDS", 0.5)
    for _ in range(channel.FAILURES_TO_OPEN + 1):
        assert admin("GET", "/dataplane/stats").status_code == 503
    server = serve(int(settings.go_backend_target.rpartition(":")[2]))
    try:
        deadline = time.monotonic() + PATIENCE
        while admin("GET", "/dataplane/stats").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("told", [True, False])
def test_what_is_back_is_asked_by_all_workers_at_once(monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    port, waits = free_port(), {6: 0.2, 7: 600.0}
    channels = {
        slot: channel.Channel(f"127.0.0.1:{port}", circuits=Circuits(slot, [channel.GO_BACKEND])) for slot in waits
    }
    workers = {slot: dataplane.Dataplane(line) for slot, line in channels.items()}
    for slot, worker in workers.items():
        # Of the second one, nothing but what another says can be seen here.
        monkeypatch.setattr(channel, "OPEN_SECONDS", waits[slot])
        for _ in range(channel.FAILURES_TO_OPEN + 1):
            with pytest.raises(channel.Unavailable):
                worker.stats()
    server = serve(port)
    try:
        with pytest.raises(channel.Unavailable):
            workers[7].stats()
        if told:
            channels[6].returned()
        else:
            deadline = time.monotonic() + PATIENCE
            while not is_answered(workers[6]):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert workers[7].stats()
        assert workers[6].stats()
    finally:
        server.stop(None).wait()
        for line in channels.values():
            line.close()


def is_answered(worker: dataplane.Dataplane) -> bool:
    try:
        worker.stats()
    except channel.Unavailable:
        return False
    return True
