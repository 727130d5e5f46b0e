"""Several hosts of the data plane behind one API: each is named, and one that is away holds up nobody else."""

from __future__ import annotations

import itertools
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import test_dataplane as dataplane
import test_policies as policies
import test_workers as workers
from conftest import SECRET, Caller
from flask import Flask
from service import free_port
from test_hosts import Host, serve

from tripod_api import channel
from tripod_api.config import THREADS, GoBackend, Settings
from tripod_api.context import EXTENSION
from tripod_api.operations import operations
from tripod_api.planes import PATIENCE

pytestmark = pytest.mark.databases("sqlite")

FIRST, SECOND = "edge1.example.com", "edge2"
# Of one that is asked on a busy machine.
SOON = 1.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    hosts = (GoBackend(name, f"127.0.0.1:{free_port()}", SECRET) for name in (FIRST, SECOND))
    return replace(settings, hosts=tuple(hosts))


@pytest.fixture
def peers(settings: Settings) -> Iterator[dict[str, policies.Peer]]:
    """Play go-backend's side of each."""
    found, servers = {}, []
    for host in settings.hosts:
        found[host.name] = policies.Peer()
        servers.append(serve(host.target, found[host.name], dataplane.Peer(), workers.Peer(), Host()))
    yield found
    for server in servers:
        server.stop(None).wait()


@pytest.fixture
def first(settings: Settings) -> Iterator[None]:
    """Play the first one's side, as the second is silent: it takes connections and says nothing."""
    server = serve(settings.hosts[0].target, policies.Peer(), dataplane.Peer(), workers.Peer(), Host())
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", int(settings.hosts[1].target.rpartition(":")[2])))
        silent.listen()
        yield
    server.stop(None).wait()


def timed(app: Flask, caller: Caller, path: str) -> tuple[int, float]:
    began = time.monotonic()
    headers = {"Authorization": f"Bearer {caller.access}"}
    status = app.test_client().get(f"/api/v1{path}", headers=headers).status_code
    return status, time.monotonic() - began


def quick(app: Flask, caller: Caller, path: str) -> None:
    """Ask some times, and take the quickest: what else the machine does makes it slower, and never faster."""
    answers = [timed(app, caller, path) for _ in range(5)]
    assert {status for status, _ in answers} == {200}
    assert min(seconds for _, seconds in answers) < SOON, answers


@pytest.mark.usefixtures("peers")
def test_all_hosts_are_listed_by_name(admin: Caller, settings: Settings) -> None:
    found = admin("GET", "/hosts").json["hosts"]
    assert [(one["host"], one["target"], one["reachable"]) for one in found] == [
        (host.name, host.target, True) for host in settings.hosts
    ]
    assert [one["name"] for one in found] == ["edge1", "edge1"]


def test_a_request_is_for_the_host_that_it_names(admin: Caller, peers: dict[str, policies.Peer]) -> None:
    assert admin("GET", f"/policies/edge?host={SECOND}").status_code == 200
    assert (peers[FIRST].reads, peers[SECOND].reads) == (0, 1)
    body = {"address": "192.0.2.1", "seconds": 60, "comment": ""}
    key = {"Idempotency-Key": "one-ban-and-no-other"}
    assert admin("POST", f"/bans?host={SECOND}", json=body, headers=key).status_code == 201
    assert peers[SECOND].asked.address == "192.0.2.1"
    # A key names one thing to be done, and that of another host is another thing.
    answer = admin("POST", f"/bans?host={FIRST}", json=body, headers=key)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
    assert peers[FIRST].asked is None
    trail = [one["target"] for one in admin("GET", "/audit").json["entries"] if "ban" in one["action"]]
    assert trail == [f"ban 192.0.2.1 on {SECOND}"] * 2


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "host_needed"),
        (f"?host={FIRST}&host={SECOND}", "host_needed"),
        ("?host=edge3", "unknown_host"),
        ("?host=", "unknown_host"),
    ],
)
def test_without_a_name_all_are_named(
    app: Flask, admin: Caller, peers: dict[str, policies.Peer], query: str, code: str
) -> None:
    for path, method, told in operations(app):
        if told is None or not told.of_host:
            continue
        place = re.sub(r"<\w+>", "edge", path).removeprefix("/api/v1")
        answer = admin(method, f"{place}{query}", **({} if method == "GET" else {"json": {}}))
        assert (answer.status_code, answer.json["code"]) == (422, code), (method, path)
        assert f"{FIRST}, {SECOND}" in answer.json["detail"]
    assert {peer.asked for peer in peers.values()} == {None}


def test_the_only_host_may_be_named(app: Flask, admin: Caller, settings: Settings) -> None:
    services = app.extensions[EXTENSION]
    alone = type(services.planes)(settings.hosts[:1], None, channel.Circuits(None, [FIRST]), THREADS)
    assert [alone.named(names).name for names in ([], [FIRST])] == [FIRST, FIRST]
    # Which the two do not need: they are asked of no host.
    assert {admin("GET", path).status_code for path in ("/settings", "/audit")} == {200}


@pytest.mark.usefixtures("first")
def test_a_silent_host_costs_the_list_one_deadline_then_nothing(app: Flask, admin: Caller) -> None:
    began = time.monotonic()
    found = {one["host"]: one for one in admin("GET", "/hosts").json["hosts"]}
    assert time.monotonic() - began < 2 * PATIENCE
    assert found[FIRST]["reachable"]
    assert found[FIRST]["missing"] == []
    assert (found[SECOND]["reachable"], len(found[SECOND]["missing"])) == (False, 1)
    for _ in range(channel.FAILURES_TO_OPEN):
        admin("GET", "/hosts")
    quick(app, admin, "/hosts")


@pytest.mark.usefixtures("first")
def test_who_waits_for_a_silent_host_leaves_threads_to_others(app: Flask, admin: Caller) -> None:
    """More than half of a worker's threads never wait for one host, before its breaker is open too."""
    with ThreadPoolExecutor(THREADS) as pool:
        paths = itertools.repeat(f"/bans?host={SECOND}", THREADS)
        waiting = [pool.submit(timed, app, admin, path) for path in paths]
        answers = [one.result() for one in waiting]
    assert {status for status, _ in answers} == {503}
    at_once = [seconds for _, seconds in answers if seconds < channel.DEADLINE]
    assert len(at_once) >= THREADS // 2
    # The other one never noticed.
    quick(app, admin, f"/bans?host={FIRST}")


@pytest.mark.usefixtures("first")
def test_each_host_has_breakers_of_its_own(app: Flask, admin: Caller) -> None:
    def states(name: str) -> Any:
        line = rf'tripod_api_circuit_workers\{{circuit="policy",host="{re.escape(name)}",state="(\w+)"\}} 1\.0'
        found = re.findall(line, app.test_client().get("/metrics").text)
        return found[0]

    assert {states(FIRST), states(SECOND)} == {"closed"}
    for _ in range(channel.FAILURES_TO_OPEN):
        assert admin("GET", f"/bans?host={SECOND}").json["code"] == "policy_unavailable"
    assert (states(FIRST), states(SECOND)) == ("closed", "open")


def test_the_settings_tell_where_all_are_asked(admin: Caller, settings: Settings) -> None:
    found = {one["name"]: one for one in admin("GET", "/settings").json["settings"]}
    first, second = settings.hosts
    assert found["go_backend"]["value"] == f"{FIRST} at {first.target}, {SECOND} at {second.target}"
    assert (found["go_backend"]["variable"], json.loads(found["go_backend_trusted"]["value"])) == ("GO_BACKENDS", True)
