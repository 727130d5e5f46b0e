"""Changes of a policy that are taken back unless they are confirmed, with the real agent and real packets."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_errors import Conflict, Missing
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Refused

from tests.integration.policy_site import GUEST, INVENTORY, NIC, OTHER, PolicySite, api
from tests.support.machine import eventually
from tests.support.modules import run_module

SECONDS = 5  # the shortest in which a change can be confirmed
PATIENCE = 15.0  # seconds that it may take beyond that on a busy machine
ANSIBLE = {"peer": "192.0.2.1", "peer_port": 40001, "address": "192.0.2.2", "port": 22}
AGAIN = {**ANSIBLE, "peer_port": 40002}


@pytest.fixture(scope="module")
def machine(tmp_path_factory, xdp_object):
    with closing(PolicySite(tmp_path_factory.mktemp("policy"), xdp_object)) as made:
        made.attach()
        made.start("watch", "policy")
        made.declare()
        eventually(lambda: made.call("history", policy="edge")["revisions"], 10)
        yield made


@pytest.fixture
def site(machine):
    """The machine with the whole agent, and the inventory's document alone."""
    yield machine
    machine.start(*{"watch", "policy"} - machine.processes.keys())
    if machine.call("status")["policies"][0]["pending"]:
        machine.call("revert", policy="edge")
    machine.put({})
    if machine.file("policy-edge-inventory")["document"] != INVENTORY:
        machine.declare(guard="never")


def in_force(site, *owners: str) -> bool:
    """Whether what these owners declare is all there is."""
    return {one.split("-")[2] for one in site.files() if one.startswith("policy-")} == {f"{one}.json" for one in owners}


def revision(site) -> int:
    """Return the number of the revision that is in force."""
    [number] = [
        one["revision"] for one in site.call("history", policy="edge")["revisions"] if one["state"] == "current"
    ]
    return number


def test_what_nobody_confirms_is_taken_back(site):
    before = revision(site)
    begun = time.monotonic()
    done = site.put(api("192.0.2.0/24"), confirm=SECONDS, by="alice")
    assert done["pending"]["revision"] == done["revision"]
    assert done["pending"]["by"] == "alice"
    assert site.fate(GUEST) == ("drop", "list_drop")
    assert site.call("history", policy="edge")["revisions"][0]["state"] == "pending"
    eventually(lambda: in_force(site, "inventory"), SECONDS + PATIENCE)
    assert time.monotonic() - begun > SECONDS - 1
    eventually(lambda: site.fate(GUEST) == ("pass", "no_rule"), PATIENCE)
    states = {one["revision"]: one["state"] for one in site.call("history", policy="edge")["revisions"]}
    assert (states[before], states[done["revision"]]) == ("current", "reverted")
    assert site.call("status")["policies"][0]["pending"] is None
    with pytest.raises(Missing, match="nothing of policy edge waits to be confirmed"):
        site.call("confirm", policy="edge")
    # The agent has put the report away, so that no playbook stumbles over it.
    eventually(lambda: "policy-" not in site.run("ls", "/var/lib/tripod/guard"), PATIENCE)
    assert "policy-edge-" in site.run("ls", "/var/lib/tripod/guard/archive")
    assert not site.module("change_guard", state="confirmed").failed


def test_what_is_confirmed_stays(site):
    done = site.put(api("192.0.2.0/24"), confirm=SECONDS)
    with pytest.raises(Conflict, match="revision 99 is not in force"):
        site.call("confirm", policy="edge", revision=99)
    assert site.call("confirm", policy="edge", revision=done["revision"]) == {"revision": done["revision"]}
    time.sleep(SECONDS + 2)
    assert site.fate(GUEST) == ("drop", "list_drop")
    assert site.call("history", policy="edge")["revisions"][0]["state"] == "current"


def test_a_restored_revision_that_nobody_confirms_is_taken_back_with_the_parts_of_all_owners(site):
    first = site.put(api("192.0.2.0/24"))["revision"]
    site.declare({"default": "drop"}, guard="never")
    site.put({})
    assert (site.fate(GUEST), site.fate(OTHER)) == (("drop", "default"), ("drop", "default"))
    said = site.tripod_host("policy", "restore", str(first), "--confirm", str(3 * SECONDS))
    assert "the next run of the playbook brings the inventory's part of policy edge back" in said.stdout
    assert "confirm it from a new connection before" in said.stdout
    assert (site.fate(GUEST), site.fate(OTHER)) == (("drop", "list_drop"), ("pass", "no_rule"))
    # What a playbook applied meanwhile would be taken back with it.
    stopped = run_module("xdp_policy", site.requested({"default": "drop"}), within=site.within)
    assert stopped.failed
    assert "a change of all owners by" in stopped.output
    assert "waits to be confirmed, and would take this change back with it" in stopped.output
    eventually(lambda: in_force(site, "inventory"), 3 * SECONDS + PATIENCE)
    eventually(lambda: site.fate(OTHER) == ("drop", "default"), PATIENCE)
    assert site.file("policy-edge-inventory")["document"] == {"default": "drop"}
    site.call("restore", policy="edge", revision=first, confirm=SECONDS)
    site.call("confirm", policy="edge")
    assert site.file("policy-edge-inventory")["document"] == INVENTORY
    # The playbook's next run finds another document than its own.
    assert site.declare({"default": "drop"}, guard="never").changed
    assert (site.fate(GUEST), site.fate(OTHER)) == (("drop", "list_drop"), ("drop", "default"))


def test_a_policy_that_its_nic_left_is_back_with_all_owners_parts_where_nobody_confirms(site):
    site.put(api("192.0.2.0/24"))
    site.declare({"default": "drop"}, name="core", guard="always", guard_timeout=SECONDS)
    # The policy that it left stays until the agent sweeps it out.
    assert "policy-core-inventory.json" in site.files()
    assert site.fate(OTHER) == ("drop", "default")
    eventually(lambda: in_force(site, "inventory", "api"), SECONDS + PATIENCE)
    eventually(lambda: (site.fate(GUEST), site.fate(OTHER)) == (("drop", "list_drop"), ("pass", "no_rule")), PATIENCE)
    assert site.call("status")["policies"][0]["interfaces"] == [NIC]
    assert "reverted" in site.module("change_guard", state="reported").output


def test_the_connection_that_a_change_came_by_does_not_confirm_it(site):
    site.put(api("192.0.2.0/24"), confirm=30, connection=ANSIBLE)
    with pytest.raises(Refused, match=r"the very connection that armed it \(from 192\.0\.2\.1 port 40001\)"):
        site.call("confirm", policy="edge", connection=ANSIBLE)
    site.call("confirm", policy="edge", connection=AGAIN)


def test_one_change_waits_at_a_time_and_is_taken_back_on_request(site):
    first = revision(site)
    site.put(api("192.0.2.0/24"), confirm=60)
    with pytest.raises(Conflict, match=r"waits to be confirmed, \d+ s are left: confirm or revert it first"):
        site.put(api("198.51.100.0/24"))
    done = site.call("revert", policy="edge")
    assert (done["changed"], done["revision"], done["pending"]) == (True, first, None)
    assert done["summary"] == ["api: list guests: removed"]
    assert site.fate(GUEST) == ("pass", "no_rule")
    site.put(api("198.51.100.0/24"))
    assert site.fate(OTHER) == ("drop", "list_drop")


def test_what_is_being_taken_back_waits_for_nobody(site):
    """The former files are there for a moment before that is noted: neither they nor the change wait for an answer."""
    before = revision(site)
    site.put(api("192.0.2.0/24"), confirm=60)

    def note(state: str) -> None:
        site.run(
            "sh", "-c", f'sed -Ei \'s/"state": "[a-z]+"/"state": "{state}"/\' /var/lib/tripod/guard/policy-edge-*.json'
        )

    note("reverting")
    assert site.call("status")["policies"][0]["pending"] is None
    assert revision(site) > before
    with pytest.raises(Refused, match="is being reverted"):
        site.call("confirm", policy="edge", connection=AGAIN)
    with pytest.raises(Conflict, match="a change of policy edge is being taken back: ask again in a moment"):
        site.put(api("198.51.100.0/24"))
    note("armed")
    assert site.call("status")["policies"][0]["pending"]["revision"] > before
    site.call("revert", policy="edge")
    assert revision(site) == before


def test_it_is_taken_back_though_the_process_that_made_it_was_killed(site):
    site.put(api("192.0.2.0/24"), confirm=SECONDS)
    site.kill("policy")
    assert site.fate(GUEST) == ("drop", "list_drop")
    eventually(lambda: in_force(site, "inventory"), SECONDS + PATIENCE)
    eventually(lambda: site.fate(GUEST) == ("pass", "no_rule"), PATIENCE)
    site.start("policy")
    assert site.call("history", policy="edge")["revisions"][0]["state"] == "reverted"


def test_it_is_taken_back_though_the_whole_agent_was_killed(site):
    site.put(api("192.0.2.0/24"), confirm=SECONDS)
    site.kill("policy", "watch")
    time.sleep(SECONDS + 1)
    assert site.fate(GUEST) == ("drop", "list_drop"), "nobody is there to take it back"
    site.start("watch")
    eventually(lambda: site.fate(GUEST) == ("pass", "no_rule"), PATIENCE)


def test_it_is_taken_back_though_the_host_was_started_anew(site):
    site.put(api("192.0.2.0/24"))
    site.put(api("198.51.100.0/24"), confirm=600)
    assert site.fate(OTHER) == ("drop", "list_drop")
    site.forget_boot()
    assert site.tripod_host("apply").returncode == 0
    assert site.file("policy-edge-api")["document"] == api("192.0.2.0/24")
    assert site.fate(OTHER) == ("pass", "no_rule")
    assert site.fate(GUEST) == ("drop", "list_drop")
    site.start("policy")
    assert [one["state"] for one in site.call("history", policy="edge")["revisions"][:2]] == ["reverted", "current"]


def test_what_a_playbook_applied_meanwhile_stays(site):
    site.put(api("192.0.2.0/24"), confirm=12)
    site.declare({**INVENTORY, "default": "drop"}, guard="never")
    assert site.fate(OTHER) == ("drop", "default")
    eventually(lambda: in_force(site, "inventory"), 12 + PATIENCE)
    eventually(lambda: site.fate(GUEST) == ("drop", "default"), PATIENCE)
    assert site.file("policy-edge-inventory")["document"]["default"] == "drop"


def test_a_nic_that_went_to_another_policy_meanwhile_stays_there(site):
    site.put(api("192.0.2.0/24"), confirm=600)
    site.declare({"default": "drop"}, name="spare", guard="never")
    assert site.fate(OTHER) == ("drop", "default")
    site.run_out()
    eventually(lambda: in_force(site, "inventory"), PATIENCE)
    # Once the report is put away all is done.
    eventually(lambda: "policy-" not in site.run("ls", "/var/lib/tripod/guard"), PATIENCE)
    assert site.file(f"xdp_policy-{NIC}")["policy"] == "spare"
    assert site.fate(OTHER) == ("drop", "default")
    site.declare(guard="never")
    assert (site.fate(GUEST), site.fate(OTHER)) == (("pass", "no_rule"), ("pass", "no_rule"))


@pytest.fixture
def second(site):
    """Another NIC with the program, and of no policy."""
    site.cable("xdp1", "peer1")
    site.attach("xdp1")
    yield "xdp1"
    site.declare(guard="never")
    site.attach("xdp1", state="detached")
    site.run("ip", "link", "delete", "xdp1")


def test_a_nic_that_came_to_the_policy_meanwhile_goes_back_with_it(site, second):
    site.put(api("192.0.2.0/24"), confirm=600)
    site.declare(interfaces=[NIC, second], guard="never")
    assert (site.fate(GUEST), site.fate(GUEST, second, "peer1")) == (("drop", "list_drop"),) * 2
    site.run_out()
    eventually(lambda: in_force(site, "inventory"), PATIENCE)
    eventually(lambda: "policy-" not in site.run("ls", "/var/lib/tripod/guard"), PATIENCE)
    assert (site.fate(GUEST), site.fate(GUEST, second, "peer1")) == (("pass", "no_rule"),) * 2
    assert site.file(f"xdp_policy-{second}")["policy"] == "edge"


def test_a_run_that_begins_leaves_a_change_of_the_api_alone(site):
    site.put(api("192.0.2.0/24"), confirm=60)
    assert site.module("change_guard", state="reported").result["guards"] == []
    assert not site.module("change_guard", state="confirmed").failed
    assert site.call("status")["policies"][0]["pending"]
    assert site.fate(GUEST) == ("drop", "list_drop")


def test_without_a_watch_nothing_that_must_be_confirmed_is_changed(site):
    site.kill("watch")
    before = site.call("history", policy="edge")
    with pytest.raises(Refused, match="no tripod-host watches this host, so nobody could revert it"):
        site.put(api("192.0.2.0/24"), confirm=SECONDS)
    assert site.call("history", policy="edge") == before
    assert site.fate(GUEST) == ("pass", "no_rule")
    site.put(api("192.0.2.0/24"))
    assert site.fate(GUEST) == ("drop", "list_drop")
