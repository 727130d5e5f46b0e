"""Amounts of memory as people and the kernel write them."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._core.sizes import human_size, parse_size, size_token


@pytest.mark.parametrize(
    ("text", "size"),
    [("2M", 2 << 20), ("1G", 1 << 30), ("1024M", 1 << 30), ("2048kB", 2 << 20), ("1 GiB", 1 << 30), (4096, 4096)],
)
def test_reads_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-2M", "2X", "1.5G", "2MM"])
def test_refuses_what_is_no_size(text):
    with pytest.raises(Invalid, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "token", "human"),
    [
        (2 << 20, "2M", "2 MiB"),
        (1 << 30, "1G", "1 GiB"),
        (16 << 10, "16K", "16 KiB"),
        (1 << 40, "1T", "1 TiB"),
        (1500 << 20, "1500M", "1.5 GiB"),
        (1000, "1000", "1000 B"),
        (0, "0", "0 B"),
    ],
)
def test_writes_sizes(size, token, human):
    assert size_token(size) == token
    assert parse_size(token) == size
    assert human_size(size) == human
