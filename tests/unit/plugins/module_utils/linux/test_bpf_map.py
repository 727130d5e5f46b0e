"""How much of a batch was done."""

from __future__ import annotations

import errno

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf_map


@pytest.mark.parametrize(
    ("result", "count", "done"),
    [
        (-errno.ENOSPC, 3, 3),
        (-errno.EINVAL, 10, 0),  # no batches: the count is as it was sent
        (-524, 10, 0),
        (-errno.ENOENT, 4, 4),
    ],
)
def test_progress_of_a_failed_batch(result, count, done):
    assert bpf_map._progress(result, count, 10) == done
