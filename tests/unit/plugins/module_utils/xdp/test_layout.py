"""Whether a map that exists can serve another program."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf import MapLayout
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.layout import differences, fits, same_meaning

RULE = "struct acl_rule(4){action@0 u8; owner@8 u8}"
TRIE = MapLayout("lpm_trie", 8, 4, 131072, 1, "u32", RULE)
DEVMAP = MapLayout("devmap", 4, 4, 8, 0)


@pytest.mark.parametrize(
    ("pinned", "requested", "apart"),
    [
        (TRIE, TRIE, []),
        (TRIE, replace(TRIE, max_entries=9), ["max_entries 131072 -> 9"]),
        (TRIE, replace(TRIE, max_entries=0), []),
        (replace(TRIE, value_size=8), replace(TRIE, flags=3), ["value_size 8 -> 4", "flags 1 -> 3"]),
        (TRIE, replace(TRIE, value=RULE.replace("owner@8", "limit@8")), [f"value {RULE} -> struct acl_rule(4)"]),
        (TRIE, replace(TRIE, value=RULE.replace("owner@8 u8", "owner@8 s8")), [f"value {RULE} -> struct"]),
        (replace(TRIE, key="__be32:u32"), TRIE, ["key __be32:u32 -> u32"]),
        (replace(TRIE, key=None, value=None), TRIE, []),
        (replace(DEVMAP, flags=1 << 7), DEVMAP, []),
        (replace(DEVMAP, type="devmap_hash", flags=1 << 7 | 2), replace(DEVMAP, type="devmap_hash", flags=2), []),
        (replace(DEVMAP, flags=1 << 7 | 2), DEVMAP, ["flags 130 -> 0"]),
        (replace(TRIE, flags=1 << 7 | 1), TRIE, ["flags 129 -> 1"]),
    ],
)
def test_what_keeps_a_map_from_serving(pinned, requested, apart):
    found = differences(pinned, requested)
    assert len(found) == len(apart)
    assert all(one.startswith(words) for one, words in zip(found, apart, strict=True))
    assert fits(pinned, requested) is (not apart)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("{A=1, B=2}", "{A=1, B=2, C=3}", True),
        ("{A=1, B=2, C=3}", "{A=1, B=2}", True),
        ("{A=1, B=2}", "{A=2, B=1}", False),
        ("{A=1, B=2}", "{A=1, C=2}", False),
        ("{A=1, FIRST=1}", "{A=1}", True),
        ("{}", "{A=1}", True),
    ],
)
def test_enumerators_may_be_added_and_not_exchanged(before, after, same):
    holder = "struct x(4){{kind@0 enum kind(4){}; n@32 u32}}"
    assert same_meaning(holder.format(before), holder.format(after)) is same


def test_what_differs_late_is_shown():
    fields = "; ".join(f"field_{number}@{number} u8" for number in range(60))
    before, after = f"struct x(60){{{fields}; old@60 u8}}", f"struct x(60){{{fields}; new@60 u8}}"
    [words] = differences(replace(TRIE, value=before), replace(TRIE, value=after))
    assert words == "value ...old@60 u8} -> ...new@60 u8}"
