"""What differs between two policies, as a plan and as counts."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_changes import changes_of, counts, shown

A = {"name": "a", "prefixes": ["10.0.0.0/8"]}
B = {"name": "b", "prefixes": ["192.0.2.0/24"]}
RULES = [{"id": "one", "action": "drop"}, {"id": "two", "action": "pass"}]


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ({}, {}, []),
        ({"lists": [A]}, {"lists": [A]}, []),
        ({}, {"default": "pass"}, []),
        ({}, {"default": "drop"}, [("default",)]),
        ({"lists": [A]}, {"lists": [B]}, [("lists", "a"), ("lists", "b")]),
        ({"lists": [A]}, {"lists": [{**A, "mode": "observe"}]}, [("lists", "a")]),
        ({"rules": RULES}, {"rules": RULES[::-1]}, [("rules", "order")]),
        ({"trusted": [{"prefix": "::1"}]}, {"trusted": []}, [("trusted",)]),
        ({"trusted": [{"prefix": "::1"}, {"prefix": "::2"}]}, {"trusted": [{"prefix": "::2"}, {"prefix": "::1"}]}, []),
    ],
)
def test_a_change_for_each_part(before, after, paths):
    assert [change.path for change in changes_of("ens1", before, after)] == [("ens1", *path) for path in paths]


def test_counts_by_kind():
    after = {"lists": [B, {**A, "mode": "observe"}], "rules": RULES, "default": "drop"}
    assert counts(changes_of("ens1", {"lists": [A]}, after)) == {
        "lists": {"added": 1, "removed": 0, "modified": 1},
        "rules": {"added": 2, "removed": 0, "modified": 0},
        "default": {"added": 0, "removed": 0, "modified": 1},
    }


def test_many_entries_are_one_line():
    long = {"name": "a", "prefixes": [f"10.0.{n >> 8}.{n & 255}" for n in range(1001)]}
    [change] = changes_of("ens1", {}, {"lists": [long]})
    assert change.after["prefixes"].startswith("1001 entries, SHA-256 ")
    assert shown({"lists": [long]})["lists"][0]["prefixes"] == change.after["prefixes"]
    assert shown({"lists": [A], "rules": RULES}) == {"lists": [A], "rules": RULES}
