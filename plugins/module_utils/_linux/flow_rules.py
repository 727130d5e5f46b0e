# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A NIC's flow rules, between ethtool(8)'s words and the kernel's bytes."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

# struct ethtool_rx_flow_spec: type, values, extended values, masks, extended masks, ring cookie, location.
_FLOW_SPEC = struct.Struct("=I52s20s52s20s4xQI4x")
_FLOW_EXT, _FLOW_MAC_EXT, _FLOW_RSS = 0x80000000, 0x40000000, 0x20000000
_DROP = (1 << 64) - 1
_LOCATION_ANY = 0xFFFFFFFF
_VF_SHIFT = 32

FLOW_TYPES: Mapping[str, int] = {
    "tcp4": 0x01,
    "udp4": 0x02,
    "sctp4": 0x03,
    "tcp6": 0x05,
    "udp6": 0x06,
    "sctp6": 0x07,
    "ah4": 0x09,
    "esp4": 0x0A,
    "ah6": 0x0B,
    "esp6": 0x0C,
    "ip4": 0x0D,
    "ip6": 0x0E,
    "ether": 0x12,
}


@dataclass(frozen=True)
class _Field:
    """Where a match field sits among a rule's 52 bytes of values, or the 20 of the extension behind them.

    Attributes:
        offset, width: In bytes.
        kind: ip, mac, number, or hex for numbers that are written so.
        flag: Which extension it belongs to, 0 for none.
    """

    offset: int
    width: int
    kind: str = "number"
    flag: int = 0


_ADDRESSES4 = {"src_ip": _Field(0, 4, "ip"), "dst_ip": _Field(4, 4, "ip")}
_ADDRESSES6 = {"src_ip": _Field(0, 16, "ip"), "dst_ip": _Field(16, 16, "ip")}
_PORTS4 = {**_ADDRESSES4, "src_port": _Field(8, 2), "dst_port": _Field(10, 2), "tos": _Field(12, 1)}
_PORTS6 = {**_ADDRESSES6, "src_port": _Field(32, 2), "dst_port": _Field(34, 2), "tclass": _Field(36, 1)}
_IPSEC4 = {**_ADDRESSES4, "spi": _Field(8, 4, "hex"), "tos": _Field(12, 1)}
_IPSEC6 = {**_ADDRESSES6, "spi": _Field(32, 4, "hex"), "tclass": _Field(36, 1)}
_EXTENSION = 52
_EXTENDED = {
    "vlan_etype": _Field(_EXTENSION + 8, 2, "hex", _FLOW_EXT),
    "vlan": _Field(_EXTENSION + 10, 2, "number", _FLOW_EXT),
    "user_def": _Field(_EXTENSION + 12, 8, "hex", _FLOW_EXT),
}
_EXTENDED_IP = {**_EXTENDED, "dst_mac": _Field(_EXTENSION + 2, 6, "mac", _FLOW_MAC_EXT)}
_FIELDS: Mapping[str, Mapping[str, _Field]] = {
    **{flow: {**_PORTS4, **_EXTENDED_IP} for flow in ("tcp4", "udp4", "sctp4")},
    **{flow: {**_PORTS6, **_EXTENDED_IP} for flow in ("tcp6", "udp6", "sctp6")},
    **{flow: {**_IPSEC4, **_EXTENDED_IP} for flow in ("ah4", "esp4")},
    **{flow: {**_IPSEC6, **_EXTENDED_IP} for flow in ("ah6", "esp6")},
    "ip4": {
        **_ADDRESSES4,
        "l4data": _Field(8, 4, "hex"),
        "tos": _Field(12, 1),
        "l4proto": _Field(14, 1),
        **_EXTENDED_IP,
    },
    "ip6": {
        **_ADDRESSES6,
        "l4data": _Field(32, 4, "hex"),
        "tclass": _Field(36, 1),
        "l4proto": _Field(37, 1),
        **_EXTENDED_IP,
    },
    "ether": {
        "dst_mac": _Field(0, 6, "mac"),
        "src_mac": _Field(6, 6, "mac"),
        "ethertype": _Field(12, 2, "hex"),
        **_EXTENDED,
    },
}
_IP4_VERSION_AT, _IP4_VERSION = 13, 1  # ETH_RX_NFC_IP4, which an ip4 rule must carry


@dataclass(frozen=True)
class FlowRule:
    """One rule of the NIC's own classifier.

    Attributes:
        flow_type: As ethtool(8) names it: ether, ip4, tcp4, udp4, sctp4, ah4, esp4, and with 6.
        match: What a packet must have, by field (src_ip, dst_ip, src_port, dst_port, tos, tclass, l4proto, l4data,
            spi, src_mac, dst_mac, ethertype, vlan_etype, vlan, user_def); in the form that ``canonical`` returns.
        queue: Where the packet goes; None drops it.
        vf: Virtual function, counted from 1; 0 is the NIC itself.
        location: Place in the table; None lets the driver choose.
        rss_context: RSS table that spreads the packets from ``queue`` on; 0 for none.
    """

    flow_type: str
    match: Mapping[str, str] = field(default_factory=dict)
    queue: int | None = None
    vf: int = 0
    location: int | None = None
    rss_context: int = 0

    def __str__(self) -> str:
        match = "".join(f" {key} {value}" for key, value in self.match.items())
        target = "drop" if self.queue is None else f"queue {self.queue}"
        place = "" if self.location is None else f" at {self.location}"
        return f"{self.flow_type}{match} -> {target}{f' of VF {self.vf}' if self.vf else ''}{place}"


@dataclass(frozen=True)
class FlowRules:
    """The NIC's classifier.

    Attributes:
        capacity: How many rules it holds.
        rules: By location.
        driver_places: Whether the driver can choose a location by itself.
    """

    capacity: int
    rules: tuple[FlowRule, ...] = ()
    driver_places: bool = False


def canonical(flow_type: str, match: Mapping[str, object]) -> dict[str, str]:
    """Return match fields in the one form that read rules have, so that both compare.

    Args:
        flow_type: As ``FlowRule`` names it.
        match: Field to value, or value/mask: ``192.0.2.0/24``, ``192.0.2.0/255.255.0.255``, ``4791``,
            ``0x1000/0xf000``, ``02:00:00:00:00:01/ff:ff:ff:00:00:00``. A set bit of a mask must match; a field whose
            mask has none is left out.

    Raises:
        ValueError: The type or a field is unknown, or a value does not fit its field.
    """
    fields = _FIELDS.get(flow_type)
    if fields is None:
        raise ValueError(f"flow type {flow_type} is unknown; known are {', '.join(_FIELDS)}")
    unknown = sorted(set(match) - set(fields))
    if unknown:
        raise ValueError(f"flow type {flow_type} has no field {', '.join(unknown)}; it has {', '.join(fields)}")
    shown = {key: _show(fields[key], *_parse(key, fields[key], match[key])) for key in fields if key in match}
    return {key: text for key, text in shown.items() if text is not None}


def encode_rule(rule: FlowRule) -> bytes:
    """Return a rule as the kernel's ``struct ethtool_rx_flow_spec``."""
    values, masks = bytearray(_EXTENSION + 20), bytearray(_EXTENSION + 20)
    flags = _FLOW_RSS if rule.rss_context else 0
    for key, text in rule.match.items():
        place = _FIELDS[rule.flow_type][key]
        value, mask = _parse(key, place, text)
        flags |= place.flag
        for part, number in ((values, value), (masks, mask)):
            part[place.offset : place.offset + place.width] = number.to_bytes(place.width, "big")
    if rule.flow_type == "ip4":
        values[_IP4_VERSION_AT] = _IP4_VERSION
    return _FLOW_SPEC.pack(
        FLOW_TYPES[rule.flow_type] | flags,
        bytes(values[:_EXTENSION]),
        bytes(values[_EXTENSION:]),
        bytes(masks[:_EXTENSION]),
        bytes(masks[_EXTENSION:]),
        _DROP if rule.queue is None else rule.vf << _VF_SHIFT | rule.queue,
        _LOCATION_ANY if rule.location is None else rule.location,
    )


def encode_location(location: int) -> bytes:
    """Return a ``struct ethtool_rx_flow_spec`` that only names a place in the table."""
    return _FLOW_SPEC.pack(0, b"", b"", b"", b"", 0, location)


def decode_rule(spec: bytes, rss_context: int = 0) -> FlowRule:
    """Return the rule of a ``struct ethtool_rx_flow_spec``; of an unknown type, one without match fields."""
    kind, value, extended_value, mask, extended_mask, cookie, location = _FLOW_SPEC.unpack(spec)
    values, masks = value + extended_value, mask + extended_mask
    number = kind & ~(_FLOW_EXT | _FLOW_MAC_EXT | _FLOW_RSS)
    flow_type = next((word for word, known in FLOW_TYPES.items() if known == number), f"type {number:#x}")
    match = {}
    for key, place in _FIELDS.get(flow_type, {}).items():
        if place.flag and not kind & place.flag:
            continue
        where = slice(place.offset, place.offset + place.width)
        text = _show(place, int.from_bytes(values[where], "big"), int.from_bytes(masks[where], "big"))
        if text is not None:
            match[key] = text
    dropped = cookie == _DROP
    return FlowRule(
        flow_type,
        match,
        None if dropped else cookie & 0xFFFFFFFF,
        0 if dropped else cookie >> _VF_SHIFT & 0xFF,
        location,
        rss_context if kind & _FLOW_RSS else 0,
    )


def _parse(key: str, place: _Field, given: object) -> tuple[int, int]:
    """Return a field's value and mask as numbers, the value without bits that the mask leaves out."""
    value_text, slash, mask_text = str(given).partition("/")
    whole = (1 << 8 * place.width) - 1
    try:
        value = _number(place, value_text)
        if not slash:
            mask = whole
        elif place.kind == "ip" and mask_text.isdecimal():
            mask = whole ^ (whole >> _prefix(place, int(mask_text)))
        else:
            mask = _number(place, mask_text)
    except ValueError:
        raise ValueError(f"{key} {given} is not {_FORMS[place.kind]}, nor one with a mask behind a slash") from None
    if value > whole or mask > whole:
        raise ValueError(f"{key} {given} does not fit its {8 * place.width} bits")
    return value & mask, mask


_FORMS = {"ip": "an address", "mac": "a MAC address", "number": "a number", "hex": "a number"}


def _prefix(place: _Field, length: int) -> int:
    if length > 8 * place.width:
        raise ValueError(length)
    return length


def _number(place: _Field, text: str) -> int:
    if place.kind == "ip":
        return int(ipaddress.IPv4Address(text) if place.width == 4 else ipaddress.IPv6Address(text))
    if place.kind == "mac":
        raw = bytes.fromhex(text.replace(":", " "))
        if len(raw) != place.width:
            raise ValueError(text)
        return int.from_bytes(raw, "big")
    number = int(text, 0)
    if number < 0:
        raise ValueError(text)
    return number


def _show(place: _Field, value: int, mask: int) -> str | None:
    """Return a field's one written form, or None where its mask leaves it out."""
    if not mask:
        return None
    whole = (1 << 8 * place.width) - 1
    if mask == whole:
        return _word(place, value)
    if place.kind == "ip" and not (whole ^ mask) & ((whole ^ mask) + 1):
        return f"{_word(place, value & mask)}/{bin(mask).count('1')}"
    if place.kind == "number":
        return f"{value & mask:#x}/{mask:#x}"
    return f"{_word(place, value & mask)}/{_word(place, mask)}"


def _word(place: _Field, number: int) -> str:
    if place.kind == "ip":
        return str(ipaddress.IPv4Address(number) if place.width == 4 else ipaddress.IPv6Address(number))
    if place.kind == "mac":
        return number.to_bytes(place.width, "big").hex(":")
    return f"{number:#0{2 * place.width + 2}x}" if place.kind == "hex" else str(number)
