"""Policies on real interfaces: compiled, put in force whole, recognised, grown, and judged by real packets."""

from __future__ import annotations

import ctypes
import math
import os
import shutil
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import reapply as agent
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    CoreError,
    Impossible,
    Invalid,
    Outcome,
    Refused,
    converge,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, map_in_map, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.libbpf import library as libbpf
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import (
    policy_assignment,
    policy_documents,
    policy_in_force,
    policy_lists,
    policy_resource,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_set import DesiredPolicy, PolicySet
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_tests import read_tests
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import frames, lab
from tests.support.machine import eventually

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

    def attach_anew(self) -> None:
        """As after a boot: from the state files alone."""
        body = state_store.load(Host(), f"xdp-{NIC}", str(self.directory)).body
        self.attach(Path(body["object"]), mode="generic")

    def hits(self, part: str) -> int:
        """Packets that a part has counted."""
        cpus = libbpf().libbpf_num_possible_cpus()
        value = ctypes.create_string_buffer(40 * cpus)
        with bpf.pinned(self.pin("maps/hits")) as hits:
            key = struct.pack("=I", self.assignment().slots[part])
            assert libbpf().bpf_map_lookup_elem(hits, key, value) == 0
        return sum(struct.unpack_from("=Q", value.raw, 40 * cpu)[0] for cpu in range(cpus))

    def reapply(self, check: bool = False) -> Outcome:
        return policy_resource.reapply(self.assignment().body, Host(), check)

    def fate(self, source: str) -> tuple[str, str]:
        """What becomes of packets of a source: the verdict and reason that were counted for all of them."""
        with self.cable.sender() as sender:
            return lab.fate(Path(self.pin("maps/counters")), sender, frames.of(source), PACKETS)


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


def many(count: int, second: int = 10) -> dict[str, Any]:
    """A policy of so many prefixes, each apart from its neighbours."""
    prefixes = [f"{second + (n >> 16)}.{n >> 8 & 255}.{n & 255}.0/25" for n in range(count)]
    return {"lists": [{"name": "many", "prefixes": prefixes}, *DROPPING["lists"]]}


def test_a_policy_that_outgrows_the_program_comes_with_one_that_has_room(bench):
    bench.apply(DROPPING)
    assert bench.fate(BLOCKED) == ("drop", "list_drop")
    program, counted = bench.program(), lab.read_counters(Path(bench.pin("maps/counters")))
    slots = dict(bench.assignment().slots)
    bench.apply(many(100_000))
    assert bench.program() != program
    assert bench.fate(BLOCKED) == bench.fate("10.200.200.1") == ("drop", "list_drop")
    assert bench.fate(OTHER) == ("pass", "no_rule")
    after = lab.read_counters(Path(bench.pin("maps/counters")))
    assert all(after[slot] >= count for slot, count in counted.items()), "counters were lost"
    assert bench.assignment().slots.items() >= slots.items()
    # All is as the state files say: a program that is loaded anew is no drift.
    states = [one.state for one in agent.reapply(Host(), str(bench.directory), check=True)]
    assert set(states) == {"converged"}, states
    # Room is kept: going back and forth needs no third program.
    program = bench.program()
    bench.apply(DROPPING)
    assert bench.fate("10.200.200.1") == ("pass", "no_rule")
    bench.apply(many(90_000))
    assert bench.program() == program


def test_a_program_is_attached_with_the_policy_that_is_saved(bench, newer_object):
    bench.apply({"default": "drop"})
    program = bench.program()
    bench.attach(newer_object)
    assert bench.program() != program
    assert bench.fate(OTHER) == ("drop", "default")
    # As after a boot: no pins, and state files.
    os.unlink(bench.pin("link"))
    shutil.rmtree(bench.root / NIC)
    eventually(lambda: netlink.link(NIC).xdp.mode is None, lab.PATIENCE)
    bench.attach(newer_object)
    assert not bench.reapply(check=True).changed
    assert bench.fate(OTHER) == ("drop", "default")


def test_another_policy_than_the_saved_one_is_brought_back(bench):
    bench.apply({"default": "drop"})
    former = bench.inner()
    bench.apply({"default": "pass"})
    with bpf.pinned(bench.pin("maps/policy")) as outer, map_in_map.made("other", size_of(outer)) as inner:
        map_in_map.exchange(outer, inner)
    [change] = bench.reapply(check=True).changes
    assert change.path == (NIC, "policy", "in force")
    assert bench.reapply().changed
    assert not bench.reapply().changed
    assert bench.inner() not in (None, former)


def size_of(outer: int) -> int:
    with bpf.map_by_id(map_in_map.held(outer)) as inner:
        return bpf.map_info(inner).layout.value_size


def test_counters_stay_with_their_parts_and_a_new_part_begins_at_nothing(bench):
    bench.apply(DROPPING)
    bench.fate(BLOCKED)
    assert bench.hits("list:bogons") == PACKETS
    two = [{"name": "first", "prefixes": ["192.0.2.0/24"]}, *DROPPING["lists"]]
    bench.apply({"lists": two})
    bench.fate(BLOCKED)
    assert bench.hits("list:bogons") == 2 * PACKETS
    bench.apply({"lists": two[:1]})
    for number in range(3):  # until the slot of what is gone is given anew
        bench.apply({"lists": [two[0], {"name": f"later{number}", "prefixes": ["203.0.113.0/24"]}]})
        assert bench.hits(f"list:later{number}") == 0
        bench.fate(BLOCKED)
        assert bench.hits(f"list:later{number}") == PACKETS


def test_what_is_wrong_is_refused_at_once_and_changes_nothing(bench):
    bench.apply(DROPPING)
    inner, files = bench.inner(), sorted(os.listdir(bench.directory))
    wrong = {
        "lists": [{"name": "a", "prefixes": ["10.0.0.1/8", "2001:db8::/129"]}, {"name": "b", "action": "limit:none"}],
        "rules": [{"id": "r", "action": "burn"}],
        "default": "maybe",
    }
    with pytest.raises(Invalid) as raised:
        bench.apply(wrong)
    assert len(raised.value.facts["reasons"]) >= 5
    assert (bench.inner(), sorted(os.listdir(bench.directory))) == (inner, files)


def test_a_policy_for_a_nic_that_is_not_there_is_refused_for_all(bench):
    bench.apply(DROPPING)
    inner = bench.inner()
    with pytest.raises(Impossible, match="interface nosuch0 does not exist"):
        bench.apply({"default": "drop"}, interfaces=[NIC, "nosuch0"])
    assert bench.inner() == inner
    assert bench.fate(OTHER) == ("pass", "no_rule")


def test_where_one_nic_cannot_take_a_policy_none_gets_it(bench, xdp_object, monkeypatch):
    lab.ip("link", "add", "other0", "type", "veth", "peer", "name", "other1")
    desired = Desired("other0", object=str(xdp_object), pin_root=str(bench.root), state_directory=str(bench.directory))
    converge(XdpProgram(desired), desired, Host())
    both = [NIC, "other0"]
    bench.apply(DROPPING, interfaces=both)
    real = policy_in_force.put

    def fails_for_the_second(outer: int, *rest: Any) -> None:
        with bpf.pinned(bench.pin("maps/policy")) as ours:
            if bpf.map_info(outer).id != bpf.map_info(ours).id:
                raise OSError(12, "Cannot allocate memory")
        real(outer, *rest)

    monkeypatch.setattr(f"{policy_resource.__name__}.put", fails_for_the_second)
    with pytest.raises(ApplyFailed, match=r"Cannot allocate memory.*the policy before is in force on all"):
        bench.apply({"default": "drop"}, interfaces=both)
    monkeypatch.undo()
    assert bench.fate(OTHER) == ("pass", "no_rule")
    assert bench.fate(BLOCKED) == ("drop", "list_drop")
    assert policy_documents.load(Host(), "edge", "inventory", str(bench.directory)) == DROPPING


def test_a_list_from_a_file_is_taken_by_its_digest(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(policy_lists, "DIRECTORY", str(tmp_path / "lists"))
    text = b"# bogons\n203.0.113.0/24\n"
    sha256 = policy_lists.digest(text)
    document = {"lists": [{"name": "bogons", "file": "/etc/bogons", "sha256": sha256}]}
    bench.apply(document, texts={sha256: text})
    assert bench.fate(BLOCKED) == ("drop", "list_drop")
    assert os.stat(tmp_path / "lists" / sha256).st_mode & 0o777 == 0o600
    assert not bench.apply(document, texts={sha256: text}).changed
    with bpf.pinned(bench.pin("maps/policy")) as outer, map_in_map.made("other", size_of(outer)) as inner:
        map_in_map.exchange(outer, inner)
    bench.reapply()
    assert bench.fate(BLOCKED) == ("drop", "list_drop")
    (tmp_path / "lists" / sha256).write_bytes(b"192.0.2.0/24\n")
    with pytest.raises(CoreError, match="is not the text that was put there"):
        bench.attach_anew()


def test_a_list_ends_when_its_time_has_come_and_is_not_renewed_by_running_again(bench):
    began = time.monotonic()
    bench.apply(DROPPING)
    assert bench.fate(BLOCKED) == ("drop", "list_drop")
    # What is tried before the end takes as long on this machine, twice.
    seconds = 2 + math.ceil(4 * (time.monotonic() - began))
    ending = {"lists": [{**DROPPING["lists"][0], "expires": f"{seconds}s"}]}
    bench.apply(ending)
    until = bench.assignment().until
    assert until - time.time() <= seconds
    assert not bench.apply(ending).changed
    assert bench.fate(BLOCKED) == ("drop", "list_drop")
    time.sleep(max(0.0, until - time.time()) + 0.01)
    assert bench.reapply(check=True).changed
    assert bench.reapply().changed
    assert bench.fate(BLOCKED) == ("pass", "no_rule")
    assert bench.assignment().until is None
    assert not bench.apply(ending).changed
    assert bench.apply({"lists": [{**ending["lists"][0], "expires": "1h"}]}).changed
    assert bench.fate(BLOCKED) == ("drop", "list_drop")


def test_other_owners_parts_stay_and_go_along_with_no_other_policy(bench):
    directory = str(bench.directory)
    policy_documents.store(
        Host(), "edge", "api", {"lists": [{"name": "theirs", "prefixes": ["198.51.100.0/24"]}]}, directory
    )
    bench.apply(DROPPING)
    assert bench.fate(OTHER) == bench.fate(BLOCKED) == ("drop", "list_drop")
    bench.apply({})
    assert bench.fate(OTHER) == ("drop", "list_drop")
    assert bench.fate(BLOCKED) == ("pass", "no_rule")
    desired = DesiredPolicy("core", [NIC], {}, pin_root=str(bench.root), state_directory=directory)
    resource = PolicySet(desired)
    converge(resource, desired, Host())
    assert bench.fate(OTHER) == ("pass", "no_rule")
    [warning] = resource.warnings
    assert "was judged by policy edge, in which api has parts" in warning
    assert policy_documents.unnamed(Host(), directory) == ["edge"], "which the agent sweeps out"


def test_a_policy_that_a_run_gives_to_another_nic_keeps_the_parts_of_all_owners(bench, xdp_object):
    """In the order of the NICs the first one leaves it before the second has it; the agent sweeps out what is left."""
    lab.ip("link", "add", "other0", "type", "veth", "peer", "name", "other1")
    places = {"pin_root": str(bench.root), "state_directory": str(bench.directory)}
    program = Desired("other0", object=str(xdp_object), **places)
    converge(XdpProgram(program), program, Host())
    bench.apply(DROPPING)
    policy_documents.store(
        Host(), "edge", "api", {"lists": [{"name": "theirs", "prefixes": [OTHER]}]}, places["state_directory"]
    )
    for name, nic, document in (("core", NIC, {"default": "drop"}), ("edge", "other0", DROPPING)):
        desired = DesiredPolicy(name, [nic], document, **places)
        assert converge(PolicySet(desired), desired, Host()).changed
        assert not converge(PolicySet(desired), desired, Host()).changed
    assert bench.fate(OTHER) == ("drop", "default")
    assert policy_documents.owners(Host(), "edge", places["state_directory"]) == ["api", "inventory"]
    assert policy_documents.unnamed(Host(), places["state_directory"]) == []


def test_detaching_removes_what_is_saved_unless_another_nic_has_the_policy(bench, xdp_object):
    lab.ip("link", "add", "other0", "type", "veth", "peer", "name", "other1")
    places = {"pin_root": str(bench.root), "state_directory": str(bench.directory)}
    for name in ("other0", NIC):
        desired = Desired(name, object=str(xdp_object), **places)
        converge(XdpProgram(desired), desired, Host())
    bench.apply(DROPPING, interfaces=[NIC, "other0"])
    for name, left in (
        (NIC, ["policy-edge-inventory.json", "xdp-other0.json", "xdp_policy-other0.json"]),
        ("other0", []),
    ):
        desired = Desired(name, present=False, **places)
        converge(XdpProgram(desired), desired, Host())
        assert sorted(os.listdir(bench.directory)) == left


def test_a_policy_by_which_something_else_becomes_of_a_packet_is_refused(bench):
    bench.apply(DROPPING)
    inner = bench.inner()
    tests = read_tests(
        [
            {"frame": {"source": BLOCKED}, "expect": {"verdict": "drop", "list": "bogons"}},
            {"frame": {"source": OTHER}, "expect": {"verdict": "pass"}},
        ]
    )
    for check in (True, False):
        with pytest.raises(Refused, match=r"tests\[1\]: verdict is drop, pass is expected; drop by reason default"):
            bench.apply({**DROPPING, "default": "drop"}, tests=tests, check=check)
    assert bench.inner() == inner
    bench.apply({**DROPPING, "trusted": [{"prefix": OTHER}], "default": "drop"}, tests=tests)
    assert bench.fate(OTHER) == ("pass", "trusted")


def test_a_damaged_state_file_costs_no_policy(bench, newer_object):
    bench.apply({"default": "drop"})
    path = bench.directory / f"xdp_policy-{NIC}.json"
    path.write_text("{")
    with pytest.raises(ApplyFailed, match="cannot be understood, and the policy in force would be lost"):
        bench.attach(newer_object)
    assert bench.fate(OTHER) == ("drop", "default")
    assert bench.apply({"default": "drop"}).changed
    bench.attach(newer_object)
    assert bench.fate(OTHER) == ("drop", "default")
