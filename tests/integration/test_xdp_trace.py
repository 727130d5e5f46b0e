"""The tracer's promise: the twin is the same program under the same policy, and leaves the live counters alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import Policy, XdpMap
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.prefix import parse_prefix
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.state import facts

from tests.integration import frames, lab


@pytest.mark.parametrize(
    ("source", "verdict", "reason", "length"),
    [("203.0.113.1", "drop", "acl_drop", 24), ("192.0.2.1", "pass", "no_rule", 0)],
)
def test_the_twin_answers_for_the_attached_program(
    cable, xdp_object, pin_root, tmp_path, source, verdict, reason, length
):
    desired = Desired(cable.nic, object=str(xdp_object), pin_root=str(pin_root), state_directory=str(tmp_path))
    attached = facts(converge(XdpProgram(desired), desired, Host()).state)
    policy = Policy(cable.nic, entries={parse_prefix("203.0.113.0/24"): "drop"}, pin_root=str(pin_root))
    converge(XdpMap(policy), policy, Host())

    counters = Path(desired.pins, "maps", "counters")
    with (
        bpf.pinned(f"{desired.pins}/maps/acl_v4") as v4,
        bpf.pinned(f"{desired.pins}/maps/acl_v6") as v6,
        lab.Twin(xdp_object.read_bytes(), {"acl_v4": v4, "acl_v6": v6}) as twin,
    ):
        assert bpf.program_info(twin.program).tag == attached["program"]["tag"]
        before = lab.read_counters(counters).get((verdict, reason), 0)
        reported = None
        for _time in range(200):
            reported = twin.run(frames.ethernet(frames.IPV4, frames.ipv4(source)))
        assert (reported["verdict"], reported["reason"], reported["prefix_len"], reported["source"]) == (
            verdict,
            reason,
            length,
            source,
        )
        assert lab.read_counters(counters).get((verdict, reason), 0) - before < 200
