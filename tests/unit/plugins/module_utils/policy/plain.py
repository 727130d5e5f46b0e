"""What a policy's document says, read one prefix and one part after the other, without any table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from random import Random
from typing import Any, Union

from tests.support.policy_model_packet import FIRST, ICMP, ICMPV6, LATER, TCP, UDP, Packet
from tests.support.policy_model_parts import ranges, several

Network = Union[IPv4Network, IPv6Network]  # noqa: UP007 - evaluated, and ansible-test takes it for Python 3.9


def text(family: int, address: int) -> str:
    """Return an address as people write it."""
    return str(IPv4Address(address) if family == 4 else IPv6Address(address))


def networks(part: Mapping[str, Any]) -> list[Network]:
    """Return the entries of a list."""
    return [ip_network(one if isinstance(one, str) else one["prefix"]) for one in part.get("prefixes", ())]


def source(document: Mapping[str, Any], text: str) -> tuple[int, int, bool]:
    """Return the numbers of the list that decides, of an observed one that would, and whether the source is trusted."""
    address = ip_address(text)
    if any(address in ip_network(one["prefix"]) for one in document.get("trusted", ()) if "prefix" in one):
        return 0, 0, True
    holding = [
        (network.prefixlen, -number, part)
        for number, part in enumerate(document.get("lists", ()), 1)
        if part.get("action") != "none"
        for network in networks(part)
        if address in network
    ]
    holding.sort(key=lambda one: one[:2], reverse=True)
    enforced = [-number for _length, number, part in holding if part.get("mode") != "observe"]
    first = holding[0] if holding and holding[0][2].get("mode") == "observe" else None
    return enforced[0] if enforced else 0, -first[1] if first else 0, False


def edges(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the addresses at which anything may change, and those beside them."""
    texts = [one["prefix"] for one in document.get("trusted", ()) if "prefix" in one]
    for part in document.get("lists", ()):
        texts += [str(network) for network in networks(part)]
    names = {part["name"] for part in document.get("lists", ())}
    for part in (*document.get("rules", ()), *document.get("services", ())):
        for side in ("source", "destination"):
            given = part.get(side, ())
            texts += [one for one in ([given] if isinstance(given, str) else given) if one not in names]
    for network in {ip_network(text) for text in texts}:
        kind, top = type(network.network_address), (1 << network.max_prefixlen) - 1
        first, last = int(network.network_address), int(network.broadcast_address)
        for number in sorted({max(0, first - 1), first, last, min(top, last + 1)}):
            yield str(kind(number))


def packets(document: Mapping[str, Any], random: Random, count: int) -> Iterator[Packet]:
    """Yield packets at what the parts of a policy look at, and some far from it."""
    addresses = list(edges(document)) or ["192.0.2.1", "2001:db8::1"]
    parts = [*document.get("rules", ()), *document.get("services", ()), *document.get("trusted", ())]
    near: dict[str, list[int]] = {"port": [0, 65535], "icmp_type": [0, 255], "vlan": [0, 4095], "length": [60, 65535]}
    for part in parts:
        for key, highest in (("port", 65535), ("icmp_type", 255), ("vlan", 4095), ("length", 65535)):
            keys = ("port", "source_port", "destination_port") if key == "port" else (key,)
            for low, high in ranges([number for one in keys for number in several(part.get(one, []))]):
                near[key] += [max(0, low - 1), low, high, min(highest, high + 1)]
    for _number in range(count):
        length = random.choice(near["length"])
        packet = Packet(length, length)
        source = ip_address(random.choice(addresses))
        destination = ip_address(random.choice([one for one in addresses if (":" in one) == (source.version == 6)]))
        packet.family, packet.source, packet.destination = source.version, int(source), int(destination)
        packet.protocol = random.choice((TCP, TCP, UDP, ICMP, ICMPV6, 47, 132, random.randrange(256)))
        packet.vlan = random.choice((None, random.choice(near["vlan"])))
        packet.fragment = random.choice((None, None, FIRST, LATER))
        if packet.fragment != LATER and packet.protocol in (TCP, UDP):
            packet.source_port, packet.destination_port = random.choices(near["port"], k=2)
        if packet.fragment != LATER and packet.protocol == TCP:
            packet.tcp_flags = random.randrange(256)
        if packet.fragment != LATER and packet.protocol in (ICMP, ICMPV6):
            packet.icmp_type = random.choice(near["icmp_type"])
        yield packet
