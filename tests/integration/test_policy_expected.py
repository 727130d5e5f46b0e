"""What the inventory expects of a policy holds for whoever changes it: the real agent, and twins of a NIC's program."""

from __future__ import annotations

import json
import struct
import sys
from contextlib import closing

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.frame import build

from tests.integration.policy_site import BLOCKED, GUEST, INVENTORY, NIC, OTHER, PolicySite, api
from tests.support.fresh import ansible_playbook
from tests.support.machine import eventually
from tests.support.modules import run_module
from tests.support.threads import in_threads

STATE = "policy_tests-edge.json"
GUESTS = {"name": "guests come in", "frame": {"source": GUEST}, "expect": {"verdict": "pass"}}


@pytest.fixture(scope="module")
def site(tmp_path_factory, xdp_object):
    with closing(PolicySite(tmp_path_factory.mktemp("policy"), xdp_object)) as made:
        made.attach()
        made.declare()
        made.start("policy", "export")
        yield made


def capture(*sources: str) -> bytes:
    """A capture, as tcpdump writes one, of a packet of each source."""
    records = [build({"source": one, "protocol": "tcp", "destination_port": 443}) for one in sources]
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, 1)
    return header + b"".join(struct.pack("<IIII", 0, 0, len(one), len(one)) + one for one in records)


def declared(site, policy, tests, check=False, **options):
    requested = {"name": "edge", "interfaces": [NIC], "policy": policy, "tests": tests, "pin_root": str(site.root)}
    return run_module("xdp_policy", {**requested, **options}, check=check, within=site.within)


def test_a_change_by_the_socket_that_breaks_a_test_of_the_inventory_is_refused(site):
    site.declare(tests=[GUESTS])
    assert STATE in site.files()
    assert not site.declare(tests=[GUESTS]).changed
    for dry_run in (True, False):
        with pytest.raises(Refused, match=r"tests\[0\] \(guests come in\): verdict is drop, pass is expected"):
            site.put(api("192.0.2.0/24"), dry_run=dry_run)
    assert site.fate(GUEST) == ("pass", "no_rule")
    with pytest.raises(Refused, match="guests come in"):
        site.put(api("192.0.2.0/24", name="fed"), owner="feed:drop.v4")
    assert site.put(api("198.51.100.0/24"))["changed"]
    site.call("ban", address=GUEST, seconds=60)
    assert site.fate(GUEST) == ("drop", "ban")
    site.call("unban", address=GUEST)


def test_the_way_back_is_open_and_says_what_it_fails_and_what_failed_before_holds_up_nobody(site):
    site.declare(tests=[])
    assert STATE not in site.files()
    broken = site.put(api("192.0.2.0/24"))["revision"]
    site.put(api("198.51.100.0/24"))
    site.declare(tests=[GUESTS])
    back = site.call("revert", policy="edge", revision=broken)
    assert site.fate(GUEST) == ("drop", "list_drop")
    [warning] = back["warnings"]
    assert "tests[0] (guests come in): verdict is drop, pass is expected" in warning
    # It is not this change that breaks it.
    more = site.put(api("192.0.2.0/24", "198.51.100.0/24"))
    assert (more["changed"], more["warnings"]) == (True, [warning])
    site.put({})
    site.declare(tests=[])


def test_a_capture_is_tried_frame_by_frame_and_held_to_though_its_file_is_gone(site, tmp_path):
    file = tmp_path / "some.pcap"
    file.write_bytes(capture(OTHER, BLOCKED, GUEST))
    test = {"name": "customers", "pcap": str(file), "expect": {"verdict": "pass"}}
    refused = declared(site, INVENTORY, [test])
    assert "tests[0] (customers), frame 2: verdict is drop, pass is expected" in refused.result["msg"]
    file.write_bytes(capture(OTHER, GUEST))
    assert not declared(site, INVENTORY, [test]).failed
    file.unlink()
    with pytest.raises(Refused, match=r"\(customers\), frame 2: verdict is drop"):
        site.put(api("192.0.2.0/24"))
    site.declare(tests=[])


def test_check_mode_says_which_verdicts_would_flip(site, tmp_path):
    expected = [{**GUESTS, "expect": {"trusted": False}}]
    narrower = {"lists": [{"name": "bogons", "action": "drop", "prefixes": ["192.0.2.0/24"]}], "default": "pass"}

    def flipped():
        site.fate(BLOCKED)
        return declared(site, narrower, expected, check=True)

    eventually(lambda: len(flipped().result["flips"]) > 1, 20)
    done = flipped()
    # How many of the packets were sampled depends on when the watch looked.
    of_test, *of_samples = done.result["flips"]
    [of_sample] = {tuple(one.items()): one for one in of_samples if f" {BLOCKED}:" in one["frame"]}.values()
    before, after = "pass no_rule", "drop list_drop list:bogons"
    assert of_test == {"frame": "tests[0] (guests come in)", "before": before, "after": after}
    assert of_sample["frame"].startswith(f"{NIC} {BLOCKED}:4000 > ")
    assert (of_sample["before"], of_sample["after"]) == (after, before)
    shown = [line.split(maxsplit=1) for line in done.output.splitlines() if '"tests[0] (guests come in)":' in line]
    assert [(sign, words.rstrip(",")) for sign, words in shown[:2]] == [
        ("-", f'"tests[0] (guests come in)": "{before}"'),
        ("+", f'"tests[0] (guests come in)": "{after}"'),
    ]
    refused = declared(site, narrower, [GUESTS], check=True)
    assert refused.failed
    assert of_test in refused.result["flips"]
    assert site.fate(GUEST) == ("pass", "no_rule")
    # A list that is still to be shipped is read where it is meanwhile.
    (tmp_path / "staged.txt").write_text("192.0.2.0/24\n")
    by_file = {"lists": [{"name": "bogons", "action": "drop", "file": "/nosuch/bogons"}], "default": "pass"}
    staged = {"/nosuch/bogons": str(tmp_path / "staged.txt")}
    assert of_test in declared(site, by_file, expected, check=True, staged=staged).result["flips"]


def test_all_that_is_wrong_with_tests_and_policy_is_said_at_once(site):
    wrong = [{**GUESTS, "expect": {"list": "nosuch"}}, {**GUESTS, "expect": {"verdict": "burn"}}]
    refused = declared(site, {**INVENTORY, "rules": [{"id": "r", "action": "burn"}]}, wrong)
    first, second, third = refused.result["reasons"]
    assert "the policy declares no list nosuch; its lists are bogons" in first
    assert "verdict is never burn" in second
    assert third.startswith("rules[0] (r).action")


def role(site, folder, **given):
    """Return how the role is run with some variables, and words of the command line; it returns what was said."""
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "ansible_python_interpreter": sys.executable,
            "tripod_pin_root": str(site.root),
            "tripod_go_uid": 0,
            "xdp_packages": [],
            "xdp_guard": "never",
            "xdp_object": str(site.source),
            **given,
        },
        "roles": ["tripod.baremetal.xdp"],
    }
    (folder / "play.yml").write_text(json.dumps([play]))

    def run(*words):
        done = ansible_playbook(site, ["play.yml", "-i", "localhost,", *words], folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.full
def test_the_role_foretells_what_files_change_that_are_still_to_be_shipped(site, tmp_path):
    run = role(
        site,
        tmp_path,
        xdp_interfaces=[{"name": NIC, "mode": "generic", "policy": "edge"}],
        xdp_policies={
            "edge": {**INVENTORY, "lists": [{"name": "bogons", "action": "drop", "file": "bogons.txt"}]},
        },
        xdp_policy_tests=[{"policy": "edge", "pcap": "some.pcap", "expect": {"trusted": False}}],
    )
    (tmp_path / "some.pcap").write_bytes(capture(BLOCKED))
    (tmp_path / "bogons.txt").write_text("203.0.113.0/24\n")
    run()
    files, inner = site.files(), site.run("ls", "/etc/tripod/lists", "/run")
    (tmp_path / "bogons.txt").write_text("192.0.2.0/24\n")
    (tmp_path / "some.pcap").write_bytes(capture(GUEST, OTHER))
    said = run("--check")
    assert '"after": "drop list_drop list:bogons"' in said
    assert '"frame": "tests[0], frame 1"' in said
    assert "tests[0], frame 2" not in said
    assert (site.files(), site.run("ls", "/etc/tripod/lists", "/run")) == (files, inner)
    assert site.fate(GUEST) == ("pass", "no_rule")
    run()
    assert site.fate(GUEST) == ("drop", "list_drop")


@pytest.mark.full
def test_the_role_foretells_which_verdicts_entries_of_the_short_form_flip(site, tmp_path):
    run = role(
        site,
        tmp_path,
        xdp_interfaces=[{"name": NIC, "mode": "generic"}],
        xdp_acl=[{"prefix": "198.51.100.0/24", "action": "drop"}],
        xdp_acl_file="acl.txt",
    )
    (tmp_path / "acl.txt").write_text("203.0.113.0/24 drop\n")
    run()
    files = site.files()
    assert f"policy-nic-{NIC}-inventory.json" in files
    assert site.fate(BLOCKED) == ("drop", "list_drop")
    assert '"frame":' not in run("--check")
    (tmp_path / "acl.txt").write_text("192.0.2.0/24 drop\n")

    def come(over):
        while not over.wait(1):
            site.fate(BLOCKED)

    # It looks at the packets of the last minute.
    with in_threads(come):
        said = run("--check")
    assert f'"frame": "{NIC} {BLOCKED}:4000 > ' in said
    assert '"before": "drop list_drop list:acl"' in said
    assert '"after": "pass no_rule"' in said
    assert site.files() == files
    assert (site.fate(GUEST), site.fate(OTHER)) == (("pass", "no_rule"), ("drop", "list_drop"))
