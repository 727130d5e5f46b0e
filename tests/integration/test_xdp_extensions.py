"""Programs of others before and after ours: called, kept over every change, refused where need be, gone again."""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import reapply as agent
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.patrol import PROGRAM, Patrol
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed, Invalid, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.libbpf import library
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import saved
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.called import called
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.identity import identify
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_set import DesiredPolicy, PolicySet
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_twin import Twin
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.reattach import reattach
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired, Extension
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.state import facts

from tests.integration import frames, lab
from tests.support.bpf_object import xdp_object as lone_object

NIC = lab.Cable.nic
PACKETS = 20
BLOCKED, OTHER = "203.0.113.1", "198.51.100.1"
FOR_ALL, FOR_GATE, FOR_COUNT = (bytes.fromhex(one) for one in ("020000000001", "660000000001", "020000000088"))
MARKED, UNMARKED = 0x77, 0x01
LISTS = {"lists": [{"name": "bogons", "action": "drop", "prefixes": ["203.0.113.0/24"]}]}
COUNT = "packets_that_were_seen"


@pytest.fixture
def plain(xdp_object, pin_root, tmp_path) -> Desired:
    """Without anybody else's program."""
    return Desired(NIC, object=str(xdp_object), pin_root=str(pin_root), state_directory=str(tmp_path / "host.d"))


def extended(plain: Desired, path: Path, *slots: str) -> Desired:
    programs = {"before": "their_gate", "after": "their_count"}
    return replace(plain, extensions={slot: Extension(str(path), program=programs[slot]) for slot in slots})


@pytest.fixture
def both(plain, theirs) -> Desired:
    return extended(plain, theirs(), "before", "after")


def run(desired: Desired, check: bool = False):
    return converge(XdpProgram(desired), desired, Host(), check=check)


def judge_by(desired: Desired, document) -> None:
    policy = DesiredPolicy("edge", [NIC], document, pin_root=desired.pin_root, state_directory=desired.state_directory)
    converge(PolicySet(policy), policy, Host())


def seen(desired: Desired, slot: str) -> int:
    value = ctypes.c_uint64()
    with bpf.pinned(f"{desired.pins}/maps/{slot}:{COUNT}") as counter:
        assert library().bpf_map_lookup_elem(counter, bytes(4), ctypes.byref(value)) == 0
    return value.value


class Arrivals:
    """What comes out of the near end, of what a test sends into the far one."""

    def __init__(self, cable: lab.Cable) -> None:
        self._cable = cable

    def of(self, source: str, destination: bytes = FOR_ALL) -> set[int]:
        """Send packets; return the marks of those that arrive, which are all or none."""
        with lab.listener(NIC) as listener, self._cable.sender() as sender:
            for _packet in range(PACKETS):
                sender.send(frames.ethernet(frames.IPV4, frames.ipv4(source), destination=destination))
            marks = [frame[11] for frame in _frames(listener) if socket.inet_aton(source) == frame[26:30]]
        assert len(marks) in (0, PACKETS)
        return set(marks)


def _frames(listener: socket.socket) -> Iterator[bytes]:
    while select.select([listener], [], [], 0.2)[0]:
        yield listener.recv(2048)


@pytest.fixture
def arrivals(cable) -> Arrivals:
    return Arrivals(cable)


def programs(cable: lab.Cable, desired: Desired) -> dict[str, str]:
    """The attached program, and what it calls, by what the kernel says."""
    found = identify(Host(), NIC, desired.pin_root)
    assert cable.xdp()["prog"]["id"] == found.ours.program.id
    assert not found.strays()
    return {"attached": found.ours.program.name, **{slot: one.name for slot, one in found.ours.calls.items()}}


ALL = {"attached": "tripod_entry", "before": "their_gate", "ours": "tripod_xdp", "after": "their_count"}


def test_one_before_drops_and_marks_and_one_after_counts_what_ours_passes(cable, arrivals, both):
    outcome = run(both)
    assert programs(cable, both) == ALL
    assert {slot: one["name"] for slot, one in facts(outcome.state)["extensions"].items()} == {
        slot: name for slot, name in ALL.items() if slot != "attached"
    }
    judge_by(both, LISTS)
    before = seen(both, "before"), seen(both, "after")
    assert arrivals.of(OTHER) == {MARKED}
    assert arrivals.of(OTHER, FOR_GATE) == set()
    assert arrivals.of(BLOCKED) == set()
    assert arrivals.of(OTHER, FOR_COUNT) == set()
    # The kernel's own packets are counted, too; what ours drops comes to nobody after it.
    assert seen(both, "before") - before[0] >= 4 * PACKETS
    assert 2 * PACKETS <= seen(both, "after") - before[1] < 3 * PACKETS
    assert not run(both).changed


@pytest.mark.parametrize("slots", [("before",), ("after",), ("before", "after")])
def test_each_comes_and_goes_by_itself_without_a_gap(cable, arrivals, plain, theirs, slots):
    run(plain)
    judge_by(plain, LISTS)
    wanted = extended(plain, theirs(), *slots)
    predicted = run(wanted, check=True)
    assert {change.path for change in predicted.changes} >= {(NIC, "extensions", slot) for slot in slots}
    assert programs(cable, plain) == {"attached": "tripod_xdp"}
    outcome = run(wanted)
    assert outcome.changes == predicted.changes
    assert not any(change.disrupts for change in outcome.changes)
    assert arrivals.of(OTHER) == {MARKED if "before" in slots else UNMARKED}
    assert arrivals.of(BLOCKED) == set()
    assert not run(wanted).changed

    assert run(plain).changed
    assert programs(cable, plain) == {"attached": "tripod_xdp"}
    assert arrivals.of(OTHER) == {UNMARKED}
    assert arrivals.of(BLOCKED) == set()
    left = {name for _place, _directories, names in os.walk(plain.pins) for name in names}
    assert left == {"prog", "link", *lab.MAPS}
    assert not run(plain).changed


def test_detachment_leaves_nothing(cable, both):
    run(both)
    run(replace(both, present=False))
    assert not cable.xdp()
    assert os.listdir(both.pin_root) == []


def test_they_live_on_over_policies_that_are_exchanged_and_that_outgrow_the_program(cable, arrivals, both):
    run(both)
    assert arrivals.of(OTHER) == {MARKED}
    counted = seen(both, "before")
    judge_by(both, LISTS)
    judged = called(identify(Host(), NIC, both.pin_root).ours.program)["ours"].id
    many = [f"10.{one >> 8}.{one & 255}.0/25" for one in range(40_000)]
    judge_by(both, {"lists": [*LISTS["lists"], {"name": "many", "action": "drop", "prefixes": many}]})
    assert called(identify(Host(), NIC, both.pin_root).ours.program)["ours"].id != judged
    assert programs(cable, both) == ALL
    assert (arrivals.of(OTHER), arrivals.of(BLOCKED), arrivals.of("10.1.1.1")) == ({MARKED}, set(), set())
    assert seen(both, "before") >= counted + 3 * PACKETS
    assert not run(both).changed


def test_a_newer_object_of_ours_or_of_theirs_takes_their_maps_over(cable, arrivals, both, newer_object, tmp_path):
    run(both)
    assert arrivals.of(OTHER) == {MARKED}
    counted = seen(both, "after")
    run(replace(both, object=str(newer_object)))
    assert programs(cable, both) == ALL
    assert seen(both, "after") >= counted >= PACKETS
    path = tmp_path / "newer.bpf.o"
    path.write_bytes(Path(both.extensions["after"].object).read_bytes() + b"\0")
    newer = {**both.extensions, "after": Extension(str(path), program="their_count")}
    outcome = run(replace(both, object=str(newer_object), extensions=newer))
    assert {change.path[:3] for change in outcome.changes} == {(NIC, "extensions", "after")}
    assert seen(both, "after") >= counted


def test_both_kinds_take_programs_of_their_kind(cable, arrivals, plain, theirs):
    run(extended(plain, theirs(), "before", "after"))
    assert arrivals.of(OTHER) == {MARKED}
    fragments = replace(extended(plain, theirs("xdp.frags"), "before", "after"), program="tripod_xdp_frags")
    run(fragments)
    assert programs(cable, fragments) == {
        "attached": "tripod_entry_frags"[:15],
        "before": "their_gate",
        "ours": "tripod_xdp_frags"[:15],
        "after": "their_count",
    }
    assert arrivals.of(OTHER) == {MARKED}
    assert not run(fragments).changed


def test_after_a_boot_the_agent_brings_them_back(cable, arrivals, both):
    run(both)
    judge_by(both, LISTS)
    # What a boot does: nothing is attached or pinned any more, and the state files are there.
    lab.ip("link", "del", NIC)
    for place, directories, names in os.walk(both.pins, topdown=False):
        for name in names:
            os.unlink(f"{place}/{name}")
        for name in directories:
            os.rmdir(f"{place}/{name}")
    lab.ip("link", "add", NIC, "type", "veth", "peer", "name", "peer1")
    results = agent.reapply(Host(), both.state_directory)
    assert not [one for one in results if one.error], results
    assert programs(cable, both) == ALL
    assert {one.state for one in agent.reapply(Host(), both.state_directory, check=True)} == {"converged"}


def test_a_nic_that_is_made_anew_has_them_from_the_pins(cable, both):
    run(both)
    lab.ip("link", "del", NIC)
    lab.ip("link", "add", NIC, "type", "veth", "peer", "name", "peer1")
    assert reattach(json.loads(Path(both.state_files[0]).read_text()), Host())
    assert programs(cable, both) == ALL
    assert [change.path for change in run(both).changes] == [(NIC, "state file")]  # it has another address


def test_what_somebody_takes_out_of_the_array_or_puts_into_it_is_mended(cable, both, plain, theirs):
    for wanted, slot in ((both, 0), (both, 1), (both, 2)):
        run(wanted)
        with bpf.pinned(f"{both.pins}/maps/extensions") as array:
            assert library().bpf_map_delete_elem(array, slot.to_bytes(4, "little")) == 0
        assert run(wanted).changed
        assert programs(cable, both) == ALL
        assert not run(wanted).changed
    run(both)
    os.unlink(f"{both.pins}/judge")
    assert run(both).changed
    assert not run(both).changed


def test_the_watch_sees_in_its_round_what_somebody_takes_out(cable, both):
    run(both)
    patrol = Patrol(Host(), both.state_directory)
    patrol.accept([NIC])
    assert patrol.differences([NIC]) == {}
    with bpf.pinned(f"{both.pins}/maps/extensions") as array:
        assert library().bpf_map_delete_elem(array, (1).to_bytes(4, "little")) == 0
    assert patrol.differences([NIC]) == {NIC: [PROGRAM]}
    run(both)
    patrol.accept([NIC])
    os.unlink(f"{both.pins}/judge")
    assert patrol.differences([NIC]) == {NIC: [PROGRAM]}


def test_the_guard_brings_them_back(cable, arrivals, both, plain, monkeypatch):
    monkeypatch.setattr(saved, "orphans", lambda *_unused: [])  # no agent runs here, so that no guard speaks of it
    run(both)
    kept = saved.save(both, XdpProgram(plain).read(Host()))
    run(plain)
    assert arrivals.of(OTHER) == {UNMARKED}
    saved.restore(kept.body, Host())
    kept.drop()
    assert programs(cable, both) == ALL
    assert arrivals.of(OTHER) == {MARKED}


def test_a_twin_judges_as_ours_does_alone(cable, both):
    run(both)
    judge_by(both, LISTS)
    with Twin(Host(), NIC, both.pin_root, state_directory=both.state_directory) as twin:
        said = twin.judge(frames.ethernet(frames.IPV4, frames.ipv4(BLOCKED), destination=FOR_GATE))
    assert (said["verdict"], said["list"]) == ("drop", "bogons")


def test_a_program_without_maps_and_types_can_come_after(cable, arrivals, plain, tmp_path):
    path = tmp_path / "lone.bpf.o"
    path.write_bytes(lone_object(lab.VERDICTS.index("drop"), "their_wall"))
    run(replace(plain, extensions={"after": Extension(str(path))}))
    assert programs(cable, plain) == {"attached": "tripod_xdp", "after": "their_wall"}
    assert arrivals.of(OTHER) == set()


def test_what_cannot_be_called_is_refused_whole(cable, plain, theirs, tmp_path, hollow_object):
    run(plain)
    lone = tmp_path / "lone.bpf.o"
    lone.write_bytes(lone_object(2, "their_door"))
    broken = tmp_path / "broken.bpf.o"
    broken.write_bytes(b"\x7fELF")
    good, other_kind, wide = str(theirs()), str(theirs("xdp.frags")), str(theirs("xdp", "SLOTS=4"))
    cases = [
        ("before", Extension(str(lone)), "has no map extensions, so that its program could hand no packet on"),
        ("before", Extension(wide, program="their_gate"), r"another than ours \(max_entries 3 -> 4\)"),
        ("after", Extension(other_kind, program="their_count"), r'of the kind of tripod_xdp.*SEC\("xdp"\)'),
        ("after", Extension(good), "has the XDP programs their_gate, their_count: name one"),
        ("after", Extension(good, program="no_such"), "name one of them with 'program'"),
        ("after", Extension(good, sha256="0" * 64, program="their_count"), "is expected: copy the right object"),
        ("after", Extension(str(broken)), "after: .*not a BPF object"),
        ("after", Extension(str(tmp_path / "absent.o")), "after: .*cannot be read"),
    ]
    before = cable.xdp(), sorted(os.listdir(f"{plain.pins}/maps"))
    for slot, extension, words in cases:
        with pytest.raises(Invalid, match=words):
            run(replace(plain, extensions={slot: extension}))
    # Everything at once.
    with pytest.raises(Invalid) as refused:
        run(replace(plain, extensions={"before": cases[0][1], "after": cases[2][1]}))
    assert len(refused.value.facts["reasons"]) == 2
    with pytest.raises(Invalid, match="calls no other"):
        run(replace(plain, object=str(lone), extensions={"after": Extension(good, program="their_count")}))
    assert (cable.xdp(), sorted(os.listdir(f"{plain.pins}/maps"))) == before
    assert not run(plain).changed


def test_one_that_the_verifier_rejects_leaves_all_as_it_was(cable, arrivals, both, plain, tmp_path):
    run(both)
    content = lone_object(2, "their_loop")
    # r0 = 2 becomes r0 = r7, which nobody has set.
    move = bytes.fromhex("b700000002000000")
    assert content.count(move) == 1
    path = tmp_path / "bad.bpf.o"
    path.write_bytes(content.replace(move, bytes.fromhex("bf70000000000000")))
    with pytest.raises(ApplyFailed, match=r"does not accept program their_loop.*what was before is back"):
        run(replace(both, extensions={**both.extensions, "after": Extension(str(path))}))
    assert programs(cable, both) == ALL
    assert arrivals.of(OTHER) == {MARKED}
    assert not run(both).changed
    assert netlink.link(NIC).xdp.mode == "native"
