# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A packet as an operator describes it, such as ``{source: 203.0.113.9, destination_port: 443}``, as bytes."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any

from .._core.converge import Invalid
from .._core.json_schema import faults
from .fields import ICMP_TYPES, PROTOCOLS, TCP_FLAGS

_IPV4, _IPV6, _VLAN = 0x0800, 0x86DD, 0x8100
_ICMP, _TCP, _UDP, _FRAGMENT, _ICMPV6 = 1, 6, 17, 44, 58
_MORE, _LATER = 0x2000, 185  # flag of IPv4; place of a second fragment in units of 8 bytes
_MACS = bytes.fromhex("020000000001020000000002")
SHORTEST, LONGEST = 14, 3498  # bytes; what the kernel tries a program on
_USUAL = 60  # bytes; shorter ones come on no wire
_DESTINATIONS = {4: "192.0.2.1", 6: "2001:db8::1"}
_PORT = 4000  # of a side that nobody named

_number = {"type": "integer", "minimum": 0, "maximum": 65535}
FRAME: Mapping[str, Any] = {
    "description": "A packet; what is left out is of no importance to what is tried.",
    "type": "object",
    "additionalProperties": False,
    "required": ["source"],
    "properties": {
        "source": {"description": "Address.", "type": "string"},
        "destination": {"description": "Address.", "type": "string"},
        "protocol": {
            "description": "By name or number; udp by default.",
            "anyOf": [
                {"type": "string", "enum": list(PROTOCOLS)},
                {"type": "integer", "minimum": 0, "maximum": 255},
            ],
        },
        "source_port": _number,
        "destination_port": _number,
        "tcp_flags": {
            "description": "Those that are set; syn by default.",
            "type": "array",
            "items": {"type": "string", "enum": list(TCP_FLAGS)},
        },
        "icmp_type": {
            "description": "By name or number; echo-request by default.",
            "anyOf": [
                {"type": "string", "enum": list(ICMP_TYPES)},
                {"type": "integer", "minimum": 0, "maximum": 255},
            ],
        },
        "vlan": {"description": "Of its one tag.", "type": "integer", "minimum": 0, "maximum": 4095},
        "fragment": {"type": "string", "enum": ["first", "later"]},
        "length": {"description": "Bytes of the frame.", "type": "integer", "minimum": SHORTEST, "maximum": LONGEST},
    },
}


def build(description: Mapping[str, Any], place: str = "frame") -> bytes:
    """Return a packet from its Ethernet header on.

    Args:
        description: As ``FRAME`` says.
        place: Of the description, for messages.

    Raises:
        Invalid: It is no packet; every reason at once.
    """
    reasons = list(faults(description, FRAME, place))
    if reasons:
        raise Invalid("; ".join(reasons), reasons=reasons)
    source = _address(description["source"], f"{place}.source")
    version = 4 if len(source) == 4 else 6
    destination = _address(description.get("destination", _DESTINATIONS[version]), f"{place}.destination")
    if len(destination) != len(source):
        raise Invalid(f"{place}: source and destination are of two IP versions")
    protocol = description.get("protocol", "udp")
    number = PROTOCOLS[protocol] if isinstance(protocol, str) else protocol
    tag = struct.pack("!HH", _VLAN, description["vlan"]) if "vlan" in description else b""
    head = len(_MACS) + len(tag) + 2
    transport = b"" if description.get("fragment") == "later" else _transport(description, number, version, place)
    before = _network_bytes(version, description)
    least = head + before + len(transport)
    length = description.get("length", max(least, _USUAL))
    if length < least:
        raise Invalid(f"{place}.length: {length} < the {least} bytes of its headers")
    payload = transport + bytes(length - least)
    network = (_ipv4 if version == 4 else _ipv6)(source, destination, number, payload, description.get("fragment"))
    return _MACS + tag + struct.pack("!H", _IPV4 if version == 4 else _IPV6) + network


def _address(text: str, place: str) -> bytes:
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        raise Invalid(f"{place}: {text!r} is not an IPv4 or IPv6 address") from None


def _network_bytes(version: int, description: Mapping[str, Any]) -> int:
    return 20 if version == 4 else 48 if "fragment" in description else 40


def _transport(description: Mapping[str, Any], protocol: int, version: int, place: str) -> bytes:
    ports = description.get("source_port", _PORT), description.get("destination_port", _PORT)
    if protocol == _TCP:
        flags = sum(1 << TCP_FLAGS.index(name) for name in set(description.get("tcp_flags", ["syn"])))
        return struct.pack("!HHIIBBHHH", *ports, 0, 0, 5 << 4, flags, 1024, 0, 0)
    if protocol == _UDP:
        return struct.pack("!HHHH", *ports, 8, 0)
    if protocol in (_ICMP, _ICMPV6):
        kind = description.get("icmp_type", "echo-request")
        number = ICMP_TYPES[kind][version == 6] if isinstance(kind, str) else kind
        if number is None:
            raise Invalid(f"{place}.icmp_type: IPv{version} has no {kind}")
        return struct.pack("!BBHI", number, 0, 0, 0)
    return b""


def _ipv4(source: bytes, destination: bytes, protocol: int, payload: bytes, fragment: str | None) -> bytes:
    place = {None: 0, "first": _MORE, "later": _LATER}[fragment]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, place, 64, protocol, 0) + source + destination
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + payload


def _ipv6(source: bytes, destination: bytes, protocol: int, payload: bytes, fragment: str | None) -> bytes:
    if fragment:
        place = 1 if fragment == "first" else _LATER << 3
        payload = struct.pack("!BBHI", protocol, 0, place, 1) + payload
        protocol = _FRAGMENT
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + source + destination + payload


def _checksum(header: bytes) -> int:
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
