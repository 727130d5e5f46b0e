"""Policies by chance: every part and every field, with prefixes that nest, meet and tie."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from tests.support.policy_model_parts import ICMP_TYPES, TCP_FLAGS

# Lengths at which tables of any kind have their seams, and all others now and then.
_SEAMS = {4: (0, 1, 8, 15, 16, 17, 24, 31, 32, 32), 6: (0, 1, 18, 19, 20, 32, 48, 63, 64, 65, 96, 127, 128, 128)}
_SIZES = {4: 32, 6: 128}
_ANCHORS = (
    *("0.0.0.0", "10.1.255.255", "127.255.255.255", "128.0.0.0", "192.0.2.128", "203.0.113.9", "255.255.255.255"),
    *("::", "2001:db8::", "2001:db8:0:0:8000::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:203.0.113.9"),
    *("::ffff:10.1.255.255", "::fffe:ffff:ffff", "fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
)
_PORT_PROTOCOLS: Sequence[Any] = ("tcp", "udp", 6, 17, ["tcp", "udp"])
_PROTOCOLS: Sequence[Any] = (*_PORT_PROTOCOLS, "icmp", "icmpv6", ["icmp", "icmpv6"], "gre", 132, 0, 255, [1, 6, 59])
_FLAGS = tuple(TCP_FLAGS)


class Policies:
    """Draws policies.

    Args:
        random: The source of all chance, so that a seed gives the same policies.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._anchors: list[tuple[int, int]] = []
        self._lists: list[str] = []
        self._limits: list[dict[str, Any]] = []

    def draw(self) -> dict[str, Any]:
        """Return one policy, as an operator writes it."""
        pick = self._random
        chosen = [*pick.sample(_ANCHORS, 5), str(ipaddress.ip_address(pick.getrandbits(32)))]
        chosen.append(str(ipaddress.ip_address(pick.getrandbits(128))))
        self._anchors = [(address.version, int(address)) for address in map(ipaddress.ip_address, chosen)]
        self._lists = []
        self._limits = [self._limit(number) for number in range(self._few(5))]
        policy: dict[str, Any] = {
            "limits": self._limits,
            "lists": [self._list(number) for number in range(self._few(7))],
            "trusted": [self._trusted() for _one in range(self._few(4))],
            "rules": [self._rule(number) for number in range(self._many())],
            "services": [self._service(number) for number in range(self._few(12))],
            "default": pick.choice(("pass", "pass", "drop")),
        }
        named = set(_named(policy))
        policy["limits"] = [one for one in self._limits if one["name"] in named or one.get("every_packet")]
        return {part: value for part, value in policy.items() if value}

    def bans(self) -> list[str]:
        """Return addresses to ban, for the policy that was drawn last."""
        return [self._address() for _one in range(self._random.choice((0, 0, 1, 4)))]

    def _few(self, most: int) -> int:
        return self._random.choice((0, self._random.randint(1, 2), self._random.randint(1, most)))

    def _many(self) -> int:
        """How many rules: some, and at times so many that every word of a set of them is in use."""
        chance = self._random.random()
        return self._random.choice((65, 300, 1024)) if chance < 0.03 else self._few(40)

    def _perhaps(self, likely: float) -> bool:
        return self._random.random() < likely

    def _address(self, spread: float = 0.1) -> str:
        """Return an anchor, or an address near one.

        Args:
            spread: How likely its low bits are others, however many.
        """
        family, address = self._random.choice(self._anchors)
        if self._perhaps(0.3):
            address ^= 1 << self._random.randrange(_SIZES[family])
        if self._perhaps(spread):
            address ^= self._random.getrandbits(self._random.randint(1, _SIZES[family]))
        return str(ipaddress.IPv4Address(address) if family == 4 else ipaddress.IPv6Address(address))

    def _prefix(self, spread: float = 0.1) -> str:
        address = self._address(spread)
        family, size = (6, 128) if ":" in address else (4, 32)
        length = self._random.choice(_SEAMS[family]) if self._perhaps(0.7) else self._random.randint(0, size)
        if self._perhaps(0.05):
            return address
        return str(ipaddress.ip_network((address, length), strict=False))

    def _trusted(self) -> dict[str, Any]:
        pick = self._random
        if self._perhaps(0.5):
            prefix = self._prefix()
            # A policy that trusts everybody says nothing else.
            return {"prefix": prefix if not prefix.endswith(("/0", "/1")) else self._address()}
        flow: dict[str, Any] = {"protocol": pick.choice(_PORT_PROTOCOLS), "port": self._numbers(65535)}
        if self._perhaps(0.2):
            flow["later_fragments"] = pick.choice(("match", "skip"))
        return flow if self._perhaps(0.9) else {"protocol": pick.choice(("gre", "icmpv6", 132))}

    def _list(self, number: int) -> dict[str, Any]:
        pick = self._random
        self._lists.append(f"list{number}")
        made: dict[str, Any] = {"name": self._lists[-1]}
        actions = ["drop", "drop", "pass", "none"] + [f"limit:{name}" for name in self._limits_for(rule=True)]
        made["action"] = pick.choice(actions)
        if made["action"] != "none" and self._perhaps(0.3):
            made["mode"] = pick.choice(("observe", "observe", "enforce"))
        # At times so many that tables of more than one level are needed.
        made["prefixes"] = (
            [self._prefix(0.9) for _entry in range(pick.randint(500, 4000))]
            if self._perhaps(0.02)
            else [self._prefix() for _entry in range(self._few(30))]
        )
        if made["prefixes"] and self._perhaps(0.2):
            made["prefixes"][0] = {"prefix": made["prefixes"][0]}
        return made

    def _limits_for(self, rule: bool) -> list[str]:
        """Names of limits that a rule or list, or else a service, may take."""
        return [one["name"] for one in self._limits if not rule or one.get("per") != "service"]

    def _limit(self, number: int) -> dict[str, Any]:
        """A limit that gives nothing back while a test runs, so that the moment of a packet decides nothing."""
        pick = self._random
        made: dict[str, Any] = {"name": f"limit{number}", "per": pick.choice(("source", "source", "service", "global"))}
        units = pick.choice((("packets",), ("packets",), ("bytes",), ("packets", "bytes")))
        bursts = {"packets": pick.choice((1, 2, 10, 70)), "bytes": pick.choice((65536, "70k"))}
        rates = {"packets": "1/h", "bytes": "1k/h"}
        for unit in units:
            made[unit] = rates[unit]
        made["burst"] = bursts[units[0]] if len(units) == 1 else bursts
        if made["per"] == "source":
            made["ipv4_prefix"] = pick.choice((0, 8, 24, 31, 32))
            made["ipv6_prefix"] = pick.choice((48, 56, 64, 65, 127, 128))
        if made["per"] != "service" and number < 4 and self._perhaps(0.3):
            made["every_packet"] = True
        if self._perhaps(0.3):
            made["mode"] = "observe"
        return made

    def _numbers(self, highest: int) -> Any:
        """A number, a range, or several of either; small ones are likelier, and so are the ends."""
        pick = self._random

        def one() -> int:
            return pick.choice((0, 1, 22, 53, 443, highest - 1, highest, pick.randint(0, highest))) % (highest + 1)

        def spread() -> Any:
            low, high = sorted((one(), one()))
            return f"{low}-{high}" if self._perhaps(0.4) else low

        return spread() if self._perhaps(0.7) else [spread() for _one in range(pick.randint(1, 4))]

    def _side(self) -> Any:
        one = [pick for pick in self._lists if self._perhaps(0.2)]
        some = [*one[:1], *(self._prefix() for _prefix in range(self._random.choice((1, 1, 3))))]
        return some if len(some) > 1 or self._perhaps(0.3) else some[0]

    def _sides(self, made: dict[str, Any], likely: float) -> None:
        """Add source and destination, which a packet can have at once."""
        for side in ("source", "destination"):
            if self._perhaps(likely):
                made[side] = self._side()
        if len({_version(made[side]) for side in ("source", "destination") if side in made} - {0}) > 1:
            del made["destination"]

    def _rule(self, number: int) -> dict[str, Any]:
        pick = self._random
        made: dict[str, Any] = {"id": f"rule{number}"}
        self._sides(made, 0.3)
        self._transport(made)
        if self._perhaps(0.15):
            vlans = (self._numbers(4095), "none", [self._numbers(4095), "none"])
            made["vlan"] = _flat(pick.choice(vlans))
        if self._perhaps(0.15):
            made["length"] = pick.choice((60, "0-59", "60-128", "1000-65535", ["0-42", "43-54", 2000], 65535))
        if "later_fragments" not in made and self._perhaps(0.1):
            made["fragment"] = pick.choice(("first", "later"))
            if set(made) & {"source_port", "destination_port", "tcp_flags", "icmp_type"}:
                made["fragment"] = "first"
        limits = self._limits_for(rule=True)
        if limits and self._perhaps(0.3):
            limit = pick.choice(limits)
            made.update({"limit": limit} if self._perhaps(0.5) else {"action": f"limit:{limit}"})
        else:
            made["action"] = pick.choice(("drop", "drop", "pass"))
        if self._perhaps(0.3):
            made["mode"] = pick.choice(("observe", "observe", "enforce"))
        return made

    def _transport(self, made: dict[str, Any]) -> None:
        """Add what a transport header says, with a protocol that has it, or none."""
        pick = self._random
        way = pick.randrange(6)
        if way == 0:
            made["protocol"] = pick.choice(_PROTOCOLS)
            return
        if way in (1, 2):
            made["protocol"] = pick.choice(_PORT_PROTOCOLS)
            for port in pick.choice((("source_port",), ("destination_port",), ("source_port", "destination_port"))):
                made[port] = self._numbers(65535)
        elif way == 3:
            made["tcp_flags"] = self._tcp_flags()
            made["protocol"] = "tcp"
            if self._perhaps(0.3):
                made["destination_port"] = self._numbers(65535)
        elif way == 4:
            made["icmp_type"] = self._icmp_type()
            made["protocol"] = pick.choice(("icmp", "icmpv6", ["icmp", "icmpv6"]))
        else:
            return
        if self._perhaps(0.2):
            del made["protocol"]
        if self._perhaps(0.2):
            made["later_fragments"] = pick.choice(("match", "match", "skip"))

    def _tcp_flags(self) -> dict[str, list[str]]:
        flags = self._random.sample(_FLAGS, self._random.randint(1, 4))
        cut = self._random.randint(0, len(flags))
        return {name: some for name, some in (("set", flags[:cut]), ("clear", flags[cut:])) if some}

    def _icmp_type(self) -> Any:
        pick = self._random
        return _flat(pick.choice((pick.choice(tuple(ICMP_TYPES)), self._numbers(255), [8, "echo-reply", "130-140"])))

    def _service(self, number: int) -> dict[str, Any]:
        pick = self._random
        made: dict[str, Any] = {"name": f"service{number}"}
        if self._perhaps(0.85):
            made["protocol"] = pick.choice(_PORT_PROTOCOLS)
            made["port"] = self._numbers(65535)
            if self._perhaps(0.2):
                made["later_fragments"] = "match"
        else:
            made["protocol"] = pick.choice(_PROTOCOLS)
        if self._perhaps(0.3):
            made["destination"] = self._side()
        limits = self._limits_for(rule=False)
        action = pick.choice(("pass", "drop", "afxdp:worker", "syncookie", None))
        if action == "syncookie":
            made["protocol"] = "tcp"
        if limits and action != "drop" and self._perhaps(0.4):
            made["limit"] = pick.choice(limits)
        if action:
            made["action"] = action
        return made


def _version(side: Any) -> int:
    """Return the IP version of all prefixes of a side; 0 where there are both, or lists."""
    some = side if isinstance(side, list) else [side]
    versions = {6 if ":" in one else 4 if one[0].isdigit() else 0 for one in some}
    return versions.pop() if len(versions) == 1 else 0


def _named(policy: Mapping[str, Any]) -> Iterator[str]:
    """Yield the limits that parts of a policy take."""
    for one in (part for parts in ("lists", "rules", "services") for part in policy[parts]):
        yield from (one.get("limit", ""), str(one.get("action", "")).removeprefix("limit:"))


def _flat(value: Any) -> Any:
    """Return a list of ranges that has none inside."""
    if not isinstance(value, list):
        return value
    return [each for one in value for each in (one if isinstance(one, list) else [one])]
