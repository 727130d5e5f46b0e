"""Counter slots live on with the part that they count."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.layout import MAX_HITS
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.slots import assign


@pytest.mark.parametrize(
    ("names", "former", "slots"),
    [
        (["a", "b"], {}, {"a": 1, "b": 2}),
        (["b", "a"], {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        # What is freed is still counted in by the policy that runs.
        (["c", "b"], {"a": 1, "b": 2}, {"b": 2, "c": 3}),
        (["c", "b", "d"], {"b": 2, "c": 3}, {"b": 2, "c": 3, "d": 1}),
        ([], {"a": 7}, {}),
    ],
)
def test_a_part_keeps_its_slot_and_a_new_one_takes_the_lowest_that_is_free(names, former, slots):
    assert assign(names, former) == slots


def test_all_parts_and_as_many_others_before_them_have_slots():
    parts = 255 + 1024 + 255 + 128
    former = assign([f"old:{number}" for number in range(parts)], {})
    slots = assign([f"new:{number}" for number in range(parts)], former)
    assert len({*slots.values(), *former.values()}) == 2 * parts
    assert max(slots.values()) < MAX_HITS
