"""Interfaces that can and cannot run XDP, each for a reason the kernel would give only when a program is attached."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.drivers import xdp_limits
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import lab
from tests.support.modules import run_module

QUIET = {"distributions": ["debian 12", "debian 13"], "fail": False}


def findings(**options: Any) -> list[dict[str, str]]:
    """Return what the module finds of the NICs in this thread's network namespace."""
    found = run_module("preflight", {**QUIET, **options}).result["findings"]
    return [one for one in found if one["subject"].startswith(("XDP on", "NICs", "interface"))]


def test_a_veth_with_equal_ends_can_run_xdp(cable: lab.Cable) -> None:
    assert findings(xdp=[{"name": cable.nic}], nics=[{"name": cable.nic, "mtu": 1400}]) == []


def test_every_reason_against_xdp_is_found_at_once() -> None:
    with lab.namespace() as near, lab.namespace() as far, lab.inside(near):
        queues = [("numrxqueues", number, "numtxqueues", number) for number in ("1", "2")]
        lab.ip("link", "add", "xdp0", *queues[0], "type", "veth", "peer", "name", "peer0", *queues[1])
        lab.ip("link", "set", "peer0", "netns", f"/proc/{os.getpid()}/fd/{far}")
        for end, namespace in (("xdp0", near), ("peer0", far)):
            with lab.inside(namespace):
                lab.ip("link", "set", end, "mtu", "9000")
        reported = findings(xdp=[{"name": "xdp0"}, {"name": "later0"}], pending_interfaces=["later0"])
        assert [one["severity"] for one in reported] == ["error", "error"]
        assert "more transmit queues" in reported[0]["found"]
        assert (reported[1]["found"], reported[1]["limit"]) == ("MTU 9000", "at most 3506 for driver veth")
        assert findings(xdp=[{"name": "xdp0", "mode": "generic"}]) == []
        assert findings(xdp=[{"name": "xdp0", "state": "detached"}]) == []
        # What is declared counts, and is held against the NIC too.
        reported = findings(
            xdp=[{"name": "xdp0"}],
            nics=[{"name": "xdp0", "mtu": 1500, "channels": {"rx": 99}, "rings": {"rx": 512}}, {"name": "nosuch0"}],
        )
        words = [one["found"] for one in reported]
        assert any("99 rx channels" in one for one in words), words
        assert any("nosuch0" in one for one in words), words
        assert not any("MTU" in one for one in words), words


def test_the_limit_is_the_one_that_the_kernel_keeps_to(
    cable: lab.Cable, xdp_object: Path, pin_root: Path, tmp_path: Path
) -> None:
    desired = Desired(cable.nic, object=str(xdp_object), pin_root=str(pin_root), state_directory=str(tmp_path))
    most = xdp_limits("veth").mtu
    for mtu, accepted in ((most + 1, False), (most, True)):
        with lab.inside(cable.far):
            lab.ip("link", "set", cable.peer, "mtu", str(mtu))
        if accepted:
            converge(XdpProgram(desired), desired, Host())
        else:
            with pytest.raises(ApplyFailed, match="Peer MTU is too large"):
                converge(XdpProgram(desired), desired, Host())


def test_a_program_is_foreign_unless_our_pins_hold_it(
    cable: lab.Cable, xdp_object: Path, pin_root: Path, tmp_path: Path
) -> None:
    desired = Desired(cable.nic, object=str(xdp_object), pin_root=str(pin_root), state_directory=str(tmp_path))
    converge(XdpProgram(desired), desired, Host())
    assert findings(xdp=[{"name": cable.nic}], pin_root=str(pin_root)) == []
    (finding,) = findings(xdp=[{"name": cable.nic}])
    assert "tripod_xdp" in finding["found"]
    assert finding["limit"] == "no program of others"
