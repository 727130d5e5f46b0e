# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Links, XDP attachments and XDP features by netlink, with the kernel's own words in every error.

Written on sockets rather than on pyroute2 because Debian 12's version encodes XDP flags wrongly, no version hands
out the kernel's extended acknowledgement on these calls, and importing it takes longer than all of the work here.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_ROUTE, _GENERIC = 0, 16  # netlink protocols
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST, _ACK, _DUMP, _DUMP_INTERRUPTED = 0x1, 0x4, 0x300, 0x10
_ACK_TLVS, _ERROR_MESSAGE = 0x200, 1
_NESTED, _TYPE_MASK = 0x8000, 0x3FFF
_NEWLINK, _GETLINK, _SETLINK = 16, 18, 19
_HEADER = struct.Struct("=IHHII")
_LINK_HEADER = struct.Struct("=BxHiII")
_BYTE_ORDER = sys.byteorder
_RECEIVE_BYTES = 1 << 18
_DUMP_ATTEMPTS = 5

# linux/if_link.h
_ADDRESS, _IFNAME, _MTU, _LINKINFO, _EXT_MASK, _TX_QUEUES, _RX_QUEUES, _XDP = 1, 3, 4, 18, 29, 31, 32, 43
_MIN_MTU, _MAX_MTU, _PERMANENT_ADDRESS, _PARENT_NAME, _PARENT_BUS = 50, 51, 54, 56, 57
_INFO_KIND = 1
_SKIP_STATISTICS = 8
_IFF_UP = 1
_XDP_FD, _XDP_ATTACHED, _XDP_FLAGS, _XDP_PROGRAM, _XDP_EXPECTED = 1, 2, 3, 4, 8
_XDP_PROGRAM_BY_MODE = {"native": 5, "generic": 6, "offload": 7}
_XDP_MODES = {1: "native", 2: "generic", 3: "offload", 4: "multi"}
_XDP_ONLY_IF_NONE, _XDP_REPLACE = 1, 16
XDP_MODE_FLAGS: Mapping[str, int] = {"generic": 2, "native": 4, "offload": 8}

# linux/genetlink.h and Documentation/netlink/specs/netdev.yaml
_CONTROL, _GETFAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2
_DEV_GET, _DEV_IFINDEX, _DEV_XDP_FEATURES = 1, 1, 3
XDP_FEATURES = ("basic", "redirect", "ndo-xmit", "xsk-zerocopy", "hw-offload", "rx-sg", "ndo-xmit-sg")

NAME_LIMIT = 15  # IFNAMSIZ less the final NUL


class NetlinkError(OSError):
    """The kernel refused a request.

    Attributes:
        words: What the kernel said beside the number, "" where it said nothing.
    """

    def __init__(self, number: int, words: str = "") -> None:
        super().__init__(number, words or os.strerror(number))
        self.words = words

    def __str__(self) -> str:
        name = errno.errorcode.get(self.errno or 0, str(self.errno))
        return f"{self.strerror} ({name})"


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


def links() -> list[Link]:
    """Return every link of this network namespace, by interface index.

    Raises:
        NetlinkError: The kernel refused, in its words.
    """
    with _Socket(_ROUTE) as route:
        found = route.dump(_GETLINK, _LINK_HEADER.pack(0, 0, 0, 0, 0) + _attribute(_EXT_MASK, _u32(_SKIP_STATISTICS)))
    return sorted((_parse_link(body) for body in found), key=lambda one: one.index)


def link(name: str) -> Link | None:
    """Return the link of that name in this network namespace, or None.

    Raises:
        NetlinkError: The kernel refused, in its words.
    """
    if not 0 < len(name.encode()) <= NAME_LIMIT:
        return None
    request = _LINK_HEADER.pack(0, 0, 0, 0, 0) + _attribute(_IFNAME, name.encode() + b"\0")
    try:
        with _Socket(_ROUTE) as route:
            return _parse_link(route.ask(_GETLINK, request + _attribute(_EXT_MASK, _u32(_SKIP_STATISTICS))))
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


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
    attributes = _attribute(_XDP_FD, struct.pack("=i", program_fd))
    if expected_fd is None:
        flags |= _XDP_ONLY_IF_NONE
    else:
        flags |= _XDP_REPLACE
        attributes += _attribute(_XDP_EXPECTED, struct.pack("=i", expected_fd))
    attributes += _attribute(_XDP_FLAGS, _u32(flags))
    with _Socket(_ROUTE) as route:
        route.ask(_SETLINK, _LINK_HEADER.pack(0, 0, index, 0, 0) + _attribute(_XDP | _NESTED, attributes))


def xdp_features(index: int) -> set[str] | None:
    """Return what a link's driver says it can do with XDP.

    Returns:
        Names out of ``XDP_FEATURES``; empty for a driver without native XDP; None where the kernel (before 6.3)
        cannot tell.

    Raises:
        NetlinkError: The kernel refused, in its words.
    """
    with _Socket(_GENERIC) as generic:
        try:
            control = generic.ask(
                _CONTROL, struct.pack("=BBH", _GETFAMILY, 1, 0) + _attribute(_FAMILY_NAME, b"netdev\0")
            )
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        family = _read_u16(dict(_attributes(control[4:]))[_FAMILY_ID])
        answer = generic.ask(family, struct.pack("=BBH", _DEV_GET, 1, 0) + _attribute(_DEV_IFINDEX, _u32(index)))
    features = dict(_attributes(answer[4:])).get(_DEV_XDP_FEATURES)
    if features is None:
        return None
    bits = int.from_bytes(features, _BYTE_ORDER)
    return {name for bit, name in enumerate(XDP_FEATURES) if bits >> bit & 1}


class _Socket:
    """One netlink conversation."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
            # Without it the message sits behind an echo of the whole request.
            self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise
        self._sequence = 0

    def __enter__(self) -> _Socket:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._socket.close()

    def ask(self, kind: int, body: bytes) -> bytes:
        """Send a request and return the body of its answer; empty where it is only acknowledged."""
        answer = b""
        for received, _flags, content in self._exchange(kind, _REQUEST | _ACK, body):
            if received == _NLMSG_ERROR:
                return answer
            answer = content
        return answer

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """Return all bodies of a dump, asked again where the table changed meanwhile."""
        for _attempt in range(_DUMP_ATTEMPTS):
            bodies = []
            interrupted = False
            for received, flags, content in self._exchange(kind, _REQUEST | _DUMP, body):
                interrupted |= bool(flags & _DUMP_INTERRUPTED)
                if received == _NLMSG_DONE:
                    break
                bodies.append(content)
            if not interrupted:
                return bodies
        raise NetlinkError(errno.EINTR, f"the link table changed during each of {_DUMP_ATTEMPTS} reads")

    def _exchange(self, kind: int, flags: int, body: bytes) -> Iterator[tuple[int, int, bytes]]:
        self._sequence += 1
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
        while True:
            datagram = self._socket.recv(_RECEIVE_BYTES)
            while datagram:
                length, received, received_flags, sequence, _port = _HEADER.unpack_from(datagram)
                content, datagram = datagram[_HEADER.size : length], datagram[_align(length) :]
                if sequence != self._sequence:
                    continue
                if received == _NLMSG_ERROR:
                    _raise_if_error(content, received_flags)
                yield received, received_flags, content


def _raise_if_error(content: bytes, flags: int) -> None:
    number = -struct.unpack_from("=i", content)[0]
    if not number:
        return
    words = b""
    if flags & _ACK_TLVS:
        words = dict(_attributes(content[4 + _HEADER.size :])).get(_ERROR_MESSAGE, b"")
    raise NetlinkError(number, _text(words))


def _parse_link(body: bytes) -> Link:
    _family, _type, index, flags, _change = _LINK_HEADER.unpack_from(body)
    found = dict(_attributes(body[_LINK_HEADER.size :]))
    info = dict(_attributes(found.get(_LINKINFO, b"")))
    return Link(
        index=index,
        name=_text(found[_IFNAME]),
        up=bool(flags & _IFF_UP),
        mac=found.get(_ADDRESS, b"").hex(":"),
        mtu=_read_u32(found[_MTU]),
        rx_queues=_read_u32(found[_RX_QUEUES]),
        tx_queues=_read_u32(found[_TX_QUEUES]),
        xdp=_parse_xdp(found.get(_XDP, b"")),
        permanent_mac=found[_PERMANENT_ADDRESS].hex(":") if _PERMANENT_ADDRESS in found else None,
        min_mtu=_read_u32(found[_MIN_MTU]) if _MIN_MTU in found else 0,
        max_mtu=_read_u32(found[_MAX_MTU]) if _MAX_MTU in found else 0,
        kind=_text(info[_INFO_KIND]) if _INFO_KIND in info else None,
        bus=_text(found[_PARENT_BUS]) if _PARENT_BUS in found else None,
        bus_address=_text(found[_PARENT_NAME]) if _PARENT_NAME in found else None,
    )


def _parse_xdp(nest: bytes) -> XdpState:
    found = dict(_attributes(nest))
    mode = _XDP_MODES.get(found.get(_XDP_ATTACHED, b"\0")[0])
    if mode is None:
        return XdpState()
    programs = {name: _read_u32(found[kind]) for name, kind in _XDP_PROGRAM_BY_MODE.items() if kind in found}
    if not programs and _XDP_PROGRAM in found:
        programs = {mode: _read_u32(found[_XDP_PROGRAM])}
    return XdpState(mode, programs)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            return
        yield kind & _TYPE_MASK, data[position + 4 : position + length]
        position += _align(length)


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (_align(length) - length)


def _align(length: int) -> int:
    return (length + 3) & ~3


def _u32(value: int) -> bytes:
    return struct.pack("=I", value)


def _read_u32(value: bytes) -> int:
    return int.from_bytes(value[:4], _BYTE_ORDER)


def _read_u16(value: bytes) -> int:
    return int.from_bytes(value[:2], _BYTE_ORDER)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
