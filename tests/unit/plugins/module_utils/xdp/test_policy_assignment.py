"""The state file that says which policy judges an interface."""

from __future__ import annotations

import stat

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_assignment, policy_documents
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_assignment import Assignment

DIRECTORY = state_store.DIRECTORY
FULL = Assignment("ens1", "edge", "/pins", DIRECTORY, "0a" * 16, {"list:a": 3}, 1_900_000_000, "ff" * 32)


def test_there_and_back_and_nobody_else_reads_the_secret(tmp_path):
    host = Host(tmp_path)
    FULL.store(host)
    assert policy_assignment.load(host, "ens1", DIRECTORY) == FULL
    assert stat.S_IMODE(host.path(FULL.path).stat().st_mode) == 0o600


@pytest.mark.parametrize("text", [None, "{", '{"format": 1, "kind": "nic"}', '{"format": 1, "kind": "xdp_policy"}'])
def test_what_is_none_is_none(tmp_path, text):
    host = Host(tmp_path)
    if text:
        host.write_atomically(FULL.path, text)
    assert policy_assignment.load(host, "ens1", DIRECTORY) is None


def test_a_body_of_a_guard_says_no_more_than_which_policy():
    body = {"interface": "ens1", "policy": "edge", "pin_root": "/pins", "state_dir": DIRECTORY}
    assert Assignment.from_body(body) == Assignment("ens1", "edge", "/pins", DIRECTORY)


def test_the_documents_of_a_policy_go_with_the_last_interface_that_it_judges(tmp_path):
    host = Host(tmp_path)
    FULL.store(host)
    policy_documents.store(host, "edge", "inventory", {"default": "drop"})
    document = f"{DIRECTORY}/policy-edge-inventory.json"
    assert policy_assignment.files(host, "ens1", DIRECTORY) == [FULL.path, document]
    Assignment("ens2", "edge", "/pins").store(host)
    assert policy_assignment.files(host, "ens1", DIRECTORY) == [FULL.path]
    assert policy_assignment.files(host, "ens3", DIRECTORY) == []


def test_seeds_differ():
    seeds = {policy_assignment.new_seed() for _time in range(10)}
    assert len(seeds) == 10
    assert {len(bytes.fromhex(one)) for one in seeds} == {16}
