"""What a frame says, read by the reference model: a parser of its own, by what the protocols' documents say.

Source: IEEE 802.1Q; RFC 791, 8200, 4302, 9293, 768, 792, 4443; docs/decisions/0036-how-a-packet-is-judged.md.
"""

from __future__ import annotations

from struct import unpack_from

VLAN_TAGS = (0x8100, 0x88A8)
IPV4, IPV6 = 0x0800, 0x86DD
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
FRAGMENT, AUTHENTICATION, NO_NEXT = 44, 51, 59
# Hop-by-hop, routing, destination options, mobility: a length in units of 8 bytes beyond the first 8.
OPTIONS = (0, 43, 60, 135)
# How far from a frame's start headers are looked for; behind that, or behind the driver's first buffer, they hide.
FARTHEST = 0x3FFF
FIRST, LATER = "first", "later"
# Bytes without which a transport header is none.
HEADER_BYTES = {TCP: 20, UDP: 8, ICMP: 8, ICMPV6: 8}


class Truncated(Exception):
    """The frame ends, or contradicts itself, before what was to be read."""


class Packet:
    """What is known of a frame.

    Attributes:
        state: ``not_ip``, ``malformed`` or ``whole``.
        length: Bytes of the frame.
        family: 4 or 6; 0 where the source is unknown.
        source, destination: Addresses as numbers.
        protocol: Of the transport; None where it is unknown.
        source_port, destination_port, tcp_flags, icmp_type: None where the packet has none.
        vlan: Identifier of the outermost tag; None where untagged.
        fragment: ``first``, ``later`` or None.
        buffer: Bytes of the frame that are in the first buffer.
        hides: Whether it is malformed, but not for the stack: a first fragment that ends within its TCP header, or
            headers farther from the frame's start than they are looked for.
    """

    __slots__ = (
        "buffer",
        "destination",
        "destination_port",
        "family",
        "fragment",
        "hides",
        "icmp_type",
        "length",
        "protocol",
        "source",
        "source_port",
        "state",
        "tcp_flags",
        "vlan",
    )

    def __init__(self, length: int, buffer: int) -> None:
        self.state = "whole"
        self.length, self.buffer = length, buffer
        self.family = self.source = self.destination = 0
        self.protocol: int | None = None
        self.source_port: int | None = None
        self.destination_port: int | None = None
        self.tcp_flags: int | None = None
        self.icmp_type: int | None = None
        self.vlan: int | None = None
        self.fragment: str | None = None
        self.hides = False


def parse(frame: bytes, buffer: int | None = None) -> Packet:
    """Read a frame as far as it can be read.

    Args:
        buffer: Bytes of it that are in the first buffer; None where all are.
    """
    packet = Packet(len(frame), len(frame) if buffer is None else buffer)
    try:
        _ethernet(frame, packet)
    except Truncated:
        packet.state = "malformed"
    return packet


def _need(end: int, place: int, count: int) -> None:
    if place + count > end:
        raise Truncated


def _reach(packet: Packet, place: int, count: int = 0) -> None:
    if place > FARTHEST or (count and place + count > packet.buffer):
        packet.hides = True
        raise Truncated


def _ethernet(frame: bytes, packet: Packet) -> None:
    end = len(frame)
    _need(end, 0, 14)
    kind = frame[12] << 8 | frame[13]
    place = 14
    while kind in VLAN_TAGS:
        _need(end, place, 4)
        control, kind = unpack_from("!HH", frame, place)
        if packet.vlan is None:
            packet.vlan = control & 0xFFF
        place += 4
    if kind == IPV4:
        _ipv4(frame, place, packet)
    elif kind == IPV6:
        _ipv6(frame, place, packet)
    else:
        packet.state = "not_ip"


def _ipv4(frame: bytes, place: int, packet: Packet) -> None:
    end = len(frame)
    _need(end, place, 20)
    first, _service, total, _id, fragment, _ttl, protocol, _sum, source, destination = unpack_from(
        "!BBHHHBBHII", frame, place
    )
    if first >> 4 != 4:
        raise Truncated
    packet.family, packet.source, packet.destination = 4, source, destination
    _reach(packet, place, 20)
    header = (first & 15) * 4
    if header < 20 or total < header:
        raise Truncated
    _need(end, place, total)
    _reach(packet, place + header)
    packet.protocol = protocol
    if fragment & 0x1FFF:
        packet.fragment = LATER
    else:
        if fragment & 0x2000:
            packet.fragment = FIRST
        _transport(frame, place + header, place + total, packet)


def _ipv6(frame: bytes, place: int, packet: Packet) -> None:
    end = len(frame)
    _need(end, place, 40)
    if frame[place] >> 4 != 6:
        raise Truncated
    packet.family = 6
    packet.source = int.from_bytes(frame[place + 8 : place + 24], "big")
    packet.destination = int.from_bytes(frame[place + 24 : place + 40], "big")
    _reach(packet, place, 40)
    payload, following = unpack_from("!HB", frame, place + 4)
    place += 40
    _need(end, place, payload)
    end = place + payload
    while following in OPTIONS or following in (FRAGMENT, AUTHENTICATION):
        # None is shorter than 8 bytes.
        _need(end, place, 8)
        kind = following
        following, units, offset = unpack_from("!BBH", frame, place)
        size = {FRAGMENT: 8, AUTHENTICATION: units * 4 + 8}.get(kind, units * 8 + 8)
        _need(end, place, size)
        place += size
        if kind == FRAGMENT and offset & 0xFFF8:
            packet.fragment = LATER
            break
        if kind == FRAGMENT and offset & 1:
            packet.fragment = FIRST
    _reach(packet, place)
    packet.protocol = following
    if packet.fragment != LATER and following != NO_NEXT:
        _transport(frame, place, end, packet)


def _transport(frame: bytes, place: int, end: int, packet: Packet) -> None:
    protocol = packet.protocol
    packet.hides = protocol == TCP and packet.fragment == FIRST and place + HEADER_BYTES[TCP] > end
    _need(end, place, HEADER_BYTES.get(protocol, 0))
    _reach(packet, place, HEADER_BYTES.get(protocol, 0))
    if protocol == TCP and frame[place + 12] >> 4 < 5:
        raise Truncated
    if protocol in (TCP, UDP):
        packet.source_port, packet.destination_port = unpack_from("!HH", frame, place)
    if protocol == TCP:
        packet.tcp_flags = frame[place + 13]
    if protocol in (ICMP, ICMPV6):
        packet.icmp_type = frame[place]
