"""Packets as operators describe them, read back by an independent reader."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.frame import build


def test_an_ipv4_packet_byte_by_byte():
    frame = build({"source": "203.0.113.9", "protocol": "tcp", "destination_port": 443, "source_port": 1025})
    assert len(frame) == 60
    assert frame[12:14] == b"\x08\x00"
    header = frame[14:34]
    assert header[:4] == struct.pack("!BBH", 0x45, 0, 46)
    assert (header[9], header[12:16], header[16:20]) == (6, b"\xcb\x00\x71\x09", b"\xc0\x00\x02\x01")
    assert sum(struct.unpack("!10H", header)) % 0xFFFF == 0, "the checksum is wrong"
    assert frame[34:38] == struct.pack("!HH", 1025, 443)
    assert (frame[46] >> 4, frame[47]) == (5, 2)


def test_an_ipv6_packet_with_a_tag():
    frame = build({"source": "2001:db8::9", "destination": "2001:db8::2", "vlan": 7, "length": 200})
    assert len(frame) == 200
    assert frame[12:18] == struct.pack("!HHH", 0x8100, 7, 0x86DD)
    assert struct.unpack("!H", frame[22:24]) == (200 - 18 - 40,)
    assert ipaddress.IPv6Address(frame[26:42]) == ipaddress.IPv6Address("2001:db8::9")
    assert ipaddress.IPv6Address(frame[42:58]) == ipaddress.IPv6Address("2001:db8::2")
    assert frame[24] == 17


@pytest.mark.parametrize(
    ("description", "place", "expected"),
    [
        ({"source": "192.0.2.9", "fragment": "first"}, slice(20, 22), b"\x20\x00"),
        ({"source": "192.0.2.9", "fragment": "later"}, slice(20, 22), b"\x00\xb9"),
        ({"source": "::1", "fragment": "first"}, slice(54, 58), b"\x11\x00\x00\x01"),
        ({"source": "::1", "fragment": "later"}, slice(54, 58), b"\x11\x00\x05\xc8"),
        ({"source": "192.0.2.9", "protocol": "icmp"}, slice(34, 36), b"\x08\x00"),
        ({"source": "::1", "protocol": "icmpv6", "icmp_type": "echo-reply"}, slice(54, 56), b"\x81\x00"),
        ({"source": "::1", "protocol": "icmpv6", "icmp_type": 200}, slice(54, 55), b"\xc8"),
        ({"source": "192.0.2.9", "protocol": "tcp", "tcp_flags": ["ack", "fin"]}, slice(47, 48), b"\x11"),
        ({"source": "192.0.2.9", "protocol": "gre"}, slice(23, 24), b"\x2f"),
        ({"source": "192.0.2.9", "protocol": 99}, slice(23, 24), b"\x63"),
    ],
)
def test_what_is_described_is_there(description, place, expected):
    assert build(description)[place] == expected


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ({}, "source is missing"),
        ({"source": "example.org"}, r"frame\.source: 'example\.org' is not an IPv4 or IPv6 address"),
        ({"source": "192.0.2.0/24"}, "is not an IPv4 or IPv6 address"),
        ({"source": "192.0.2.1", "destination": "::1"}, "of two IP versions"),
        ({"source": "192.0.2.1", "port": 80}, "'port' is no key"),
        ({"source": "192.0.2.1", "destination_port": 65536}, "65536 > the limit 65535"),
        ({"source": "192.0.2.1", "protocol": "http"}, "protocol"),
        ({"source": "192.0.2.1", "protocol": "icmp", "icmp_type": "packet-too-big"}, "IPv4 has no packet-too-big"),
        ({"source": "::1", "protocol": "tcp", "length": 73}, "73 < the 74 bytes of its headers"),
    ],
)
def test_what_is_no_packet_is_invalid(description, reason):
    with pytest.raises(Invalid, match=reason):
        build(description)
