"""Frames for a policy: drawn from where its answers change, and among them odd, cut and broken ones."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from struct import pack
from typing import Any

from tests.integration import frames as f
from tests.support.policy_model_parts import ranges

MAPPED = 0xFFFF << 32
# What BPF_PROG_TEST_RUN gives a program of a frame in one piece: a page less head room (XDP_PACKET_HEADROOM) and tail
# room (struct skb_shared_info). Of a longer one a program that takes no fragments sees only that. An Ethernet header is
# the least that it takes.
FIRST_BUFFER, SHORTEST, JUMBO = 4096 - 256 - 320, 14, 40_000
_ANY_PORT = (0, 1, 53, 443, 65534, 65535)
_PROTOCOLS = (f.TCP, f.TCP, f.TCP, f.UDP, f.UDP, f.UDP, f.ICMP, f.ICMPV6, 132, 136, 33, 47, 50, f.NO_NEXT, 255)
_OPTIONS = (f.HOP_BY_HOP, f.ROUTING, f.DESTINATION, 135)
_FLAGS = (0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0x29, 0xC2, 0xFF)
_PREFIXES = ("prefix", "prefixes", "source", "destination")
_PORTS = ("port", "source_port", "destination_port")


class Edges:
    """The values at which what a policy says changes: the ends of its ranges, and their neighbours.

    Args:
        policy: As the operator writes it.
        more: Addresses beside those of the policy's prefixes.
    """

    def __init__(self, policy: Mapping[str, Any], more: Sequence[str] = ()) -> None:
        self.addresses: dict[int, list[int]] = {4: [0, 2**32 - 1], 6: [0, 2**128 - 1, MAPPED - 1, MAPPED + 2**32]}
        self.networks: dict[int, list[tuple[int, int]]] = {4: [(0, 32)], 6: [(0, 128)]}
        self.ports, self.icmp_types, self.vlans = [*_ANY_PORT], [0, 3, 8, 128, 135, 255], [0, 1, 4095]
        self.lengths: list[int] = []
        for address in more:
            self._prefix(address)
        for key, value in _leaves(policy):
            if key in _PREFIXES:
                self._prefix(value)
            elif key in _PORTS:
                self.ports += _ends(value, 65535)
            elif key == "icmp_type":
                self.icmp_types += _ends(value, 255)
            elif key == "vlan" and value != "none":
                self.vlans += _ends(value, 4095)
            elif key == "length":
                self.lengths += [end for end in _ends(value, FIRST_BUFFER) if end >= SHORTEST]
        # An address of the other family that the stack takes for this one.
        self.addresses[6] += [MAPPED | address for address in self.addresses[4]]

    def _prefix(self, text: str) -> None:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:  # the name of a list
            return
        first, last = int(network.network_address), int(network.broadcast_address)
        top = 2**network.max_prefixlen - 1
        self.addresses[network.version] += [first, last, max(first - 1, 0), min(last + 1, top)]
        self.networks[network.version].append((first, network.max_prefixlen - network.prefixlen))


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _leaves(one, name)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _leaves(one, key)
    else:
        yield key, value


def _ends(value: Any, top: int) -> list[int]:
    return [min(max(end, 0), top) for low, high in ranges(value) for end in (low - 1, low, high, high + 1)]


class Frames:
    """Draws frames for a policy.

    Args:
        edges: Of the policy.
        random: The source of all chance, so that a seed gives the same frames.
        jumbo: Whether frames may be longer than the first buffer.
    """

    def __init__(self, edges: Edges, random: Random, jumbo: bool = False) -> None:
        self._edges, self._random, self._jumbo = edges, random, jumbo

    def draw(self) -> bytes:
        """Return one frame, three of four whole."""
        return self._any()[: JUMBO if self._jumbo else FIRST_BUFFER]

    def _any(self) -> bytes:
        frame = self._whole()
        chance = self._random.random()
        if chance < 0.75:
            return frame
        if self._jumbo and chance > 0.97:
            return self._long()
        if chance < 0.81:
            return self._cut(frame)
        if chance < 0.87:
            return self._changed(frame)
        return self._odd()

    def _address(self, family: int) -> int:
        pick = self._random
        if pick.random() < 0.7:
            return pick.choice(self._edges.addresses[family])
        first, bits = pick.choice(self._edges.networks[family])
        return first | pick.getrandbits(bits) if bits else first

    def _whole(self) -> bytes:
        pick = self._random
        family = 4 if pick.random() < 0.5 else 6
        protocol = pick.choice(_PROTOCOLS)
        payload = self._transport(protocol)
        tags = self._tags() if pick.random() < 0.2 else b""
        if pick.random() < 0.05:
            payload += bytes(pick.randrange(1400))
        elif self._edges.lengths and pick.random() < 0.3:
            header = 14 + len(tags) + (20 if family == 4 else 40) + len(payload)
            payload += bytes(max(0, pick.choice(self._edges.lengths) - header))
        fragmented = pick.random() < 0.15
        if family == 4:
            fragment = pick.choice((0x2000, 0x4000, 0x2001, 0x0001, 0x1FFF, 0x8000)) if fragmented else 0
            return self._framed(f.IPV4, self._ipv4(payload, protocol, fragment), tags)
        if fragmented:
            offset = pick.choice((0, 0, 1, 0x1FFF)) << 3 | pick.getrandbits(1)
            payload = pack("!BBHI", protocol, 0, offset, 1) + payload
            protocol = f.FRAGMENT
        if pick.random() < 0.1:
            protocol, payload = self._behind_extensions(protocol, payload)
        return self._framed(f.IPV6, self._ipv6(payload, protocol), tags)

    def _tags(self) -> bytes:
        """Return tags as they follow the addresses, each with its type."""
        pick = self._random
        return b"".join(
            pack("!HH", pick.choice((f.VLAN, f.QINQ)), pick.getrandbits(4) << 12 | pick.choice(self._edges.vlans))
            for _tag in range(pick.choice((1, 1, 1, 2, 2, 3, 5)))
        )

    @staticmethod
    def _framed(kind: int, packet: bytes, tags: bytes = b"") -> bytes:
        return b"\x02\0\0\0\0\0\x02\0\0\0\0\1" + tags + kind.to_bytes(2, "big") + packet

    def _ipv4(self, payload: bytes, protocol: int, fragment: int = 0, **lies: int) -> bytes:
        """Return an IPv4 packet, whose first byte and length may lie."""
        options = bytes(4 * self._random.choice((0, 0, 0, 0, 1, 10)))
        first = lies.get("first", 0x45 + len(options) // 4)
        total = lies.get("total", 20 + len(options) + len(payload))
        header = pack("!BBHHHBBHII", first, 0, total, 1, fragment, 64, protocol, 0, self._address(4), self._address(4))
        return header + options + payload

    def _ipv6(self, payload: bytes, following: int, **lies: int) -> bytes:
        header = pack("!BBHHBB", lies.get("first", 0x60), 0, 0, lies.get("total", len(payload)), following, 64)
        return header + self._address(6).to_bytes(16, "big") + self._address(6).to_bytes(16, "big") + payload

    def _transport(self, protocol: int) -> bytes:
        pick = self._random
        if protocol == f.TCP:
            offset = pick.choice((5, 5, 5, 5, 8, 15, 4))
            ports = pick.choice(self._edges.ports), pick.choice(self._edges.ports)
            flags = pick.choice(_FLAGS) if pick.random() < 0.8 else pick.getrandbits(8)
            return pack("!HHIIBBHHH", *ports, 0, 0, offset << 4, flags, 1024, 0, 0)
        if protocol in (f.ICMP, f.ICMPV6):
            return pack("!BBHI", pick.choice(self._edges.icmp_types), 0, 0, 0)
        return pack("!HHHH", pick.choice(self._edges.ports), pick.choice(self._edges.ports), 8, 0)

    def _behind_extensions(self, following: int, payload: bytes) -> tuple[int, bytes]:
        """Return a packet's first header and what follows, behind a few headers or many."""
        pick = self._random
        for _header in range(pick.choice((1, 1, 2, 8, 9, 30))):
            kind = pick.choice((*_OPTIONS, f.AUTH, f.FRAGMENT))
            if kind == f.AUTH:
                payload = f.auth(following) + payload
            elif kind == f.FRAGMENT:
                payload = pack("!BBHI", following, 0, pick.choice((0, 0, 1, 8)), 1) + payload
            else:
                payload = f.extension(following, pick.choice((0, 0, 1, 3))) + payload
            following = kind
        return following, payload

    def _cut(self, frame: bytes) -> bytes:
        return frame[: self._random.randrange(SHORTEST, max(len(frame), SHORTEST + 1))]

    def _changed(self, frame: bytes) -> bytes:
        """Return a frame of which one byte is another, most often one of its headers."""
        changed = bytearray(frame)
        place = self._random.randrange(12, min(len(frame), 80))
        changed[place] = self._random.choice((0, 1, 0xFF, self._random.getrandbits(8)))
        return bytes(changed)

    def _long(self) -> bytes:
        """Return a frame of several pages, whose headers may be in any of them."""
        pick = self._random
        protocol = pick.choice((f.TCP, f.UDP))
        payload = self._transport(protocol) + bytes(pick.choice((0, 5000, 30_000)))
        many = pick.choice((0, 700, 900, 1100, 4070, 4080, 4085, 4095, 5000))
        tags = pack("!HH", f.VLAN, pick.choice(self._edges.vlans)) * many
        if pick.random() < 0.5:
            return self._framed(f.IPV4, self._ipv4(payload, protocol), tags)
        following = protocol
        for _header in range(pick.choice((0, 1, 60, 510))):
            payload, following = f.extension(following, pick.choice((0, 3))) + payload, f.DESTINATION
        return self._framed(f.IPV6, self._ipv6(payload, following), tags)

    def _odd(self) -> bytes:
        pick = self._random
        protocol = pick.choice(_PROTOCOLS)
        payload = self._transport(protocol)
        way = pick.randrange(10)
        if way == 0:
            return f.ethernet(pick.choice((f.ARP, 0x0026, 0x88CC)), bytes(46))
        if way == 1:
            return self._framed(f.IPV4, self._ipv4(payload, protocol, first=pick.choice((0x65, 0x44, 0x4F, 0x40))))
        if way == 2:
            total = pick.choice((0, 19, 20, 20 + len(payload) - 1, 21 + len(payload), 65535))
            return self._framed(f.IPV4, self._ipv4(payload, protocol, total=total) + bytes(18))
        if way == 3:
            total = pick.choice((0, len(payload) - 1, len(payload) + 1, 65535))
            return self._framed(f.IPV6, self._ipv6(payload, protocol, total=total) + bytes(18))
        if way == 4:
            return self._framed(f.IPV6, self._ipv6(payload, protocol, first=pick.choice((0x40, 0x00, 0x6F))))
        if way == 5:
            many = (pick.choice((f.VLAN, f.QINQ)),) * pick.choice((4, 16, 200, 600))
            return f.ethernet(f.IPV4, self._ipv4(payload, protocol), many)
        if way == 6:
            return self._framed(f.IPV4, self._ipv4(payload, protocol)) + bytes(pick.randrange(64))
        if way == 7:
            # A header that ends before its fragment does: bytes behind it are not its own.
            payload = self._transport(f.TCP)[: pick.choice((0, 8, 13, 14, 16, 19, 20))]
            return self._framed(f.IPV4, self._ipv4(payload, f.TCP, pick.choice((0, 0x2000, 0x2001)))) + bytes(40)
        if way == 8:
            payload = pack("!BBHI", f.TCP, 0, pick.choice((0, 1, 8)), 1) + self._transport(f.TCP)[: pick.randrange(21)]
            return self._framed(f.IPV6, self._ipv6(payload, f.FRAGMENT)) + bytes(pick.randrange(40))
        return self._cut(self._framed(f.IPV6, self._ipv6(*reversed(self._behind_extensions(protocol, payload)))))
