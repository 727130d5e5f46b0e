"""Readers of what is exported, written from the formats' specifications and sharing nothing with the writers."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field
from typing import Any

# IANA's registry: number -> name and kind of value.
ELEMENTS = {
    1: ("octetDeltaCount", "unsigned"),
    2: ("packetDeltaCount", "unsigned"),
    4: ("protocolIdentifier", "unsigned"),
    6: ("tcpControlBits", "unsigned"),
    7: ("sourceTransportPort", "unsigned"),
    8: ("sourceIPv4Address", "address"),
    10: ("ingressInterface", "unsigned"),
    11: ("destinationTransportPort", "unsigned"),
    12: ("destinationIPv4Address", "address"),
    27: ("sourceIPv6Address", "address"),
    28: ("destinationIPv6Address", "address"),
    32: ("icmpTypeCodeIPv4", "unsigned"),
    56: ("sourceMacAddress", "hex"),
    58: ("vlanId", "unsigned"),
    80: ("destinationMacAddress", "hex"),
    82: ("interfaceName", "string"),
    89: ("forwardingStatus", "unsigned"),
    139: ("icmpTypeCodeIPv6", "unsigned"),
    152: ("flowStartMilliseconds", "unsigned"),
    153: ("flowEndMilliseconds", "unsigned"),
    233: ("firewallEvent", "unsigned"),
    256: ("ethernetType", "unsigned"),
    335: ("selectorName", "string"),
}


@dataclass
class Collector:
    """A collecting process of IPFIX (RFC 7011): it knows no template but those it was sent.

    Attributes:
        records: All so far, by the elements' names.
        unknown: Data sets whose template never came.
        lost: Records that the sequence numbers say are missing, by observation domain.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    unknown: int = 0
    lost: dict[int, int] = field(default_factory=dict)
    templates: dict[tuple[int, int], list[tuple[int, int]]] = field(default_factory=dict)
    _next: dict[int, int] = field(default_factory=dict)

    def take(self, message: bytes) -> int:
        """Read a message and return when it was sent, Unix time in seconds."""
        version, length, sent, sequence, domain = struct.unpack_from("!HHIII", message)
        assert version == 10
        assert length == len(message), "a datagram is one message"
        self.lost[domain] = self.lost.get(domain, 0) + sequence - self._next.get(domain, sequence)
        before, place = len(self.records), 16
        while place < length:
            number, size = struct.unpack_from("!HH", message, place)
            assert size >= 4
            assert place + size <= length
            self._take_set(domain, number, message[place + 4 : place + size])
            place += size
        self._next[domain] = sequence + len(self.records) - before
        return sent

    def _take_set(self, domain: int, number: int, body: bytes) -> None:
        if number == 2:
            while len(body) >= 4:
                template, count = struct.unpack_from("!HH", body)
                assert template >= 256
                fields = [struct.unpack_from("!HH", body, 4 + 4 * one) for one in range(count)]
                self.templates[domain, template] = fields
                body = body[4 + 4 * count :]
            assert body == b""
        elif (domain, number) not in self.templates:
            assert number >= 256
            self.unknown += 1
        else:
            while body:
                record, body = self._record(self.templates[domain, number], body)
                self.records.append(record)

    @staticmethod
    def _record(template: list[tuple[int, int]], body: bytes) -> tuple[dict[str, Any], bytes]:
        record: dict[str, Any] = {}
        for number, size in template:
            assert number < 0x8000, "an enterprise's own element"
            if size == 0xFFFF:
                size, body = body[0], body[1:]
                assert size < 255
            assert len(body) >= size
            raw, body = body[:size], body[size:]
            name, kind = ELEMENTS[number]
            if kind == "unsigned":
                record[name] = int.from_bytes(raw, "big")
            elif kind == "address":
                record[name] = str(ipaddress.ip_address(raw))
            else:
                record[name] = raw.decode() if kind == "string" else raw.hex(":")
        return record, body


@dataclass
class Capture:
    """A pcapng file as read.

    Attributes:
        application: Who wrote it.
        interfaces: Name, units of time in a second, and how much of a frame is kept.
        packets: In their order.
        lost: Samples that did not come, by interface's name.
    """

    application: str = ""
    interfaces: list[tuple[str, int, int]] = field(default_factory=list)
    packets: list[dict[str, Any]] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)


def read_pcapng(content: bytes) -> Capture:
    """Read a little-endian pcapng file of one section."""
    found = Capture()
    place = 0
    while place < len(content):
        kind, length = struct.unpack_from("<II", content, place)
        assert length % 4 == 0
        assert struct.unpack_from("<I", content, place + length - 4) == (length,), "both lengths are the same"
        body = content[place + 8 : place + length - 4]
        if kind == 0x0A0D0D0A:
            assert place == 0
            assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
            found.application = _options(body[16:])[4][0].decode()
        elif kind == 1:
            link_type, kept = struct.unpack_from("<H2xI", body)
            assert link_type == 1
            options = _options(body[8:])
            found.interfaces.append((options[2][0].decode(), 10 ** options[9][0][0], kept))
        elif kind == 6:
            number, high, low, captured, original = struct.unpack_from("<IIIII", body)
            options = _options(body[20 + -(-captured // 4) * 4 :])
            found.packets.append(
                {
                    "interface": found.interfaces[number][0],
                    "time": high << 32 | low,
                    "frame": body[20 : 20 + captured],
                    "length": original,
                    "comments": [one.decode() for one in options[1]],
                    "inbound": options[2][0] == b"\1\0\0\0",
                    "queue": int.from_bytes(options[6][0], "little"),
                    "verdicts": [(one[0], int.from_bytes(one[1:], "little")) for one in options.get(7, [])],
                }
            )
        else:
            assert kind == 5
            options = _options(body[12:])
            name = found.interfaces[struct.unpack_from("<I", body)[0]][0]
            found.lost[name] = int.from_bytes(options[7][0], "little")
        place += length
    return found


def _options(body: bytes) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    place = 0
    while True:
        number, length = struct.unpack_from("<HH", body, place)
        if number == 0:
            assert (length, len(body)) == (0, place + 4)
            return found
        found.setdefault(number, []).append(body[place + 4 : place + 4 + length])
        place += 4 + -(-length // 4) * 4
