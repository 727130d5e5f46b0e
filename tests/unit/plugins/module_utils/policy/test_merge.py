"""Owners' documents as one policy."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.merge import merge

INVENTORY = {
    "trusted": [{"prefix": "192.0.2.0/28"}],
    "lists": [{"name": "bogons", "action": "drop", "prefixes": ["10.0.0.0/8"]}],
    "limits": [{"name": "dns", "per": "service", "bytes": "200M/s"}],
    "services": [{"name": "web", "protocol": "tcp", "port": 443}],
    "default": "drop",
}
API = {
    "lists": [{"name": "guests", "action": "pass", "prefixes": ["198.51.100.0/24"]}],
    "rules": [{"id": "r1", "source": ["guests", "2001:db8::/32"], "action": "drop"}],
    "services": [{"name": "resolver", "protocol": "udp", "port": 53, "limit": "dns"}],
}
FEED = {"lists": [{"name": "drop-v4", "action": "drop", "file": "drop.txt"}]}


def test_the_inventory_comes_first_then_the_api_then_feeds_by_name():
    documents = {"feed:b": {"lists": [{"name": "b"}]}, "feed:a": FEED, "api": API, "inventory": INVENTORY}
    merged = merge(documents)
    assert [(one["name"], one["owner"]) for one in merged["lists"]] == [
        ("bogons", "inventory"),
        ("guests", "api"),
        ("drop-v4", "feed:a"),
        ("b", "feed:b"),
    ]
    assert [one["name"] for one in merged["services"]] == ["web", "resolver"]
    assert (merged["trusted"], merged["default"]) == (INVENTORY["trusted"], "drop")


def test_the_order_in_which_documents_are_given_does_not_matter():
    documents = {"feed:a": FEED, "api": API, "inventory": INVENTORY}
    for some in itertools.permutations(documents.items()):
        assert merge(dict(some)) == merge(documents)


def test_removing_an_owner_leaves_the_others_as_they_were():
    merged = merge({"inventory": INVENTORY, "feed:a": FEED})
    with_api = merge({"inventory": INVENTORY, "api": API, "feed:a": FEED})
    for key, parts in with_api.items():
        rest = [one for one in parts if one["owner"] != "api"] if key in ("lists", "rules", "services") else parts
        assert merged.get(key, []) == rest


def test_documents_are_left_as_they_are_given():
    documents = {"inventory": {"lists": [{"name": "a", "owner": "api"}]}}
    assert merge(documents)["lists"] == [{"name": "a", "owner": "inventory"}]
    assert documents == {"inventory": {"lists": [{"name": "a", "owner": "api"}]}}


def test_nobody_makes_no_policy():
    assert merge({}) == {}


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        ({"api": {"trusted": []}}, "owner api has trusted, which only inventory may have"),
        ({"api": {"default": "drop"}}, "owner api has default, which only inventory may have"),
        ({"feed:x": {"rules": []}}, "owner feed:x has rules, which only inventory and api may have"),
        ({"api": {"colour": 1}}, "owner api has colour, which is no part of a policy"),
        (
            {"inventory": INVENTORY, "api": {"lists": [{"name": "bogons"}]}},
            "list bogons of owner api has the name of one of owner inventory: rename it, or remove the other one there",
        ),
        (
            {"inventory": {"rules": [{"id": "r", "source": "guests", "action": "drop"}]}, "api": API},
            "rule r of owner inventory names list guests of owner api, who may take it away",
        ),
        (
            {"inventory": {"lists": [{"name": "l", "action": "limit:slow"}]}, "api": {"limits": [{"name": "slow"}]}},
            "list l of owner inventory names limit slow of owner api",
        ),
        (
            {"feed:x": {"lists": [{"name": "l", "action": "limit:slow"}]}, "api": {"limits": [{"name": "slow"}]}},
            "list l of owner feed:x names limit slow of owner api",
        ),
        (
            {"inventory": {"services": [{"name": "s", "limit": "slow"}]}, "api": {"limits": [{"name": "slow"}]}},
            "service s of owner inventory names limit slow of owner api",
        ),
    ],
)
def test_what_makes_no_policy_is_refused(documents, reason):
    with pytest.raises(Refused) as caught:
        merge(documents)
    assert reason in caught.value.facts["reasons"][0]
    assert len(caught.value.facts["reasons"]) == 1


def test_every_reason_is_given_at_once():
    with pytest.raises(Refused) as caught:
        merge({"inventory": INVENTORY, "api": {"trusted": [], "default": "pass", "lists": [{"name": "bogons"}]}})
    assert len(caught.value.facts["reasons"]) == 3


@pytest.mark.parametrize("owner", ["", "Inventory", "feed:", "feed:a/b", "api2", "feed:" + "a" * 64])
def test_other_owners_are_invalid(owner):
    with pytest.raises(Invalid, match="is none of inventory, api and feed:NAME"):
        merge({owner: {}})
