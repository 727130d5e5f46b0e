"""Devices that a program sees nothing on, and those on which it sees what arrives."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.nic import Xdp, check_nics, read_nics
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import Policy, XdpMap, parse_entries
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import frames, lab

SET_INTERFACE, TUN, TAP, NO_PACKET_INFO = 0x400454CA, 1, 2, 0x1000


@pytest.fixture
def desired(cable, xdp_object, pin_root, tmp_path) -> Desired:
    return Desired("dev0", object=str(xdp_object), pin_root=str(pin_root), state_directory=str(tmp_path / "host.d"))


def run(desired: Desired):
    return converge(XdpProgram(desired), desired, Host())


@pytest.fixture
def tunnel(cable) -> Iterator[None]:
    """A tun device, which ends with its descriptor."""
    descriptor = make("dev0", TUN)
    yield
    os.close(descriptor)


def make(name: str, kind: int) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, SET_INTERFACE, struct.pack("16sH22x", name.encode(), kind | NO_PACKET_INFO))
    return descriptor


def refuse(desired: Desired, words: str) -> None:
    """The module and preflight say the same of every mode, and nothing is attached."""
    for mode in ("native", "generic"):
        with pytest.raises(Impossible, match=words):
            run(replace(desired, mode=mode))
        request = [Xdp(desired.interface, mode, desired.pin_root)]
        found = [str(one) for one in check_nics(request, read_nics(Host(), request, []))]
        assert any(re.search(words, one) for one in found), found
    assert netlink.link(desired.interface).xdp.mode is None
    assert not Path(desired.pin_root).exists()


def test_a_tunnel_without_an_ethernet_header_is_refused(desired, tunnel):
    refuse(desired, r"dev0 \(tun\) has frames without an Ethernet header \(type 65534.*the NIC that its packets")


def test_a_bridge_is_refused_and_its_ports_are_named(cable, desired):
    lab.ip("link", "add", "dev0", "type", "bridge")
    lab.ip("link", "set", cable.nic, "master", "dev0")
    refuse(desired, r"dev0 \(bridge\) does not see bridged frames.*use each port: xdp0")


@pytest.mark.parametrize("variable", ["seg6_enabled", "rpl_seg_enabled"])
def test_a_nic_whose_stack_takes_packets_out_of_packets_is_refused(cable, desired, variable):
    """With it, the stack delivers what is behind a routing header, from a source that the program never saw."""
    paths = [Path(f"/proc/sys/net/ipv6/conf/{name}/{variable}") for name in ("all", cable.nic)]
    chosen = replace(desired, interface=cable.nic)
    paths[0].write_text("1")
    run(chosen)
    run(replace(chosen, present=False))
    os.rmdir(chosen.pin_root)
    paths[1].write_text("1")
    refuse(chosen, rf"net/ipv6/conf/{cable.nic}/{variable} is on.*'sysctl -w net/ipv6/conf/{cable.nic}/{variable}=0'")


def test_an_ifb_is_refused(cable, desired):
    lab.ip("link", "add", "dev0", "type", "ifb")
    refuse(desired, r"dev0 \(ifb\): packets that tc sends through an ifb")


def test_a_tap_has_an_ethernet_header(cable, desired):
    descriptor = make("dev0", TAP)
    try:
        run(desired)
        assert netlink.link("dev0").xdp.mode == "native"
        run(replace(desired, present=False))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("upper", ["bridge", "macvlan"])
def test_a_program_on_what_is_allowed_drops_what_it_is_to_drop(cable, desired, upper):
    """A bridge's port sees what is bridged, a macvlan what is for its address."""
    address = b"\x02" + b"\x77" * 5
    if upper == "bridge":
        lab.ip("link", "add", "br0", "up", "type", "bridge")
        lab.ip("link", "set", cable.nic, "master", "br0")
        chosen = replace(desired, interface=cable.nic, mode="generic")
    else:
        lab.ip("link", "add", "dev0", "address", address.hex(":"), "link", cable.nic, "type", "macvlan")
        lab.ip("link", "set", "dev0", "up")
        with pytest.raises(Impossible, match=r"without native XDP.*choose mode generic, which is slower, or xdp0"):
            run(desired)
        chosen = replace(desired, mode="generic")
    run(chosen)
    policy = Policy(
        chosen.interface,
        entries=parse_entries([{"prefix": "203.0.113.0/24", "action": "drop"}]),
        pin_root=chosen.pin_root,
        state_directory=chosen.state_directory,
    )
    converge(XdpMap(policy), policy, Host())
    with cable.sender() as sender:
        frame = frames.ethernet(frames.IPV4, frames.ipv4("203.0.113.1"), destination=address)
        assert lab.fate(Path(chosen.pins, "maps", "counters"), sender, frame, 50) == ("drop", "list_drop")
