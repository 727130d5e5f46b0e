"""What a compiled policy says of an address or a packet's fields, read slowly and by the header alone."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from tests.support.policy_model_packet import FIRST, ICMPV6, LATER, Packet

from .header import CONSTANTS as C
from .header import STRUCTS


class Reading:
    """A compiled policy.

    Args:
        data: Value of the inner map.
        bounds: ``struct policy_bounds``, by its names.
    """

    def __init__(self, data: bytes | bytearray, bounds: Mapping[str, int]) -> None:
        assert len(data) == bounds["size"]
        assert set(bounds) == {name for name, _type in STRUCTS["policy_bounds"]._fields_}
        self._data, self._bounds = bytes(data), bounds
        self.policy = STRUCTS["policy"].from_buffer_copy(self._data)
        self.results = self._table("results", STRUCTS["source_result"])
        self.sets = self._table("sets", STRUCTS["field_set"])
        self._ranges4 = self._table("ranges4", ctypes.c_uint32)
        self._index6 = self._table("index6", ctypes.c_uint32)
        self._nodes6 = self._table("nodes6", ctypes.c_uint64 * C["NODE_ENTRIES"])
        self._deep6 = self._table("deep6", ctypes.c_uint32)
        self._tails6 = self._table("tails6", ctypes.c_uint64)

    def source(self, address: str) -> Any:
        """Return the source_result of an address."""
        return self.results[self._value("source", ip_address(address))]

    def index6_of(self, address: str) -> int:
        """Return what the index says of an IPv6 source."""
        return self._entry6("source", int(IPv6Address(address)))

    def parts(self, packet: Packet) -> dict[str, list[int]]:
        """Return the numbers of the rules, services and flows that match a whole packet."""
        values = _values(packet)
        numbers = {name: getattr(self.policy, name)[value] for name, value in values.items() if self.uses(name)}
        of_flows = [numbers[name] for name in ("protocol", "destination_port") if name in numbers]
        kind = IPv4Address if packet.family == 4 else IPv6Address
        if self.uses("source"):
            numbers["source"] = self.results[self._value("source", kind(packet.source))].set
        if self.uses("destination"):
            numbers["destination"] = self._value("destination", kind(packet.destination))
        for number in numbers.values():
            used = [word for word, bits in enumerate(self.sets[number].rules) if bits]
            assert self.sets[number].words == sum(1 << word for word in used)
        return {
            "rules": self._all("rules", numbers.values()),
            "services": self._all("services", numbers.values()),
            "trusted": self._all("trusted", of_flows),
        }

    def uses(self, field: str) -> bool:
        """Return whether any part looks at a field."""
        return bool(self.policy.fields & C[f"FIELD_{field.upper()}"])

    def _all(self, kind: str, numbers: Any) -> list[int]:
        every = []
        for number in numbers:
            words = getattr(self.sets[number], kind)
            bits = words if isinstance(words, int) else sum(word << 64 * at for at, word in enumerate(words))
            every.append({bit for bit in range(bits.bit_length()) if bits >> bit & 1})
        return sorted(set.intersection(*every)) if every else []

    def _table(self, name: str, kind: Any) -> Any:
        return (kind * self._bounds[f"{name}_count"]).from_buffer_copy(self._data, self._bounds[name])

    def _value(self, side: str, address: IPv4Address | IPv6Address) -> int:
        number = int(address)
        if address.version == 4:
            found = getattr(self.policy, f"{side}4")[number >> 16]
            if found & C["TABLE_VALUE"]:
                return found & 0xFFFF
            first, count = _first_and_count(found)
            return _last(self._ranges4[first : first + count], number & 0xFFFF, 16)
        found = self._entry6(side, number)
        if found & C["TABLE_VALUE"]:
            value = found & (1 << C["RANGE6_BITS"]) - 1
        else:
            value = self._in_tree(found, number >> 64 & (1 << 42) - 1)
        if not value & C["RANGE6_DEEP"]:
            return value
        first, count = _first_and_count(self._deep6[value & ~C["RANGE6_DEEP"]])
        starts = self._tails6[first : first + count]
        assert sorted(starts) == starts
        assert starts[0] == 0
        values = (ctypes.c_uint16 * count).from_buffer_copy(self._data, self._bounds["tails6"] + 8 * (first + count))
        # Of equal starts the last one counts; they have one value.
        return values[max(at for at, start in enumerate(starts) if start <= number & (1 << 64) - 1)]

    def _entry6(self, side: str, number: int) -> int:
        found = getattr(self.policy, f"{side}6_pages")[number >> 122]
        return found if found & C["TABLE_VALUE"] else self._index6[found + (number >> 106 & 0xFFFF)]

    def _in_tree(self, found: int, key: int) -> int:
        first, depth = found & (1 << C["NODE_SHIFT"]) - 1, found >> C["NODE_SHIFT"]
        assert 1 <= depth <= C["MAX_DEPTH"]
        child = 0
        for level in range(depth):
            node = list(self._nodes6[first + (8**level - 1) // 7 + child])
            used = [entry for entry in node if entry != C["NODE_UNUSED"]]
            assert node[: len(used)] == used
            assert used == sorted(used)
            at = max(at for at, entry in enumerate(used) if entry >> C["RANGE6_BITS"] <= key)
            child = child * 8 + at
            entry = used[at]
        return entry & (1 << C["RANGE6_BITS"]) - 1


def _first_and_count(found: int) -> tuple[int, int]:
    log = found >> C["TABLE_SHIFT"]
    assert 1 <= log <= 16 or C["TABLE_SHIFT"] == 0
    return found & (1 << C["TABLE_SHIFT"]) - 1, 1 << log


def _last(entries: list[int], key: int, bits: int) -> int:
    starts = [entry >> bits for entry in entries]
    assert sorted(starts) == starts
    assert starts[0] == 0
    return entries[max(at for at, start in enumerate(starts) if start <= key)] & (1 << bits) - 1


def _values(packet: Packet) -> dict[str, int]:
    """Return the index of each field's value in its table."""
    behind = C["IN_LATER_FRAGMENT"] if packet.fragment == LATER else C["WITHOUT"]
    icmp = None if packet.icmp_type is None else packet.icmp_type + (256 if packet.protocol == ICMPV6 else 0)
    return {
        "protocol": packet.protocol or 0,
        "fragment": (None, FIRST, LATER).index(packet.fragment),
        "tcp_flags": 256 + behind if packet.tcp_flags is None else packet.tcp_flags,
        "icmp_type": 512 + behind if icmp is None else icmp,
        "vlan": 4096 + C["WITHOUT"] if packet.vlan is None else packet.vlan,
        "source_port": 65536 + behind if packet.source_port is None else packet.source_port,
        "destination_port": 65536 + behind if packet.destination_port is None else packet.destination_port,
        "length": min(packet.length, 65535),
    }
