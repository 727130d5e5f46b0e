"""What the first bytes of a packet say."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._samples.packet import Packet, address, parse

from tests.integration import frames as f

V4, V6 = "192.0.2.1", "2001:db8::9"
TCP_V4 = f.ethernet(f.IPV4, f.ipv4(V4, f.TCP_HEADER, f.TCP))
ECHO = struct.pack("!BBHI", 8, 1, 0, 0)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (TCP_V4, {"source": V4, "protocol": f.TCP, "source_port": 4000, "destination_port": 4001, "tcp_flags": 2}),
        (f.ethernet(f.IPV4, f.ipv4(V4, options=bytes(8))), {"source": V4, "protocol": f.UDP, "source_port": 4000}),
        (f.ethernet(f.IPV4, f.ipv4(V4, ECHO, f.ICMP)), {"protocol": f.ICMP, "icmp": 0x0801, "source_port": None}),
        (f.ethernet(f.IPV4, f.ipv4(V4, fragment=0x2000)), {"fragment": True, "destination_port": 4001}),
        (f.ethernet(f.IPV4, f.ipv4(V4, fragment=3)), {"fragment": True, "destination_port": None}),
        (f.ethernet(f.IPV4, f.ipv4(V4), tags=(f.QINQ, f.VLAN)), {"vlan": 7, "source": V4, "source_port": 4000}),
        (f.ethernet(f.IPV6, f.ipv6(V6)), {"source": V6, "protocol": f.UDP, "source_port": 4000, "octets": 48}),
        (
            f.ethernet(f.IPV6, f.ipv6(V6, f.extension(f.AUTH, 1) + f.auth(f.UDP) + f.UDP_HEADER, f.HOP_BY_HOP)),
            {"protocol": f.UDP, "source_port": 4000, "fragment": False},
        ),
        (
            f.ethernet(f.IPV6, f.ipv6(V6, f.fragment(f.UDP) + f.UDP_HEADER, f.FRAGMENT)),
            {"protocol": f.UDP, "source_port": 4000, "fragment": True},
        ),
        (
            f.ethernet(f.IPV6, f.ipv6(V6, f.fragment(f.UDP, 5) + f.UDP_HEADER, f.FRAGMENT)),
            {"protocol": f.UDP, "source_port": None, "fragment": True},
        ),
        (f.ethernet(f.IPV6, f.ipv6(V6, ECHO, f.ICMPV6)), {"icmp": 0x0801}),
        (f.ethernet(f.ARP, bytes(28)), {"ethertype": f.ARP, "source": None, "version": 0}),
    ],
)
def test_headers(frame, expected):
    packet = parse(frame)
    found = {name: getattr(packet, name) for name in expected}
    assert {**found, **({"source": address(found["source"])} if found.get("source") else {})} == expected


@pytest.mark.parametrize("payload", [f.ipv4(V4, f.TCP_HEADER, f.TCP), f.ipv6(V6, f.extension(f.TCP) + f.TCP_HEADER, 0)])
def test_a_frame_that_ends_anywhere_says_what_it_holds_and_nothing_else(payload):
    frame = f.ethernet(f.IPV4 if payload[0] >> 4 == 4 else f.IPV6, payload, tags=(f.VLAN,))
    whole = parse(frame)._asdict()
    assert whole["tcp_flags"] == 2
    for length in range(len(frame)):
        for name, value in parse(frame[:length])._asdict().items():
            # Of an extension header that is cut off, its own number is all that is known.
            assert value in (None, whole[name], False) or name in ("ethertype", "protocol")


def test_nothing_says_nothing():
    assert parse(b"") == Packet()
