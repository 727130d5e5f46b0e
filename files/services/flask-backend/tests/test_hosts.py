"""The host, its topology, drops and settings over REST, against a server that plays go-backend's side."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import test_dataplane as dataplane
import test_policies as policies
import test_workers as workers
from conftest import JWT_SECRET, SECRET, Caller, enrol, sign_in
from flask import Flask
from grpc_health.v1 import health, health_pb2_grpc

from tripod_api.channel import DEADLINE
from tripod_api.config import Settings
from tripod_api.gen import backend_pb2_grpc, dataplane_pb2_grpc, host_pb2, host_pb2_grpc, policy_pb2, policy_pb2_grpc

pytestmark = pytest.mark.databases("sqlite")

NIC = {
    **{"name": "ens1", "kind": None, "driver": "ice", "pci_address": "0000:3b:00.0", "numa_node": 1, "mac": "02::1"},
    **{"mtu": 1500, "up": True, "operstate": "up", "speed_mbps": 25000, "queues": {"rx": 8, "tx": 8}},
    **{"channels": None, "rings": None, "irqs": [{"number": 40}], "xdp": {"features": ["basic"], "programs": {}}},
}
TOPOLOGY: dict[str, Any] = {
    "nodes": [
        {
            **{"id": 0, "cpus": [0, 1], "memory_total": 1 << 40, "memory_free": 5, "distance": [10]},
            "hugepages": [{"size": 2 << 20, "total": 4, "free": 3}],
        }
    ],
    "cpus": {"online": [0, 1], "present": [0, 1], "isolated": [1], "nohz_full": [], "siblings": [[0, 1]]},
    # What this release does not know is left out.
    "nics": [NIC | {"of_a_newer_release": 1}],
    "kernel": {"release": "6.12.0", "cmdline": ["quiet"], "btf": True},
    "irqbalance": {"command": None},
}


class Host(host_pb2_grpc.HostServiceServicer):
    def GetTopology(self, request: Any, context: grpc.ServicerContext) -> host_pb2.GetTopologyResponse:  # noqa: ARG002, N802
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {SECRET}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        return host_pb2.GetTopologyResponse(name="edge1", document=json.dumps(TOPOLOGY))


def serve(target: str, *peers: Any) -> grpc.Server:
    """Play all of go-backend that is given at a target."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    for peer in peers:
        for kind, add in (
            (policy_pb2_grpc.PolicyServiceServicer, policy_pb2_grpc.add_PolicyServiceServicer_to_server),
            (backend_pb2_grpc.BackendServiceServicer, backend_pb2_grpc.add_BackendServiceServicer_to_server),
            (dataplane_pb2_grpc.DataPlaneServiceServicer, dataplane_pb2_grpc.add_DataPlaneServiceServicer_to_server),
            (host_pb2_grpc.HostServiceServicer, host_pb2_grpc.add_HostServiceServicer_to_server),
        ):
            if isinstance(peer, kind):
                add(peer, server)  # type: ignore[no-untyped-call]
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    server.add_insecure_port(target)
    server.start()
    return server


@pytest.fixture
def peer(settings: Settings) -> Iterator[policies.Peer]:
    peer = policies.Peer()
    server = serve(settings.go_backend_target, peer, dataplane.Peer(), workers.Peer(), Host())
    yield peer
    server.stop(None).wait()


@pytest.mark.usefixtures("peer")
def test_the_host_and_what_it_is_made_of(viewer: Caller, settings: Settings) -> None:
    host = {
        "host": "go-backend",
        "name": "edge1",
        "target": settings.go_backend_target,
        "reachable": True,
        "status": "serving",
        "release": "6.12.0",
        "interfaces": [
            {"name": "ens1", "mode": "native", "policies": ["edge"], "workers": ["dns"]},
            {"name": "ens2", "mode": None, "policies": ["edge"], "workers": []},
        ],
        "missing": [],
    }
    assert viewer("GET", "/hosts").json == {"hosts": [host]}
    assert viewer("GET", "/topology").json == {
        "host": "edge1",
        "release": "6.12.0",
        "nodes": TOPOLOGY["nodes"],
        "cpus": TOPOLOGY["cpus"],
        "nics": [NIC],
    }


def test_what_does_not_answer_is_missing_and_the_rest_is_told(viewer: Caller, settings: Settings) -> None:
    server = serve(settings.go_backend_target, dataplane.Peer(), workers.Peer())
    try:
        [found] = viewer("GET", "/hosts").json["hosts"]
        assert (found["name"], found["release"]) == (None, None)
        assert found["interfaces"] == [{"name": "ens1", "mode": "native", "policies": [], "workers": ["dns"]}]
        assert len(found["missing"]) == 1
        assert "agent" in found["missing"][0]
        assert viewer("GET", "/topology").json["code"] == "policy_unavailable"
    finally:
        server.stop(None).wait()
    [found] = viewer("GET", "/hosts").json["hosts"]
    assert (found["reachable"], found["interfaces"], len(found["missing"])) == (False, [], 1)


def test_drops_are_for_who_may_see_packets(app: Flask, admin: Caller, viewer: Caller, peer: policies.Peer) -> None:
    assert viewer("GET", "/drops").json["code"] == "forbidden"
    maintainer = sign_in(app, enrol(admin, "maintainer")["email"])
    drop = {
        **{"time": policies.NOON, "interface": "", "queue": 0, "verdict": "drop", "reason": "ban"},
        **{"part": "rule:x", "would": None, "would_reason": None, "would_part": None, "length": 0},
        **{"source": None, "destination": None, "protocol": 17, "source_port": None, "destination_port": None},
        **{"vlan": 0, "frame": "ff00"},
    }
    assert maintainer("GET", "/drops").json == {"drops": [drop]}
    assert peer.asked == policy_pb2.ListSamplesRequest(limit=100)
    query = "limit=7&interface=ens1&reason=rule_drop&part=rule:no-snmp"
    assert maintainer("GET", f"/drops?{query}").status_code == 200
    assert peer.asked == policy_pb2.ListSamplesRequest(
        limit=7, interface="ens1", reason="rule_drop", part="rule:no-snmp"
    )
    for wrong in ("limit=0", "limit=1001", "interface=sixteen-letters-", "part=a%0ab"):
        assert maintainer("GET", f"/drops?{wrong}").status_code == 422


def test_settings_are_told_without_a_secret(admin: Caller, settings: Settings, viewer: Caller) -> None:
    assert viewer("GET", "/settings").json["code"] == "forbidden"
    answer = admin("GET", "/settings")
    found = {one["name"]: (one["value"], one["variable"]) for one in answer.json["settings"]}
    assert found["access_token_seconds"] == (str(settings.access_ttl), "ACCESS_TOKEN_SECONDS")
    assert found["go_backend_trusted"] == ("true", "GO_BACKEND_SECRET_FILE")
    assert found["database"] == ("sqlite", "DB_TYPE")
    for secret in (JWT_SECRET, SECRET):
        assert secret not in answer.text


def test_an_agent_that_is_silent_is_missing_and_no_more(viewer: Caller, settings: Settings) -> None:
    class Silent(Host):
        def GetTopology(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802
            time.sleep(2 * DEADLINE)

    class Unasked(policies.Peer):
        asked_too = False

        def ListPolicies(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            self.asked_too = True

    unasked = Unasked()
    server = serve(settings.go_backend_target, dataplane.Peer(), workers.Peer(), Silent(), unasked)
    try:
        [found] = viewer("GET", "/hosts").json["hosts"]
        # It would take another deadline.
        assert not unasked.asked_too
        assert (found["reachable"], found["status"], len(found["missing"])) == (True, "serving", 1)
        assert found["interfaces"] == [{"name": "ens1", "mode": "native", "policies": [], "workers": ["dns"]}]
    finally:
        server.stop(None).wait()
