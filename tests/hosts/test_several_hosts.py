"""A site of two hosts by the playbook, where the API of the first serves the data plane of the second as well.

A story: each test goes on where the one before it ended.
"""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from tests.support.fleet import ADDRESSES, Api, Fleet, changed, told
from tests.support.site import API, NIC, eventually, result
from tests.support.threads import in_threads

SOURCE = "198.51.100.77"
LIST = {"lists": [{"name": "hosts", "action": "drop", "prefixes": [f"{SOURCE}/32"]}]}
SECRET = "etc/tripod/secrets/flask-backend/policy_secret_second"
HOSTS = ("first", "second")
SERVING = dict.fromkeys(HOSTS, (True, "serving"))
AWAY = (False, "unreachable")
# What nobody is: no process has this number.
NOBODY = 2**30


def hosts(api: Api) -> dict[str, tuple[bool, str]]:
    """Return of each host whether it is reached, and how it is."""
    return {one["host"]: (one["reachable"], one["status"]) for one in api("GET", "/hosts").json()["hosts"]}


def policy_of(api: Api, host: str) -> str:
    """Return the name of the policy on a host's NIC."""
    found = [one["name"] for one in api("GET", f"/policies?host={host}").json()["policies"] if NIC in one["interfaces"]]
    assert len(found) == 1, found
    return str(found[0])


def counted(api: Api, host: str, verdict: str, reason: str) -> int:
    """Return how many packets a host's NIC has judged so."""
    answer = api("GET", f"/dataplane/stats?host={host}")
    assert answer.status_code == 200, answer.text
    (nic,) = [one for one in answer.json()["interfaces"] if one["name"] == NIC]
    return sum(one["packets"] for one in nic["counters"] if (one["verdict"], one["reason"]) == (verdict, reason))


def judged(fleet: Fleet, api: Api, host: str, verdict: str, reason: str) -> None:
    """Expect packets on a host's cable to be counted there, and there alone."""
    (other,) = set(HOSTS) - {host}
    before, elsewhere = (counted(api, one, verdict, reason) for one in (host, other))
    wire = fleet.wire(host)
    try:
        wire.send(SOURCE, 100)
    finally:
        wire.close()
    eventually(
        f"100 packets on {host}: {verdict} {reason}", lambda: counted(api, host, verdict, reason) - before >= 100, 10
    )
    assert counted(api, other, verdict, reason) - elsewhere < 100


def table(fleet: Fleet, host: str) -> str:
    """Return a host's packet filter."""
    return fleet.hosts[host].run("nft", "list", "table", "inet", "tripod")


def test_a_check_of_hosts_that_have_nothing_foretells_the_whole_site(fleet: Fleet) -> None:
    foretold = changed(fleet.succeed("site.yml", "--check", "--diff"))
    assert set(foretold) == set(HOSTS)
    for host in fleet.hosts.values():
        assert not (host.filesystem / "etc/tripod").exists()
        assert not (host.filesystem / "run/docker.sock").exists()


def test_two_hosts_are_made_from_nothing_by_one_run(fleet: Fleet) -> None:
    fleet.succeed("site.yml")
    for host in fleet.hosts.values():
        assert all(host.healthy(service) for service in host.started())


def test_the_next_run_changes_nothing(fleet: Fleet) -> None:
    assert changed(fleet.succeed("site.yml")) == {}
    assert changed(fleet.succeed("site.yml", "--check")) == {}


def test_the_first_ones_api_serves_both_and_the_second_one_is_left_its_own(fleet: Fleet, api: Api) -> None:
    eventually("both are served", lambda: hosts(api) == SERVING)
    # The name of the only one.
    assert list(hosts(fleet.hosts["second"].api())) == ["go-backend"]
    first, second = (fleet.hosts[one].filesystem for one in HOSTS)
    kept = first / SECRET
    assert kept.read_bytes() == (second / "etc/tripod/secrets/go-backend/policy_secret").read_bytes()
    assert (kept.stat().st_mode & 0o777, kept.stat().st_uid) == (0o400, 561)
    assert f"ip daddr {ADDRESSES['second']} tcp dport 50051 accept" in table(fleet, "first")
    assert ADDRESSES["first"] not in table(fleet, "second")
    for path in ("/policies", "/dataplane/stats", "/bans"):
        answer = api("GET", path)
        assert (answer.status_code, answer.json()["code"]) == (422, "host_needed")
    assert api("GET", "/bans?host=third").json()["code"] == "unknown_host"


def test_a_policy_for_the_second_host_drops_packets_there_alone(fleet: Fleet, api: Api) -> None:
    for host in HOSTS:
        judged(fleet, api, host, "pass", "no_rule")
    path = f"/policies/{policy_of(api, 'second')}"
    put = api("PUT", f"{path}?host=second", {"document": LIST, "why": "two hosts"})
    assert put.status_code == 200, put.text
    judged(fleet, api, "second", "drop", "list_drop")
    judged(fleet, api, "first", "pass", "no_rule")


def circuits(fleet: Fleet) -> set[str]:
    """Return of which hosts the first one's API tells the states of its circuit breakers."""
    with fleet.hosts["first"].network():
        page = requests.get(f"{API}/metrics", timeout=10).text
    return set(re.findall(r'^tripod_api_circuit_workers\{.*host="([^"]+)"', page, re.MULTILINE))


def seconds_of(api: Api, path: str, status: int = 200) -> float:
    """Return the middle of five answers' times."""
    taken = []
    for _round in range(5):
        began = time.monotonic()
        assert api("GET", path).status_code == status
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


def test_a_data_plane_that_is_away_holds_up_nobody_but_those_who_ask_for_it(fleet: Fleet, api: Api) -> None:
    second = fleet.hosts["second"]
    before = seconds_of(api, "/dataplane/stats?host=first")
    second.docker("stop", "tripod-go-backend")
    try:
        eventually("the second is away", lambda: hosts(api) == {"first": (True, "serving"), "second": AWAY})
        assert seconds_of(api, "/dataplane/stats?host=first") < max(3 * before, 0.5)
        assert api("GET", "/dataplane/stats?host=second").status_code == 503
        with fleet.hosts["first"].network():
            assert requests.get(f"{API}/readyz", timeout=5).status_code == 200
        assert api("GET", "/dataplane/stats").status_code == 422
    finally:
        second.docker("start", "tripod-go-backend")
    eventually("the second is back", lambda: hosts(api) == SERVING)
    # Nobody loaded the policy again: it is the kernel's.
    judged(fleet, api, "second", "drop", "list_drop")


@contextmanager
def asking(api: Api) -> Iterator[list[tuple[str, int]]]:
    """Ask through the API for what both data planes know, again and again."""
    answers: list[tuple[str, int]] = []

    def ask(over: threading.Event) -> None:
        while not over.is_set():
            for host in HOSTS:
                answers.append((host, api("GET", f"/dataplane/stats?host={host}").status_code))

    with in_threads(ask, 2):
        yield answers


@pytest.mark.parametrize(
    "words",
    [("playbooks/deploy.yml", "--tags", "pki", "-e", "pki_renew_days=91"), ("playbooks/rotate_ca.yml",)],
    ids=["renewal", "rotation"],
)
def test_no_call_fails_while_both_hosts_get_other_certificates(fleet: Fleet, api: Api, words: tuple[str, ...]) -> None:
    def held() -> dict[str, bytes]:
        services = ("flask-backend", "go-backend")
        return {
            f"{name} {service}": (host.filesystem / "etc/tripod/secrets" / service / "tls.crt").read_bytes()
            for name, host in fleet.hosts.items()
            for service in services
        }

    before, started = held(), {name: host.started() for name, host in fleet.hosts.items()}
    with asking(api) as answers:
        fleet.succeed(*words)
        reached = len(answers) + 20
        eventually("calls go on", lambda: len(answers) > reached)
    assert {status for _host, status in answers} == {200}, {one: answers.count(one) for one in set(answers)}
    assert {name for name, text in held().items() if text == before[name]} == set()
    assert {name: host.started() for name, host in fleet.hosts.items()} == started


def test_another_key_for_access_tokens_signs_nobody_out_on_either_host(fleet: Fleet) -> None:
    apis = [host.api() for host in fleet.hosts.values()]
    fleet.succeed("playbooks/rotate_jwt_key.yml")
    for api in apis:
        assert api("GET", "/hosts").status_code == 200
    eventually("both are served", lambda: hosts(apis[0]) == SERVING)


def test_a_host_that_nobody_reaches_keeps_no_other_from_being_deployed(fleet: Fleet, api: Api) -> None:
    done = fleet.play("site.yml", second=NOBODY)
    assert done.returncode == 4, told(done)
    counts = result(done)["stats"]
    assert (counts["second"]["unreachable"], counts["second"]["failures"]) == (1, 0), counts
    assert (counts["first"]["unreachable"], counts["first"]["failures"], counts["first"]["changed"]) == (0, 0, 0)
    assert hosts(api) == SERVING


def test_a_host_made_anew_gets_its_policies_back(fleet: Fleet) -> None:
    eventually("the API's own copy", lambda: kept(fleet), 60)
    fleet.make("second")
    fleet.succeed("site.yml")
    api = fleet.hosts["first"].api()
    eventually("both are served", lambda: hosts(api) == SERVING)
    path = f"/policies/{policy_of(api, 'second')}?host=second"
    eventually("the policy given back", lambda: api("GET", path).json()["own"] == LIST, 60)
    judged(fleet, api, "second", "drop", "list_drop")


def kept(fleet: Fleet) -> bool:
    """Whether the first one's database has the part that its API put on the second."""
    statement = "SELECT document FROM policy_copies WHERE host = 'second'"
    words = ("psql", "-h", "/run/postgresql", "-U", "postgres", "-d", "tripod", "--tuples-only", "--command", statement)
    return SOURCE in fleet.hosts["first"].docker("exec", "tripod-postgres", *words)


def test_a_run_that_is_limited_to_one_leaves_the_other_alone(fleet: Fleet) -> None:
    for name in HOSTS:
        reported = fleet.succeed("site.yml", "--limit", name)
        assert changed(reported) == {}
        assert set(reported["stats"]) - {"localhost"} == {name}


def test_what_was_made_for_a_host_that_is_served_no_more_goes_with_the_next_run(fleet: Fleet) -> None:
    assert circuits(fleet) == set(HOSTS)
    fleet.said = {"first": {}, "second": {}}
    fleet.succeed("playbooks/deploy.yml")
    assert not (fleet.hosts["first"].filesystem / SECRET).exists()
    assert ADDRESSES["second"] not in table(fleet, "first")
    api = fleet.hosts["first"].api()
    assert len(hosts(api)) == 1
    assert "second" not in circuits(fleet)
    assert api("GET", "/bans").status_code == 200
    assert f"{ADDRESSES['second']}:50051" not in fleet.hosts["second"].run("ss", "-tlnH")
    assert "0.0.0.0:50051" not in fleet.hosts["second"].run("ss", "-tlnH")
    assert changed(fleet.succeed("playbooks/deploy.yml", "--check")) == {}
