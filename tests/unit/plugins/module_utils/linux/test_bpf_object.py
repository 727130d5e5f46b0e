"""What is said by libbpf and the verifier."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, bpf_object

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
    summary = bpf_object._summary([LOG])
    assert "R9 !read_ok" in summary
    assert "processed" not in summary


# As Linux 7.3 and newer tell it.
REPORT = LOG.replace(
    "R9 !read_ok\n",
    """R9 !read_ok

Verification failed: Register Type Safety: Unreadable register

Reason:
  R9 has never been initialized on this path, so the verifier cannot use it as an input.

At:
  insn 0
        | ^-- error: R9 is not readable

Suggestion:
  Initialize R9 on every path before this instruction.

""",
)


def test_of_a_report_the_summary_has_the_reason():
    assert bpf_object._summary([REPORT]) == (
        "R9 !read_ok | Verification failed: Register Type Safety: Unreadable register | "
        "R9 has never been initialized on this path, so the verifier cannot use it as an input."
    )
    assert bpf_object._summary(["Verification failed: cut off"]) == "Verification failed: cut off"


@pytest.mark.parametrize(
    ("name", "pin"),
    [
        ("policy", "policy"),
        ("tripod_x.rodata", "rodata"),
        (".data.control", "control"),
        ("own.bss", None),
        ("own.data", None),
    ],
)
def test_a_map_is_pinned_by_its_name_and_variables_only_in_a_section_of_their_own(name, pin):
    assert bpf.pin_name(name) == pin
