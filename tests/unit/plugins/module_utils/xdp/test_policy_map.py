"""Policy entries: what is parsed, planned and refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Change,
    Invalid,
    Refused,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.prefix import parse_prefix
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import (
    Policy,
    Tables,
    counts,
    parse_entries,
    plan_entries,
    refuse,
)


def policy(entries: dict[str, str], mode: str = "exact") -> Policy:
    parsed = {parse_prefix(text): action for text, action in entries.items()}
    return Policy("ens1", entries=parsed, mode=mode)


def tables(rules: dict[str, tuple[str, str]]) -> Tables:
    return Tables({parse_prefix(text): rule for text, rule in rules.items()})


HELD = {"10.0.0.0/8": ("inventory", "drop"), "::/0": ("inventory", "pass"), "192.0.2.0/24": ("api", "drop")}


@pytest.mark.parametrize(
    ("mode", "entries", "changes"),
    [
        ("exact", {"10.0.0.0/8": "drop", "::/0": "pass"}, []),
        ("exact", {}, [("10.0.0.0/8", "drop", None), ("::/0", "pass", None)]),
        ("exact", {"10.0.0.0/8": "pass", "10.1.0.0/16": "drop"}, [
            ("::/0", "pass", None), ("10.0.0.0/8", "drop", "pass"), ("10.1.0.0/16", None, "drop"),
        ]),
        ("present", {"10.1.0.0/16": "drop"}, [("10.1.0.0/16", None, "drop")]),
        ("present", {"10.0.0.0/8": "drop"}, []),
        ("absent", {"10.0.0.0/8": "pass", "10.1.0.0/16": "drop"}, [("10.0.0.0/8", "drop", None)]),
    ],
)  # fmt: skip
def test_plan(mode, entries, changes):
    desired, state = policy(entries, mode), tables(HELD)
    refuse(desired, state)
    assert plan_entries(desired, state) == [
        Change(("ens1", "inventory", prefix), before, after) for prefix, before, after in changes
    ]


@pytest.mark.parametrize("mode", ["exact", "present", "absent"])
def test_a_prefix_of_another_owner_is_refused(mode):
    desired = policy({"192.0.2.0/24": "drop"}, mode)
    with pytest.raises(Refused, match=r"192\.0\.2\.0/24 \(drop\) belongs to owner api, not inventory"):
        refuse(desired, tables(HELD))


def test_each_bad_entry_is_named_with_its_place():
    with pytest.raises(Invalid) as raised:
        parse_entries(
            [
                {"prefix": "10.0.0.1/33", "action": "drop"},
                {"prefix": "10.0.0.0/8", "action": "drop"},
                {"prefix": "10.0.0.0/8", "action": "drop"},
                {"prefix": "2001:db8::/32", "action": "drop"},
                {"prefix": "2001:DB8::/32", "action": "pass"},
            ]
        )
    assert raised.value.facts["reasons"] == [
        "entries[0]: '10.0.0.1/33': prefix length 33 > 32, the limit of IPv4",
        "entries[1] and entries[2]: 10.0.0.0/8 is given twice; leave one",
        "entries[3] and entries[4]: 2001:db8::/32 is given with two actions; leave one",
    ]


def test_a_mistake_in_thousands_of_entries_stays_readable():
    with pytest.raises(Invalid) as raised:
        parse_entries([{"prefix": f"10.0.0.{number}/33", "action": "drop"} for number in range(250)])
    assert len(raised.value.facts["reasons"]) == 21
    assert raised.value.facts["reasons"][-1] == "and 230 more"


def test_counts_are_of_entries_alone():
    changes = [
        Change(("ens1", "inventory", "10.0.0.0/8"), None, "drop"),
        Change(("ens1", "inventory", "10.1.0.0/16"), "drop", None),
        Change(("ens1", "inventory", "10.2.0.0/16"), "drop", "pass"),
        Change(("ens1", "inventory", "10.3.0.0/16"), "pass", "drop"),
        Change(("state file", "policy-nic-ens1-inventory"), None, {}),
    ]
    assert counts(changes) == {"added": 1, "removed": 1, "modified": 2}


@pytest.mark.parametrize("mode", ["present", "absent"])
def test_a_few_entries_of_an_interface_that_another_policy_judges_are_refused(mode):
    desired = policy({"10.0.0.0/8": "drop"}, mode)
    refuse(desired, replace(tables(HELD), judged_by="nic-ens1"))
    with pytest.raises(Refused, match="ens1 is judged by policy edge: add the prefixes to a list of that"):
        refuse(desired, replace(tables(HELD), judged_by="edge"))
    refuse(replace(desired, mode="exact"), replace(tables(HELD), judged_by="edge"))


@pytest.mark.parametrize(
    ("interface", "name"),
    [("ens1", "nic-ens1"), ("eth0.100", "nic-eth0-100-959ba6d7"), ("eth0@100", "nic-eth0-100-522901ec")],
)
def test_each_interface_has_a_policy_of_its_own(interface, name):
    assert Policy(interface).name == name
