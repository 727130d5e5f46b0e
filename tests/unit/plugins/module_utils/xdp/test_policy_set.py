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
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_documents, policy_set
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_set import DesiredPolicy, PolicySet

DIRECTORY = "/etc/tripod/host.d"
PATH = f"{DIRECTORY}/policy-edge-inventory.json"
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


def test_a_damaged_document_is_written_anew_by_its_owner_and_stops_all_others(host):
    host.write_atomically(PATH, "{")
    with pytest.raises(Impossible, match=r"policy-edge-inventory\.json cannot be understood"):
        run(host, LISTS, owner="api")
    assert run(host, LISTS).changed
    assert policy_documents.load(host, "edge", "inventory") == LISTS


def test_options_name_the_digests_of_files_and_leave_out_what_is_not_given(tmp_path):
    path = tmp_path / "bogons"
    path.write_bytes(b"10.0.0.0/8\n")
    options = {"name": "edge", "interfaces": [], "state": "present", "pin_root": "/pins", "state_dir": DIRECTORY}
    policy = {"lists": [{"name": "bogons", "file": str(path)}], "rules": None}
    desired = policy_set.from_options({**options, "policy": policy})
    [sha256] = desired.texts
    assert desired.document == {"lists": [{"name": "bogons", "file": str(path), "sha256": sha256}]}
    assert desired.texts[sha256] == b"10.0.0.0/8\n"
    assert policy_set.from_options({**options, "state": "absent", "policy": policy}).document == {}
    with pytest.raises(Invalid, match=r"lists\[0\]\.file: /nosuch cannot be read"):
        policy_set.from_options({**options, "policy": {"lists": [{"name": "bogons", "file": "/nosuch"}]}})
