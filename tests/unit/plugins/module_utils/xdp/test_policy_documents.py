"""Owners' documents on disk."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_documents as documents

BOGONS = {"lists": [{"name": "bogons", "action": "drop", "prefixes": ["10.0.0.0/8"]}]}
GUESTS = {"lists": [{"name": "guests", "action": "pass", "prefixes": ["198.51.100.0/24"]}]}


@pytest.fixture
def host(machine):
    return machine()


def place(host, interface, policy):
    body = {"interface": interface, "policy": policy}
    state_store.store(host, state_store.StateFile(f"xdp_policy-{interface}", documents.INTERFACE_KIND, body))


def test_each_owner_of_each_policy_has_a_file_of_its_own(host):
    for policy, owner, document in [
        ("edge", "inventory", BOGONS),
        ("edge", "api", GUESTS),
        ("edge", "feed:drop.v4-x", BOGONS),
        ("edge-api", "inventory", GUESTS),
        ("edge", "feed:x-api", GUESTS),
    ]:
        documents.store(host, policy, owner, document)
    assert set(documents.load_all(host, "edge")) == {"inventory", "api", "feed:drop.v4-x", "feed:x-api"}
    assert documents.load_all(host, "edge-api") == {"inventory": GUESTS}
    assert documents.load(host, "edge", "api") == GUESTS
    assert documents.names(host) == ["edge", "edge-api"]


def test_an_owner_who_requests_nothing_leaves_no_file(host):
    documents.store(host, "edge", "api", GUESTS)
    documents.store(host, "edge", "api", {})
    assert documents.load_all(host, "edge") == {}
    assert documents.load(host, "edge", "api") == {}
    assert host.list(state_store.DIRECTORY) == []


def test_the_interfaces_of_a_policy(host):
    for interface, policy in [("ens1", "edge"), ("ens2", "core"), ("ens3", "edge")]:
        place(host, interface, policy)
    assert [one["interface"] for one in documents.interfaces(host, "edge")] == ["ens1", "ens3"]
    assert documents.names(host) == ["core", "edge"]


@pytest.mark.parametrize(
    "text", ["", "{", '{"format": 1, "kind": "nic"}', '{"format": 1, "kind": "policy", "document": []}', "[]"]
)
def test_a_damaged_document_is_never_taken_for_none(host, text):
    documents.store(host, "edge", "api", GUESTS)
    host.write_atomically(documents.path("edge", "inventory"), text)
    with pytest.raises(Impossible, match=r"policy-edge-inventory\.json cannot be understood"):
        documents.load_all(host, "edge")
    assert documents.load_all(host, "other") == {}


@pytest.mark.parametrize("policy", ["", "-a", "a/b", "a.b", "..", "a" * 33, "a b"])
def test_a_name_that_reaches_further_is_invalid(policy):
    with pytest.raises(Invalid, match="is no name of 1 to 32"):
        documents.path(policy, "api")
