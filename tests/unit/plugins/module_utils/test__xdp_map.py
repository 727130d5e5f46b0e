"""Policy entries: what is parsed, planned and refused."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._bpf import MapLayout
from ansible_collections.tripod.baremetal.plugins.module_utils._core import Change, Impossible, Invalid, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._prefix import parse_prefix
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp_map import (
    Policy,
    Tables,
    XdpMap,
    counts,
    parse_entries,
)


def policy(entries: dict[str, str], mode: str = "exact") -> Policy:
    return Policy("ens1", entries={parse_prefix(text): action for text, action in entries.items()}, mode=mode)


def tables(rules: dict[str, tuple[str, str]], most: int = 4) -> Tables:
    layouts = {version: MapLayout("lpm_trie", size, 4, most, 1) for version, size in ((4, 8), (6, 20))}
    return Tables({parse_prefix(text): rule for text, rule in rules.items()}, layouts)


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
    wanted, state = policy(entries, mode), tables(HELD)
    XdpMap(wanted).validate(wanted, state)
    assert XdpMap(wanted).plan(wanted, state) == [
        Change(("ens1", "inventory", prefix), before, after) for prefix, before, after in changes
    ]


@pytest.mark.parametrize("mode", ["exact", "present", "absent"])
def test_a_prefix_of_another_owner_is_refused(mode):
    wanted = policy({"192.0.2.0/24": "drop"}, mode)
    with pytest.raises(Refused, match=r"192\.0\.2\.0/24 \(drop\) belongs to owner api, not inventory"):
        XdpMap(wanted).validate(wanted, tables(HELD))


@pytest.mark.parametrize(
    ("mode", "entries", "holds"),
    [("exact", 3, 4), ("exact", 4, 5), ("present", 2, 4), ("present", 3, 5)],
)
def test_capacity_counts_all_owners(mode, entries, holds):
    wanted, state = policy({f"10.{number}.0.0/16": "drop" for number in range(entries)}, mode), tables(HELD)
    if holds <= 4:
        XdpMap(wanted).validate(wanted, state)
        return
    with pytest.raises(Impossible, match=f"acl_v4 would hold {holds} entries > its limit 4"):
        XdpMap(wanted).validate(wanted, state)


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


def test_counts():
    changes = [
        Change((), None, "drop"),
        Change((), "drop", None),
        Change((), "drop", "pass"),
        Change((), "pass", "drop"),
    ]
    assert counts(changes) == {"added": 1, "removed": 1, "modified": 2}
