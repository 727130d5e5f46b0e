"""Real packets on the lab NIC, counted and filtered in the kernel, seen through the API."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
import requests

from tests.support.site import (
    METRICS,
    NETNS,
    NIC,
    PINS,
    SERVICES,
    container,
    docker,
    eventually,
    healthy,
    inspect,
    network_namespace,
)

DROPPED, PASSED, UNLISTED = "203.0.113.7", "203.0.113.200", "198.51.100.1"


def attached() -> dict:
    shown = subprocess.run(["ip", "-json", "-details", "link", "show", NIC], capture_output=True, text=True, check=True)
    return json.loads(shown.stdout)[0]["xdp"]


def test_is_attached_native_and_pinned():
    assert attached()["mode"] == 1, "1 is XDP_ATTACHED_DRV"
    assert {path.name for path in (PINS / NIC).iterdir()} >= {"link", "prog", "maps"}


def test_nothing_is_out_of_order(api):
    status, stats = (api("GET", f"/dataplane/{page}").json() for page in ("status", "stats"))
    assert status["status"] == "serving"
    for answer in (status, stats):
        assert NIC in [one["name"] for one in answer["interfaces"]]
        assert [one for one in answer["problems"] if one["interface"] in (None, NIC)] == []


@pytest.mark.parametrize(
    ("source", "counted"),
    [
        (DROPPED, ("drop", "list_drop")),
        (PASSED, ("pass", "list_pass")),
        (UNLISTED, ("pass", "no_rule")),
        ("2001:db8:bad::1", ("drop", "list_drop")),
        ("2001:db8:900d::1", ("pass", "no_rule")),
    ],
)
def test_counts_exactly_what_was_sent(api, wire, source, counted):
    before = api.counters()
    wire.send(source, 1000)
    after = eventually(
        f"1000 packets of {source} counted as {counted}",
        lambda: (now := api.counters())[counted] - before.get(counted, 0) >= 1000 and now,
        seconds=10,
    )
    others = set(after) - {counted, ("pass", "not_ip"), ("pass", "no_rule")}
    assert after[counted] - before.get(counted, 0) - 1000 < 20, (
        "no packet is counted twice (a stray neighbour solicitation may be)"
    )
    assert {key: after[key] - before.get(key, 0) for key in others if after[key] != before.get(key, 0)} == {}


def test_a_dropped_packet_never_reaches_a_socket(wire):
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("198.18.0.1", 9))
        listener.settimeout(2)
        wire.send(DROPPED, 50)
        wire.send("198.18.0.2", 1)
        _payload, sender = listener.recvfrom(100)
        assert sender[0] == "198.18.0.2"
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.recvfrom(100)


def test_the_tracer_names_who_decided_and_touches_no_counter(api, wire):
    before = api.counters()
    answers = {}
    for source in (DROPPED, PASSED, UNLISTED, "2001:db8:bad::1"):
        answer = api("POST", "/dataplane/trace", {"interface": NIC, "frame": wire.frame(source).hex()})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        answers[source] = (body["verdict"], body["reason"], [(step["part"], step["id"]) for step in body["path"]])
        assert body["program"]["id"] == attached()["prog"]["id"]
    assert answers == {
        DROPPED: ("drop", "list_drop", [("list", "acl")]),
        PASSED: ("pass", "list_pass", [("list", "acl-pass")]),
        UNLISTED: ("pass", "no_rule", [("default", None)]),
        "2001:db8:bad::1": ("drop", "list_drop", [("list", "acl")]),
    }
    after = api.counters()
    assert after.get(("drop", "list_drop"), 0) == before.get(("drop", "list_drop"), 0)
    assert after.get(("pass", "list_pass"), 0) == before.get(("pass", "list_pass"), 0)


def test_the_lab_is_a_namespace_of_its_own():
    with network_namespace(NETNS):
        shown = subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True)
    assert {link["ifname"] for link in json.loads(shown.stdout)} >= {"lo", "tripod1"}


def said_since(service: str, moment: str) -> list[dict]:
    """Return what a service has logged since."""
    lines = docker("logs", "--since", moment, container(service)).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_go_backend_tells_the_api_when_it_is_there():
    moment = f"{time.time():.3f}"
    docker("restart", container("go-backend"))
    [told, *_more] = eventually(
        "the API was told",
        lambda: [one for one in said_since("flask-backend", moment) if one["message"] == "go-backend has started"],
    )
    assert (told["host"], told["boot_id"]) == (
        "go-backend",
        Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    )
    eventually("go-backend is healthy", lambda: healthy("go-backend"))
    metrics = requests.get(f"{METRICS}/metrics", timeout=10).text
    assert 'tripod_callback_circuit_state{api="127.0.0.1:50052",state="closed"} 1' in metrics


def test_what_was_dropped_is_in_the_history(api, wire):
    def kept() -> list[dict]:
        return api("GET", "/drops/history?source=203.0.113.0/24").json()["drops"]

    latest = max((one["id"] for one in kept()), default=0)
    wire.send(DROPPED, 20)
    [newest, *_others] = eventually("samples in the history", lambda: [one for one in kept() if one["id"] > latest])
    assert (newest["interface"], newest["verdict"], newest["source"]) == (NIC, "drop", DROPPED)
    assert (newest["reason"], newest["part"]) == ("list_drop", "list:acl")


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_container_comes_back_while_filtering_goes_on(api, wire, service):
    program = attached()["prog"]["id"]
    started = inspect(service)["State"]["StartedAt"]
    before = api.counters().get(("drop", "list_drop"), 0)
    with wire.stream(DROPPED) as stream:
        docker("kill", container(service))
        eventually(
            f"{service} restarted and healthy",
            lambda: inspect(service)["State"]["StartedAt"] != started and healthy(service),
            seconds=120,
        )
    assert attached()["prog"]["id"] == program
    # The counters live in the kernel: what was dropped while nobody looked is there too.
    counted = eventually(
        "every packet of the outage counted as dropped",
        lambda: (
            api("GET", "/dataplane/stats").status_code == 200
            and (now := api.counters()[("drop", "list_drop")] - before) >= stream.sent
            and now
        ),
        seconds=90,
    )
    assert counted == stream.sent
