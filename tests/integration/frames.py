"""Ethernet frames, byte by byte, so that they can be wrong on purpose."""

from __future__ import annotations

import socket
import struct

IPV4, IPV6, ARP, VLAN, QINQ = 0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
HOP_BY_HOP, ROUTING, FRAGMENT, AUTH, NO_NEXT, DESTINATION = 0, 43, 44, 51, 59, 60

UDP_HEADER = struct.pack("!HHHH", 4000, 4001, 8, 0)
TCP_HEADER = struct.pack("!HHIIBBHHH", 4000, 4001, 0, 0, 5 << 4, 2, 1024, 0, 0)


def ethernet(kind: int, payload: bytes, tags: tuple[int, ...] = (), destination: bytes = b"\x02" + b"\0" * 5) -> bytes:
    """An Ethernet frame with the given VLAN tag types, outermost first."""
    kinds = [*tags, kind]
    header = destination + b"\x02" + b"\0" * 4 + b"\x01" + struct.pack("!H", kinds[0])
    for inner in kinds[1:]:
        header += struct.pack("!HH", 7, inner)
    return header + payload


def ipv4(
    source: str,
    payload: bytes = UDP_HEADER,
    protocol: int = UDP,
    options: bytes = b"",
    version: int = 4,
    words: int | None = None,
    length: int | None = None,
    fragment: int = 0,
) -> bytes:
    """An IPv4 packet; ``words`` and ``length`` let its header lie."""
    words = 5 + len(options) // 4 if words is None else words
    length = 20 + len(options) + len(payload) if length is None else length
    header = struct.pack("!BBHHHBBH", version << 4 | words, 0, length, 1, fragment, 64, protocol, 0)
    return header + socket.inet_aton(source) + socket.inet_aton("198.51.100.1") + options + payload


def of(source: str) -> bytes:
    """A frame with a datagram from an address of either family."""
    return ethernet(IPV6, ipv6(source)) if ":" in source else ethernet(IPV4, ipv4(source))


def summed(packet: bytes) -> bytes:
    """Return an IPv4 packet with a TTL of 64 and its header's checksum."""
    header = bytearray(packet[:20])
    header[8], header[10:12] = 64, b"\0\0"
    total = sum(struct.unpack("!10H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    header[10:12] = struct.pack("!H", ~total & 0xFFFF)
    return bytes(header) + packet[20:]


def ipv6(
    source: str, payload: bytes = UDP_HEADER, following: int = UDP, version: int = 6, length: int | None = None
) -> bytes:
    """An IPv6 packet; the payload starts with its extension headers."""
    length = len(payload) if length is None else length
    header = struct.pack("!IHBB", version << 28, length, following, 64)
    return (
        header + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + payload
    )


def extension(following: int, units: int = 0) -> bytes:
    """A hop-by-hop, routing or destination header of 8 bytes and ``units`` times 8 more."""
    return bytes((following, units)) + b"\0" * (6 + 8 * units)


def auth(following: int) -> bytes:
    """An authentication header of 16 bytes: its length counts 4-byte words, less two."""
    return bytes((following, 2)) + b"\0" * 14


def fragment(following: int, offset: int = 0) -> bytes:
    """A fragment header; the offset counts 8-byte units."""
    return struct.pack("!BBHI", following, 0, offset << 3, 1)
