"""Policies on real interfaces: compiled, put in force whole, recognised, grown, and judged by real packets."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    CoreError,
    Impossible,
    Invalid,
    Outcome,
    converge,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, map_in_map, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import (
    policy_assignment,
    policy_documents,
    policy_resource,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_set import DesiredPolicy, PolicySet
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import frames, lab

NIC = lab.Cable.nic
BLOCKED, OTHER = "203.0.113.1", "198.51.100.1"
PACKETS = 50
DROPPING = {"lists": [{"name": "bogons", "action": "drop", "prefixes": ["203.0.113.0/24"]}]}


class Bench:
    """A NIC with our program, and policies for it."""

    def __init__(self, cable: lab.Cable, root: Path, directory: Path) -> None:
        self.cable, self.root, self.directory = cable, root, directory

    def attach(self, path: Path, **options: Any) -> Outcome:
        desired = Desired(
            NIC, object=str(path), pin_root=str(self.root), state_directory=str(self.directory), **options
        )
        return converge(XdpProgram(desired), desired, Host())

    def apply(self, document: Mapping[str, Any], name: str = "edge", check: bool = False, **options: Any) -> Outcome:
        desired = DesiredPolicy(
            name,
            options.pop("interfaces", [NIC]),
            document,
            pin_root=str(self.root),
            state_directory=str(self.directory),
            **options,
        )
        return converge(PolicySet(desired), desired, Host(), check)

    def pin(self, name: str) -> str:
        return f"{self.root}/{NIC}/{name}"

    def program(self) -> int:
        return netlink.link(NIC).xdp.programs["native"]

    def inner(self) -> int | None:
        with bpf.pinned(self.pin("maps/policy")) as outer:
            return map_in_map.held(outer)

    def assignment(self) -> policy_assignment.Assignment | None:
        return policy_assignment.load(Host(), NIC, str(self.directory))

    def reapply(self, check: bool = False) -> Outcome:
        return policy_resource.reapply(self.assignment().body, Host(), check)

    def fate(self, source: str) -> tuple[str, str]:
        """What becomes of packets of a source: the verdict and reason that were counted for all of them."""
        ethertype, made = (frames.IPV6, frames.ipv6) if ":" in source else (frames.IPV4, frames.ipv4)
        before = lab.read_counters(Path(self.pin("maps/counters")))
        with self.cable.sender() as sender:
            for _packet in range(PACKETS):
                sender.send(frames.ethernet(ethertype, made(source)))
        after = lab.read_counters(Path(self.pin("maps/counters")))
        grown = {slot: count - before.get(slot, 0) for slot, count in after.items()}
        # The kernel's own packets at link-up are counted too.
        [found] = [slot for slot, count in grown.items() if count >= PACKETS]
        return found


@pytest.fixture
def bench(cable, pin_root, tmp_path, xdp_object):
    made = Bench(cable, pin_root, tmp_path / "host.d")
    made.attach(xdp_object)
    return made


def test_a_policy_judges_packets_from_the_moment_it_is_applied(bench):
    assert bench.fate(BLOCKED) == ("pass", "no_rule")
    outcome = bench.apply({**DROPPING, "default": "pass"})
    assert outcome.changed
    assert bench.fate(BLOCKED) == ("drop", "list_drop")
    assert bench.fate(OTHER) == ("pass", "no_rule")
    bench.apply({**DROPPING, "default": "drop"})
    assert bench.fate(OTHER) == ("drop", "default")
    bench.apply({})
    assert bench.fate(BLOCKED) == ("pass", "no_rule")


def test_an_unchanged_policy_is_recognised_and_touches_nothing(bench):
    bench.apply(DROPPING)
    inner, files = bench.inner(), {path: path.stat() for path in bench.directory.iterdir()}
    assert not bench.apply(DROPPING).changed
    assert not bench.reapply().changed
    assert bench.inner() == inner
    assert {path: path.stat().st_mtime_ns for path in files} == {path: one.st_mtime_ns for path, one in files.items()}


def test_check_mode_says_what_differs_and_changes_nothing(bench):
    bench.apply(DROPPING)
    inner, files = bench.inner(), sorted(os.listdir(bench.directory))
    outcome = bench.apply({"default": "drop"}, check=True)
    assert [change.path[:3] for change in outcome.changes] == [
        (NIC, "lists", "bogons"),
        (NIC, "default"),
        ("state file", "policy-edge-inventory"),
    ]
    assert (bench.inner(), sorted(os.listdir(bench.directory))) == (inner, files)
    assert bench.fate(BLOCKED) == ("drop", "list_drop")
