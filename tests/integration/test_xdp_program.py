"""Attach, replace, refuse, detach: on a real interface, with real packets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    CoreError,
    Impossible,
    Invalid,
    Refused,
    converge,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.prefix import parse_prefix
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import program as xdp_program
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import Policy, XdpMap
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.state import facts

from tests.integration import frames, lab
from tests.support.machine import eventually

NIC = lab.Cable.nic
SWAPS = 10
IP_MODES = {1: "native", 2: "generic"}


@pytest.fixture
def desired(xdp_object, pin_root, tmp_path) -> Desired:
    return Desired(NIC, object=str(xdp_object), pin_root=str(pin_root), state_directory=str(tmp_path / "host.d"))


def run(desired: Desired, check: bool = False):
    return converge(XdpProgram(desired), desired, Host(), check=check)


def snapshot(cable: lab.Cable, desired: Desired):
    """All that a failed call must leave as it was."""
    pins = {}
    for directory, _directories, files in os.walk(desired.pin_root):
        for file in files:
            path = os.path.join(directory, file)
            with bpf.pinned(path) as descriptor:
                kind = bpf.xdp_link_info if file == "link" else bpf.program_info if file == "prog" else bpf.map_info
                pins[path] = kind(descriptor)
    state_file = Path(desired.state_files[0])
    return cable.xdp(), pins, os.path.exists(desired.pins), state_file.read_text() if state_file.exists() else None


def dropping(desired: Desired) -> Policy:
    entries = {parse_prefix("203.0.113.0/24"): "drop"}
    return Policy(NIC, entries=entries, pin_root=desired.pin_root, state_directory=desired.state_directory)


def shared_maps(desired: Desired) -> dict[str, int]:
    """Number of each map that goes on with another program: all but those of its constants and of what it calls."""
    maps = facts(XdpProgram(desired).read(Host()))["maps"]
    return {one["name"]: one["id"] for one in maps if one["name"] not in ("extensions", "rodata")}


def foreign_program(desired: Desired, content: bytes, attach) -> None:
    with BpfObject(content, "foreign.o") as opened:
        opened.load("tripod_xdp", {})
        attach(opened.program("tripod_xdp"))


def test_attach_then_nothing_left_to_do(cable, desired):
    predicted = run(desired, check=True)
    assert predicted.changed
    assert not cable.xdp()
    assert not os.path.exists(desired.pin_root)

    outcome = run(desired)
    assert outcome.changes == predicted.changes
    reported = facts(outcome.state)
    assert reported["mode"] == IP_MODES[cable.xdp()["mode"]] == "native"
    assert reported["program"]["id"] == cable.xdp()["prog"]["id"]
    assert reported["program"]["tag"] == cable.xdp()["prog"]["tag"]
    assert {one["name"] for one in reported["maps"]} == set(lab.MAPS)
    state_file = json.loads(Path(desired.state_files[0]).read_text())
    assert (state_file["interface"], state_file["mode"], state_file["sha256"]) == (NIC, "native", reported["sha256"])

    assert not run(desired).changed
    assert cable.xdp()["prog"]["id"] == reported["program"]["id"]


def test_detach_removes_everything_it_made(cable, desired):
    run(desired)
    outcome = run(replace(desired, present=False))
    assert outcome.changed
    assert not cable.xdp()
    assert os.listdir(desired.pin_root) == []
    assert not Path(desired.state_files[0]).exists()
    assert not run(replace(desired, present=False)).changed


def test_detach_of_an_interface_that_is_gone_removes_pins_and_state_file(cable, desired):
    run(desired)
    lab.ip("link", "del", NIC)
    assert run(replace(desired, present=False)).changed
    assert not os.path.exists(desired.pins)
    assert not run(replace(desired, present=False)).changed


def test_a_new_interface_of_the_same_name_gets_the_program_and_the_old_maps(cable, desired):
    run(desired)
    policy = Policy(
        NIC,
        entries={parse_prefix("203.0.113.0/24"): "drop"},
        pin_root=desired.pin_root,
        state_directory=desired.state_directory,
    )
    converge(XdpMap(policy), policy, Host())
    lab.ip("link", "del", NIC)
    lab.ip("link", "add", NIC, "type", "veth", "peer", "name", "other0")
    assert run(desired).changed
    assert cable.xdp()
    assert not converge(XdpMap(policy), policy, Host()).changed
    run(replace(desired, present=False))


def test_a_state_file_brings_the_program_back_by_itself(cable, desired):
    run(desired)
    [state_file] = [
        one for one in state_store.load_all(Host(), desired.state_directory) if one.kind == xdp_program.KIND
    ]
    assert (state_file.kind, state_file.name) == (xdp_program.KIND, desired.state_file)
    assert not xdp_program.reapply(state_file.body, Host()).changed
    before = shared_maps(desired)
    lab.ip("link", "del", NIC)
    assert not xdp_program.reapply(state_file.body, Host()).changed, "what is absent is left out"
    lab.ip("link", "add", NIC, "type", "veth", "peer", "name", "other0")
    assert xdp_program.reapply(state_file.body, Host(), check=True).changed
    assert not cable.xdp()
    assert xdp_program.reapply(state_file.body, Host()).changed
    assert cable.xdp()
    assert shared_maps(desired) == before
    assert not run(desired).changed
    run(replace(desired, present=False))


def test_replace_under_traffic_counts_every_packet(desired, newer_object):
    with lab.cable(up=False) as cable:
        run(desired)
        policy = Policy(
            NIC,
            entries={parse_prefix("203.0.113.0/24"): "drop"},
            pin_root=desired.pin_root,
            state_directory=desired.state_directory,
        )
        converge(XdpMap(policy), policy, Host())
        lab.bring_up(cable)
        maps = shared_maps(desired)
        stop = threading.Event()
        sender = cable.sender()
        sent = {"pass": 0, "drop": 0}

        def send() -> None:
            passing = frames.ethernet(frames.IPV4, frames.ipv4("192.0.2.1"))
            dropped = frames.ethernet(frames.IPV4, frames.ipv4("203.0.113.1"))
            while not stop.is_set():
                for _round in range(100):
                    lab.put(sender, passing, dropped)
                sent["pass"] += 100
                sent["drop"] += 100

        # Both threads are busy; at the usual 5 ms a turn, each of the many short system calls would wait as long.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(0.0002)
        traffic = threading.Thread(target=send)
        traffic.start()
        programs = set()
        try:
            for turn in range(SWAPS):
                outcome = run(replace(desired, object=str(newer_object)) if turn % 2 == 0 else desired)
                assert [change.path[1] for change in outcome.changes] == ["object"]
                assert not outcome.disrupts
                programs.add(facts(outcome.state)["program"]["id"])
                lab.until_more(lambda: sent["drop"])
        finally:
            stop.set()
            traffic.join()
            sender.close()
            sys.setswitchinterval(interval)
        assert len(programs) == SWAPS
        counters = Path(desired.pins, "maps", "counters")
        # A busy kernel leaves what was sent to a thread of its own, which runs when it is its turn.
        eventually(lambda: sum(lab.read_counters(counters).values()) == cable.packets_sent(), lab.PATIENCE)
        counted = lab.read_counters(counters)
        assert sent["drop"] >= 100 * SWAPS
        assert counted["drop", "list_drop"] == sent["drop"]
        # The kernel of the far end sends a few packets of its own.
        assert 0 <= counted["pass", "no_rule"] - sent["pass"] < 100
        assert shared_maps(desired) == maps


def test_generic_only_when_asked_and_back(cable, desired):
    run(desired)
    generic = replace(desired, mode="generic")
    outcome = run(generic)
    assert outcome.disrupts
    assert IP_MODES[cable.xdp()["mode"]] == "generic"
    assert not run(generic).changed
    assert run(desired).disrupts
    assert IP_MODES[cable.xdp()["mode"]] == "native"


def test_our_netlink_attachment_is_replaced_in_place(cable, desired, newer_object):
    run(desired)
    with bpf.pinned(f"{desired.pins}/link") as link:
        bpf.detach_link(link)
    os.unlink(f"{desired.pins}/link")
    with bpf.pinned(f"{desired.pins}/prog") as program:
        index = netlink.link(NIC).index
        netlink.set_xdp(index, program, "native")
    outcome = run(replace(desired, object=str(newer_object)))
    assert [change.path[1] for change in outcome.changes] == ["object"]
    assert not os.path.exists(f"{desired.pins}/link")
    run(replace(desired, present=False))
    assert not cable.xdp()


def test_a_foreign_program_attached_by_netlink_is_refused_then_replaced_on_request(cable, desired, hollow_object):
    index = netlink.link(NIC).index
    foreign_program(desired, hollow_object.read_bytes(), lambda program: netlink.set_xdp(index, program, "generic"))
    before = snapshot(cable, desired)
    number = cable.xdp()["prog"]["id"]
    with pytest.raises(
        Refused, match=rf"tripod_xdp \(id {number}, generic, by netlink\).*ip link set dev {NIC} xdpgeneric off"
    ):
        run(desired)
    assert snapshot(cable, desired) == before
    assert not run(replace(desired, present=False)).changed
    assert snapshot(cable, desired) == before
    assert run(replace(desired, replace_foreign=True)).disrupts
    assert cable.xdp()["prog"]["id"] != number


def test_a_foreign_link_is_refused_then_replaced_on_request(cable, desired, hollow_object):
    index = netlink.link(NIC).index
    held = []
    foreign_program(
        desired, hollow_object.read_bytes(), lambda program: held.append(bpf.create_xdp_link(program, index, "native"))
    )
    try:
        before = snapshot(cable, desired)
        with pytest.raises(Refused, match=r"by bpf_link \d+\) is attached and not ours.*bpftool link detach id"):
            run(desired)
        assert snapshot(cable, desired) == before
        run(replace(desired, replace_foreign=True))
        assert not run(desired).changed
    finally:
        os.close(held[0])


def test_our_link_keeps_others_out(cable, desired):
    run(desired)
    number = cable.xdp()["prog"]["id"]
    result = subprocess.run(["ip", "link", "set", NIC, "xdp", "off"], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "Can't replace active BPF XDP link" in result.stderr
    assert cable.xdp()["prog"]["id"] == number


def test_incompatible_maps_are_refused_then_recreated_on_request(cable, desired, smaller_object):
    run(desired)
    policy = Policy(
        NIC,
        entries={parse_prefix("203.0.113.0/24"): "drop"},
        pin_root=desired.pin_root,
        state_directory=desired.state_directory,
    )
    converge(XdpMap(policy), policy, Host())
    counters = lab.read_counters(Path(desired.pins, "maps", "counters"))
    before = snapshot(cable, desired)
    smaller = replace(desired, object=str(smaller_object))
    with pytest.raises(Refused, match=r"map hits .*max_entries 4096 -> 2048.*incompatible_maps: recreate"):
        run(smaller)
    assert snapshot(cable, desired) == before

    outcome = run(replace(smaller, recreate_maps=True))
    assert {change.path[2] for change in outcome.changes if change.path[1] == "maps"} == {"hits"}
    assert not outcome.disrupts
    assert not converge(XdpMap(policy), policy, Host(), check=True).changed, "the policy was to be in force"
    after = lab.read_counters(Path(desired.pins, "maps", "counters"))
    assert all(after[slot] >= packets for slot, packets in counters.items()), "counters were to live on"
    assert not run(smaller).changed


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"interface": "nope0"}, Invalid, r"interface nope0 does not exist; there are lo, .*xdp0"),
        ({"object": "/nope.o"}, Invalid, r"object /nope\.o cannot be read: No such file or directory; build and copy"),
        ({"object": "/etc/hostname"}, Invalid, r"/etc/hostname is not a BPF object .*not a proper ELF object"),
        ({"sha256": "0" * 64}, Invalid, r"has SHA-256 [0-9a-f]{64}, 0{64} is expected"),
        ({"sha256": "ABC"}, Invalid, r"sha256 'ABC' is not 64 lower-case hexadecimal digits"),
        ({"program": "other"}, Invalid, r"has no XDP program other; it holds the XDP programs tripod_xdp"),
        (
            {"mode": "offload"},
            Impossible,
            r"runs no program on the NIC; needed: hw-offload: choose mode native or generic",
        ),
        ({"pin_root": "/tmp/pins"}, Impossible, r"/tmp/pins is not on a BPF file system: mount one first"),
        (
            {"interface": "nope0", "object": "/nope.o", "sha256": "ABC", "pin_root": "/tmp/pins"},
            Invalid,
            r"nope0 does not exist.*'ABC'.*/nope\.o.*/tmp/pins",
        ),
    ],
)
@pytest.mark.parametrize("attached", [False, True])
def test_a_bad_request_says_why_and_changes_nothing(cable, desired, options, error, message, attached):
    if attached:
        run(desired)
    before = snapshot(cable, desired)
    with pytest.raises(CoreError, match=message) as raised:
        run(replace(desired, **options))
    assert raised.type is error
    assert snapshot(cable, desired) == before


@pytest.mark.parametrize("size", [0, 64, 1000, 5000, -64])
def test_a_cut_object_is_refused(cable, desired, xdp_object, tmp_path, size):
    cut = tmp_path / "cut.o"
    cut.write_bytes(xdp_object.read_bytes()[:size])
    with pytest.raises(Invalid, match=r"cut\.o is not a BPF object that libbpf can open: .*SHA-256"):
        run(replace(desired, object=str(cut)))
    assert not cable.xdp()
    assert not os.path.exists(desired.pin_root)


def test_an_object_that_the_verifier_rejects_comes_with_its_log(cable, desired, xdp_object, tmp_path):
    run(desired)
    before = snapshot(cable, desired)
    content = xdp_object.read_bytes()
    # The first instruction of the program (its section starts behind the 64-byte ELF header) becomes "r0 = r9".
    bad = tmp_path / "bad.o"
    bad.write_bytes(content[:64] + b"\xbf\x90\0\0\0\0\0\0" + content[72:])
    with pytest.raises(
        ApplyFailed, match=r"the kernel does not accept program tripod_xdp.*R9 !read_ok.*is back"
    ) as raised:
        run(replace(desired, object=str(bad)))
    assert "BEGIN PROG LOAD LOG" in raised.value.facts["verifier_log"]
    assert snapshot(cable, desired) == before


def test_the_mtu_of_either_end_is_a_reason(desired):
    with lab.cable() as cable:
        lab.ip("link", "set", NIC, "mtu", "9000")
        with pytest.raises(
            Impossible, match=r"MTU 9000; needed: at most 3506 for driver veth: .*ip link set xdp0 mtu 3506"
        ):
            run(replace(desired, program="tripod_xdp"))
        # The one for frames in several buffers takes it, and stays where a smaller MTU needs it no more.
        for mtu in ("9000", "1500"):
            lab.ip("link", "set", NIC, "mtu", mtu)
            assert facts(run(desired).state)["program"]["name"] == "tripod_xdp_frag"
        run(replace(desired, present=False))
        with lab.inside(cable.far):
            lab.ip("link", "set", cable.peer, "mtu", "9000")
        before = snapshot(cable, desired)
        with pytest.raises(ApplyFailed, match="veth: Peer MTU is too large to set XDP") as raised:
            run(desired)
        assert "what was before is back" in str(raised.value)
        assert snapshot(cable, desired) == before


def test_too_few_queues_are_a_reason(desired):
    with lab.cable() as cable:
        lab.ip("link", "del", NIC)
        lab.ip(
            *("link", "add", NIC, "numrxqueues", "1", "numtxqueues", "1", "type", "veth"),
            *("peer", "name", "x", "numrxqueues", "2", "numtxqueues", "2"),
        )
        # Before Linux 6.3 the driver claims nothing, and says so when it is tried.
        kind: type[Exception] = ApplyFailed
        words = "XDP expects number of rx queues not less than peer tx queues"
        if netlink.xdp_features(netlink.link(NIC).index) is not None:
            kind = Impossible
            words = "more transmit queues than it has receive queues; needed: at least as many"
        with pytest.raises(kind, match=words):
            run(desired)
        assert not cable.xdp()
        assert not os.path.exists(desired.pin_root)


def test_a_mode_change_that_fails_puts_the_program_back(cable, desired):
    generic = replace(desired, mode="generic")
    run(generic)
    with lab.inside(cable.far):
        lab.ip("link", "set", cable.peer, "mtu", "9000")
    number = cable.xdp()["prog"]["id"]
    with pytest.raises(ApplyFailed, match=r"Peer MTU is too large.*what was before is back"):
        run(desired)
    assert (IP_MODES[cable.xdp()["mode"]], cable.xdp()["prog"]["id"]) == ("generic", number)
    assert not run(generic).changed


@pytest.mark.parametrize("attached", [False, True])
def test_a_state_file_that_cannot_be_written_undoes_all(cable, desired, newer_object, tmp_path, attached):
    if attached:
        run(desired)
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    before = snapshot(cable, desired)
    with pytest.raises(ApplyFailed, match=r"Not a directory|File exists"):
        run(replace(desired, object=str(newer_object), state_directory=str(blocked)))
    assert snapshot(cable, desired) == before


def test_lost_pins_and_permissions_are_mended(cable, desired):
    run(desired)
    shared = shared_maps(desired)
    os.unlink(f"{desired.pins}/maps/policy")
    os.unlink(f"{desired.pins}/prog")
    assert {change.path[2] for change in run(desired).changes} == {"prog", "maps/policy"}
    assert shared_maps(desired) == shared

    grouped = replace(desired, pin_group=10002)
    assert {change.path[1] for change in run(grouped).changes} == {"permissions", "state file"}
    for path, mode in (("", 0o750), ("maps", 0o750), ("maps/policy", 0o640), ("prog", 0o640), ("link", 0o640)):
        status = os.stat(f"{desired.pins}/{path}")
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 10002, mode), path
    assert not run(grouped).changed
    # As an earlier release left them: what others could write is mended.
    os.chmod(f"{desired.pins}/maps/policy", 0o660)
    [change] = run(grouped).changes
    assert (change.path[1:], change.after) == (
        ("permissions", f"{desired.pins}/maps/policy"),
        "group 10002, mode 0640",
    )


# What a container does that has CAP_BPF and the group: the pins are bound where it may look, as /sys/fs/bpf is root's.
_AS_GROUP = """
import ctypes, os, sys
libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
class Options(ctypes.Structure):
    _fields_ = [("sz", ctypes.c_size_t), ("file_flags", ctypes.c_uint32)]
def opened(name, flags):
    options = Options(ctypes.sizeof(Options), flags)
    found = libbpf.bpf_obj_get_opts(os.fsencode(sys.argv[1] + "/" + name), ctypes.byref(options))
    return "opened" if found >= 0 else os.strerror(ctypes.get_errno())
RDONLY = 1 << 3
for name in sorted(os.listdir(sys.argv[1])):
    print(name, opened(name, RDONLY), opened(name, 0), sep=": ")
"""


def test_the_group_of_the_pins_reads_every_map_and_writes_sockets_and_samples_alone(cable, desired):
    grouped = replace(desired, pin_group=10002)
    run(grouped)
    user = "setpriv --reuid 10001 --regid 10002 --clear-groups --bounding-set -all,+bpf --inh-caps -all,+bpf"
    program = f'{user} --ambient-caps +bpf -- /usr/bin/python3 -c "$0" /mnt'
    command = f"mount --bind {desired.pins}/maps /mnt && exec {program}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, _AS_GROUP], capture_output=True, text=True, check=False
    )
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert set(lines) == set(os.listdir(f"{desired.pins}/maps")), done
    assert {lines.pop("xsks"), lines.pop("samples")} == {"opened: opened"}, done
    assert set(lines.values()) == {"opened: Permission denied"}, done


def test_a_program_of_the_other_kind_takes_its_place_and_back(cable, desired):
    run(desired)
    shared = shared_maps(desired)
    for name in ("tripod_xdp_frags", "tripod_xdp"):
        outcome = run(replace(desired, program=name))
        assert facts(outcome.state)["program"]["name"] == name[:15]
        assert shared_maps(desired) == shared
        assert not run(replace(desired, program=name)).changed
