"""Workers and captures over REST, against a real gRPC server that plays go-backend's side of the contract."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from conftest import SECRET, Caller, enrol, sign_in
from flask import Flask
from flask.testing import FlaskClient

from tripod_api import afxdp, channel
from tripod_api.config import Settings
from tripod_api.gen import dataplane_pb2 as pb
from tripod_api.gen import dataplane_pb2_grpc

pytestmark = pytest.mark.databases("sqlite")

HEADER = b"\x0a\x0d\x0d\x0a pcapng"
WORKER = {
    "name": "dns",
    "nic": "ens1",
    "state": "running",
    "reason": None,
    "handler": "echo",
    "queues": [{"queue": 3, "cpu": 5, "mode": "zero-copy", "stalled": True}],
    "memory": "pages of 2 MiB",
    "memory_fallback": None,
}


def worker(name: str = "dns", state: str = "running", cpu: int = 5) -> pb.Worker:
    queue = pb.WorkerQueue(queue=3, cpu=cpu, mode="zero-copy", stalled=True)
    return pb.Worker(name=name, nic="ens1", state=state, handler="echo", queues=[queue], memory="pages of 2 MiB")


class Peer(dataplane_pb2_grpc.DataPlaneServiceServicer):
    """Answers from the request, so that a mixed-up field shows, and keeps the last one.

    Attributes:
        asked: The last request.
        go_on: What a capture named "slow" waits for.
        ended: Set once a capture's call has ended.
    """

    def __init__(self) -> None:
        self.asked: Any = None
        self.go_on, self.ended = threading.Event(), threading.Event()

    def _take(self, request: Any, context: grpc.ServicerContext) -> None:
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {SECRET}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        self.asked = request
        name = getattr(request, "name", "")
        if name.startswith("refuse-"):
            context.abort(grpc.StatusCode[name.removeprefix("refuse-")], f"{name}: no\none\ntwo")

    def ListWorkers(self, request: Any, context: Any) -> pb.ListWorkersResponse:  # noqa: N802
        self._take(request, context)
        return pb.ListWorkersResponse(workers=[worker()])

    def StartWorker(self, request: Any, context: Any) -> pb.StartWorkerResponse:  # noqa: N802
        self._take(request, context)
        return pb.StartWorkerResponse(worker=worker(request.name))

    def StopWorker(self, request: Any, context: Any) -> pb.StopWorkerResponse:  # noqa: N802
        self._take(request, context)
        return pb.StopWorkerResponse(worker=worker(request.name, "stopped"))

    def MoveWorker(self, request: Any, context: Any) -> pb.MoveWorkerResponse:  # noqa: N802
        self._take(request, context)
        return pb.MoveWorkerResponse(worker=worker(request.name, cpu=request.cpus[0]))

    def ReloadWorkers(self, request: Any, context: Any) -> pb.ReloadWorkersResponse:  # noqa: N802
        self._take(request, context)
        return pb.ReloadWorkersResponse(workers=[worker()])

    def GetWorkerStats(self, request: Any, context: Any) -> pb.GetWorkerStatsResponse:  # noqa: N802
        self._take(request, context)
        queue = pb.QueueStats(
            worker="dns", nic="ens1", queue=3, rx_level=1, frames=4096, free_frames=7, retries=2, busy_ns=(1 << 63) + 1,
            kernel=pb.KernelStats(ring_full=4),
        )  # fmt: skip
        queue.handlers.add(handler="echo", packets=9, bytes=540, sent=8, dropped={"malformed": 1})
        answer = pb.GetWorkerStatsResponse(queues=[queue])
        answer.timestamp.FromJsonString("2026-01-02T03:04:05Z")
        return answer

    def ListBackends(self, request: Any, context: Any) -> pb.ListBackendsResponse:  # noqa: N802
        self._take(request, context)
        backend = pb.Backend(worker="lb", name="a", address="192.0.2.1", alive=True, share=0.5, weight=2, packets=3)
        backend.since.FromJsonString("2026-01-02T03:04:05Z")
        return pb.ListBackendsResponse(backends=[backend])

    def Capture(self, request: Any, context: Any) -> Iterator[pb.CaptureResponse]:  # noqa: N802
        self._take(request, context)
        context.add_callback(self.ended.set)
        yield pb.CaptureResponse(data=HEADER)
        if request.name == "slow":
            self.go_on.wait(20)
        if request.name == "lost":
            context.abort(grpc.StatusCode.INTERNAL, "the worker is gone")
        yield pb.CaptureResponse(data=b"packet")
        yield pb.CaptureResponse(packets=1, seen=5, missed=2, ended="packets")


@pytest.fixture
def peer(settings: Settings) -> Iterator[Peer]:
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    peer = Peer()
    dataplane_pb2_grpc.add_DataPlaneServiceServicer_to_server(peer, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(settings.go_backend_target)
    server.start()
    yield peer
    peer.go_on.set()
    server.stop(None).wait()


def trail(admin: Caller, number: int) -> list[tuple[str, str, Any]]:
    entries = admin("GET", "/audit").json["entries"][:number]
    return [(one["action"], one["target"], one["was"] or one["became"]) for one in reversed(entries)]


def test_everybody_may_look(app: Flask, admin: Caller, peer: Peer) -> None:
    viewer = sign_in(app, enrol(admin, "viewer")["email"])
    assert viewer("GET", "/workers").json == {"workers": [WORKER]}
    stats = viewer("GET", "/workers/stats").json
    assert peer.asked == pb.GetWorkerStatsRequest()
    assert stats["timestamp"] == "2026-01-02T03:04:05Z"
    assert stats["queues"] == [
        {
            **{"worker": "dns", "nic": "ens1", "queue": 3, "fill_level": 0, "rx_level": 1, "tx_level": 0},
            **{"completion_level": 0, "frames": 4096, "free_frames": 7, "retries": 2, "busy_ns": (1 << 63) + 1},
            "kernel": {"dropped": 0, "ring_full": 4, "fill_empty": 0, "invalid_fill": 0, "invalid_tx": 0},
            "handlers": [
                {
                    **{"handler": "echo", "packets": 9, "bytes": 540, "consumed": 0, "sent": 8, "forwarded": 0},
                    "dropped": {"malformed": 1},
                }
            ],
        }
    ]
    assert viewer("GET", "/workers/stats?worker=dns").status_code == 200
    assert peer.asked == pb.GetWorkerStatsRequest(name="dns")
    assert viewer("GET", "/workers/backends?worker=lb").json["backends"] == [
        {
            **{"worker": "lb", "name": "a", "address": "192.0.2.1", "alive": True, "share": 0.5, "weight": 2},
            **{"packets": 3, "reason": None, "since": "2026-01-02T03:04:05Z"},
        }
    ]
    assert peer.asked == pb.ListBackendsRequest(name="lb")


def test_a_worker_is_stopped_moved_started_and_all_of_it_is_on_record(
    admin: Caller, maintainer: Caller, peer: Peer
) -> None:
    stopped = maintainer("POST", "/workers/dns/stop")
    assert stopped.json == WORKER | {"state": "stopped"}
    assert peer.asked == pb.StopWorkerRequest(name="dns")
    moved = maintainer("POST", "/workers/dns/move", json={"cpus": [7]})
    assert moved.json["queues"][0]["cpu"] == 7
    assert peer.asked == pb.MoveWorkerRequest(name="dns", cpus=[7])
    assert maintainer("POST", "/workers/dns/start").json == WORKER
    assert maintainer("POST", "/workers/reload").json == {"workers": [WORKER]}
    assert peer.asked == pb.ReloadWorkersRequest()
    # Nothing is read of what nobody takes, with a key neither.
    key = {"headers": {"Idempotency-Key": "stop-it-now"}, "data": b"{", "content_type": "application/json"}
    for _ in range(2):
        assert maintainer("POST", "/workers/refuse-NOT_FOUND/stop", **key).status_code == 404
    assert trail(admin, 12)[:10] == [
        ("worker stopped asked", "worker dns", None),
        ("worker stopped done", "worker dns", stopped.json),
        ("worker moved asked", "worker dns", {"cpus": [7]}),
        ("worker moved done", "worker dns", moved.json),
        ("worker started asked", "worker dns", None),
        ("worker started done", "worker dns", WORKER),
        ("workers reloaded asked", "workers", None),
        ("workers reloaded done", "workers", {"workers": ["dns"]}),
        ("worker stopped asked", "worker refuse-NOT_FOUND", None),
        ("worker stopped refused", "worker refuse-NOT_FOUND", {"code": "worker_not_found"}),
    ]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("INVALID_ARGUMENT", 422, "invalid_request"),
        ("NOT_FOUND", 404, "worker_not_found"),
        ("FAILED_PRECONDITION", 409, "worker_refused"),
    ],
)
@pytest.mark.usefixtures("peer")
def test_refusals_reach_the_caller_with_all_reasons(maintainer: Caller, kind: str, status: int, code: str) -> None:
    name = f"refuse-{kind}"
    # More often than it takes to open a breaker: what was answered is no failure.
    for _ in range(channel.FAILURES_TO_OPEN):
        for answer in (
            maintainer("POST", f"/workers/{name}/stop"),
            maintainer("POST", "/capture", json={"worker": name}),
            maintainer("GET", f"/workers/stats?worker={name}"),
        ):
            assert (answer.status_code, answer.json["code"]) == (status, code)
            assert answer.json["detail"] == f"{name}: no\none\ntwo"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/workers/dns/move", {"cpus": []}),
        ("/workers/dns/move", {"cpus": [-1]}),
        ("/workers/dns/move", {"cpus": ["1"]}),
        ("/capture", {}),
        ("/capture", {"worker": "dns", "seconds": 26}),
        ("/capture", {"worker": "dns", "bytes": 4095}),
        ("/capture", {"worker": "dns", "packets": 0}),
        ("/capture", {"worker": "dns", "snap_length": 13}),
        ("/capture", {"worker": "dns", "filter": "udp\nport 53"}),
    ],
)
def test_bad_questions_are_not_asked(maintainer: Caller, peer: Peer, path: str, body: Any) -> None:
    assert maintainer("POST", path, json=body).status_code == 422
    assert peer.asked is None


class TestCapture:
    def test_it_is_a_file_and_on_record(self, admin: Caller, maintainer: Caller, peer: Peer) -> None:
        wanted = {
            **{"worker": "dns", "filter": "udp port 53", "packets": 5, "bytes": 8192, "seconds": 3, "snap_length": 96},
        }
        answer = maintainer("POST", "/capture", json=wanted)
        assert (answer.status_code, answer.mimetype, answer.data) == (200, "application/x-pcapng", HEADER + b"packet")
        assert peer.asked == pb.CaptureRequest(
            name="dns", filter="udp port 53", max_packets=5, max_bytes=8192, max_seconds=3, snap_length=96
        )
        assert trail(admin, 1) == [("packets captured", "worker dns", wanted)]

    def test_it_comes_as_it_is_made_and_ends_with_its_reader(self, app: Flask, maintainer: Caller, peer: Peer) -> None:
        def begin() -> Any:
            client = app.test_client()
            headers = {"Authorization": f"Bearer {maintainer.access}"}
            # Not that of the tests, which reads the whole.
            return super(type(client), client).open(
                "/api/v1/capture", method="POST", headers=headers, json={"worker": "slow"}, buffered=False
            )

        running = [begin() for _ in range(afxdp.CAPTURES)]
        assert [next(one.response) for one in running] == [HEADER] * len(running)
        refused = maintainer("POST", "/capture", json={"worker": "dns"})
        assert (refused.status_code, refused.json["code"]) == (429, "busy")
        assert refused.headers["Retry-After"]
        peer.ended.clear()
        running[0].close()
        assert peer.ended.wait(10)
        assert maintainer("POST", "/capture", json={"worker": "dns"}).status_code == 200
        for one in running[1:]:
            one.close()

    def test_it_is_broken_off_once_its_reader_may_not_have_it(self, app: Flask, admin: Caller, peer: Peer) -> None:
        """Whether packets come or not."""
        account = enrol(admin, "maintainer", "reader@example.com")
        reader = sign_in(app, account["email"])
        headers = {"Authorization": f"Bearer {reader.access}"}
        # Not the tests' client, which reads the whole.
        answer = FlaskClient(app).post("/api/v1/capture", headers=headers, json={"worker": "slow"}, buffered=False)
        pieces = iter(answer.response)
        assert next(pieces) == HEADER
        assert not peer.ended.is_set()
        assert admin("PUT", f"/users/{account['id']}", json={"role": "viewer"}).status_code == 200
        with pytest.raises(grpc.RpcError, match="CANCELLED"):
            next(pieces)
        assert peer.ended.wait(10)
        answer.close()

    @pytest.mark.usefixtures("peer")
    def test_one_that_is_lost_on_the_way_does_not_end_well(self, maintainer: Caller) -> None:
        for _ in range(afxdp.CAPTURES + 1):
            answer = maintainer("POST", "/capture", json={"worker": "lost"})
            with answer, pytest.raises(grpc.RpcError, match="the worker is gone"):
                answer.get_data()


def test_a_go_backend_that_is_away(maintainer: Caller) -> None:
    for path, method in (("/workers", "GET"), ("/workers/dns/stop", "POST"), ("/capture", "POST")):
        answer = maintainer(method, path, **({"json": {"worker": "dns"}} if path == "/capture" else {}))
        assert (answer.status_code, answer.json["code"]) == (503, "workers_unavailable")
