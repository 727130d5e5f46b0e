"""Policy entries: what is parsed, planned and refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Change,
    Impossible,
    Invalid,
    Refused,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.state_store import StateFile
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf import MapLayout
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import (
    Policy,
    Tables,
    XdpMap,
    counts,
    parse_entries,
    reapply,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.prefix import parse_prefix
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import PIN_ROOT


def policy(entries: dict[str, str], mode: str = "exact", state_directory: str | None = None) -> Policy:
    parsed = {parse_prefix(text): action for text, action in entries.items()}
    return Policy("ens1", entries=parsed, mode=mode, state_directory=state_directory)


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
    desired, state = policy(entries, mode), tables(HELD)
    XdpMap(desired).validate(desired, state)
    assert XdpMap(desired).plan(desired, state) == [
        Change(("ens1", "inventory", prefix), before, after) for prefix, before, after in changes
    ]


@pytest.mark.parametrize("mode", ["exact", "present", "absent"])
def test_a_prefix_of_another_owner_is_refused(mode):
    desired = policy({"192.0.2.0/24": "drop"}, mode)
    with pytest.raises(Refused, match=r"192\.0\.2\.0/24 \(drop\) belongs to owner api, not inventory"):
        XdpMap(desired).validate(desired, tables(HELD))


@pytest.mark.parametrize(
    ("mode", "entries", "holds"),
    [("exact", 3, 4), ("exact", 4, 5), ("present", 2, 4), ("present", 3, 5)],
)
def test_capacity_counts_all_owners(mode, entries, holds):
    desired, state = policy({f"10.{number}.0.0/16": "drop" for number in range(entries)}, mode), tables(HELD)
    if holds <= 4:
        XdpMap(desired).validate(desired, state)
        return
    with pytest.raises(Impossible, match=f"acl_v4 would hold {holds} entries > its limit 4"):
        XdpMap(desired).validate(desired, state)


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
        Change(("state file", "xdp_map-ens1"), None, {}),
    ]
    assert counts(changes) == {"added": 1, "removed": 1, "modified": 2}


def body(entries: dict[str, str]) -> dict[str, object]:
    return {"interface": "ens1", "pin_root": PIN_ROOT, "entries": entries}


@pytest.mark.parametrize(
    ("mode", "entries", "held", "after"),
    [
        ("exact", {"10.0.0.0/8": "drop", "::/0": "pass"}, None, {"10.0.0.0/8": "drop", "::/0": "pass"}),
        ("present", {"10.1.0.0/16": "drop"}, {}, {"10.0.0.0/8": "drop", "::/0": "pass", "10.1.0.0/16": "drop"}),
        ("absent", {"::/0": "pass"}, {"::/0": "pass"}, {"10.0.0.0/8": "drop"}),
    ],
)
def test_the_state_file_holds_all_entries_of_the_inventory(mode, entries, held, after):
    desired = policy(entries, mode, "/etc/tripod/host.d")
    state_file = None if held is None else StateFile("xdp_map-ens1", "xdp_map", body(held))
    state = replace(tables(HELD), state_file=state_file)
    change = XdpMap(desired).plan(desired, state)[-1]
    assert (change.path, change.after) == (("state file", "xdp_map-ens1"), body(after))
    saved = StateFile("xdp_map-ens1", "xdp_map", body(after))
    again = replace(tables({prefix: ("inventory", action) for prefix, action in after.items()}), state_file=saved)
    assert XdpMap(desired).plan(desired, again) == []


def test_a_policy_without_entries_leaves_no_state_file():
    desired = policy({}, state_directory="/etc/tripod/host.d")
    saved = StateFile("xdp_map-ens1", "xdp_map", body({"10.0.0.0/8": "drop"}))
    assert XdpMap(desired).plan(desired, tables({})) == []
    assert XdpMap(desired).plan(desired, replace(tables({}), state_file=saved)) == [
        Change(("state file", "xdp_map-ens1"), saved.body, None)
    ]


def test_an_interface_that_is_absent_is_left_out_of_a_reapply():
    outcome = reapply({**body({"10.0.0.0/8": "drop"}), "interface": "nosuchnic0"}, Host())
    assert (outcome.changed, outcome.checked) == (False, False)
    assert not reapply(body({"10.0.0.0/8": "drop"}), Host(), only={"ens2"}).changed
