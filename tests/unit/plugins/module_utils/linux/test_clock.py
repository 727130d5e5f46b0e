"""The kernel's tick, held against what its configuration says where that can be read."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.clock import hz

CONFIGURATION = Path("/proc/config.gz")


def test_a_tick_is_one_that_kernels_have():
    assert hz() in (100, 250, 300, 1000, 1024)


@pytest.mark.skipif(not CONFIGURATION.exists(), reason="this kernel shows no configuration (/proc/config.gz)")
def test_it_is_what_the_kernel_was_configured_with():
    text = gzip.decompress(CONFIGURATION.read_bytes()).decode()
    assert hz() == int(re.search(r"^CONFIG_HZ=(\d+)$", text, re.MULTILINE)[1])
