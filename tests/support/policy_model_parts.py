"""Rules, services and trusted flows of the reference model: what they ask of a packet, one thing after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.support.policy_model_packet import ICMP, ICMPV6, LATER, TCP, UDP, Packet
from tests.support.policy_model_prefixes import Prefixes

PROTOCOLS = {"icmp": ICMP, "igmp": 2, "tcp": TCP, "udp": UDP, "gre": 47, "esp": 50, "icmpv6": ICMPV6, "sctp": 132}
TCP_FLAGS = {name: 1 << bit for bit, name in enumerate(("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"))}
# By name: the type of ICMP, and that of ICMPv6.
ICMP_TYPES = {"echo-request": (8, 128), "echo-reply": (0, 129), "destination-unreachable": (3, 1), "redirect": (5, 137)}
Test = Callable[[Packet], bool]


def several(value: Any) -> list[Any]:
    """Return what may be one thing or a list of things as a list."""
    return value if isinstance(value, list) else [value]


def ranges(value: Any) -> list[tuple[int, int]]:
    """Return what ``53``, ``"1024-65535"`` or a list of such means, both ends included; words are left out."""
    found = []
    for one in several(value):
        low, _dash, high = str(one).partition("-")
        if low.isdigit():
            found.append((int(low), int(high or low)))
    return found


def protocols(value: Any) -> set[int]:
    """Return the numbers of one protocol or several, by name or number."""
    return {PROTOCOLS[one] if one in PROTOCOLS else int(one) for one in several(value)}


def _inside(number: int, wanted: Iterable[tuple[int, int]]) -> bool:
    return any(low <= number <= high for low, high in wanted)


def _in_ranges(field: str, value: Any, longest: int | None = None) -> Test:
    wanted = ranges(value)

    def test(packet: Packet) -> bool:
        has = getattr(packet, field)
        return has is not None and _inside(has if longest is None else min(has, longest), wanted)

    return test


def _vlan(value: Any) -> Test:
    wanted, untagged = ranges(value), "none" in several(value)
    return lambda packet: untagged if packet.vlan is None else _inside(packet.vlan, wanted)


def _tcp_flags(value: Mapping[str, Any]) -> Test:
    must = sum(TCP_FLAGS[name] for name in value.get("set", ()))
    looked_at = must | sum(TCP_FLAGS[name] for name in value.get("clear", ()))
    return lambda packet: packet.tcp_flags is not None and packet.tcp_flags & looked_at == must


def _icmp_type(value: Any) -> Test:
    numbers = ranges(value)
    names = [ICMP_TYPES[one] for one in several(value) if one in ICMP_TYPES]

    def test(packet: Packet) -> bool:
        if packet.icmp_type is None:
            return False
        named = packet.icmp_type in (pair[packet.protocol == ICMPV6] for pair in names)
        return named or _inside(packet.icmp_type, numbers)

    return test


def _side(field: str, value: Any, members: Mapping[str, Prefixes]) -> Test:
    """Return what tells whether an address is in any of some prefixes and lists."""
    prefixes = Prefixes()
    lists = []
    for one in several(value):
        if one in members:
            lists.append(members[one])
        else:
            prefixes.add(one, 0)
    lists.append(prefixes)
    return lambda packet: any(one.holds(packet.family, getattr(packet, field)) for one in lists)


class Part:
    """A rule, a service or a trusted flow.

    Args:
        options: As the operator wrote it.
        members: The addresses of each list.
    """

    def __init__(self, options: Mapping[str, Any], members: Mapping[str, Prefixes]) -> None:
        self.name: str = options.get("id") or options.get("name") or ""
        self.action: str = options.get("action", "")
        self.limit: str = options.get("limit", "")
        if self.action.startswith("limit:"):
            self.action, self.limit = "", self.action[len("limit:") :]
        self.observed = options.get("mode", "enforce") == "observe"
        self._any_later = options.get("later_fragments") == "match"
        # What only a transport header says, and with it the protocols that can have it.
        self._headers: list[Test] = []
        implied = None
        for name, field in (("source_port",) * 2, ("destination_port",) * 2, ("port", "destination_port")):
            if name in options:
                self._headers.append(_in_ranges(field, options[name]))
                implied = {TCP, UDP}
        if "icmp_type" in options:
            self._headers.append(_icmp_type(options["icmp_type"]))
            implied = {ICMP, ICMPV6}
        if "tcp_flags" in options:
            self._headers.append(_tcp_flags(options["tcp_flags"]))
            implied = {TCP}
        self._tests = list(self._always(options, members, implied))

    @staticmethod
    def _always(
        options: Mapping[str, Any], members: Mapping[str, Prefixes], implied: set[int] | None
    ) -> Iterable[Test]:
        """Yield what every packet is asked, of whatever protocol and fragment."""
        wanted = protocols(options["protocol"]) if "protocol" in options else implied
        if wanted is not None:
            yield lambda packet: packet.protocol in wanted
        for side in ("source", "destination"):
            if side in options:
                yield _side(side, options[side], members)
        if "vlan" in options:
            yield _vlan(options["vlan"])
        if "fragment" in options:
            yield lambda packet: packet.fragment == options["fragment"]
        if "length" in options:
            yield _in_ranges("length", options["length"], 65535)

    def matches(self, packet: Packet) -> bool:
        """Return whether a whole packet is one that it speaks of."""
        for test in self._tests:
            if not test(packet):
                return False
        if self._any_later and packet.fragment == LATER:
            return True
        return all(test(packet) for test in self._headers)
