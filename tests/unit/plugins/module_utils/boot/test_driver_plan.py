"""Values of driver options, compared."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.driver_plan import same_value


@pytest.mark.parametrize(
    ("kind", "now", "desired", "same"),
    [
        ("bool", "Y", "1", True),
        ("bool", "N", "0", True),
        ("invbool", "N", "y", False),
        ("uint", "16", "0x10", True),
        ("array of int", "1,1", "1,1", True),
        ("array of int", "1,1", "1", False),
        ("charp", "on", "on", True),
        ("charp", "on", "off", False),
    ],
)
def test_compares_values_as_the_kernel_reads_them(kind, now, desired, same):
    assert same_value(kind, now, desired) is same
