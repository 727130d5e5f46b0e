"""Programs and policies, with module and agent killed at every moment: the next run converges, and no trace stays."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import reapply as agent
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import (
    Policy,
    XdpMap,
    own_entries,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.reattach import reattach
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import lab
from tests.support import forked
from tests.support.bpf_object import hollow
from tests.support.sweep import Moment, sweep

NIC, OTHER = lab.Cable.nic, "other0"
PINS = sorted([NIC, f"{NIC}/link", f"{NIC}/maps", f"{NIC}/prog", *(f"{NIC}/maps/{one}" for one in lab.MAPS)])
FEW: list[Mapping[str, str]] = [
    {"prefix": "203.0.113.0/24", "action": "drop"},
    {"prefix": "2001:db8:bad::/48", "action": "pass"},
]
OTHERS: list[Mapping[str, str]] = [
    {"prefix": "198.51.100.0/24", "action": "drop"},
    {"prefix": "2001:db8:bad::/48", "action": "drop"},
]

Step = Callable[["Bench"], None]


class Bench:
    """A NIC beside another that is somebody else's, a place for pins and one for state files."""

    def __init__(self, root: Path, directory: Path, objects: Mapping[str, Path]) -> None:
        self.root, self.directory, self.objects = root, directory, objects
        self.asked: dict[str, Any] = {}
        self.bystander = 0

    @property
    def desired(self) -> Desired:
        return Desired(
            NIC, object=str(self.objects["first"]), pin_root=str(self.root), state_directory=str(self.directory)
        )

    def options(self, **more: Any) -> dict[str, Any]:
        places = {"interface": NIC, "pin_root": str(self.root), "state_dir": str(self.directory), "guard": "never"}
        return {**places, **more}

    def attach(self, which: str = "first", **more: Any) -> None:
        """By the module, in a process that can be killed."""
        forked.run("xdp_program", self.options(object=str(self.objects[which]), **more))

    def detach(self, **more: Any) -> None:
        forked.run("xdp_program", self.options(state="detached", **more))

    def fill(self, entries: Sequence[Mapping[str, str]], **more: Any) -> None:
        forked.run("xdp_map", self.options(entries=entries, **more))

    def again(self, call: Step) -> None:
        """In a process of its own, as Ansible does."""
        forked.carry_out(lambda: call(self))

    def pins(self) -> list[str]:
        found = [
            os.path.relpath(os.path.join(place, name), self.root)
            for place, directories, names in os.walk(self.root)
            for name in (*directories, *names)
        ]
        return sorted(one for one in found if one.split("/")[0] != OTHER)

    def files(self) -> list[str]:
        return sorted(os.listdir(self.directory)) if self.directory.is_dir() else []

    def rules(self) -> dict[str, str]:
        policy = Policy(NIC, pin_root=str(self.root), state_directory=str(self.directory))
        return {str(one): action for one, action in own_entries(policy, XdpMap(policy).read(Host())).items()}

    def clear(self) -> None:
        """Take all away, by other means than those under test."""
        shutil.rmtree(self.root / NIC, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        for left in self.root.glob(f"{NIC}~*"):
            shutil.rmtree(left)
        # The kernel lets go of a link some time after its last pin; until then nobody else detaches its program.
        end = time.monotonic() + 10
        while netlink.link(NIC).xdp.mode and time.monotonic() < end:
            with suppress(subprocess.CalledProcessError):
                lab.ip("link", "set", NIC, "xdp", "off")
            time.sleep(0.005)

    def make_nic_anew(self) -> None:
        lab.ip("link", "delete", NIC)
        lab.ip("link", "add", NIC, "type", "veth", "peer", "name", "peer0")


@pytest.fixture
def bench(cable, pin_root, tmp_path, xdp_object, newer_object, smaller_object) -> Iterator[Bench]:
    """With a program on another interface, by a link that lies beside our pins and looks like half of one of ours."""
    objects = {}
    for which, path in (("first", xdp_object), ("newer", newer_object), ("smaller", smaller_object)):
        # The verifier takes seconds for the whole program, and here it is loaded hundreds of times.
        objects[which] = tmp_path / f"{which}.bpf.o"
        objects[which].write_bytes(hollow(path.read_bytes()))
    made = Bench(pin_root, tmp_path / "host.d", objects)
    for name in ("xdp_program", "xdp_map"):
        forked.module(name)
    lab.ip("link", "add", OTHER, "type", "veth", "peer", "name", "other1")
    os.makedirs(pin_root / OTHER)
    with BpfObject(objects["first"].read_bytes(), "other.o") as opened:
        opened.load("tripod_xdp", {})
        link = bpf.create_xdp_link(opened.program("tripod_xdp"), netlink.link(OTHER).index, "native")
        bpf.pin(link, str(pin_root / OTHER / "link~"))
        os.close(link)
    made.bystander = netlink.link(OTHER).xdp.programs["native"]
    yield made
    assert netlink.link(OTHER).xdp.programs == {"native": made.bystander}
    os.unlink(pin_root / OTHER / "link~")


@pytest.fixture
def tally(capsys):
    """Counts the moments, and those at which something was wrong; every one is tried before the test fails."""
    moments: list[str] = []
    bad: list[str] = []

    def check(moment: Moment, steps: Callable[[], None]) -> None:
        moments.append(str(moment))
        try:
            steps()
        except Exception as error:
            logging.debug("%s", moment, exc_info=True)
            bad.append(f"{moment}: {type(error).__name__}: {str(error)[:600]}")

    yield check
    with capsys.disabled():
        print(f" [{len(moments)} moments, {len(bad)} bad]", end="")
    assert not bad, f"{len(bad)} of {len(moments)} moments:\n" + "\n".join(bad)


def attached(bench: Bench) -> None:
    bench.attach()


def generic(bench: Bench) -> None:
    bench.attach(mode="generic")


def newer(bench: Bench) -> None:
    bench.attach("newer")


def smaller(bench: Bench) -> None:
    bench.attach("smaller", incompatible_maps="recreate")


def detached(bench: Bench) -> None:
    bench.detach()


def detached_elsewhere(bench: Bench) -> None:
    bench.detach(pin_root=f"{bench.root}/elsewhere")


def filled(bench: Bench) -> None:
    bench.fill(FEW)


def exchanged(bench: Bench) -> None:
    bench.fill(OTHERS)


def emptied(bench: Bench) -> None:
    bench.fill([])


def added(bench: Bench) -> None:
    bench.fill(OTHERS[:1], state="present")


def removed(bench: Bench) -> None:
    bench.fill(FEW[:1], state="absent")


def link_lost(bench: Bench) -> None:
    with bpf.pinned(f"{bench.desired.pins}/link") as link:
        bpf.detach_link(link)


def nic_anew(bench: Bench) -> None:
    bench.make_nic_anew()


def reapplied(bench: Bench) -> None:
    """By the agent: what ``tripod-host apply`` does."""
    results = agent.reapply(Host(), str(bench.directory))
    assert not [one for one in results if one.error], results


def reattached(bench: Bench) -> None:
    """By the agent, at once when a NIC appears."""
    [body] = [one.body for one in state_store.load_all(Host(), str(bench.directory)) if one.kind == "xdp"]
    reattach(body, Host())


def prepare(bench: Bench, before: list[Step]) -> None:
    bench.clear()
    for step in before:
        bench.again(step) if step is not nic_anew else step(bench)


def converged(bench: Bench) -> None:
    """All is as the state files request, and there is nothing else."""
    states = [one.state for one in agent.reapply(Host(), str(bench.directory), check=True)]
    assert set(states) == {"converged"}, states
    assert bench.pins() == PINS
    assert [name for name in bench.files() if name.startswith(".")] == []
    assert netlink.link(NIC).xdp.mode


def gone(bench: Bench) -> None:
    bench.again(detached)
    assert bench.pins() == []
    assert bench.files() == []
    assert netlink.link(NIC).xdp.mode is None


CASES: Mapping[str, tuple[list[Step], Step, int]] = {
    "first": ([], attached, 60),
    "mode": ([attached], generic, 60),
    "reattach": ([attached, link_lost], attached, 40),
    "replace": ([attached], newer, 30),
    "maps anew": ([attached, filled], smaller, 40),
}
OF_CI = ("first", "replace")


@pytest.mark.parametrize("case", [one if one in OF_CI else pytest.param(one, marks=pytest.mark.full) for one in CASES])
def test_an_attachment_that_was_killed_is_finished_by_the_next_run(bench, tally, case):
    before, call, least = CASES[case]
    prepare(bench, before)
    for moment in sweep(lambda: call(bench), least):

        def steps() -> None:
            bench.again(call)
            if call is smaller:
                bench.again(reapplied)  # maps that are made anew are empty until then
            converged(bench)
            gone(bench)

        tally(moment, steps)
        prepare(bench, before)


@pytest.mark.parametrize("case", ["first", "mode"])
def test_what_a_killed_attachment_left_is_removed(bench, tally, case):
    before, call, least = CASES[case]
    prepare(bench, before)
    for moment in sweep(lambda: call(bench), least):
        tally(moment, lambda: gone(bench))
        prepare(bench, before)


@pytest.mark.parametrize("case", ["mode", "reattach", "replace"])
def test_the_agent_finishes_what_a_killed_run_began(bench, tally, case):
    before, call, least = CASES[case]
    prepare(bench, before)
    for moment in sweep(lambda: call(bench), least):

        def steps() -> None:
            bench.again(reapplied)
            converged(bench)
            bench.again(call)
            converged(bench)

        tally(moment, steps)
        prepare(bench, before)


@pytest.mark.parametrize(
    ("call", "least"), [(detached, 12), (detached_elsewhere, 12)], ids=["detach", "another pin root"]
)
def test_a_detachment_that_was_killed_is_finished_by_the_next_run(bench, tally, call, least):
    prepare(bench, [attached, filled])
    for moment in sweep(lambda: call(bench), least):

        def steps() -> None:
            bench.again(call)
            gone(bench)

        tally(moment, steps)
        prepare(bench, [attached, filled])


def test_after_a_detachment_that_was_killed_it_can_be_attached(bench, tally):
    prepare(bench, [attached, filled])
    for moment in sweep(lambda: detached(bench), 12):

        def steps() -> None:
            bench.again(attached)
            bench.again(reapplied)  # the entries, where they are still requested
            converged(bench)

        tally(moment, steps)
        prepare(bench, [attached, filled])


AGENT: Mapping[str, tuple[list[Step], Step, int]] = {
    "reapply, nic anew": ([attached, filled, nic_anew], reapplied, 40),
    "reapply, link lost": ([attached, filled, link_lost], reapplied, 40),
    "reattach": ([attached, filled, nic_anew], reattached, 8),
}


@pytest.mark.parametrize(
    ("case", "following"),
    [(case, reapplied) for case in AGENT] + [("reattach", attached)],
    ids=[*AGENT, "reattach, then the module"],
)
def test_the_agent_killed_is_finished_by_the_next_run(bench, tally, case, following):
    before, call, least = AGENT[case]
    prepare(bench, before)
    for moment in sweep(lambda: call(bench), least):

        def steps() -> None:
            bench.again(following)
            converged(bench)
            assert bench.rules() == {one["prefix"]: one["action"] for one in FEW}
            gone(bench)

        tally(moment, steps)
        prepare(bench, before)


POLICIES: Mapping[str, tuple[list[Step], Step, list[Mapping[str, str]], int]] = {
    "first": ([attached], filled, FEW, 12),
    "exchange": ([attached, filled], exchanged, OTHERS, 16),
    "add": ([attached, filled], added, [*FEW, OTHERS[0]], 12),
    "remove": ([attached, filled], removed, FEW[1:], 12),
    "all": ([attached, filled], emptied, [], 8),
}


@pytest.mark.parametrize("case", POLICIES)
def test_a_policy_that_was_killed_is_finished_by_the_next_run(bench, tally, case):
    before, call, rules, least = POLICIES[case]
    expected = {one["prefix"]: one["action"] for one in rules}
    prepare(bench, before)
    for moment in sweep(lambda: call(bench), least):

        def steps() -> None:
            bench.again(call)
            converged(bench)
            assert bench.rules() == expected
            document = ["policy-nic-xdp0-inventory.json"] * bool(expected)
            assert bench.files() == [*document, "xdp-xdp0.json", "xdp_policy-xdp0.json"]
            gone(bench)

        tally(moment, steps)
        prepare(bench, before)


@pytest.mark.parametrize("case", ["exchange", "all"])
def test_the_agent_makes_a_killed_policy_what_is_saved(bench, tally, case):
    before, call, rules, least = POLICIES[case]
    expected = {one["prefix"]: one["action"] for one in rules}
    prepare(bench, before)
    for moment in sweep(lambda: call(bench), least):

        def steps() -> None:
            bench.again(reapplied)
            converged(bench)
            bench.again(call)
            assert bench.rules() == expected

        tally(moment, steps)
        prepare(bench, before)
