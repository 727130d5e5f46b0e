# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a program on a device of each kind would see; the kernel attaches it also where that is not what arrives.

Sources, in the Linux tree: __netif_receive_skb_core() in net/core/dev.c runs a generic program for every device that a
packet passes on its way up; br_handle_frame(), ipvlan_l3s.c and vrf.c say which they do not pass; hsr_forward.c and
batman-adv's soft-interface.c hand what they unpacked to netif_rx() as frames of the device above.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .._linux.netlink import HARDWARE_ETHERNET, HARDWARE_LOOPBACK, Link

# linux/if_arp.h
_HEADERS: Mapping[int, str] = {
    32: "InfiniBand",
    280: "CAN",
    512: "PPP",
    519: "raw IP",
    768: "IP in IP",
    769: "IP in IPv6",
    776: "IPv6 in IP (sit)",
    778: "GRE",
    801: "IEEE 802.11",
    803: "IEEE 802.11 with radiotap",
    823: "GRE over IPv6",
    824: "netlink",
    65534: "none",  # tun, WireGuard, xfrm
}
# What forwards frames between its ports below the stack; only what is for this host itself comes up through them.
_SWITCHES: Mapping[str, str] = {
    "bridge": "bridged frames",
    "openvswitch": "frames that Open vSwitch forwards",
}
# Whose ports receive frames within frames of their own kind, which are IP only once they come up through the device.
_WRAPPED: Mapping[str, str] = {
    "batadv": "a mesh, whose frames hold those of its members",
    "hsr": "a ring, whose frames carry its tags",
}
# Below which there are packets with addresses of their own, of the tunnel's ends.
_TUNNELS = (768, 769, 776, 778, 823, 65534)
# What takes packets that were received through another device, behind the place of XDP.
_BEHIND: Mapping[str, str] = {
    "vrf": "packets reach a VRF behind the receive path of its members",
    "ifb": "packets that tc sends through an ifb go on as those of the device that they came from",
}


@dataclass(frozen=True)
class Placement:
    """Why a program would see too little.

    Attributes:
        found: What the device is.
        limit: What it would have to be.
        remedy: The device to use instead.
        blind: Whether that holds for a program that is attached already, too.
    """

    found: str
    limit: str
    remedy: str
    blind: bool = True


def misplaced(link: Link, table: Sequence[Link]) -> Iterator[Placement]:
    """Yield why a program on a link would not see what reaches this host through it.

    Args:
        link: The interface.
        table: All links of its network namespace.
    """
    if link.hardware_type not in (HARDWARE_ETHERNET, HARDWARE_LOOPBACK):
        yield Placement(
            f"{_label(link)} has frames without an Ethernet header ({_header(link)})",
            "an Ethernet header, which the program reads",
            f"{_below(link, table)}; the program sees the outer addresses there"
            if link.hardware_type in _TUNNELS
            else f"nftables on {link.name}: below it there is no IP header that a program could read",
        )
    elif link.kind in _SWITCHES:
        ports = [one.name for one in table if one.master == link.index]
        instead = f"each port: {', '.join(ports)}" if ports else "each of its ports, of which there are none yet"
        yield Placement(
            f"{_label(link)} does not see {_SWITCHES[link.kind or '']}", "a device that every frame passes", instead
        )
    elif link.kind in _BEHIND or link.ipvlan_mode == "l3s":
        words = _BEHIND.get(link.kind or "", "packets reach an ipvlan in mode l3s behind the receive path")
        yield Placement(f"{_label(link)}: {words}", "a device that packets are received on", _below(link, table))
    ports = [one.name for one in table if one.kind == "dsa" and one.parent == link.index]
    if ports:
        yield Placement(
            f"{link.name} is the conduit of a switch, whose frames carry its tags",
            "frames without a switch's tag",
            f"each port: {', '.join(ports)}, in mode generic",
        )
    upper = next((one for one in table if one.index == link.master), None)
    if upper and upper.kind and upper.kind in _WRAPPED:
        yield Placement(
            f"{link.name} is part of {upper.name} ({upper.kind}), {_WRAPPED[upper.kind]}",
            "frames that hold IP itself",
            f"{upper.name}, in mode generic",
        )
    elif upper and upper.xdp.mode:
        yield Placement(
            f"{upper.name}, which {link.name} is part of, has a program, so that the kernel takes none below it",
            "one place for the program",
            f"{upper.name}, or take its program off first",
            blind=False,
        )


def lower_name(link: Link, table: Sequence[Link]) -> str | None:
    """Return the name of the device that carries a VLAN, macvlan or ipvlan."""
    return next((one.name for one in table if one.index == link.parent and link.kind != "veth"), None)


def unfiltered_ports(link: Link, table: Sequence[Link], chosen: Sequence[str]) -> list[str]:
    """Return the other ports of a link's bond or team that have no program and are to get none.

    Args:
        link: The interface.
        table: All links of its network namespace.
        chosen: Names of the interfaces that are to get a program.
    """
    upper = next((one for one in table if one.index == link.master and one.kind in ("bond", "team")), None)
    if upper is None:
        return []
    ports = [one for one in table if one.master == upper.index and one.index != link.index]
    return [one.name for one in ports if not one.xdp.mode and one.name not in chosen]


def unfiltered_uppers(link: Link, table: Sequence[Link], chosen: Sequence[str]) -> list[str]:
    """Return the MACsec devices on a link that have no program and are to get none: what they decrypt passes.

    Args:
        link: The interface.
        table: All links of its network namespace.
        chosen: Names of the interfaces that are to get a program.
    """
    uppers = [one for one in table if one.kind == "macsec" and one.parent == link.index]
    return [one.name for one in uppers if not one.xdp.mode and one.name not in chosen]


def _label(link: Link) -> str:
    return f"{link.name} ({link.kind})" if link.kind else link.name


def _header(link: Link) -> str:
    return f"type {link.hardware_type}, {_HEADERS.get(link.hardware_type, 'not Ethernet')}"


def _below(link: Link, table: Sequence[Link]) -> str:
    members = [one.name for one in table if one.master == link.index]
    if members:
        return f"each of {', '.join(members)}"
    return lower_name(link, table) or "the NIC that its packets arrive on"
