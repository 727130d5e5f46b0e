"""Two policies compared, in words."""

from __future__ import annotations

import time

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.differences import differences

BEFORE = {
    "trusted": [{"prefix": "192.0.2.0/28"}],
    "lists": [{"name": "bogons", "action": "drop", "prefixes": ["10.0.0.0/8", "192.168.0.0/16"], "owner": "inventory"}],
    "rules": [{"id": "a", "action": "drop"}, {"id": "b", "action": "pass"}],
}


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, []),
        ({"default": "pass"}, []),
        ({"default": "drop"}, ["default: pass -> drop"]),
        ({"trusted": []}, ['trusted: 1 removed ({"prefix": "192.0.2.0/28"})']),
        ({"lists": []}, ["list bogons: removed, of owner inventory"]),
        (
            {"lists": [{**BEFORE["lists"][0], "mode": "observe", "prefixes": ["10.0.0.0/8", "172.16.0.0/12"]}]},
            ["list bogons: prefixes: 1 added (172.16.0.0/12), prefixes: 1 removed (192.168.0.0/16), "
             "mode none -> observe"],
        ),
        ({"lists": [{**BEFORE["lists"][0], "prefixes": ["192.168.0.0/16", "10.0.0.0/8"]}]}, []),
        ({"rules": BEFORE["rules"][::-1]}, ["rules: in another order"]),
        (
            {"limits": [{"name": "slow", "packets": "50/s", "owner": "api"}]},
            ["limit slow: new, of owner api (packets 50/s)"],
        ),
        (
            {"rules": [BEFORE["rules"][1], {"id": "c", "source": ["10.0.0.0/8"] * 9}, {"id": "a", "action": "pass"}]},
            ["rule c: new", "rule a: action drop -> pass", "rules: in another order"],
        ),
    ],
)  # fmt: skip
def test_each_part_that_differs_has_a_line(change, lines):
    assert differences(BEFORE, {**BEFORE, **change}) == lines


def test_a_hundred_thousand_entries_are_one_line_and_take_no_time():
    entries = [f"10.{number >> 8 & 255}.{number & 255}.{number >> 16}/32" for number in range(100_000)]
    begun = time.process_time()
    lines = differences({}, {"lists": [{"name": "many", "action": "drop", "prefixes": entries}]})
    assert lines == ["list many: new (action drop, 100000 prefixes)"]
    [line] = differences(
        {"lists": [{"name": "many", "prefixes": []}]}, {"lists": [{"name": "many", "prefixes": entries}]}
    )
    assert line.startswith("list many: prefixes: 100000 added (10.0.0.0/32, ")
    assert line.endswith(" and 99995 more)")
    assert time.process_time() - begun < 2
