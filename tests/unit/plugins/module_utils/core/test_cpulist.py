"""Sets of CPUs in the kernel's notations."""

from __future__ import annotations

import random

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._core.cpulist import (
    format_cpulist,
    format_mask,
    parse_cpulist,
    parse_mask,
)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("", []),
        ("\n", []),
        ("5", [5]),
        ("0-3,8", [0, 1, 2, 3, 8]),
        ("0-2,1-4", [0, 1, 2, 3, 4]),
        ("8,0-1\n", [0, 1, 8]),
        ("0-7:2/4", [0, 1, 4, 5]),
        ("1-7:1/2", [1, 3, 5, 7]),
    ],
)
def test_a_list_is_read_as_the_kernel_does(text, cpus):
    assert sorted(parse_cpulist(text)) == cpus
    assert parse_cpulist(format_cpulist(cpus)) == set(cpus)


@pytest.mark.parametrize(
    ("cpus", "text"),
    [([], ""), ([0], "0"), ([3, 1, 2], "1-3"), ([0, 2, 3, 5], "0,2-3,5"), ([0, 1], "0-1"), ([7, 7, 63, 64], "7,63-64")],
)
def test_a_list_is_written_as_the_kernel_prints_it(cpus, text):
    assert format_cpulist(cpus) == text


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0", []),
        ("f", [0, 1, 2, 3]),
        ("00000000,00000005", [0, 2]),
        ("1,00000000", [32]),
        ("80000000,00000000,00000001", [0, 95]),
    ],
)
def test_a_mask_is_read_as_the_kernel_does(text, cpus):
    assert sorted(parse_mask(text)) == cpus


@pytest.mark.parametrize(
    ("cpus", "text"), [([], "0"), ([0, 2], "5"), ([32], "1,00000000"), ([0, 95], "80000000,00000000,00000001")]
)
def test_a_mask_is_written_in_groups(cpus, text):
    assert format_mask(cpus) == text


def test_both_notations_keep_any_set():
    source = random.Random(20261123)
    for _unused in range(300):
        cpus = set(source.sample(range(520), source.randrange(0, 130)))
        assert parse_cpulist(format_cpulist(cpus)) == cpus
        assert parse_mask(format_mask(cpus)) == cpus


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a", "'a' in 'a' is no CPU"),
        ("1,,2", "'' in '1,,2' is no CPU"),
        ("-1", "'-1' in '-1' is no CPU"),
        ("3-1", "'3-1' in '3-1' ends before it starts"),
        ("0-7:4/2", "takes 4 of each 2"),
        ("0-7:0/2", "takes 0 of each 2"),
    ],
)
def test_what_is_no_list_is_named(text, reason):
    with pytest.raises(Invalid, match=reason):
        parse_cpulist(text)


@pytest.mark.parametrize("text", ["", "xyz", "1,,2", "123456789", "-1"])
def test_what_is_no_mask_is_refused(text):
    with pytest.raises(Invalid, match="no CPU mask"):
        parse_mask(text)
