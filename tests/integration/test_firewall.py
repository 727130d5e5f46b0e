"""The table of our own in the packet filter: what a scan from outside sees, who reaches whom, and its coming back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration import fence_lab
from tests.integration.agent_site import PATIENCE, Site
from tests.integration.fence_lab import (
    API,
    DATABASE,
    GO_UID,
    GRPC,
    HOST,
    INTERNET,
    LISTENS,
    METADATA,
    METRICS,
    NETWORKS,
    NIC,
    SSH,
    UI,
    Fenced,
    address,
)
from tests.support.machine import Machine, eventually

PORTS = (SSH, API, UI, GRPC, DATABASE, METRICS, 80, 443, 2375, 53)
LOOPBACK = ("127.0.0.1", "127.0.0.2", "127.31.1.1")
OF_HOST = [HOST, *(address(network) for network in NETWORKS)]
OF_CONTAINERS = [
    address(network, who) for network, (_third, members, _published) in NETWORKS.items() for who in members
]
# Of a loopback address the far end would ask itself; frames bring it to the NIC.
ROUTED = [(one, port) for one in (*OF_HOST, *OF_CONTAINERS) for port in PORTS]
EVERYTHING = [(one, port) for one in LOOPBACK for port in PORTS] + ROUTED
# Rounds of the watch are 5 s apart; each change after the first waits longer, as if somebody fought over it.
RESTORED = 90.0
FILE = "/etc/tripod/host.d/firewall.json"


@pytest.fixture
def fenced() -> Iterator[Fenced]:
    host = Machine()
    made = Fenced(host)
    try:
        made.make()
        yield made
    finally:
        made.close()
        host.close()


def test_from_a_nic_only_what_is_published_answers(fenced):
    # sshd is the operator's own, and no part of the site; it must go on answering.
    published = {(HOST, UI): "webui", (HOST, SSH): "host"}
    before, frames_before = fenced.scan("far", ROUTED), fenced.frames(EVERYTHING)
    assert before[address("tripod-app", "flask-backend"), API] == "flask-backend"
    # PostgreSQL has no way back to where it was asked from; the API, which is on that network too, has.
    assert before[address("tripod-db", "flask-backend"), API] == "flask-backend"
    assert before[address("tripod-rpc"), GRPC] == "host"
    assert ("127.0.0.1", API) in frames_before

    others = fenced.tables()
    made = fenced.declare()
    assert not made.failed, made.output
    assert made.changed
    assert fenced.scan("far", ROUTED) == published
    assert fenced.frames(EVERYTHING) == set(published)
    # Where what is published is published.
    assert fenced.scan("host", [("127.0.0.1", API), (HOST, UI), ("127.0.0.1", METRICS)]) == {
        ("127.0.0.1", API): "flask-backend",
        (HOST, UI): "webui",
        ("127.0.0.1", METRICS): "host",
    }
    assert fenced.tables() == others
    again = fenced.declare()
    assert not again.changed
    assert not again.failed
    counted = [line for line in fenced.table().splitlines() if "counter packets" in line and "packets 0 " not in line]
    assert any("loopback addresses from outside" in line for line in counted), fenced.table()
    assert any("tripod-db from elsewhere" in line for line in counted), fenced.table()


def pairs(fenced: Fenced) -> set[tuple[str, str, int]]:
    """Return who reaches what, by whatever address of it; each as (from, to, port)."""
    found = set()
    outside = [(one, port) for one in (INTERNET, METADATA) for port in (80, 53)]
    for who in LISTENS:
        for (_own, port), said in fenced.scan(who, [*ROUTED, *outside]).items():
            if said != who:
                found.add((who, said, port))
    for (_own, port), said in fenced.scan("host", [*EVERYTHING, *outside], uid=GO_UID).items():
        found.add(("go-backend", said, port))
    return found


def test_who_reaches_whom(fenced):
    assert pairs(fenced) >= {
        ("webui", "host", GRPC),
        ("webui", "far", 80),
        ("flask-backend", "far", 80),
        ("go-backend", "postgres", DATABASE),
        ("webui", "host", SSH),
    }
    assert not fenced.declare().failed
    # Whoever is on one network with another reaches it, whichever of the two is meant to begin.
    assert pairs(fenced) == {
        ("flask-backend", "postgres", DATABASE),
        ("postgres", "flask-backend", API),
        ("webui", "flask-backend", API),
        ("flask-backend", "webui", UI),
        ("flask-backend", "host", GRPC),
        ("go-backend", "host", GRPC),  # itself
        ("go-backend", "host", METRICS),
    }


def test_the_api_alone_reaches_the_data_planes_that_it_serves(fenced):
    served = fence_lab.options()
    for network in served["networks"]:
        if network["name"] == "tripod-api":
            network["outside_ports"] = [{"address": INTERNET, "port": 80}]
    assert not fenced.declare(**served).failed
    outside = [(one, port) for one in (INTERNET, METADATA) for port in (80, 53)]
    assert {who: fenced.scan(who, outside) for who in LISTENS} == {
        "postgres": {},
        "flask-backend": {(INTERNET, 80): "far"},
        "webui": {},
    }
    assert fenced.scan("far", ROUTED) == {(HOST, UI): "webui", (HOST, SSH): "host"}
    again = fenced.declare(**served)
    assert not again.changed
    assert not again.failed


def test_go_backend_reaches_the_apis_that_it_is_to_call(fenced):
    calling = fence_lab.options()
    [process] = calling["processes"]
    process["outside_ports"] = [{"address": INTERNET, "port": 80}]
    assert not fenced.declare(**calling).failed
    outside = [(one, port) for one in (INTERNET, METADATA) for port in (80, 53)]
    assert fenced.scan("host", outside, uid=GO_UID) == {(INTERNET, 80): "far"}
    assert fenced.scan("flask-backend", outside) == {}
    again = fenced.declare(**calling)
    assert not again.changed
    assert not again.failed


def test_a_request_that_would_cut_the_host_off_is_refused(fenced):
    wrong = fence_lab.options()
    wrong["networks"][0]["bridge"] = NIC
    wrong["networks"][1]["subnets"] = ["192.0.0.0/16"]
    refused = fenced.declare(**wrong)
    assert refused.failed
    assert f"tripod-db: {NIC} is veth and no bridge" in refused.result["msg"]
    assert f"tripod-app: 192.0.0.0/16 overlaps 192.0.2.0/24 of {NIC}" in refused.result["msg"]
    assert fenced.table() == ""


def test_a_table_of_others_with_our_name_is_left_alone(fenced):
    hook = "{ type filter hook input priority 5; }"
    fenced.nft(f"add table inet tripod\nadd chain inet tripod mine {hook}\nadd rule inet tripod mine tcp dport 9 drop")
    held = fenced.table()
    refused = fenced.declare()
    assert refused.failed
    assert "with rules that are not ours" in refused.result["msg"]
    assert fenced.host.module("firewall", state="absent").failed
    assert fenced.table() == held


def test_it_is_removed_and_nothing_else_is(fenced):
    others = fenced.tables()
    assert fenced.declare().changed
    check = fenced.host.module("firewall", check=True, state="absent")
    assert check.changed
    assert fenced.table()
    assert fenced.host.module("firewall", state="absent").changed
    assert fenced.table() == ""
    assert fenced.tables() == others
    assert fenced.host.run("sh", "-c", f"ls {FILE} 2>/dev/null || true") == ""
    again = fenced.host.module("firewall", state="absent")
    assert not again.changed
    assert not again.failed


def test_check_mode_changes_nothing(fenced):
    check = fenced.host.module("firewall", check=True, **fence_lab.options())
    assert check.changed
    assert fenced.table() == ""


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Fenced, Site]]:
    site = Site(tmp_path)
    made = Fenced(site)
    try:
        made.make()
        site.install()
        assert made.declare().changed
        yield made, site
    finally:
        made.close()
        site.close()


CHANGES = (
    "delete table inet tripod",
    "flush table inet tripod",
    "flush ruleset",
    "insert rule inet tripod input accept",
    'insert rule inet tripod prerouting accept comment "tripod: tripod-db from elsewhere"',
    "flush chain inet tripod forward",
    "add set inet tripod mine { type ipv4_addr; }",
    "add chain inet tripod prerouting { policy drop; }",
)


@pytest.mark.parametrize("changes", [CHANGES[::3], pytest.param(CHANGES, marks=pytest.mark.full)], ids=["some", "all"])
def test_what_somebody_does_to_it_is_undone_in_seconds(watched, changes):
    """One host for all of them: its agent is installed once."""
    fenced, site = watched

    def is_reapplied(times: int) -> bool:
        return bool(site.metric("reapplied") >= times)

    eventually(lambda: site.metric("patrols") >= 2, PATIENCE)
    whole = fenced.table(counts=False)
    for done, change in enumerate(changes):
        fenced.nft(change)
        assert fenced.table(counts=False) != whole, change
        took = eventually(lambda: fenced.table(counts=False) == whole, RESTORED)
        print(f"{change}: {took:.1f} s")
        # The next change would meet the reading back of this one, and be reported as what it is.
        eventually(partial(is_reapplied, done + 1), PATIENCE)
    assert "/firewall a table of the packet filter changed: reapplying what differs" in site.log.read_text()
    eventually(lambda: site.tripod_host("status").returncode == 0, PATIENCE)


def test_others_who_change_theirs_are_not_disturbed(watched):
    fenced, site = watched
    eventually(lambda: site.metric("patrols") >= 2, PATIENCE)
    acted = site.news()
    fenced.nft("add table ip mine\nadd chain ip mine one { type filter hook input priority 7; }")
    rounds = site.metric("patrols")
    eventually(lambda: site.metric("patrols") >= rounds + 2, PATIENCE)
    assert site.news() == acted
    assert "chain one" in fenced.host.run("nft", "list", "table", "ip", "mine")


def test_at_boot_it_is_there_before_any_bridge(watched):
    fenced, site = watched
    fenced.nft("flush ruleset")
    for network in NETWORKS:
        fenced.host.run("ip", "link", "delete", network)
    applied = site.tripod_host("apply", "--kind", "firewall")
    assert applied.returncode == 0, applied.stderr
    assert "tripod-db from elsewhere" in fenced.table()
    shown = json.loads(site.tripod_host("status", "--json").stdout)
    assert [one["state"] for one in shown if one["name"] == "firewall"] == ["converged"]
