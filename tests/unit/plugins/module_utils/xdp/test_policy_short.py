"""The short form: entries become lists and come back."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.prefix import parse_prefix
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_short import (
    replaced,
    to_document,
    to_entries,
)

ENTRIES = {
    parse_prefix(text): action
    for text, action in {"203.0.113.0/24": "drop", "10.0.0.0/8": "drop", "203.0.113.9/32": "pass"}.items()
}


@pytest.mark.parametrize("owner", ["inventory", "api"])
def test_there_and_back(owner):
    assert to_entries(to_document(ENTRIES, owner), owner) == ENTRIES
    assert to_document({}, owner) == {}


def test_a_list_for_each_action_in_order_of_prefixes():
    assert to_document(ENTRIES, "inventory") == {
        "lists": [
            {"name": "acl", "action": "drop", "prefixes": ["10.0.0.0/8", "203.0.113.0/24"]},
            {"name": "acl-pass", "action": "pass", "prefixes": ["203.0.113.9/32"]},
        ]
    }


def test_other_parts_of_the_owner_stay():
    other = {"name": "feed", "prefixes": ["192.0.2.0/24"]}
    document = {"lists": [{"name": "acl", "action": "drop", "prefixes": ["::/0"]}, other], "default": "drop"}
    assert replaced(document, {}, "inventory") == {"default": "drop", "lists": [other]}
    assert replaced(document, ENTRIES, "inventory")["lists"][-1] == other
    assert to_entries(document, "inventory") == {parse_prefix("::/0"): "drop"}
    assert to_entries(document, "api") == {}
