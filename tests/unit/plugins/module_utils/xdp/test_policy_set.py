"""One owner's document of a policy: read, planned and saved; the kernel's side is in the integration tests."""

from __future__ import annotations

import json

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Impossible,
    Invalid,
    Refused,
    converge,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import (
    policy_assignment,
    policy_documents,
    policy_options,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_assignment import Assignment
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_set import DesiredPolicy, PolicySet
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_tests import read_tests
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_trial import NEVER

DIRECTORY = "/etc/tripod/host.d"
PATH = f"{DIRECTORY}/policy-edge-inventory.json"
OPTIONS = {"name": "edge", "interfaces": [], "state": "present", "pin_root": "/pins", "state_dir": DIRECTORY}
LISTS = {"lists": [{"name": "a", "prefixes": ["10.0.0.0/8"]}]}


@pytest.fixture
def host(tmp_path) -> Host:
    return Host(tmp_path)


def run(host: Host, document, check: bool = False, **options):
    desired = DesiredPolicy("edge", [], document, **options)
    return converge(PolicySet(desired), desired, host, check)


def test_a_document_is_saved_once_and_removed_when_it_is_empty(host):
    assert run(host, LISTS, check=True).changed
    assert host.read(PATH) is None
    assert run(host, LISTS).changed
    assert policy_documents.load(host, "edge", "inventory") == LISTS
    assert not run(host, LISTS).changed
    [change] = run(host, {}).changes
    assert (change.path, change.after) == (("state file", "policy-edge-inventory"), None)
    assert host.read(PATH) is None


def test_what_a_duration_was_made_of_is_kept_beside_the_document(host):
    ending = {"lists": [{**LISTS["lists"][0], "expires": "1h"}]}
    run(host, ending)
    held = json.loads(host.read(PATH))
    assert held["durations"] == {"a": ["1h", held["document"]["lists"][0]["expires"]]}
    assert not run(host, ending).changed
    assert run(host, {"lists": [{**LISTS["lists"][0], "expires": "2h"}]}).changed
    assert run(host, LISTS).changed
    assert "durations" not in json.loads(host.read(PATH))


@pytest.mark.parametrize(
    "document",
    [
        {"lists": "bogons"},
        {"lists": ["bogons"]},
        {"lists": [{"prefixes": ["10.0.0.0/8"]}]},
        {"lists": [{"name": 5, "prefixes": "10.0.0.0/8"}]},
        {"rules": [["drop"]]},
        {"rules": [{"action": "drop"}]},
        {"services": {"name": "web"}},
        {"limits": 5},
        {"trusted": "all"},
        {"default": ["drop"]},
        {"nonsense": 1},
    ],
)
def test_a_document_of_another_shape_is_refused_in_words(host, document):
    with pytest.raises((Invalid, Refused)) as raised:
        run(host, document)
    assert raised.value.facts["reasons"]
    assert host.read(PATH) is None


def test_an_unknown_key_hides_no_other_fault(host):
    document = {"foo": 1, "lists": [{"name": "a", "prefixes": ["10.0.0.1/8"]}], "default": "allow"}
    with pytest.raises(Invalid) as raised:
        run(host, document)
    told = "\n".join(raised.value.facts["reasons"])
    for words in ("'foo'", "lists[0] (a).prefixes[0]", "'allow' is none of pass, drop"):
        assert words in told


def test_what_owners_may_not_have_together_is_refused_as_that(host):
    run(host, LISTS, owner="api")
    with pytest.raises(Refused, match="list a of owner api has the name of one of owner inventory"):
        run(host, LISTS)


def test_a_damaged_document_is_written_anew_by_its_owner_and_stops_all_others(host):
    host.write_atomically(PATH, "{")
    with pytest.raises(Impossible, match=r"policy-edge-inventory\.json cannot be understood"):
        run(host, LISTS, owner="api")
    assert run(host, LISTS).changed
    assert policy_documents.load(host, "edge", "inventory") == LISTS


SHORT = {"policy": None, "entries": None, "src": None, "name": None}


def test_the_short_form_is_what_xdp_map_made_of_the_same_entries(host, tmp_path):
    file = tmp_path / "acl"
    file.write_text("2001:db8::/32\n10.0.0.1 pass # ours\n")
    entries = [{"prefix": "10.0.0.0/8", "action": "drop"}, {"prefix": "192.0.2.7", "action": "pass"}]
    desired = policy_options.from_options(
        {**OPTIONS, **SHORT, "interfaces": ["ens1"], "entries": entries, "src": str(file)}
    )
    assert desired.name == "nic-ens1"
    assert desired.document == {
        "lists": [
            {"name": "acl", "action": "drop", "prefixes": ["10.0.0.0/8", "2001:db8::/32"]},
            {"name": "acl-pass", "action": "pass", "prefixes": ["10.0.0.1/32", "192.0.2.7/32"]},
        ]
    }
    empty = policy_options.from_options({**OPTIONS, **SHORT, "interfaces": ["ens1"], "entries": []})
    assert (empty.name, empty.document) == ("nic-ens1", {})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"entries": [{"prefix": "10.0.0.1/8", "action": "drop"}], "interfaces": ["ens1"]}, r"entries\[0\]"),
        ({"src": "/nosuch", "interfaces": ["ens1"]}, "src: /nosuch cannot be read"),
        ({"entries": [], "interfaces": ["ens1", "ens2"]}, "name: which policy is it.*give one for ens1, ens2"),
        ({"policy": {}, "interfaces": ["ens1"]}, "name: which policy is it"),
    ],
)
def test_a_short_form_that_cannot_be_taken_is_refused(options, words):
    with pytest.raises(Invalid, match=words):
        policy_options.from_options({**OPTIONS, **SHORT, **options})


def test_options_name_the_digests_of_files_and_leave_out_what_is_not_given(tmp_path):
    path = tmp_path / "bogons"
    path.write_bytes(b"10.0.0.0/8\n")
    policy = {"lists": [{"name": "bogons", "file": str(path)}], "rules": None}
    desired = policy_options.from_options({**OPTIONS, "policy": policy})
    [sha256] = desired.texts
    assert desired.document == {"lists": [{"name": "bogons", "file": str(path), "sha256": sha256}]}
    assert desired.texts[sha256] == b"10.0.0.0/8\n"
    assert policy_options.from_options({**OPTIONS, "state": "absent", "policy": policy}).document == {}
    with pytest.raises(Invalid, match=r"lists\[0\]\.file: /nosuch cannot be read"):
        policy_options.from_options({**OPTIONS, "policy": {"lists": [{"name": "bogons", "file": "/nosuch"}]}})


@pytest.mark.parametrize(
    ("given", "document"),
    [
        ({"lists": [{"name": "a", "prefixes": None}]}, {"lists": [{"name": "a"}]}),
        ({"lists": [{"name": "a", "file": None, "expires": None}]}, {"lists": [{"name": "a"}]}),
        (
            {"lists": [{"name": "a", "prefixes": ["::1", {"prefix": "::2", "expires": None}]}]},
            {"lists": [{"name": "a", "prefixes": ["::1", {"prefix": "::2"}]}]},
        ),
        (
            {"rules": [{"id": "r", "action": "drop", "source": None, "destination": None, "limit": None}]},
            {"rules": [{"id": "r", "action": "drop"}]},
        ),
        (
            {"rules": [{"id": "r", "action": "drop", "tcp_flags": {"set": ["syn"], "clear": None}}]},
            {"rules": [{"id": "r", "action": "drop", "tcp_flags": {"set": ["syn"]}}]},
        ),
        (
            {"limits": [{"name": "l", "packets": "5/s", "burst": {"packets": 9, "bytes": None}, "every_packet": True}]},
            {"limits": [{"name": "l", "packets": "5/s", "burst": {"packets": 9}, "every_packet": True}]},
        ),
        (
            {"services": [{"name": "s", "port": None, "destination": None, "action": "pass"}]},
            {"services": [{"name": "s", "action": "pass"}]},
        ),
        (
            {"trusted": [{"prefix": "::1", "comment": None}, {"protocol": "tcp", "port": None}]},
            {"trusted": [{"prefix": "::1"}, {"protocol": "tcp"}]},
        ),
        ({"lists": None, "default": None, "services": []}, {"services": []}),
    ],
)
def test_what_is_empty_is_as_if_it_were_left_out(host, given, document):
    desired = policy_options.from_options({**OPTIONS, "policy": given})
    assert desired.document == document
    parse(given, now=0)
    converge(PolicySet(desired), desired, host, False)
    assert policy_documents.load(host, "edge", "inventory") == document


def test_an_entry_that_is_nothing_is_refused(host):
    desired = policy_options.from_options({**OPTIONS, "policy": {"lists": [{"name": "a", "prefixes": ["::1", None]}]}})
    with pytest.raises(Invalid, match=r"lists\[0\] \(a\)\.prefixes\[1\]"):
        parse(desired.document)


def test_saved_tests_that_cannot_be_understood_are_written_anew_by_the_playbook_and_stop_others(host):
    path = host.path(policy_documents.tests_path("edge", DIRECTORY))
    path.parent.mkdir(parents=True)
    some = read_tests([{"frame": {"source": "::1"}, "expect": {"verdict": "pass"}}])
    for tests, left in (([], False), (some, True)):
        path.write_text("{")
        with pytest.raises(Impossible, match=r"policy_tests-edge\.json cannot be understood"):
            run(host, {"rules": []}, owner="api")
        assert not any(change.path[1] == "policy_tests-edge" for change in run(host, {}, refuses=NEVER).changes)
        assert run(host, {}, tests=tests).changed
        assert path.exists() == left
        assert not run(host, {}, tests=tests).changed


def test_tests_go_with_the_last_interface_of_their_policy(host):
    run(host, LISTS, tests=read_tests([{"frame": {"source": "::1"}, "expect": {"verdict": "pass"}}]))
    path = policy_documents.tests_path("edge", DIRECTORY)
    for name in ("eth0", "eth1"):
        Assignment(name, "edge").store(host)
    assert path not in policy_assignment.files(host, "eth0", DIRECTORY)
    host.remove(Assignment("eth1").path)
    assert path in policy_assignment.files(host, "eth0", DIRECTORY)
