"""Services know each other by certificates, and these are renewed while calls go on."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from tests.support.site import METRICS, SECRETS, Client, docker, eventually, inspect, playbook
from tests.support.threads import in_threads

OWN = 'tripod_certificate_not_after_timestamp_seconds{certificate="own"} '


def check(credentials: grpc.ChannelCredentials | None) -> int:
    """Ask go-backend for its health; without credentials in the clear."""
    gateway = docker("network", "inspect", "tripod-rpc", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    options = [("grpc.ssl_target_name_override", "go-backend")]
    address = f"{gateway}:50051"
    made = grpc.secure_channel(address, credentials, options) if credentials else grpc.insecure_channel(address)
    with made as channel:
        asked = health_pb2.HealthCheckRequest()
        return int(health_pb2_grpc.HealthStub(channel).Check(asked, timeout=5).status)


def held(service: str, *names: str) -> list[bytes]:
    return [(SECRETS / service / name).read_bytes() for name in names]


def test_grpc_takes_who_has_a_certificate_for_the_right_name():
    authority, key, certificate = held("flask-backend", "ca.crt", "tls.key", "tls.crt")
    serving = health_pb2.HealthCheckResponse.SERVING
    assert check(grpc.ssl_channel_credentials(authority, key, certificate)) == serving
    other = held("postgres", "tls.key", "tls.crt")
    for refused in (None, grpc.ssl_channel_credentials(authority), grpc.ssl_channel_credentials(authority, *other)):
        with pytest.raises(grpc.RpcError):
            check(refused)
    said = subprocess.run(["docker", "logs", "tripod-go-backend"], capture_output=True, text=True, check=True).stderr
    assert "the certificate is for postgres, and calls are taken from flask-backend and go-backend" in said


def sql(statement: str) -> str:
    return docker(
        *("exec", "tripod-postgres", "psql", "-h", "/run/postgresql", "-U", "postgres", "-d", "tripod"),
        *("--tuples-only", "--no-align", "--command", statement),
    )


def test_the_database_is_reached_over_tls_alone(api: Client):
    assert api("GET", "/users").status_code == 200
    sessions = "pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE client_addr IS NOT NULL"
    assert sql(f"SELECT DISTINCT ssl, version FROM {sessions}") == "t|TLSv1.3"
    assert sql("SELECT count(*) FROM pg_hba_file_rules WHERE type = 'host'") == "0"


@contextmanager
def asking(api: Client) -> Iterator[list[int]]:
    """Ask through the API for what go-backend and the database know, again and again."""
    answers: list[int] = []

    def ask(over: threading.Event) -> None:
        while not over.is_set():
            answers.append(api("GET", "/dataplane/stats").status_code)

    with in_threads(ask, 2):
        yield answers


def ends(url: str) -> float:
    page = requests.get(f"{url}/metrics", timeout=15).text
    return float(re.search(re.escape(OWN) + r"(\S+)", page)[1])


def test_no_call_fails_while_the_authority_gets_another_key_and_all_get_certificates_of_it(api: Client):
    services = ("postgres", "flask-backend", "go-backend")
    started = {service: inspect(service)["State"]["StartedAt"] for service in services}
    before = {service: held(service, "tls.crt", "ca.crt") for service in services}
    ended = ends(METRICS)
    with asking(api) as answers:
        done = playbook("playbooks/rotate_ca.yml")
        assert done.returncode == 0, done.stdout + done.stderr
        reached = len(answers) + 10
        eventually("calls go on", lambda: len(answers) > reached)
    assert set(answers) == {200}, {status: answers.count(status) for status in set(answers)}
    for service in services:
        certificate, authority = held(service, "tls.crt", "ca.crt")
        assert certificate != before[service][0]
        assert authority != before[service][1]
        assert authority.count(b"BEGIN CERTIFICATE") == 1
    assert sql("SELECT (pg_stat_file('/run/secrets/tls.crt')).modification < pg_conf_load_time()") == "t"
    # Both sides have read what is there now, and nobody was started anew for it.
    assert ends(METRICS) > ended
    assert {service: inspect(service)["State"]["StartedAt"] for service in services} == started
