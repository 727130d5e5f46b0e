"""Policies and bans over REST, against a real gRPC server that plays go-backend's side of the contract."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
import test_dataplane as dataplane
from conftest import SECRET, Caller
from flask import Flask
from service import Service

from tripod_api import channel
from tripod_api.config import BODY_BYTES, Settings
from tripod_api.gen import backend_pb2_grpc, policy_pb2_grpc
from tripod_api.gen import policy_pb2 as pb

pytestmark = pytest.mark.databases("sqlite")

NOON = "2026-01-02T12:00:00Z"
PENDING = {"revision": 8, "deadline": NOON, "seconds_left": 0.0, "by": "ada@example.com"}


def pending() -> pb.Pending:
    found = pb.Pending(revision=8, by="ada@example.com")
    found.deadline.FromJsonString(NOON)
    return found


class Peer(policy_pb2_grpc.PolicyServiceServicer):
    """Answers from the request, so that a mixed-up field shows, and keeps the last one.

    Attributes:
        asked: The last request.
        made: When revision 8 came into force (Unix time); None for noon.
        late: The revision that a policy named so is at whenever it is read but for the first time.
        reads: How often a policy was read.
    """

    asked: Any = None
    made: float | None = None
    late = 8
    reads = 0

    def _take(self, request: Any, context: grpc.ServicerContext) -> None:
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {SECRET}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        self.asked = request
        name = getattr(request, "policy", "") or getattr(request, "address", "")
        if name.startswith("refuse-") and not (name.endswith("-late") and isinstance(request, pb.GetPolicyRequest)):
            context.abort(grpc.StatusCode[name.removeprefix("refuse-").removesuffix("-late")], f"{name}: no\none\ntwo")

    def ListPolicies(self, request: Any, context: Any) -> pb.ListPoliciesResponse:  # noqa: N802
        self._take(request, context)
        state = pb.PolicyState(name="edge", digest="ab", interfaces=["ens1", "ens2"], revision=8, pending=pending())
        return pb.ListPoliciesResponse(policies=[state], bans=3)

    def GetPolicy(self, request: Any, context: Any) -> pb.GetPolicyResponse:  # noqa: N802
        self._take(request, context)
        self.reads += 1
        overtaken = request.policy.endswith("-late") and self.reads > 1
        state = pb.PolicyState(name=request.policy, digest="ab", revision=self.late if overtaken else 7)
        if request.policy == "large":
            return pb.GetPolicyResponse(state=state, document=json.dumps({"x": "x" * (8 << 20)}), own="{}")
        return pb.GetPolicyResponse(state=state, document='{"lists": [{"name": "a", "owner": "api"}]}', own="{}")

    def PutPolicy(self, request: Any, context: Any) -> pb.PutPolicyResponse:  # noqa: N802
        self._take(request, context)
        flip = pb.Flip(frame="f", before="pass no_rule", after="drop list_drop a")
        return pb.PutPolicyResponse(
            changed=True, revision=8, pending=pending(), summary=["list a: new"], warnings=["w"], flips=[flip]
        )

    def Confirm(self, request: Any, context: Any) -> pb.ConfirmResponse:  # noqa: N802
        self._take(request, context)
        return pb.ConfirmResponse(revision=request.revision)

    def Revert(self, request: Any, context: Any) -> pb.PutPolicyResponse:  # noqa: N802
        self._take(request, context)
        return pb.PutPolicyResponse(changed=False, revision=9)

    def History(self, request: Any, context: Any) -> pb.HistoryResponse:  # noqa: N802
        self._take(request, context)
        revision = pb.Revision(revision=8, owner="api", name="n", why="w", digest="ab", summary=["s"], state="current")
        if self.made is None:
            revision.time.FromJsonString(NOON)
        else:
            revision.time.FromNanoseconds(int(self.made * 1e9))
        return pb.HistoryResponse(revisions=[revision])

    def Ban(self, request: Any, context: Any) -> pb.BanResponse:  # noqa: N802
        self._take(request, context)
        ban = pb.Banned(address=request.address, owner="api", by=request.by, comment=request.comment)
        ban.until.FromJsonString(NOON)
        return pb.BanResponse(ban=ban)

    def Unban(self, request: Any, context: Any) -> pb.UnbanResponse:  # noqa: N802
        self._take(request, context)
        return pb.UnbanResponse()

    def ListSamples(self, request: Any, context: Any) -> pb.ListSamplesResponse:  # noqa: N802
        self._take(request, context)
        sample = pb.Sample(verdict="drop", reason="ban", part="rule:x", frame=b"\xff\0", protocol=17, vlan=0)
        sample.time.FromJsonString(NOON)
        return pb.ListSamplesResponse(samples=[sample])

    def ListBans(self, request: Any, context: Any) -> pb.ListBansResponse:  # noqa: N802
        self._take(request, context)
        ban = pb.Banned(address="192.0.2.1", owner="feed:x", packets=5)
        ban.until.FromJsonString(NOON)
        return pb.ListBansResponse(bans=[ban], total=7)


@contextmanager
def serving(peer: Peer, target: str) -> Iterator[Peer]:
    """Play go-backend's side at a target."""
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(peer, server)  # type: ignore[no-untyped-call]
    backend_pb2_grpc.add_BackendServiceServicer_to_server(dataplane.Peer(), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(target)
    server.start()
    yield peer
    server.stop(None).wait()


@pytest.fixture
def peer(settings: Settings) -> Iterator[Peer]:
    with serving(Peer(), settings.go_backend_target) as found:
        yield found


def test_everybody_may_read(viewer: Caller, peer: Peer) -> None:
    state = {"name": "edge", "digest": "ab", "interfaces": ["ens1", "ens2"], "revision": 8, "pending": PENDING}
    assert viewer("GET", "/policies").json == {"policies": [state], "bans": 3}
    assert viewer("GET", "/policies/edge").json == {
        "name": "edge",
        "digest": "ab",
        "interfaces": [],
        "revision": 7,
        "pending": None,
        "document": {"lists": [{"name": "a", "owner": "api"}]},
        "own": {},
        "etag": '"7"',
    }
    revision = {
        "revision": 8,
        "time": NOON,
        "owner": "api",
        "by": None,
        "name": "n",
        "why": "w",
        "digest": "ab",
        "summary": ["s"],
        "state": "current",
    }
    assert viewer("GET", "/policies/edge/history").json == {"revisions": [revision]}
    assert peer.asked == pb.HistoryRequest(policy="edge")
    ban = {"address": "192.0.2.1", "until": NOON, "owner": "feed:x", "by": None, "comment": "", "packets": 5}
    assert viewer("GET", "/bans").json == {"bans": [ban], "total": 7}
    assert peer.asked == pb.ListBansRequest(limit=100)
    assert viewer("GET", "/bans?limit=5&after=192.0.2.1").status_code == 200
    assert peer.asked == pb.ListBansRequest(limit=5, after="192.0.2.1")


WRITES = [
    ("PUT", "/policies/edge", {"document": {}}),
    ("POST", "/policies/edge/preview", {"document": {}}),
    ("POST", "/policies/edge/confirm", {"revision": 8}),
    ("POST", "/policies/edge/revert", {}),
    ("POST", "/bans", {"address": "192.0.2.1", "seconds": 60}),
    ("DELETE", "/bans/192.0.2.1", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_only_maintainers_and_admins_may_write(
    app: Flask, viewer: Caller, peer: Peer, method: str, path: str, body: Any
) -> None:
    answer = viewer(method, path, json=body)
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert app.test_client().open(f"/api/v1{path}", method=method, json=body).status_code == 401
    assert peer.asked is None


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_who_writes_is_told_and_logged(
    maintainer: Caller, peer: Peer, caplog: pytest.LogCaptureFixture, method: str, path: str, body: Any
) -> None:
    with caplog.at_level(logging.INFO, "tripod_api.policies"):
        assert maintainer(method, path, json=body).status_code in {200, 201, 204}
    assert peer.asked.by == maintainer.user["email"]
    logged = [record for record in caplog.records if record.name == "tripod_api.policies"]
    if path.endswith("/preview"):
        assert logged == []
    else:
        assert [getattr(record, "account") for record in logged] == [maintainer.user["email"]]  # noqa: B009


def test_a_draft_is_carried_as_it_is(maintainer: Caller, peer: Peer) -> None:
    document = {"lists": [{"name": "é", "prefixes": ["192.0.2.0/24"], "number": 1 << 40, "none": None}]}
    change = {
        "changed": True,
        "revision": 8,
        "pending": PENDING,
        "summary": ["list a: new"],
        "warnings": ["w"],
        "flips": [{"frame": "f", "before": "pass no_rule", "after": "drop list_drop a"}],
    }
    body = {"document": document, "expected": 7, "confirm_seconds": 60, "name": "n", "why": "w"}
    assert maintainer("PUT", "/policies/edge", json=body).json == change
    assert json.loads(peer.asked.document) == document
    assert (peer.asked.name, peer.asked.why) == ("n", "w")
    assert (peer.asked.policy, peer.asked.expected, peer.asked.confirm_seconds, peer.asked.dry_run) == (
        "edge", 7, 60, False,
    )  # fmt: skip
    assert maintainer("POST", "/policies/edge/preview", json={"document": {}}).json == change
    assert (peer.asked.HasField("expected"), peer.asked.confirm_seconds, peer.asked.dry_run) == (False, 0, True)


def test_the_largest_draft_and_the_largest_policy_get_through(maintainer: Caller, peer: Peer) -> None:
    document = {"lists": [{"name": "é" * (BODY_BYTES // 2 - 100)}]}
    text = json.dumps({"document": document}, ensure_ascii=False)
    answer = maintainer("PUT", "/policies/edge", data=text.encode(), content_type="application/json")
    assert answer.status_code == 200
    assert len(peer.asked.document.encode()) < BODY_BYTES
    assert maintainer("GET", "/policies/large").status_code == 200


def test_ways_back_and_bans(maintainer: Caller, peer: Peer) -> None:
    assert maintainer("POST", "/policies/edge/confirm", json={"revision": 8}).json == {"revision": 8}
    same = {"changed": False, "revision": 9, "pending": None, "summary": [], "warnings": [], "flips": []}
    assert maintainer("POST", "/policies/edge/revert", json={"revision": 0, "confirm_seconds": 5}).json == same
    assert (peer.asked.HasField("revision"), peer.asked.revision, peer.asked.confirm_seconds) == (True, 0, 5)
    assert maintainer("POST", "/policies/edge/revert", json={}).status_code == 200
    assert not peer.asked.HasField("revision")
    ban = maintainer("POST", "/bans", json={"address": "2001:db8::1", "seconds": 600, "comment": "scans"})
    assert (ban.status_code, ban.json["address"], ban.json["comment"]) == (201, "2001:db8::1", "scans")
    assert peer.asked.seconds == 600
    assert maintainer("DELETE", "/bans/2001:db8::1").status_code == 204
    assert peer.asked.address == "2001:db8::1"


def test_a_connection_from_before_a_change_does_not_confirm_it(maintainer: Caller, peer: Peer) -> None:
    peer.made = time.time() + 60
    answer = maintainer("POST", "/policies/edge/confirm", json={"revision": 8})
    assert (answer.status_code, answer.json["code"]) == (421, "old_connection")
    assert not isinstance(peer.asked, pb.ConfirmRequest)
    # Of a revision that is not in the history the agent says what is wrong with it.
    assert maintainer("POST", "/policies/edge/confirm", json={"revision": 7}).json == {"revision": 7}
    peer.made = time.time() - 60
    assert maintainer("POST", "/policies/edge/confirm", json={"revision": 8}).json == {"revision": 8}


class TestOverRealConnections:
    @pytest.fixture
    def service(self, settings: Settings, start: Callable[..., Service], tmp_path: Path) -> Service:
        (tmp_path / "secret").write_text(SECRET)
        service = start(
            GO_BACKEND_TARGET=settings.go_backend_target,
            GO_BACKEND_SECRET_FILE=str(tmp_path / "secret"),
            TRUSTED_PROXIES="127.0.0.1",
        )
        service.wait(service.ready)
        return service

    def test_only_a_new_one_confirms_a_change(self, service: Service, peer: Peer) -> None:
        token = service.login()[1]["access_token"]

        def confirm(connection: HTTPConnection, **headers: str) -> tuple[int, Any]:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}", **headers}
            connection.request("POST", "/api/v1/policies/edge/confirm", '{"revision": 8}', headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

        old, new = (HTTPConnection("127.0.0.1", service.port, timeout=20) for _ in range(2))
        peer.made = 0.0
        assert confirm(old) == (200, {"revision": 8})
        kept = old.sock
        peer.made = time.time()
        status, answer = confirm(old)
        assert (status, answer["code"]) == (421, "old_connection")
        assert old.sock is kept
        # A proxy has made a new one for a client whose own is old.
        assert confirm(new, **{"X-Connection-Age": "60"})[0] == 421
        assert confirm(new, **{"X-Connection-Age": "0.0"}) == (200, {"revision": 8})
        assert isinstance(peer.asked, pb.ConfirmRequest)
        old.close()
        new.close()


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("INVALID_ARGUMENT", 422, "invalid_policy"),
        ("NOT_FOUND", 404, "not_found"),
        ("ABORTED", 409, "conflict"),
        ("FAILED_PRECONDITION", 409, "policy_refused"),
        ("RESOURCE_EXHAUSTED", 429, "busy"),
        ("INTERNAL", 500, "policy_failed"),
    ],
)
@pytest.mark.usefixtures("peer")
def test_refusals_reach_the_caller_with_all_reasons(maintainer: Caller, kind: str, status: int, code: str) -> None:
    # More often than it takes to open a breaker: what was answered is no failure.
    for _ in range(2 * channel.FAILURES_TO_OPEN):
        answer = maintainer("PUT", f"/policies/refuse-{kind}", json={"document": {}})
        assert (answer.status_code, answer.json["code"]) == (status, code)
        assert answer.json["detail"] == f"refuse-{kind}: no\none\ntwo"
    assert maintainer("GET", "/policies").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/policies/edge", {"document": {"a": [float("nan")]}}),
        ("PUT", "/policies/edge", {"document": []}),
        ("PUT", "/policies/edge", {"document": "{}"}),
        ("PUT", "/policies/edge", {}),
        ("PUT", "/policies/edge", {"document": {}, "expected": -1}),
        ("PUT", "/policies/edge", {"document": {}, "confirm_seconds": 3601}),
        ("PUT", "/policies/edge", {"document": {}, "confirm_seconds": "60"}),
        ("PUT", "/policies/edge", {"document": {}, "dry_run": True}),
        ("POST", "/policies/edge/confirm", {}),
        ("POST", "/policies/edge/confirm", {"revision": 1 << 63}),
        ("POST", "/policies/edge/revert", {"revision": True}),
        ("POST", "/bans", {"address": "192.0.2.1"}),
        ("POST", "/bans", {"address": "192.0.2.1", "seconds": 0}),
        ("POST", "/bans", {"address": "192.0.2.1", "seconds": 31 * 86400 + 1}),
        ("POST", "/bans", {"address": "1" * 46, "seconds": 1}),
        ("POST", "/bans", {"address": "192.0.2.1", "seconds": 1, "comment": "a\nb"}),
        ("GET", "/bans?limit=0", None),
        ("GET", "/bans?limit=1001", None),
    ],
)
def test_bad_questions_are_not_asked(maintainer: Caller, peer: Peer, method: str, path: str, body: Any) -> None:
    assert maintainer(method, path, json=body).status_code == 422
    assert peer.asked is None


def test_an_agent_that_is_away_leaves_the_data_plane_alone(maintainer: Caller, peer: Peer) -> None:
    for _ in range(2 * channel.FAILURES_TO_OPEN):
        answer = maintainer("PUT", "/policies/refuse-UNAVAILABLE", json={"document": {}})
        assert (answer.status_code, answer.json["code"]) == (503, "policy_unavailable")
    assert peer.asked.policy == "refuse-UNAVAILABLE"
    assert maintainer("GET", "/policies").status_code == 503
    assert maintainer("GET", "/dataplane/stats").status_code == 200


@pytest.mark.usefixtures("peer")
class TestWithoutTheSecret:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, go_backend_secret=None)

    def test_nothing_is_asked(self, maintainer: Caller, peer: Peer) -> None:
        answer = maintainer("GET", "/policies")
        assert (answer.status_code, answer.json["code"]) == (503, "policy_unavailable")
        assert "secret" in answer.json["detail"]
        assert peer.asked is None


@pytest.mark.usefixtures("peer")
class TestWithAnotherSecret:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, go_backend_secret=SECRET[::-1])

    def test_it_is_as_if_nobody_answered(self, maintainer: Caller) -> None:
        assert maintainer("GET", "/policies").json["code"] == "policy_unavailable"
