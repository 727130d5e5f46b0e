"""Versions compare number by number."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.versions import parse_version


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("9.3", "9.20"),
        ("9.20", "9.20.1"),
        ("5.10", "6.1"),
        ("6.12.0-rc3", "6.12"),
        ("6.12-rc3", "6.12-rc10"),
        ("6.1.0-28-amd64", "6.12.48+deb13-amd64"),
        ("16.34.1002 (MT_0000000012)", "16.35.2000 (MT_0000000012)"),
        ("3.25, 0x800005cf", "3.30, 0x8000059c, 1.3082.0"),
        ("4.20 0x8001778b 1.3346.0", "4.40 0x8001c967 1.3534.0"),
        ("v1.63", "1.63.2-k"),
    ],
)
def test_orders_as_people_do(older, newer):
    assert parse_version(older) < parse_version(newer)


@pytest.mark.parametrize(("one", "other"), [("1.2", "1.2.0"), ("v5.10", "5.10"), ("0", "0.0"), ("2.1.0", "2.1")])
def test_zeros_at_the_end_do_not_count(one, other):
    assert parse_version(one) == parse_version(other)


@pytest.mark.parametrize("text", ["", "N/A", "0x80000887", "1.2b3", "release"])
def test_finds_none(text):
    assert parse_version(text) is None
