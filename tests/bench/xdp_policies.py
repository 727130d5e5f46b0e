"""Policies of the sizes that operators have, and sources that they hit or miss, the same at each run."""

from __future__ import annotations

import ipaddress
from enum import Enum
from random import Random
from typing import Any

from tests.support.policy_model_prefixes import Prefixes

SEED = 12


class Sent(Enum):
    """Where the sources of packets are.

    HIT and NEAR are spread like the prefixes, the latter over the other halves of the networks twice as large, so that
    both lead to the same places of the tables; a MISS is anywhere, and mostly where there is nothing to be searched.
    """

    HIT = "hit"
    NEAR = "near miss"
    MISS = "miss"


# Lengths of the entries of public block lists, roughly: single addresses, /24s, and what providers are given.
_LENGTHS = {
    4: (*(32,) * 6, *(24,) * 8, 16, 18, 19, 20, 21, 22),
    6: (*(64,) * 6, *(48,) * 8, 29, 32, 32, 36, 40, 44),
}
_SIZES = {4: 32, 6: 128}


def _unicast(random: Random, family: int) -> int:
    """Return an address that could be a source: 2000::/3 in IPv6."""
    return random.getrandbits(32) if family == 4 else 1 << 125 | random.getrandbits(125)


def prefixes(count: int, family: int) -> list[str]:
    """Return distinct prefixes of a family."""
    random = Random(SEED)
    found: dict[str, None] = {}
    while len(found) < count:
        network = ipaddress.ip_network((_unicast(random, family), random.choice(_LENGTHS[family])), strict=False)
        found[str(network)] = None
    return list(found)


def sources(count: int, family: int, within: list[str], sent: Sent) -> list[int]:
    """Return addresses of which each is in one of some prefixes, or in none, or in none and next to one."""
    random = Random(SEED + 1)
    listed = Prefixes()
    for text in within if sent is not Sent.HIT else ():
        listed.add(text, 0)
    found: list[int] = []
    while len(found) < count:
        if sent is Sent.MISS:
            address = _unicast(random, family)
        else:
            network = ipaddress.ip_network(random.choice(within))
            bits = _SIZES[family] - network.prefixlen
            address = int(network.network_address) + (random.getrandbits(bits) if bits else 0)
            if sent is Sent.NEAR:
                address ^= 1 << bits
        if not listed.holds(family, address):
            found.append(address)
    return found


def acl(entries: list[str]) -> dict[str, Any]:
    """Return a policy of one list that drops."""
    return {"lists": [{"name": "blocked", "action": "drop", "prefixes": entries}]}


def full(entries: list[str], rules: int = 0) -> dict[str, Any]:
    """Return a policy with trusted prefixes, a list, a limit that every packet takes, services, and so many rules.

    Packets are not trusted, and no rule or service matches them.
    """
    policy: dict[str, Any] = {
        **acl(entries),
        "trusted": [{"prefix": "192.0.2.0/28"}, {"prefix": "2001:db8:1::/64"}],
        "limits": [{"name": "each", "per": "source", "packets": "1G/s", "burst": "100M", "every_packet": True}],
        "services": [
            {"name": "web", "protocol": "tcp", "port": [80, 443], "action": "pass"},
            {"name": "resolver", "protocol": "udp", "port": 53, "action": "pass"},
        ],
    }
    if rules:
        policy["rules"] = [_rule(number) for number in range(rules)]
    return policy


def _rule(number: int) -> dict[str, Any]:
    """Return a rule that looks at several fields, each another value, and matches nothing that is sent here."""
    random = Random(number)
    made: dict[str, Any] = {"id": f"rule{number}", "action": "drop", "protocol": random.choice(("tcp", "udp"))}
    made["destination_port"] = f"{5000 + number}-{5000 + number + random.randrange(8)}"
    made["destination"] = str(ipaddress.ip_network((random.getrandbits(32), 24), strict=False))
    if number % 4 == 0:
        made["source"] = str(ipaddress.ip_network((random.getrandbits(32), 16), strict=False))
    if number % 8 == 1:
        made["source_port"] = "1024-65535"
    if made["protocol"] == "tcp" and number % 4 == 2:
        made["tcp_flags"] = {"set": ["syn"], "clear": ["ack"]}
    return made
