# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The headers of a packet of which only the first bytes are there, for people and collectors to read.

It judges nothing: what the program in the kernel decided is in the sample. What cannot be read stays unknown.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

IPV4, IPV6 = 0x0800, 0x86DD
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
_NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmpv6"}
_VLAN_TAGS = (0x8100, 0x88A8)
_ETHERNET = struct.Struct("!12xH")
_TAG = struct.Struct("!HH")
_IPV4 = struct.Struct("!B1xH2xH1xB2x4s4s")
_IPV6 = struct.Struct("!4xHBx16s16s")
_PORTS = struct.Struct("!HH")
_TCP_FLAGS_PLACE = 13
# With ports where TCP has them: TCP, UDP, DCCP, SCTP, UDP-Lite.
_WITH_PORTS = (TCP, UDP, 33, 132, 136)
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTH, _DESTINATION, _MOBILITY = 0, 43, 44, 51, 60, 135
_EXTENSIONS = (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTH, _DESTINATION, _MOBILITY)
_MORE_FRAGMENTS, _OFFSET, _OFFSET_V6 = 0x2000, 0x1FFF, 0xFFF8
_IPV6_HEADER = 40


class Packet(NamedTuple):
    """What the headers say; None where they do not say, or are not among the captured bytes.

    Attributes:
        ethertype: Behind all VLAN tags.
        vlan: Id of the outermost tag.
        source, destination: Addresses in network order, 4 or 16 bytes.
        octets: Length of the IP packet, header included.
        protocol: Of the transport; an extension header's number where parsing ended there.
        source_port, destination_port: Of the transport.
        tcp_flags: The low byte of them.
        icmp: Type times 256 plus code, of ICMP and ICMPv6.
        fragment: Whether it is a fragment, the first one included.
    """

    ethertype: int | None = None
    vlan: int | None = None
    source: bytes | None = None
    destination: bytes | None = None
    octets: int | None = None
    protocol: int | None = None
    source_port: int | None = None
    destination_port: int | None = None
    tcp_flags: int | None = None
    icmp: int | None = None
    fragment: bool = False

    @property
    def version(self) -> int:
        """4 or 6; 0 where it is no IP packet, or one without a whole header."""
        return {4: 4, 16: 6}.get(len(self.source or b""), 0)


def parse(frame: bytes) -> Packet:
    """Read the headers of an Ethernet frame, of which the end may be missing."""
    try:
        [ethertype] = _ETHERNET.unpack_from(frame)
    except struct.error:
        return Packet()
    place, vlan = _ETHERNET.size, None
    while ethertype in _VLAN_TAGS and place + _TAG.size <= len(frame):
        control, ethertype = _TAG.unpack_from(frame, place)
        vlan = control & 0xFFF if vlan is None else vlan
        place += _TAG.size
    packet = Packet(ethertype, vlan)
    try:
        if ethertype == IPV4:
            return _ipv4(packet, frame, place)
        if ethertype == IPV6:
            return _ipv6(packet, frame, place)
    except struct.error:  # the rest was not captured
        pass
    return packet


def _ipv4(packet: Packet, frame: bytes, place: int) -> Packet:
    first, octets, fragment, protocol, source, destination = _IPV4.unpack_from(frame, place)
    packet = packet._replace(
        source=source,
        destination=destination,
        octets=octets,
        protocol=protocol,
        fragment=bool(fragment & (_MORE_FRAGMENTS | _OFFSET)),
    )
    return packet if fragment & _OFFSET else _transport(packet, frame, place + 4 * (first & 0xF))


def _ipv6(packet: Packet, frame: bytes, place: int) -> Packet:
    payload, protocol, source, destination = _IPV6.unpack_from(frame, place)
    packet = packet._replace(
        source=source, destination=destination, octets=_IPV6_HEADER + payload, protocol=protocol, fragment=False
    )
    place += _IPV6_HEADER
    while packet.protocol in _EXTENSIONS and place + 8 <= len(frame):
        following, units, offset = struct.unpack_from("!BBH", frame, place)
        if packet.protocol == _FRAGMENT:
            packet = packet._replace(protocol=following, fragment=True)
            if offset & _OFFSET_V6:
                return packet
            place += 8
        else:
            place += 4 * (units + 2) if packet.protocol == _AUTH else 8 * (units + 1)
            packet = packet._replace(protocol=following)
    return _transport(packet, frame, place)


def _transport(packet: Packet, frame: bytes, place: int) -> Packet:
    """Read what there is of ports, flags, type and code."""
    if packet.protocol in (ICMP, ICMPV6) and place + 2 <= len(frame):
        return packet._replace(icmp=frame[place] << 8 | frame[place + 1])
    if packet.protocol in _WITH_PORTS and place + _PORTS.size <= len(frame):
        source_port, destination_port = _PORTS.unpack_from(frame, place)
        packet = packet._replace(source_port=source_port, destination_port=destination_port)
        if packet.protocol == TCP and place + _TCP_FLAGS_PLACE < len(frame):
            packet = packet._replace(tcp_flags=frame[place + _TCP_FLAGS_PLACE])
    return packet


def address(raw: bytes) -> str:
    """Return an address of 4 or 16 bytes as text."""
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def in_words(frame: bytes, length: int) -> str:
    """Return who sends what to whom in a frame of so many bytes, of which the end may be missing."""
    seen = parse(frame)
    if seen.source is None or seen.destination is None:
        return f"ethertype {seen.ethertype or 0:#06x} length {length}"
    ends = (_end(seen.source, seen.source_port), _end(seen.destination, seen.destination_port))
    vlan = "" if seen.vlan is None else f" vlan {seen.vlan}"
    protocol = _NAMES.get(seen.protocol or 0, f"protocol {seen.protocol}")
    fragment = " fragment" if seen.fragment else ""
    return f"{' > '.join(ends)} {protocol}{fragment}{vlan} length {length}"


def _end(raw: bytes, port: int | None) -> str:
    text = address(raw)
    if port is None:
        return text
    return f"[{text}]:{port}" if len(raw) == 16 else f"{text}:{port}"
