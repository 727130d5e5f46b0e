# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""How a NIC spreads packets over its queues: RSS, hash fields and flow rules, by the ethtool ioctl.

The kernel serves these by netlink only from 6.17 (RSS) or not at all (flow rules).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._core.converge import ApplyFailed
from .ethtool_ioctl import call
from .flow_rules import FlowRule, FlowRules, canonical, decode_rule, encode_location, encode_rule
from .netlink_socket import NetlinkError

__all__ = [
    "HASH_FLOW_TYPES",
    "HASH_LETTERS",
    "FlowRule",
    "FlowRules",
    "Rss",
    "canonical",
    "delete_flow_rule",
    "insert_flow_rule",
    "letters",
    "read_flow_rules",
    "read_hash_fields",
    "read_rss",
    "set_hash_fields",
    "set_rss",
]

# linux/ethtool.h: commands
_GSTRINGS, _GSSET_INFO = 0x1B, 0x37
_GRXFH, _SRXFH = 0x29, 0x2A
_GRXRINGS, _GRXCLSRLCNT, _GRXCLSRULE, _GRXCLSRLALL, _SRXCLSRLDEL, _SRXCLSRLINS = 0x2D, 0x2E, 0x2F, 0x30, 0x31, 0x32
_GRSSH, _SRSSH = 0x46, 0x47

# struct ethtool_rxfh: command, context, table size, key size, function, transformation; then the table and the key.
_RXFH = struct.Struct("=IIIIBB2xI")
_TABLE_NO_CHANGE = 0xFFFFFFFF
_SSET_INFO = struct.Struct("=IIQI")
_STRINGS = struct.Struct("=III")
_STRING_BYTES = 32
_HASH_FUNCTIONS = 5  # ETH_SS_RSS_HASH_FUNCS

# struct ethtool_rxnfc: command, flow type, data, the flow specification, rule count or RSS context; then locations.
_RXNFC = struct.Struct("=IIQ168sI")
_RXNFC_BYTES = 192
_LOCATION_AT = 176
_LOCATION_SPECIAL = 0x80000000
_READ_ATTEMPTS = 5

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL)

# What a packet's type is hashed on, by ethtool(8)'s letters, in the order in which they are written here.
HASH_LETTERS: Mapping[str, int] = {
    "m": 1 << 1,  # destination MAC
    "v": 1 << 2,  # VLAN
    "t": 1 << 3,  # layer 3 protocol
    "s": 1 << 4,  # source address
    "d": 1 << 5,  # destination address
    "f": 1 << 6,  # source port, or bytes 0 and 1 of layer 4
    "n": 1 << 7,  # destination port, or bytes 2 and 3 of layer 4
    "e": 1 << 8,  # GTP tunnel end point
    "l": 1 << 9,  # IPv6 flow label
    "r": 1 << 31,  # discard
}
HASH_FLOW_TYPES: Mapping[str, int] = {
    "tcp4": 0x01,
    "udp4": 0x02,
    "sctp4": 0x03,
    "ah4": 0x09,
    "esp4": 0x0A,
    "tcp6": 0x05,
    "udp6": 0x06,
    "sctp6": 0x07,
    "ah6": 0x0B,
    "esp6": 0x0C,
}


@dataclass(frozen=True)
class Rss:
    """Receive side scaling.

    Attributes:
        table: Receive queue by hash bucket; empty for a driver without a table.
        key: Hash key; empty for a driver that keeps it to itself.
        function: Hash function in use, such as ``toeplitz``; None where the driver does not say.
        functions: Those the kernel has a name for; which of them the driver can do, only it knows.
        rings: Receive queues that the table may name (0 to rings - 1).
    """

    table: tuple[int, ...] = ()
    key: bytes = b""
    function: str | None = None
    functions: tuple[str, ...] = ()
    rings: int = 0


def read_rss(name: str) -> Rss | None:
    """Return how a NIC spreads packets over its queues, or None where it does not.

    Raises:
        NetlinkError: The kernel refused; EOPNOTSUPP where the driver knows no RSS.
    """
    sizes = _rxfh(name)
    _command, _context, entries, key_bytes, function, _transformation, _reserved = _RXFH.unpack_from(sizes)
    if not entries and not key_bytes:
        return None
    answer = call(name, _RXFH.pack(_GRSSH, 0, entries, key_bytes, 0, 0, 0) + bytes(4 * entries + key_bytes))
    table = struct.unpack_from(f"={entries}I", answer, _RXFH.size)
    start = _RXFH.size + 4 * entries
    functions = _hash_functions(name)
    used = [word for bit, word in enumerate(functions) if function >> bit & 1]
    return Rss(
        table=table,
        key=answer[start : start + key_bytes],
        function=used[0] if used else None,
        functions=functions,
        rings=_RXNFC.unpack_from(_rxnfc(name, _GRXRINGS))[2],
    )


def set_rss(
    name: str,
    table: Sequence[int] | str | None = None,
    key: bytes | None = None,
    function: str | None = None,
) -> None:
    """Set what is given of RSS, in one request.

    Args:
        name: Interface.
        table: Queue by bucket, as many as the driver has; ``"default"`` hands the table back to the driver.
        key: Hash key, of the length that the driver has.
        function: Hash function.

    Raises:
        ApplyFailed: The kernel or the driver refused.
    """
    shown = table if table is None or isinstance(table, str) else f"of {len(table)} entries up to queue {max(table)}"
    desired = {"table": shown, "key": key.hex(":") if key else None, "function": function}
    listed = ", ".join(f"{word} {value}" for word, value in desired.items() if value is not None)
    try:
        sizes = _RXFH.unpack_from(_rxfh(name))
        queues = [] if table is None or isinstance(table, str) else list(table)
        call(
            name,
            _RXFH.pack(
                _SRSSH,
                0,
                _TABLE_NO_CHANGE if table is None else len(queues),
                len(key or b""),
                1 << _hash_functions(name).index(function) if function else 0,
                sizes[5],  # what is there now: 0 would end a symmetric hash
                0,
            )
            + struct.pack(f"={len(queues)}I", *queues)
            + (key or b""),
        )
    except NetlinkError as error:
        raise _refusal(name, f"RSS {listed}", error) from error


def read_hash_fields(name: str) -> dict[str, str]:
    """Return what is hashed, in letters by flow type; without the types that the driver does not know.

    Raises:
        NetlinkError: The kernel refused.
    """
    fields = {}
    for flow_type, number in HASH_FLOW_TYPES.items():
        try:
            bits = _RXNFC.unpack_from(_rxnfc(name, _GRXFH, flow_type=number))[2]
        except NetlinkError as error:
            if error.errno in _UNSUPPORTED:
                continue
            raise
        fields[flow_type] = letters(bits)
    return fields


def letters(bits: int) -> str:
    """Return hash fields in ethtool(8)'s letters."""
    return "".join(letter for letter, bit in HASH_LETTERS.items() if bits & bit)


def set_hash_fields(name: str, flow_type: str, letters: str) -> None:
    """Set what of a packet is hashed, in ethtool(8)'s letters (``sdfn``).

    Raises:
        ApplyFailed: The kernel or the driver refused.
    """
    bits = sum(HASH_LETTERS[letter] for letter in set(letters))
    try:
        _rxnfc(name, _SRXFH, flow_type=HASH_FLOW_TYPES[flow_type], data=bits)
    except NetlinkError as error:
        raise _refusal(name, f"hash fields {flow_type} {letters}", error) from error


def read_flow_rules(name: str) -> FlowRules:
    """Return the rules of a NIC's classifier.

    Raises:
        NetlinkError: The kernel refused; EOPNOTSUPP where the driver has no classifier.
    """
    for attempt in range(_READ_ATTEMPTS):
        _command, _flow, data, _spec, count = _RXNFC.unpack_from(_rxnfc(name, _GRXCLSRLCNT))
        try:
            table = _rxnfc(name, _GRXCLSRLALL, count=count, locations=count)
            _command, _flow, capacity, _spec, count = _RXNFC.unpack_from(table)
            places = struct.unpack_from(f"={count}I", table, _RXNFC.size)
            rules = tuple(_read_rule(name, place) for place in sorted(places))
        except NetlinkError as error:
            # A rule came or went between the questions.
            if error.errno in (errno.EMSGSIZE, errno.ENOENT) and attempt + 1 < _READ_ATTEMPTS:
                continue
            raise
        return FlowRules(capacity, rules, bool(data & _LOCATION_SPECIAL))
    raise AssertionError("the last attempt returns or raises")


def insert_flow_rule(name: str, rule: FlowRule) -> int:
    """Add a rule, replacing what is at its location, and return the location.

    Raises:
        ApplyFailed: The kernel or the driver refused.
    """
    request = struct.pack("=IIQ", _SRXCLSRLINS, 0, 0) + encode_rule(rule) + struct.pack("=I", rule.rss_context)
    try:
        answer = call(name, request.ljust(_RXNFC_BYTES, b"\0"))
    except NetlinkError as error:
        raise _refusal(name, f"flow rule {rule}", error, _RULE_HINTS) from error
    return struct.unpack_from("=I", answer, _LOCATION_AT)[0]


def delete_flow_rule(name: str, location: int) -> None:
    """Remove the rule at a location.

    Raises:
        ApplyFailed: The kernel or the driver refused.
    """
    request = struct.pack("=IIQ", _SRXCLSRLDEL, 0, 0) + encode_location(location)
    try:
        call(name, request.ljust(_RXNFC_BYTES, b"\0"))
    except NetlinkError as error:
        raise _refusal(name, f"flow rule at {location}", error, _RULE_HINTS) from error


_RULE_HINTS = {
    errno.EOPNOTSUPP: "the driver has no such rules, or its feature rx-ntuple-filter is off",
    errno.EINVAL: "the driver has no rules of this form, or not at this location",
    errno.ENOSPC: "the table is full",
    errno.ENOENT: "there is none",
}


def _read_rule(name: str, location: int) -> FlowRule:
    request = struct.pack("=IIQ", _GRXCLSRULE, 0, 0) + encode_location(location)
    answer = call(name, request.ljust(_RXNFC_BYTES, b"\0"))
    _command, _flow, _data, found, context = _RXNFC.unpack_from(answer)
    return decode_rule(found, context)


def _rxnfc(name: str, command: int, flow_type: int = 0, data: int = 0, count: int = 0, locations: int = 0) -> bytes:
    request = _RXNFC.pack(command, flow_type, data, b"", count)
    return call(name, request.ljust(max(_RXNFC_BYTES, _RXNFC.size + 4 * locations), b"\0"))


def _rxfh(name: str) -> bytes:
    """Query sizes, function and transformation only."""
    return call(name, _RXFH.pack(_GRSSH, 0, 0, 0, 0, 0, 0))


def _hash_functions(name: str) -> tuple[str, ...]:
    """Return the kernel's names of hash functions, by bit."""
    info = call(name, _SSET_INFO.pack(_GSSET_INFO, 0, 1 << _HASH_FUNCTIONS, 0))
    length = _SSET_INFO.unpack(info)[3]
    answer = call(name, _STRINGS.pack(_GSTRINGS, _HASH_FUNCTIONS, length) + bytes(_STRING_BYTES * length))
    starts = range(_STRINGS.size, _STRINGS.size + _STRING_BYTES * length, _STRING_BYTES)
    return tuple(answer[at : at + _STRING_BYTES].split(b"\0", 1)[0].decode() for at in starts)


def _refusal(name: str, what: str, error: NetlinkError, hints: Mapping[int, str] | None = None) -> ApplyFailed:
    hint = (hints or {}).get(error.errno or 0)
    return ApplyFailed(f"{name}: {what}: {error}" + (f": {hint}" if hint else ""), errno=error.name)
