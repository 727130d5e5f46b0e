# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Links, XDP attachments and XDP features by netlink, with the kernel's own words in every error."""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .netlink_socket import (
    GENERIC,
    ROUTE,
    NetlinkError,
    Socket,
    attribute,
    attributes,
    generic,
    generic_attributes,
    nest,
    read_int,
    read_text,
    text,
    u32,
)

__all__ = [
    "HARDWARE_ETHERNET",
    "HARDWARE_LOOPBACK",
    "NAME_LIMIT",
    "XDP_FEATURES",
    "XDP_MODE_FLAGS",
    "Link",
    "NetlinkError",
    "XdpState",
    "held_by_link",
    "link",
    "links",
    "lowers",
    "set_link",
    "set_xdp",
    "uppers",
    "xdp_features",
    "zero_copy_frames",
]

_GETLINK, _SETLINK = 18, 19
_LINK_HEADER = struct.Struct("=BxHiII")

# linux/if_link.h
_ADDRESS, _IFNAME, _MTU, _LINK, _MASTER, _TXQLEN, _LINKINFO, _EXT_MASK = 1, 3, 4, 5, 10, 13, 18, 29
_TX_QUEUES, _RX_QUEUES, _CARRIER, _LINK_NETNSID, _XDP = 31, 32, 33, 37, 43
_MIN_MTU, _MAX_MTU, _PERMANENT_ADDRESS, _PARENT_NAME, _PARENT_BUS = 50, 51, 54, 56, 57
_INFO_KIND, _INFO_DATA = 1, 2
_IPVLAN_MODE = 1
_IPVLAN_MODES = ("l2", "l3", "l3s")
_SKIP_STATISTICS = 8
_IFF_UP = 1
_XDP_FD, _XDP_ATTACHED, _XDP_FLAGS, _XDP_PROGRAM, _XDP_EXPECTED = 1, 2, 3, 4, 8
_XDP_PROGRAM_BY_MODE = {"native": 5, "generic": 6, "offload": 7}
_XDP_MODES = {1: "native", 2: "generic", 3: "offload", 4: "multi"}
_XDP_ONLY_IF_NONE, _XDP_REPLACE = 1, 16
XDP_MODE_FLAGS: Mapping[str, int] = {"generic": 2, "native": 4, "offload": 8}

# Documentation/netlink/specs/netdev.yaml
_DEV_GET, _DEV_IFINDEX, _DEV_XDP_FEATURES, _DEV_XDP_ZC_MAX_SEGS = 1, 1, 3, 4
XDP_FEATURES = ("basic", "redirect", "ndo-xmit", "xsk-zerocopy", "hw-offload", "rx-sg", "ndo-xmit-sg")

HARDWARE_ETHERNET, HARDWARE_LOOPBACK = 1, 772  # linux/if_arp.h; both have an Ethernet header
NAME_LIMIT = 15  # IFNAMSIZ less the final NUL


@dataclass(frozen=True)
class XdpState:
    """The XDP programs of a link.

    Attributes:
        mode: native, generic, offload, multi (several at once), or None where there is none.
        programs: Program id by mode.
    """

    mode: str | None = None
    programs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    """A network interface as rtnetlink describes it; None where the kernel does not say.

    Attributes:
        index: Interface index.
        name: Interface name.
        up: Administrative state.
        mac: Current address, colon-separated; "" for a link without one.
        permanent_mac: Address burnt into the hardware.
        mtu: In bytes.
        min_mtu, max_mtu: The driver's limits, in bytes; 0 means that it names none.
        rx_queues, tx_queues: Queues allocated.
        kind: Kind of a virtual link (veth, bond, ...); None for hardware.
        hardware_type: What its frames begin with, as linux/if_arp.h numbers it.
        ipvlan_mode: Of an ipvlan, ``l2``, ``l3`` or ``l3s``.
        carrier: Whether there is a link partner; False while the link is down.
        txqueuelen: Packets that its transmit queue holds; 0 for a link without a queue.
        master: Index of the bond, bridge or VRF that it is part of.
        parent: Index of the link below it: of a VLAN, its device; of a veth pair in one namespace, the other end.
        bus, bus_address: Where the device sits, such as pci and 0000:81:00.0.
        xdp: Attached programs.
    """

    index: int
    name: str
    up: bool
    mac: str
    mtu: int
    rx_queues: int
    tx_queues: int
    xdp: XdpState
    permanent_mac: str | None = None
    min_mtu: int = 0
    max_mtu: int = 0
    kind: str | None = None
    bus: str | None = None
    bus_address: str | None = None
    carrier: bool = False
    txqueuelen: int = 0
    master: int | None = None
    parent: int | None = None
    hardware_type: int = HARDWARE_ETHERNET
    ipvlan_mode: str | None = None


def links() -> list[Link]:
    """Return every link of this network namespace, by interface index.

    Raises:
        NetlinkError: The kernel refused, in its words.
    """
    with Socket(ROUTE) as route:
        found = route.dump(_GETLINK, _LINK_HEADER.pack(0, 0, 0, 0, 0) + attribute(_EXT_MASK, u32(_SKIP_STATISTICS)))
    return sorted((_parse_link(body) for body in found), key=lambda one: one.index)


def link(name: str) -> Link | None:
    """Return the link of that name in this network namespace, or None.

    Raises:
        NetlinkError: The kernel refused, in its words.
    """
    if not 0 < len(name.encode()) <= NAME_LIMIT:
        return None
    request = _LINK_HEADER.pack(0, 0, 0, 0, 0) + attribute(_IFNAME, text(name))
    try:
        with Socket(ROUTE) as route:
            return _parse_link(route.request(_GETLINK, request + attribute(_EXT_MASK, u32(_SKIP_STATISTICS))))
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def uppers(index: int, table: Sequence[Link]) -> set[int]:
    """Return the indices of all links that a link carries: its master, its VLANs, and theirs.

    Args:
        index: Interface index.
        table: All links, as ``links`` returns them.
    """
    found: set[int] = set()
    below = {index}
    while below:
        above = {one.index for one in table if one.parent in below and not _is_peer(one, table)}
        above |= {one.master for one in table if one.index in below and one.master is not None}
        below = above - found - {index}
        found |= below
    return found


def lowers(index: int, table: Sequence[Link]) -> set[int]:
    """Return the indices of all links that carry a link: its members, its VLAN device, and theirs.

    Args:
        index: Interface index.
        table: All links, as ``links`` returns them.
    """
    return {one.index for one in table if index in uppers(one.index, table)}


def _is_peer(one: Link, table: Sequence[Link]) -> bool:
    """Whether a link's parent names it back, as the ends of a veth pair do: side by side, not one on the other."""
    return any(other.index == one.parent and other.parent == one.index for other in table)


def set_link(
    index: int,
    up: bool | None = None,
    mtu: int | None = None,
    txqueuelen: int | None = None,
    master: int | None = None,
) -> None:
    """Set what is given of a link, in one request.

    Args:
        index: Interface index.
        up: Administrative state.
        mtu: In bytes.
        txqueuelen: In packets.
        master: Index of the bond, bridge or VRF to become part of; 0 for none.

    Raises:
        NetlinkError: The kernel or the driver refused, in its words.
    """
    content = b""
    if mtu is not None:
        content += attribute(_MTU, u32(mtu))
    if txqueuelen is not None:
        content += attribute(_TXQLEN, u32(txqueuelen))
    if master is not None:
        content += attribute(_MASTER, u32(master))
    flags = _IFF_UP if up else 0
    mask = 0 if up is None else _IFF_UP
    with Socket(ROUTE) as route:
        route.request(_SETLINK, _LINK_HEADER.pack(0, 0, index, flags, mask) + content)


def set_xdp(index: int, program_fd: int, mode: str, expected_fd: int | None = None) -> None:
    """Attach, replace or detach a link's XDP program in one step.

    Args:
        index: Interface index.
        program_fd: Descriptor of the program; -1 detaches.
        mode: native, generic or offload.
        expected_fd: Descriptor of the program to be replaced or detached. Where it is not given there must be none.

    Raises:
        NetlinkError: The kernel or the driver refused, in its words.
    """
    flags = XDP_MODE_FLAGS[mode]
    content = attribute(_XDP_FD, struct.pack("=i", program_fd))
    if expected_fd is None:
        flags |= _XDP_ONLY_IF_NONE
    else:
        flags |= _XDP_REPLACE
        content += attribute(_XDP_EXPECTED, struct.pack("=i", expected_fd))
    content += attribute(_XDP_FLAGS, u32(flags))
    with Socket(ROUTE) as route:
        route.request(_SETLINK, _LINK_HEADER.pack(0, 0, index, 0, 0) + nest(_XDP, content))


def held_by_link(index: int, program_fd: int, mode: str) -> bool:
    """Whether a link's program is held by a bpf_link, and was not attached by netlink; nothing is changed.

    A bpf_link names an interface index, which another network namespace has too, so that it does not say whether the
    interface is this one. The kernel is asked to replace the attached program by itself: it refuses that where a
    bpf_link holds it, and has nothing to do where none does.

    Args:
        index: Interface index.
        program_fd: Descriptor of the program that is attached.
        mode: How it is attached.

    Raises:
        NetlinkError: Another program is attached by now, or the kernel refused for another reason.

    Source: dev_xdp_attach() in net/core/dev.c of the Linux tree.
    """
    try:
        set_xdp(index, program_fd, mode, program_fd)
    except NetlinkError as error:
        if error.errno == errno.EBUSY:
            return True
        raise
    return False


def xdp_features(index: int) -> set[str] | None:
    """Return what a link's driver says it can do with XDP.

    Returns:
        Names out of ``XDP_FEATURES``; empty for a driver without native XDP; None where the kernel (before 6.3)
        cannot say.

    Raises:
        NetlinkError: The kernel refused, in its words.
    """
    features = _netdev(index).get(_DEV_XDP_FEATURES)
    if features is None:
        return None
    bits = read_int(features)
    return {name for bit, name in enumerate(XDP_FEATURES) if bits >> bit & 1}


def zero_copy_frames(index: int) -> int:
    """Return how many frames a packet of an AF_XDP socket in zero-copy mode may have on a link; 1 where it is not said.

    Raises:
        NetlinkError: The kernel refused, in its words.
    """
    most = _netdev(index).get(_DEV_XDP_ZC_MAX_SEGS)
    return 1 if most is None else read_int(most)


def _netdev(index: int) -> dict[int, bytes]:
    """Return what the family netdev says of a link; nothing where the kernel has no such family."""
    with Socket(GENERIC) as conversation:
        family = conversation.family("netdev")
        if family is None:
            return {}
        answer = conversation.request(family, generic(_DEV_GET, attribute(_DEV_IFINDEX, u32(index))))
    return dict(generic_attributes(answer))


def _parse_link(body: bytes) -> Link:
    _family, hardware_type, index, flags, _change = _LINK_HEADER.unpack_from(body)
    found = dict(attributes(body[_LINK_HEADER.size :]))
    info = dict(attributes(found.get(_LINKINFO, b"")))
    kind = read_text(info[_INFO_KIND]) if _INFO_KIND in info else None
    return Link(
        index=index,
        name=read_text(found[_IFNAME]),
        up=bool(flags & _IFF_UP),
        mac=found.get(_ADDRESS, b"").hex(":"),
        mtu=read_int(found[_MTU]),
        rx_queues=read_int(found[_RX_QUEUES]),
        tx_queues=read_int(found[_TX_QUEUES]),
        xdp=_parse_xdp(found.get(_XDP, b"")),
        permanent_mac=found[_PERMANENT_ADDRESS].hex(":") if _PERMANENT_ADDRESS in found else None,
        min_mtu=read_int(found[_MIN_MTU]) if _MIN_MTU in found else 0,
        max_mtu=read_int(found[_MAX_MTU]) if _MAX_MTU in found else 0,
        kind=kind,
        hardware_type=hardware_type,
        ipvlan_mode=_ipvlan_mode(info.get(_INFO_DATA, b"")) if kind == "ipvlan" else None,
        bus=read_text(found[_PARENT_BUS]) if _PARENT_BUS in found else None,
        bus_address=read_text(found[_PARENT_NAME]) if _PARENT_NAME in found else None,
        carrier=bool(read_int(found.get(_CARRIER, b"\0"))),
        txqueuelen=read_int(found.get(_TXQLEN, b"\0")),
        master=read_int(found[_MASTER]) if _MASTER in found else None,
        # A parent in another network namespace has an index of that namespace, which means nothing here.
        parent=read_int(found[_LINK]) or None if _LINK in found and _LINK_NETNSID not in found else None,
    )


def _ipvlan_mode(data: bytes) -> str | None:
    number = read_int(dict(attributes(data)).get(_IPVLAN_MODE, b"\xff"))
    return _IPVLAN_MODES[number] if number < len(_IPVLAN_MODES) else None


def _parse_xdp(nest: bytes) -> XdpState:
    found = dict(attributes(nest))
    mode = _XDP_MODES.get(found.get(_XDP_ATTACHED, b"\0")[0])
    if mode is None:
        return XdpState()
    programs = {name: read_int(found[kind]) for name, kind in _XDP_PROGRAM_BY_MODE.items() if kind in found}
    if not programs and _XDP_PROGRAM in found:
        programs = {mode: read_int(found[_XDP_PROGRAM])}
    return XdpState(mode, programs)
