"""Packets that XDP programs lose, counted by the kernel's tracepoints; where this machine cannot, the reasons."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import trace

from tests.support.modules import run_module

PYTHON = "/usr/bin/python3"


@pytest.mark.parametrize("duration", [0, 3601])
def test_a_duration_out_of_bounds_is_refused(duration: int) -> None:
    outcome = run_module("xdp_trace", {"duration": duration}, interpreter=PYTHON)
    assert outcome.failed
    assert "outside of 1 to 3600 s" in outcome.result["msg"]


def test_an_unknown_interface_is_refused() -> None:
    outcome = run_module("xdp_trace", {"interfaces": ["nosuch0", "lo"]}, interpreter=PYTHON)
    assert outcome.failed
    assert "no interface nosuch0 here" in outcome.result["msg"]


@pytest.mark.parametrize("check", [False, True])
def test_it_watches_or_says_everything_that_is_missing(check: bool) -> None:
    outcome = run_module("xdp_trace", {"duration": 1}, check=check, interpreter=PYTHON)
    if outcome.failed:
        reasons = outcome.result["reasons"]
        assert all(reason in outcome.result["msg"] for reason in reasons)
        # bcc belongs to another Python than that of these tests; the other reasons are the machine's.
        of_the_machine = [one for one in trace.obstacles(Host()) if "bcc cannot be imported" not in one]
        assert [one for one in reasons if "bcc cannot be imported" not in one] == of_the_machine
    else:
        assert outcome.result["seconds"] >= 1
        assert "xdp_exception" in outcome.result["events"]
    assert not outcome.result.get("changed")
