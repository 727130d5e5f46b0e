"""What a host made anew gets back of the API's, and what it keeps, against a server that plays go-backend's side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest
from conftest import SECRET, Caller
from flask import Flask
from service import free_port
from test_policies import pending

from tripod_api.config import GoBackend, Settings
from tripod_api.context import EXTENSION, Services
from tripod_api.copies import NAME, WHY
from tripod_api.errors import ApiError
from tripod_api.gen import policy_pb2 as pb
from tripod_api.gen import policy_pb2_grpc

OWN = {"lists": [{"name": "guests", "action": "drop", "prefixes": ["192.0.2.0/24"]}]}
HOST = "edge2"


@dataclass
class Host(policy_pb2_grpc.PolicyServiceServicer):
    """A host with one policy, as its agent has it.

    Attributes:
        own: The API's part.
        owners: Whose the revisions that it remembers are, the oldest first.
        waits: Whether the last change has to be confirmed yet.
        refuses: Why no part of the API's is taken; empty where one is.
        made: What was asked of it.
    """

    own: dict[str, Any] = field(default_factory=dict)
    owners: list[str] = field(default_factory=lambda: ["inventory"])
    waits: bool = False
    refuses: str = ""
    made: list[pb.PutPolicyRequest] = field(default_factory=list)

    def change(self, own: dict[str, Any]) -> None:
        self.own = own
        self.owners.append("api")

    def reinstall(self) -> None:
        self.own, self.owners = {}, ["inventory"]

    def _state(self) -> pb.PolicyState:
        digest = f"{len(self.owners)} {json.dumps(self.own)}"
        state = pb.PolicyState(name="edge", digest=digest, interfaces=["ens1"], revision=len(self.owners))
        if self.waits:
            state.pending.CopyFrom(pending())
        return state

    def ListPolicies(self, _request: Any, _context: Any) -> pb.ListPoliciesResponse:  # noqa: N802
        return pb.ListPoliciesResponse(policies=[self._state()])

    def GetPolicy(self, _request: Any, _context: Any) -> pb.GetPolicyResponse:  # noqa: N802
        return pb.GetPolicyResponse(state=self._state(), document="{}", own=json.dumps(self.own))

    def History(self, _request: Any, _context: Any) -> pb.HistoryResponse:  # noqa: N802
        told = [pb.Revision(revision=number, owner=owner) for number, owner in enumerate(self.owners, 1)]
        return pb.HistoryResponse(revisions=told[:-11:-1])

    def PutPolicy(self, request: pb.PutPolicyRequest, context: grpc.ServicerContext) -> pb.PutPolicyResponse:  # noqa: N802
        self.made.append(request)
        if request.expected != len(self.owners):
            context.abort(grpc.StatusCode.ABORTED, f"revision {len(self.owners)} is in force")
        if self.refuses:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, self.refuses)
        self.change(json.loads(request.document))
        return pb.PutPolicyResponse(changed=True, revision=len(self.owners), summary=["list guests: new"])


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, hosts=(GoBackend(HOST, f"127.0.0.1:{free_port()}", SECRET),))


@pytest.fixture
def host(settings: Settings) -> Iterator[Host]:
    found = Host()
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(found, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(settings.hosts[0].target)
    server.start()
    yield found
    server.stop(None).wait()


def look(app: Flask) -> None:
    services: Services = app.extensions[EXTENSION]
    services.copies.look(services.planes.named([]))


def test_a_host_made_anew_gets_back_what_it_had(app: Flask, admin: Caller, host: Host) -> None:
    host.change({"rules": []})
    host.change(OWN)
    look(app)
    host.reinstall()
    look(app)
    [asked] = host.made
    assert (json.loads(asked.document), asked.expected, asked.confirm_seconds) == (OWN, 1, 0)
    assert (asked.by, asked.why) == (NAME, WHY)
    assert host.own == OWN
    # It is what is kept now, and nothing is given back twice.
    look(app)
    look(app)
    assert len(host.made) == 1
    trail = [one for one in admin("GET", "/audit").json["entries"] if one["account"] == NAME]
    assert [(one["action"], one["target"]) for one in trail] == [
        ("policy given back done", "policy edge"),
        ("policy given back asked", "policy edge"),
    ]
    assert trail[1]["became"] == OWN
    assert trail[0]["became"]["revision"] == 2


@pytest.mark.databases("sqlite")
class TestWhatAHostHasIsItsOwn:
    def test_what_was_taken_away_stays_away(self, app: Flask, host: Host) -> None:
        host.change(OWN)
        look(app)
        host.change({})
        look(app)
        # By then only the inventory is remembered.
        host.owners = ["inventory"] * 12
        look(app)
        host.reinstall()
        look(app)
        assert host.made == []

    def test_a_host_that_went_on_is_not_one_made_anew(self, app: Flask, host: Host) -> None:
        """While nobody looked the API's part was taken away by the host's own command, and ten revisions followed."""
        host.change(OWN)
        look(app)
        host.own, host.owners = {}, ["inventory"] * 12
        look(app)
        host.reinstall()
        look(app)
        assert host.made == []

    def test_how_often_it_was_changed_since_does_not_matter(self, app: Flask, host: Host) -> None:
        host.change(OWN)
        look(app)
        host.own, host.owners = {}, ["inventory"] * 9
        look(app)
        assert host.own == OWN

    def test_what_it_remembers_it_has_not_lost(self, app: Flask, host: Host) -> None:
        for _ in range(3):
            host.change(OWN)
        look(app)
        host.own, host.owners = {}, ["inventory", "api"]
        look(app)
        assert host.made == []

    def test_what_nobody_confirmed_is_not_kept(self, app: Flask, host: Host) -> None:
        host.change(OWN)
        look(app)
        host.waits = True
        host.change({"rules": [{"id": "tried"}]})
        look(app)
        host.waits = False
        host.reinstall()
        look(app)
        assert [json.loads(one.document) for one in host.made] == [OWN]

    def test_a_refusal_is_asked_for_again_once_something_changed(self, app: Flask, host: Host) -> None:
        host.change({"rules": []})
        host.change(OWN)
        look(app)
        host.reinstall()
        host.refuses = "list guests is the inventory's"
        look(app)
        look(app)
        assert len(host.made) == 1
        host.refuses, host.owners = "", ["inventory", "inventory"]
        look(app)
        assert host.own == OWN

    def test_a_host_that_is_away_is_looked_at_again(self, app: Flask, settings: Settings) -> None:
        with pytest.raises(ApiError):
            look(app)
        alone = Host()
        alone.change(OWN)
        server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        policy_pb2_grpc.add_PolicyServiceServicer_to_server(alone, server)  # type: ignore[no-untyped-call]
        server.add_insecure_port(settings.hosts[0].target)
        server.start()
        try:
            look(app)
            alone.reinstall()
            look(app)
            assert alone.own == OWN
        finally:
            server.stop(None).wait()
