"""Policies by the agent's socket, with the real agent on a machine of its own, judged by real packets."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import closing

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_errors import Conflict, Missing
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_history import KEPT
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import CoreError, Invalid, Refused

from tests.integration.policy_site import BLOCKED, GUEST, INVENTORY, NIC, OTHER, PEER, SERVICE, PolicySite, api, rights
from tests.support.machine import eventually

FEED = "feed:drop.v4"
CAPABILITIES = {"chown": 0, "net_admin": 12, "sys_admin": 21}  # linux/capability.h


@pytest.fixture(scope="module")
def machine(tmp_path_factory, xdp_object):
    with closing(PolicySite(tmp_path_factory.mktemp("policy"), xdp_object)) as made:
        made.attach()
        made.declare()
        made.start("policy")
        yield made


@pytest.fixture
def site(machine):
    """The machine with the inventory's document alone."""
    yield machine
    for owner in ("api", FEED):
        machine.put({}, owner=owner)
    if machine.file("policy-edge-inventory")["document"] != INVENTORY:
        machine.declare()


def test_what_the_api_puts_is_in_force_beside_what_the_inventory_declares(site):
    assert site.fate(GUEST) == ("pass", "no_rule")
    done = site.put(api("192.0.2.0/24"), by="alice", why="a scan", name="quiet")
    assert (done["changed"], done["pending"], done["warnings"]) == (True, None, [])
    assert done["summary"] == ["api: list guests: new (action drop, 1 prefixes)"]
    assert site.fate(GUEST) == site.fate(BLOCKED) == ("drop", "list_drop")
    assert site.fate(OTHER) == ("pass", "no_rule")
    assert {"policy-edge-api.json", "policy-edge-inventory.json"} <= set(site.files())
    assert site.file("policy-edge-api")["document"] == api("192.0.2.0/24")
    assert site.put(api("192.0.2.0/24"))["changed"] is False
    site.put({})
    assert site.fate(GUEST) == ("pass", "no_rule")
    assert "policy-edge-api.json" not in site.files()


def test_none_takes_what_is_anothers(site):
    site.put(api("192.0.2.0/24"))
    site.declare({**INVENTORY, "default": "drop"})
    assert site.fate(OTHER) == ("drop", "default")
    assert site.fate(GUEST) == ("drop", "list_drop")
    site.put(api("198.51.100.0/24", name="fed", action="pass"), owner=FEED)
    assert site.fate(OTHER) == ("pass", "list_pass")
    site.put({})
    found = site.call("get", policy="edge", owner=FEED)
    assert [(one["name"], one["owner"]) for one in found["document"]["lists"]] == [
        ("bogons", "inventory"),
        ("fed", FEED),
    ]
    assert found["own"] == api("198.51.100.0/24", name="fed", action="pass")
    assert (found["document"]["default"], found["interfaces"]) == ("drop", [NIC])


@pytest.mark.parametrize(
    ("document", "kind", "reason"),
    [
        ({"trusted": [{"prefix": "192.0.2.0/24"}]}, Refused, "owner api has trusted, which only inventory may have"),
        ({"default": "drop"}, Refused, "owner api has default, which only inventory may have"),
        (
            api("192.0.2.0/24", name="bogons"),
            Refused,
            "list bogons of owner api has the name of one of owner inventory",
        ),
        (api("192.0.2.1/24"), Invalid, "192.0.2.1/24"),
        (api("192.0.2.0/24", action="limit:none"), CoreError, "none"),
        ({"rules": [{"id": "r", "action": "drop", "destination_port": "90-80"}]}, CoreError, "90-80"),
    ],
)
def test_what_makes_no_policy_is_refused_and_changes_nothing(site, document, kind, reason):
    before, files = site.call("history", policy="edge"), site.files()
    with pytest.raises(kind) as caught:
        site.put(document)
    assert reason in str(caught.value)
    assert caught.value.facts["kind"] != "failed"
    assert (site.call("history", policy="edge"), site.files()) == (before, files)
    assert site.fate(GUEST) == ("pass", "no_rule")


def test_a_draft_says_what_would_change_and_changes_nothing(site):
    before, files = site.call("history", policy="edge"), site.files()
    done = site.put(api("192.0.2.0/24"), dry_run=True, confirm=30)
    assert (done["changed"], done["pending"]) == (True, None)
    assert done["summary"] == ["api: list guests: new (action drop, 1 prefixes)"]
    assert (site.call("history", policy="edge"), site.files()) == (before, files)
    assert site.fate(GUEST) == ("pass", "no_rule")


def test_a_change_that_was_made_for_another_revision_is_a_conflict(site):
    revision = site.put(api("192.0.2.0/24"))["revision"]
    with pytest.raises(Conflict, match=rf"revision {revision} of policy edge is in force, not {revision - 1}"):
        site.put(api("192.0.2.0/25"), expected=revision - 1)
    assert site.put(api("192.0.2.0/25"), expected=revision)["revision"] == revision + 1


def test_a_policy_that_is_not_there_is_missing(site):
    for op in ("get", "history", "confirm", "revert"):
        with pytest.raises(Missing, match="there is no policy core on this host; there are edge"):
            site.call(op, policy="core")
    with pytest.raises(Missing, match="there is no policy core on this host; there are edge"):
        site.call("put", policy="core", document={})


def test_the_way_back_to_any_of_the_last_revisions(site):
    first = site.put(api("192.0.2.0/24"), by="alice", why="a scan", name="quiet")["revision"]
    site.put(api("198.51.100.0/24"), by="bob")
    assert site.fate(GUEST) == ("pass", "no_rule")
    back = site.call("revert", policy="edge", by="carol")
    assert (back["changed"], back["revision"]) == (True, first + 2)
    assert site.fate(GUEST) == ("drop", "list_drop")
    newest, middle, oldest = site.call("history", policy="edge")["revisions"][:3]
    assert [one["state"] for one in (newest, middle, oldest)] == ["current", "superseded", "superseded"]
    assert (newest["name"], newest["by"], newest["owner"]) == (f"as revision {first}", "carol", "api")
    assert (oldest["name"], oldest["by"], oldest["why"]) == ("quiet", "alice", "a scan")
    assert newest["digest"] == oldest["digest"] != middle["digest"]
    assert site.call("diff", policy="edge", revision=first + 1)["summary"] == [
        "api: list guests: prefixes: 1 added (192.0.2.0/24), prefixes: 1 removed (198.51.100.0/24)"
    ]
    assert site.call("diff", policy="edge", revision=first, to=first + 2)["summary"] == []
    with pytest.raises(Missing, match="there is no revision 4711"):
        site.call("revert", policy="edge", revision=4711)


def test_ten_revisions_are_kept_and_a_revert_leaves_the_inventorys_document(site):
    for number in range(KEPT):
        site.put(api(f"10.{number}.0.0/16"))
    kept = site.call("history", policy="edge")["revisions"]
    assert len(kept) == KEPT
    site.declare({**INVENTORY, "default": "drop"})
    eventually(lambda: site.call("history", policy="edge")["revisions"][0]["owner"] != "api", 10)
    site.call("revert", policy="edge", revision=kept[1]["revision"])
    assert site.fate("10.8.0.1") == ("drop", "list_drop")
    assert site.fate(OTHER) == ("drop", "default"), "the inventory's document went with it"


def test_a_change_that_had_no_request_has_its_place_in_the_history(site):
    line = 'inventory: trusted: 1 added ({"prefix": "192.0.2.128/25"})'

    def noted():
        return [one for one in site.call("history", policy="edge")["revisions"] if line in one["summary"]]

    assert noted() == []
    site.declare({**INVENTORY, "trusted": [{"prefix": "192.0.2.128/25"}]})
    eventually(noted, 10)
    [made] = noted()
    assert (made["state"], made["by"], made["owner"]) == ("current", "", "")


def test_each_answer_is_as_its_schema_says(site):
    site.put(api("192.0.2.0/24"))
    site.fate(GUEST)
    site.call("ban", address=OTHER, seconds=60)
    for op in ("status", "slots", "counters", "bans"):
        site.call(op)
    for op in ("get", "history"):
        site.call(op, policy="edge")
    [counted] = [one for one in site.call("counters")["interfaces"][NIC] if one["part"] == "list:guests"]
    assert counted["packets"] == 30
    assert counted["last"]
    assert {"slot", "part", "id"} == set(site.call("slots")["interfaces"][NIC][0])
    site.call("unban", address=OTHER)


def test_long_lists_are_shown_short_and_the_owners_document_whole(site):
    document = api(*(f"10.{n >> 8}.{n & 255}.0/24" for n in range(3000)))
    site.put(document)
    found = site.call("get", policy="edge")
    [shown] = [one for one in found["document"]["lists"] if one["name"] == "guests"]
    assert (shown["entries"], len(shown["prefixes"])) == (3000, 1000)
    assert found["own"] == document


def as_user(site, number: int, op: str, **options):
    """Have an operation carried out as another user."""
    code = (
        "import json, socket, sys\n"
        "one = socket.socket(socket.AF_UNIX)\n"
        "one.connect('/run/tripod-policy/policy.sock')\n"
        "one.sendall(sys.argv[1].encode() + b'\\n')\n"
        "print(one.makefile().readline())\n"
    )
    user = ["setpriv", "--reuid", str(number), "--regid", str(number), "--clear-groups", "--"]
    words = [*site.within, *user, "/usr/bin/python3", "-c", code, json.dumps({"op": op, **options})]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_service_may_what_is_the_apis_and_others_may_nothing(site):
    done = as_user(site, SERVICE, "put", policy="edge", document=api("192.0.2.0/24"))
    assert json.loads(done.stdout)["ok"], done
    assert site.call("history", policy="edge")["revisions"][0]["by"] == f"user {SERVICE}"
    refused = as_user(site, SERVICE, "put", policy="edge", document={}, owner="inventory")
    assert json.loads(refused.stdout)["error"]["kind"] == "invalid"
    refused = as_user(site, SERVICE, "restore", policy="edge", revision=1)
    assert json.loads(refused.stdout)["error"]["kind"] == "forbidden"
    stranger = as_user(site, SERVICE + 1, "status")
    assert "PermissionError" in stranger.stderr


def test_policies_and_bans_are_looked_at_and_changed_by_the_command(site, tmp_path):
    file = tmp_path / "api.json"
    file.write_text(json.dumps(api("192.0.2.0/24")))
    assert site.tripod_host("policy", "put", str(file), "--why", "a scan").returncode == 0
    shown = site.tripod_host("policy", "show").stdout
    assert "list  guests  api        enforce  action=drop entries=1" in shown
    assert json.loads(site.tripod_host("policy", "show", "--json").stdout)["own"] == api("192.0.2.0/24")
    assert "a scan" in site.tripod_host("policy", "history").stdout
    banned = site.tripod_host("policy", "ban", OTHER, "--for", "10m", "--why", "noise")
    assert banned.stdout.startswith(f"{OTHER} is banned until ")
    assert site.fate(OTHER) == ("drop", "ban")
    [ban] = json.loads(site.tripod_host("policy", "bans", "--json").stdout)["bans"]
    assert (ban["address"], ban["comment"], ban["packets"], ban["by"]) == (OTHER, "noise", 30, "root")
    assert site.tripod_host("policy", "unban", OTHER).returncode == 0
    top = json.loads(site.tripod_host("policy", "top", "--count", "1", "--interval", "100ms", "--json").stdout)
    assert {one["part"] for one in top["parts"]} == {"list:bogons", "list:guests"}
    reverted = site.tripod_host("policy", "revert")
    assert "list guests: removed" in reverted.stdout
    refused = site.tripod_host("policy", "ban", "192.0.2.0/24")
    assert refused.returncode == 1
    assert "more than a single address: put it into a list of the policy" in refused.stderr


def test_the_agent_goes_on_where_it_was_killed(site):
    site.put(api("192.0.2.0/24"))
    site.call("ban", address=OTHER, seconds=600)
    site.kill("policy")
    assert site.fate(GUEST) == ("drop", "list_drop")
    assert site.fate(OTHER) == ("drop", "ban")
    site.start("policy")
    assert site.call("get", policy="edge")["own"] == api("192.0.2.0/24")
    assert [one["address"] for one in site.call("bans")["bans"]] == [OTHER]
    site.call("unban", address=OTHER)


def test_a_packet_is_tried_step_by_step_and_leaves_no_trace(site):
    document = {
        "lists": [{"name": "scanners", "mode": "observe", "prefixes": ["192.0.2.0/24"]}],
        "limits": [{"name": "slow", "packets": "1000/s", "burst": 1000}],
        "rules": [{"id": "no-snmp", "protocol": "udp", "destination_port": 161, "limit": "slow"}],
        "services": [{"name": "web", "protocol": "tcp", "port": 443, "action": "drop"}],
    }
    site.put(document)
    counted = site.call("counters")
    words = ("--source", GUEST, "--protocol", "udp", "--destination-port", "161")
    tried = site.tripod_host("policy", "test", *words)
    assert tried.stdout.splitlines() == [
        "pass, no_rule",
        "  observed list: scanners",
        "  rule: no-snmp",
        "  limit: slow, conformed",
        "  observed: would drop, list_drop",
    ]
    path = json.loads(site.tripod_host("policy", "test", "--source", BLOCKED, "--json").stdout)
    assert (path["interface"], path["policy"], path["verdict"], path["list"]) == (NIC, "edge", "drop", "bogons")
    served = site.tripod_host("policy", "test", "--source", OTHER, "--protocol", "tcp", "--destination-port", "443")
    assert served.stdout.splitlines() == ["drop, service_drop", "  service: web"]
    assert site.call("counters") == counted
    refused = site.tripod_host("policy", "test", "--source", "nobody")
    assert (refused.returncode, "is not an IPv4 or IPv6 address" in refused.stderr) == (1, True)


def test_what_was_dropped_of_late_is_told_to_who_asks(site):
    site.start("export")
    try:
        eventually(lambda: site.fate(BLOCKED) and site.call("samples")["samples"], 15)
    finally:
        site.kill("export")
    found = site.call("samples", limit=2, interface=NIC, reason="list_drop", part="list:bogons")["samples"]
    assert [one["source"] for one in found] == [BLOCKED] * 2
    assert found[0]["time"] >= found[1]["time"]
    assert {(one["verdict"], one["reason"], one["part"], one["would"]) for one in found} == {
        ("drop", "list_drop", "list:bogons", None)
    }
    for other in ({"interface": "lo"}, {"reason": "rule_drop"}, {"part": "list:guests"}):
        assert site.call("samples", **other)["samples"] == [], other


def test_what_the_host_is_made_of_is_told_with_the_rights_of_the_service(site):
    found = site.call("topology")
    assert found["name"]
    topology = found["topology"]
    assert {one["name"] for one in topology["nics"]} == {NIC, PEER}
    assert topology["nodes"][0]["cpus"]
    [nic] = [one for one in topology["nics"] if one["name"] == NIC]
    assert nic["xdp"]["programs"]["generic"]["id"] == site.program()


def test_a_draft_says_which_of_the_last_packets_would_be_judged_otherwise(site):
    site.start("export")
    try:
        eventually(lambda: site.fate(BLOCKED) and site.put(api(BLOCKED, action="pass"), dry_run=True)["flips"], 15)
        [flip] = site.put(api(BLOCKED, action="pass"), dry_run=True)["flips"]
    finally:
        site.kill("export")
    assert flip["frame"].startswith(f"{NIC} {BLOCKED}:4000 > ")
    assert (flip["before"], flip["after"]) == ("drop list_drop list:bogons", "pass list_pass list:guests")
    assert site.put(api("10.0.0.0/8"), dry_run=True)["flips"] == []


def test_the_rights_of_the_unit_are_all_that_it_takes(site):
    status = site.run("cat", f"/proc/{site.run('cat', '/run/tripod-policy/policy.pid').split()[0]}/status")
    [bounding] = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd")]
    given = [name.removeprefix("+") for name in rights()[2].split(",")[1:]]
    assert bounding == sum(1 << CAPABILITIES[name] for name in given)
    # One that outgrows the program takes the most: another program is loaded and attached.
    before = site.program()
    site.put(api(*(f"{11 + (n >> 16)}.{n >> 8 & 255}.{n & 255}.0/25" for n in range(60_000))))
    assert site.program() != before
    assert site.fate("11.0.1.1") == ("drop", "list_drop")


# Of every file that modules and the agent leave below /etc/tripod and /var/lib/tripod; decision 69 has the reasons.
MODES = {
    r"/etc/tripod/host.d/(policy|xdp_policy)-.*": 0o600,
    r"/etc/tripod/host.d/xdp-.*": 0o644,
    r"/var/lib/tripod/policy/.*": 0o600,
    r"/var/lib/tripod/lists/.*": 0o600,
    r"/var/lib/tripod/bans.journal": 0o600,
    r"/var/lib/tripod/guard/.*": 0o600,
}


def test_what_holds_a_policy_is_roots_alone(site):
    site.run("sh", "-c", "echo 198.51.100.7/32 > /run/fed.txt")
    site.declare({"lists": [{"name": "fed", "file": "/run/fed.txt"}]})
    site.put(api("192.0.2.0/24"))
    site.call("ban", address=OTHER, seconds=60)
    site.call("unban", address=OTHER)
    place = "/var/lib/tripod/policy/edge/revisions.json"
    site.run("chmod", "0644", "/etc/tripod/host.d/policy-edge-api.json", place)  # as an earlier agent wrote them
    site.kill("policy")
    site.start("policy")

    def modes() -> dict[str, int]:
        found = site.run("find", "/etc/tripod", "/var/lib/tripod", "-type", "f", "-printf", "%m %p\n").splitlines()
        return {path: int(mode, 8) for mode, path in (line.split(" ", 1) for line in found)}

    def expected(path: str) -> int | None:
        return next((mode for pattern, mode in MODES.items() if re.fullmatch(pattern, path)), None)

    eventually(lambda: modes()[place] == 0o600, 10)
    assert modes() == {path: expected(path) for path in modes()}
    for pattern in ("host.d/policy-", "host.d/xdp_policy-", "/lists/", "bans.journal", "policy/edge/"):
        assert any(pattern in path for path in modes()), pattern


def test_the_way_to_the_socket_for_people(site):
    assert site.run("readlink", "/run/tripod/policy.sock").strip() == "/run/tripod-policy/policy.sock"
    modes = site.run("stat", "-c", "%a %u %g", "/run/tripod-policy", "/run/tripod-policy/policy.sock").splitlines()
    assert modes == [f"750 0 {SERVICE}", f"660 0 {SERVICE}"]
    assert site.run("stat", "-c", "%a", "/run/tripod-policy/policy.pid").strip() == "600"
