"""Calls of go-backends to the running service: who is taken, who is refused in which words, and what a call may be."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from authority import Authority
from grpc_health.v1 import health_pb2, health_pb2_grpc
from service import Service, free_port

from tripod_api.config import Database
from tripod_api.gen import callbacks_pb2 as pb
from tripod_api.gen import callbacks_pb2_grpc
from tripod_api.identity import AUTHORITY, CERTIFICATE, KEY

OWN, OTHER = "go-backend.edge1", "go-backend.edge2"
HOSTS = (
    '[{"name": "edge1", "target": "127.0.0.1:1"},'
    f' {{"name": "edge2", "target": "127.0.0.1:1", "tls_name": "{OTHER}"}}]'
)
BOOT = "8f1f5f0a-6a3c-4b9e-9d9e-3f8f6f1f0c11"
PATIENCE = 20.0


class Api(Service):
    """The service, and where it is called."""

    calls: int
    authority: Authority
    home: Path

    def channel(self, directory: Path | None, trusted: Path | None = None) -> grpc.Channel:
        read = [(directory / name).read_bytes() if directory else None for name in (KEY, CERTIFICATE)]
        credentials = grpc.ssl_channel_credentials(((trusted or self.home / "api") / AUTHORITY).read_bytes(), *read)
        options = [("grpc.ssl_target_name_override", "flask-backend"), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.secure_channel(f"127.0.0.1:{self.calls}", credentials, options)

    def said(self, words: str) -> bool:
        return words in self.log.read_text()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    home = tmp_path_factory.mktemp("callbacks")
    authority, calls = Authority(home), free_port()
    directory = authority.issue(home / "api", "flask-backend")
    told = {"TLS_DIRECTORY": str(directory), "GRPC_PORT": str(calls), "GO_BACKENDS": HOSTS, "GO_BACKEND_NAME": OWN}
    found = Api(Database("sqlite", str(home / "tripod.db")), home, **told)
    found.calls, found.authority, found.home = calls, authority, home
    try:
        found.wait(found.ready, 60)
        yield found
    finally:
        found.kill()


Call = Callable[..., grpc.RpcError]


@pytest.fixture
def refused(api: Api) -> Call:
    """Call with the certificate of a directory, and return how that was refused."""

    def call(
        directory: Path | None, request: pb.StartedRequest | None = None, trusted: Path | None = None
    ) -> grpc.RpcError:
        asked = request or pb.StartedRequest(boot_id=BOOT, version="1")
        with api.channel(directory, trusted) as channel:
            stub = callbacks_pb2_grpc.CallbackServiceStub(channel)  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.RpcError) as caught:
                stub.Started(asked, timeout=PATIENCE)
        return caught.value

    return call


def own(api: Api, name: str = OWN) -> Path:
    return api.authority.issue(api.home / name, name)


@pytest.mark.parametrize("name", [OWN, OTHER])
def test_a_host_is_taken_by_its_certificate(api: Api, refused: Call, name: str) -> None:
    # Its go-backend is not there to be asked, which is what the service says once it has let the call in.
    error = refused(own(api, name))
    assert (error.code(), "secret" in error.details()) == (grpc.StatusCode.UNAVAILABLE, True)
    with api.channel(own(api, name)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status == 1
        with pytest.raises(grpc.RpcError) as caught:
            next(health.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE))
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("name", ["go-backend", "go-backend.edge3", "webui", "flask-backend"])
def test_a_name_of_no_host_of_this_service_is_refused(api: Api, refused: Call, name: str) -> None:
    """`go-backend` alone is in the certificate of every host."""
    error = refused(own(api, name))
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    words = f"the certificate is for {name}, and calls are taken from {OWN} and {OTHER}"
    assert error.details() == words
    api.wait(lambda: api.said(words))
    with api.channel(own(api, name)) as channel, pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_another_authority_is_refused(api: Api, refused: Call) -> None:
    foreign = Authority(api.home).issue(api.home / "foreign", OWN)
    assert refused(foreign).code() == grpc.StatusCode.UNAVAILABLE
    api.wait(lambda: api.said("unable to get local issuer certificate"))


def test_a_certificate_that_has_ended_is_refused(api: Api, refused: Call) -> None:
    ended = api.authority.issue(api.home / "ended", OWN, days=0)
    time.sleep(1.1)
    assert refused(ended).code() == grpc.StatusCode.UNAVAILABLE
    api.wait(lambda: api.said("certificate has expired"))


def test_nobody_without_a_certificate_is_taken(api: Api, refused: Call) -> None:
    assert refused(None).code() == grpc.StatusCode.UNAVAILABLE
    api.wait(lambda: api.said("PEER_DID_NOT_RETURN_A_CERTIFICATE"))


def test_what_is_no_tls_is_refused(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.calls), timeout=PATIENCE) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: api\r\n\r\n")
        assert line.recv(100) == b""
    api.wait(lambda: api.said("HTTP_REQUEST"))
    failed = [line for line in api.log.read_text().splitlines() if "a TLS handshake of gRPC failed" in line]
    assert all(line.startswith("{") for line in failed)
    assert "ssl_transport_security" not in api.log.read_text()


def test_a_call_that_is_too_large_or_not_of_the_form_is_refused(api: Api, refused: Call) -> None:
    directory = own(api)
    assert refused(directory, pb.StartedRequest(version="x" * (1 << 20))).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    for wrong in (pb.StartedRequest(version="x" * 65), pb.StartedRequest(boot_id="two\nlines")):
        assert refused(directory, wrong).code() == grpc.StatusCode.INVALID_ARGUMENT
    with api.channel(directory) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/tripod.v1.CallbackService/Started")(b"\xff" * 100, timeout=PATIENCE)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    with api.channel(directory) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/tripod.v1.PolicyService/ListPolicies")(b"", timeout=PATIENCE)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_samples_are_kept_for_the_host_that_hands_them_on(api: Api) -> None:
    told = pb.DroppedPacket(interface="ens1", verdict="drop", reason="list_drop", length=60, source=b"\xc0\0\2\1")
    told.time.GetCurrentTime()
    token = api.login()[1]["access_token"]

    def kept(host: str) -> list[str]:
        status, page = api("GET", f"/api/v1/drops/history?host={host}", token=token)
        assert status == 200
        return [one["source"] for one in page["drops"]]

    with api.channel(own(api)) as channel:
        stub = callbacks_pb2_grpc.CallbackServiceStub(channel)  # type: ignore[no-untyped-call]
        stub.Dropped(pb.DroppedRequest(packets=[told]), timeout=PATIENCE)
        # Once a second is enough.
        with pytest.raises(grpc.RpcError) as caught:
            stub.Dropped(pb.DroppedRequest(packets=[told]), timeout=PATIENCE)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        time.sleep(1)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Dropped(pb.DroppedRequest(packets=[told] * 501), timeout=PATIENCE)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert (kept("edge1"), kept("edge2")) == (["192.0.2.1"], [])
    with api.channel(own(api, "go-backend.edge3")) as channel:
        stub = callbacks_pb2_grpc.CallbackServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.RpcError) as caught:
            stub.Dropped(pb.DroppedRequest(packets=[told]), timeout=PATIENCE)
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert kept("edge1") == ["192.0.2.1"]


def test_a_renewal_holds_from_the_next_connection_on(api: Api, refused: Call) -> None:
    second = Authority(api.home)
    fresh = second.issue(api.home / "fresh", OWN, trusted=(api.authority,))
    assert refused(fresh).code() == grpc.StatusCode.UNAVAILABLE
    api.authority.issue(api.home / "api", "flask-backend", trusted=(api.authority, second))

    def taken() -> bool:
        # Refused for want of a go-backend, and no more for its certificate.
        return "secret" in (refused(fresh).details() or "")

    api.wait(taken)


def test_connections_that_say_nothing_are_closed_and_others_served(api: Api, refused: Call) -> None:
    silent = [socket.create_connection(("127.0.0.1", api.calls), timeout=PATIENCE) for _ in range(50)]
    try:
        began = time.monotonic()
        assert "secret" in refused(own(api)).details()
        assert time.monotonic() - began < PATIENCE / 4
        assert [line.recv(1) for line in silent] == [b""] * len(silent)
    finally:
        for line in silent:
            line.close()


def test_a_worker_that_dies_is_followed_by_one_that_takes_calls(api: Api, refused: Call) -> None:
    first = api.children()
    for worker in first:
        os.kill(worker, signal.SIGKILL)
    api.wait(lambda: len(set(api.children()) - set(first)) == len(first) and api.ready())
    api.wait(lambda: "secret" in (refused(own(api)).details() or ""))


def test_without_certificates_nobody_calls(start: Callable[..., Service]) -> None:
    port = free_port()
    service = start(GRPC_PORT=str(port))
    service.wait(service.ready, 60)
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


@pytest.fixture
def address(sqlite: Database) -> Database:
    return sqlite
