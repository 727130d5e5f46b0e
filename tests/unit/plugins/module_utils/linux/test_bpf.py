"""What is said by libbpf and how much of a batch was done."""

from __future__ import annotations

import ctypes
import errno

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf

LOG = """libbpf: prog 'x': BPF program load failed: Permission denied
libbpf: prog 'x': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
0: (bf) r0 = r9
R9 !read_ok
processed 1 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'x': failed to load: -13
"""


def test_the_verifiers_reason_is_in_the_summary():
    summary = bpf._summary([LOG])
    assert "R9 !read_ok" in summary
    assert "processed" not in summary


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
    assert bpf._progress(result, count, 10) == done


def test_a_missing_library_names_the_package(monkeypatch):
    def missing(*_arguments, **_options):
        raise OSError("libbpf.so.1: cannot open shared object file: No such file or directory")

    bpf._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    try:
        with pytest.raises(Impossible, match=r"libbpf\.so\.1 is not usable .*: install the package libbpf1 \(Debian\)"):
            bpf.pinned("/nope")
    finally:
        bpf._library.cache_clear()
