"""Objects of other people: devmaps, ring buffers, tail calls, fragments."""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_run import RunOptions
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.libbpf import library as libbpf
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.identity import identify
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import frames, lab

NIC = lab.Cable.nic
VARIABLES, LIKE_THEM = "packets_seen", "packets_s"
KEPT = ("settings_with_a_long_name", VARIABLES, LIKE_THEM, "ports", "events", "recent", "spread", "sockets")


@pytest.fixture
def desired(cable, kinds_object, pin_root, tmp_path) -> Desired:
    place = {"pin_root": str(pin_root), "state_directory": str(tmp_path / "host.d")}
    return Desired(NIC, object=str(kinds_object), program="first", **place)


@pytest.fixture
def newer(desired, tmp_path) -> Desired:
    """A release that changed nothing but its digest."""
    path = tmp_path / "newer.bpf.o"
    path.write_bytes(Path(desired.object).read_bytes() + b"\0")
    return replace(desired, object=str(path))


def run(desired: Desired, check: bool = False):
    return converge(XdpProgram(desired), desired, Host(), check=check)


def identifiers(desired: Desired) -> dict[str, int]:
    found = {}
    for name in (*KEPT, "jumps"):
        with bpf.pinned(f"{desired.pins}/maps/{name}") as descriptor:
            found[name] = bpf.map_info(descriptor).id
    return found


def verdict() -> str:
    """Return what the attached program makes of a frame."""
    frame = frames.ethernet(frames.IPV4, frames.ipv4("192.0.2.1"))
    options = RunOptions(sz=ctypes.sizeof(RunOptions), data_in=frame, data_size_in=len(frame), repeat=1)
    with bpf.program_by_id(netlink.link(NIC).xdp.programs["native"]) as program:
        assert ctypes.CDLL("libbpf.so.1").bpf_prog_test_run_opts(program, ctypes.byref(options)) == 0
    return lab.VERDICTS[options.retval]


def test_an_object_with_static_tail_calls_is_loaded_and_replaced(desired, newer):
    run(desired)
    # The first program passes what its tail call does not drop.
    assert verdict() == "drop"
    before = identifiers(desired)
    [change] = run(newer).changes
    assert change.path[1] == "object"
    assert verdict() == "drop"
    after = identifiers(desired)
    assert after["jumps"] != before["jumps"], "the program that ran jumps through its own"
    assert not run(newer).changed


def test_entries_live_on_in_devmaps_ring_buffers_and_maps_of_long_names(desired, newer):
    run(desired)
    before = identifiers(desired)
    with bpf.pinned(f"{desired.pins}/maps/{KEPT[0]}") as descriptor:
        assert libbpf().bpf_map_update_elem(descriptor, struct.pack("=I", 0), struct.pack("=I", 7), 0) == 0
    assert [change.path[1] for change in run(newer, check=True).changes] == ["object"]
    run(newer)
    assert {name: identifiers(newer)[name] for name in KEPT} == {name: before[name] for name in KEPT}
    value = ctypes.create_string_buffer(4)
    with bpf.pinned(f"{desired.pins}/maps/{KEPT[0]}") as descriptor:
        assert libbpf().bpf_map_lookup_elem(descriptor, struct.pack("=I", 0), value) == 0
    assert value.raw == struct.pack("=I", 7)


@pytest.mark.parametrize("lost", [KEPT[:1], (VARIABLES,), (VARIABLES, LIKE_THEM)])
def test_a_pin_of_a_long_name_that_was_lost_is_found_again(desired, lost):
    run(desired)
    before = identifiers(desired)
    for name in lost:
        os.unlink(f"{desired.pins}/maps/{name}")
    run(desired)
    assert {name: identifiers(desired)[name] for name in KEPT} == {name: before[name] for name in KEPT}
    assert not run(desired).changed


def test_a_pin_that_is_not_the_variables_of_the_program_that_runs_is_told(desired):
    run(desired)
    assert identify(Host(), NIC, desired.pin_root).strays() == {}
    os.replace(f"{desired.pins}/maps/{LIKE_THEM}", f"{desired.pins}/maps/{VARIABLES}")
    assert list(identify(Host(), NIC, desired.pin_root).strays()) == [f"maps/{VARIABLES}"]


def test_a_program_that_takes_fragments_is_not_bound_to_one_buffer(cable, desired):
    large = replace(desired, program="large")
    lab.ip("link", "set", NIC, "mtu", "9000")
    with lab.inside(cable.far):
        lab.ip("link", "set", cable.peer, "mtu", "9000")
    with pytest.raises(Impossible, match=r"MTU 9000; needed: at most 3506"):
        run(desired)
    run(large)
    assert netlink.link(NIC).xdp.mode == "native"
    assert not run(large).changed
