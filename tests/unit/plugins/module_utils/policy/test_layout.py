"""The compiler's bytes are those of the header."""

from __future__ import annotations

import ctypes

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._policy import layout, ranges
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.layout import OFFSETS, TABLES, bounds_for

from .header import CONSTANTS as C
from .header import STRUCTS

NOTHING = dict.fromkeys(TABLES, 0)


def test_constants_are_those_of_the_header():
    for module in (layout, ranges):
        ours = {name: value for name, value in vars(module).items() if name in C}
        assert ours == {name: C[name] for name in ours}
    assert {"MAX_RULES", "POLICY_ABI", "MAX_SPAN", "MAX_HITS", "FEATURE_SOURCES"} <= vars(layout).keys()
    assert {"TABLE_VALUE", "TABLE_SHIFT", "NODE_SHIFT", "RANGE6_DEEP", "NODE_UNUSED"} <= vars(ranges).keys()
    assert [C[f"FIELD_{name.upper()}"] for name in layout.FIELDS] == [1 << bit for bit in range(len(layout.FIELDS))]
    for name, number in layout.ACTIONS.items():
        assert C[f"POLICY_{(name or 'none').upper()}"] == number
    for name, number in layout.SCOPES.items():
        assert C[f"LIMIT_{name.upper()}"] == number


def test_sizes_and_offsets_are_those_of_the_header():
    policy = STRUCTS["policy"]
    assert {name: getattr(policy, name).offset for name in OFFSETS} == OFFSETS
    assert layout.HEADER.size == policy.limits.offset
    assert ctypes.sizeof(policy) == layout.POLICY_SIZE
    for ours, theirs in (
        (layout.LIMIT, "policy_limit"),
        (layout.LIST, "policy_list"),
        (layout.PART, "policy_part"),
        (layout.SOURCE_RESULT, "source_result"),
    ):
        assert ours.size == ctypes.sizeof(STRUCTS[theirs])
    assert ctypes.sizeof(STRUCTS["field_set"]) == 8 * layout.SET_WORDS
    for name, values in layout.VALUES.items():
        assert values <= getattr(policy, name).size // 2


def test_a_policy_that_fits_keeps_the_bounds_of_the_program_that_runs():
    former = bounds_for({**NOTHING, "ranges4": 1_000_000})
    assert bounds_for({**NOTHING, "ranges4": 900_000, "nodes6": 5}, former) == former


def test_a_policy_that_grows_gets_more_room_where_it_grew_and_a_quarter_of_headroom():
    former = bounds_for({**NOTHING, "nodes6": 100_000})
    bounds = bounds_for({**NOTHING, "ranges4": 1_000_000}, former)
    assert bounds["nodes6_count"] == former["nodes6_count"]
    assert 1_250_000 <= bounds["ranges4_count"] <= 1_250_000 * 3 // 2
    assert bounds["size"] % 4096 == 0
    offsets = [bounds[name] for name in TABLES]
    assert offsets == sorted(offsets)
    assert all(offset % 64 == 0 for offset in offsets)
    ends = [bounds[name] + table.size * bounds[f"{name}_count"] for name, table in TABLES.items()]
    assert all(end <= start for end, start in zip(ends, [*offsets[1:], bounds["size"]], strict=True))


@pytest.mark.parametrize("name", TABLES)
def test_more_than_indices_can_tell_apart_is_refused(name):
    most = TABLES[name].most
    assert bounds_for({**NOTHING, name: most})[f"{name}_count"] == most
    with pytest.raises(Impossible, match=f"{most + 1} elements of {name} > the limit {most}: "):
        bounds_for({**NOTHING, name: most + 1})


def test_the_digest_is_where_the_header_has_it():
    header = bytearray(layout.HEADER.size)
    at = STRUCTS["policy"].digest.offset
    header[:4] = layout.POLICY_ABI.to_bytes(4, "little")
    header[at : at + 32] = b"d" * 32
    assert layout.header_digest(bytes(header)) == b"d" * 32
    header[0] += 1
    assert layout.header_digest(bytes(header)) is None
