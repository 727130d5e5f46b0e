"""Certificates of both sides of gRPC, on real servers: who is refused, in which words, and what a renewal costs."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from authority import Authority, put
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from service import free_port

from tripod_api import channel as channels
from tripod_api import dataplane
from tripod_api.app import create_app
from tripod_api.channel import Channel, Circuit, Unavailable
from tripod_api.config import Settings
from tripod_api.context import EXTENSION
from tripod_api.dataplane import Dataplane
from tripod_api.gen import backend_pb2 as pb
from tripod_api.gen import policy_pb2 as policy_pb
from tripod_api.gen.backend_pb2_grpc import BackendServiceServicer, add_BackendServiceServicer_to_server
from tripod_api.gen.policy_pb2_grpc import (
    PolicyServiceServicer,
    PolicyServiceStub,
    add_PolicyServiceServicer_to_server,
)
from tripod_api.identity import AUTHORITY, CERTIFICATE, KEY, Identity, Unusable
from tripod_api.migrate import prepare

pytestmark = pytest.mark.databases("sqlite")

# What is asked here is refused or answered, however busy the machine is.
PATIENCE = 30.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataplane, "DEADLINE", PATIENCE)


Serve = Callable[[Path], int]


def configuration(directory: Path) -> grpc.ServerCertificateConfiguration:
    pair = ((directory / KEY).read_bytes(), (directory / CERTIFICATE).read_bytes())
    return grpc.ssl_server_certificate_configuration([pair], (directory / AUTHORITY).read_bytes())


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Run servers that ask for certificates, and read their own again for each connection."""
    running = []

    def begin(directory: Path) -> int:
        server = grpc.server(ThreadPoolExecutor(8))
        state = health.HealthServicer()
        state.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(state, server)
        held = {"now": configuration(directory)}

        def fetch() -> grpc.ServerCertificateConfiguration:
            # In the moment between two files being written they do not fit together.
            with suppress(Unusable):
                Identity(directory).held()
                held["now"] = configuration(directory)
            return held["now"]

        credentials = grpc.dynamic_ssl_server_credentials(held["now"], fetch, require_client_authentication=True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        running.append(server)
        return port

    yield begin
    for server in running:
        server.stop(None).wait()


def reach(port: int, directory: Path, name: str = "go-backend") -> Channel:
    """Return the way to a server that goes by a name, as the site's containers resolve it."""
    return Channel(f"127.0.0.1:{port}", Identity(directory), peer=name)


def status(channel: Channel) -> dict[str, object]:
    try:
        return Dataplane(channel).status()
    finally:
        channel.close()


def test_both_sides_know_each_other(authority: Authority, tmp_path: Path, serve: Serve) -> None:
    server = authority.issue(tmp_path / "server", "go-backend")
    found = status(reach(serve(server), authority.issue(tmp_path / "client", "flask-backend")))
    assert (found["reachable"], found["status"]) == (True, "serving")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("server of another authority", "unable to get local issuer certificate"),
        ("server that has ended", "certificate has expired"),
        ("server of another name", "Hostname Verification Check failed"),
        # Which of several reasons it was is the server's to say, and go-backend's log does.
        ("client of another authority", "Socket closed|alert"),
        ("client that has ended", "client/tls.crt: certificate has expired"),
        ("client without any", "client/ca.crt: No such file or directory"),
    ],
)
def test_who_is_refused_is_told_why(
    fault: str, words: str, authority: Authority, tmp_path: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    side, _, what = fault.partition(" ")
    made = {}
    for one, name in (("server", "go-backend"), ("client", "flask-backend")):
        wrong = what if one == side else ""
        signer = Authority(tmp_path) if "authority" in wrong else authority
        days = 0 if "ended" in wrong else 1
        # What it trusts is right all the same, so that nothing else can be why.
        trusted = (authority, signer) if one == "client" and signer is not authority else (authority,)
        made[one] = signer.issue(tmp_path / one, "postgres" if "name" in wrong else name, days, trusted)
    if "without" in what:
        for path in made["client"].iterdir():
            path.unlink()
    with caplog.at_level(logging.WARNING):
        assert status(reach(serve(made["server"]), made["client"]))["reachable"] is False
    reasons = [str(getattr(record, "reason", "")) for record in caplog.records]
    assert [reason for reason in reasons if re.search(words, reason)], reasons


def test_an_alert_after_the_handshake_is_put_into_words() -> None:
    # As grpcio 1.85 says it of a server in Go.
    details = "last error: UNAVAILABLE: ipv4:127.0.0.1:15999: Unwrap failed (TSI_DATA_CORRUPTED)"
    assert channels.in_words(details).endswith("go-backend refused this service's certificate, and its log says why")
    assert channels.in_words("Socket closed") == "Socket closed"


def test_a_renewal_and_a_rotation_under_load_fail_no_call(authority: Authority, tmp_path: Path, serve: Serve) -> None:
    second = Authority(tmp_path)
    server = authority.issue(tmp_path / "server", "go-backend")
    client = authority.issue(tmp_path / "client", "flask-backend")
    channel = reach(serve(server), client)
    plane, answers, done = Dataplane(channel), [], threading.Event()

    def ask() -> None:
        while not done.is_set():
            answers.append(plane.status()["reachable"])

    both = (authority, second)
    steps: list[Callable[[Path, str], object]] = [
        authority.issue,
        lambda place, _name: put(place / AUTHORITY, authority.text + second.text),
        lambda place, name: second.issue(place, name, trusted=both),
        lambda place, _name: put(place / AUTHORITY, second.text),
    ]
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(ask) for _ in range(4)]
        for step in steps:
            for place, name in ((server, "go-backend"), (client, "flask-backend")):
                step(place, name)
                reached = len(answers) + 20
                deadline = time.monotonic() + 4 * PATIENCE
                while len(answers) < reached:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
        done.set()
        for one in running:
            one.result()
    channel.close()
    assert answers.count(False) == 0, f"{answers.count(False)} of {len(answers)}"
    # The former authority is worth nothing any more.
    assert status(reach(serve(server), authority.issue(tmp_path / "former", "flask-backend")))["reachable"] is False


def test_files_that_do_not_fit_together_change_nothing(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = authority.issue(tmp_path / "own", "flask-backend")
    other = authority.issue(tmp_path / "other", "flask-backend")
    identity = Identity(directory)
    first = identity.held()
    assert identity.held() is first
    for name, text in ((KEY, (other / KEY).read_text()), (CERTIFICATE, "no PEM"), (AUTHORITY, "")):
        put(directory / name, text)
        assert identity.held() is first
    assert "certificates cannot be used" in caplog.text
    with pytest.raises(Unusable, match=r"ca\.crt holds no certificate"):
        Identity(directory).held()
    put(directory / AUTHORITY, authority.text)
    put(directory / CERTIFICATE, (other / CERTIFICATE).read_text())
    assert identity.held().certificate == (other / CERTIFICATE).read_bytes()


def test_metrics_tell_when_certificates_end_and_the_state_of_breakers(
    authority: Authority, tmp_path: Path, settings: Settings
) -> None:
    # Of two that are trusted, as during a rotation, the first one to end takes what it issued with it.
    trusted = (Authority(tmp_path, days=20), authority, Authority(tmp_path, days=30))
    directory = authority.issue(tmp_path / "own", "flask-backend", days=3, trusted=trusted)
    prepare(settings)
    app = create_app(replace(settings, tls_directory=directory))
    services = app.extensions[EXTENSION]

    def metrics() -> dict[str, float]:
        lines = app.test_client().get("/metrics").text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    found = metrics()
    days = {
        name: (found[f'tripod_certificate_not_after_timestamp_seconds{{certificate="{name}"}}'] - time.time()) / 86400
        for name in ("own", "authority")
    }
    assert days == pytest.approx({"own": 3, "authority": 10}, abs=0.1)
    state = 'tripod_api_circuit_workers{{circuit="dataplane",host="go-backend",state="{}"}}'
    assert (found[state.format("closed")], found[state.format("open")]) == (1, 0)
    for _ in range(channels.FAILURES_TO_OPEN):
        with pytest.raises(Unavailable):
            services.planes.named([]).dataplane.stats()
    found = metrics()
    assert (found[state.format("closed")], found[state.format("open")]) == (0, 1)
    assert found['tripod_api_circuit_workers{circuit="policy",host="go-backend",state="closed"}'] == 1
    services.planes.close()


class Flaky(PolicyServiceServicer, BackendServiceServicer):
    """Is away for the first calls of each kind."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.calls: Counter[str] = Counter()

    def _answer(self, method: str, context: grpc.ServicerContext) -> None:
        self.calls[method] += 1
        if self.calls[method] <= self.away:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away for a moment")

    def GetStats(self, request: object, context: grpc.ServicerContext) -> pb.StatsResponse:  # noqa: ARG002, N802
        self._answer("GetStats", context)
        return pb.StatsResponse()

    def ListBans(self, request: object, context: grpc.ServicerContext) -> policy_pb.ListBansResponse:  # noqa: ARG002, N802
        self._answer("ListBans", context)
        return policy_pb.ListBansResponse()

    def Unban(self, request: object, context: grpc.ServicerContext) -> policy_pb.UnbanResponse:  # noqa: ARG002, N802
        self._answer("Unban", context)
        return policy_pb.UnbanResponse()


def test_what_only_reads_is_asked_again_and_what_writes_is_not() -> None:
    server, flaky, port = grpc.server(ThreadPoolExecutor(2)), Flaky(away=2), free_port()
    add_BackendServiceServicer_to_server(flaky, server)  # type: ignore[no-untyped-call]
    add_PolicyServiceServicer_to_server(flaky, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    channel = Channel(f"127.0.0.1:{port}")
    try:
        Dataplane(channel).stats()
        policies = Circuit("policy", channel, {}, "away", "away")
        policies.call(lambda line: PolicyServiceStub(line).ListBans(policy_pb.ListBansRequest(), timeout=PATIENCE))
        with pytest.raises(Unavailable):
            policies.call(lambda line: PolicyServiceStub(line).Unban(policy_pb.UnbanRequest(), timeout=PATIENCE))
        assert flaky.calls == {"GetStats": 3, "ListBans": 3, "Unban": 1}
    finally:
        channel.close()
        server.stop(None).wait()
