# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A policy as the compiler takes it: everything resolved that does not need the whole of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from .prefix_set import EMPTY, PrefixSet

# A number from the first to the second, both included.
Range = tuple[int, int]

UNTAGGED = 4096  # as a VLAN


@dataclass(frozen=True)
class Side:
    """Addresses, as a rule or a service names them.

    Attributes:
        prefixes: Those written there.
        lists: Names of lists whose prefixes count too.
    """

    prefixes: PrefixSet = EMPTY
    lists: tuple[str, ...] = ()


@dataclass(frozen=True)
class Match:
    """What a packet must be; an empty field excludes nothing.

    Attributes:
        source: Where it comes from; None is anywhere.
        destination: Where it goes; None is anywhere.
        protocols: Numbers, any of them.
        source_ports: Any of these.
        destination_ports: Any of these.
        tcp_set: Bits of flags that are set.
        tcp_clear: Bits of flags that are not.
        icmp_types: Types of ICMP, and 256 + types of ICMPv6.
        vlans: Outermost tag; UNTAGGED is none.
        fragment: ``first`` or ``later``.
        lengths: Bytes of the frame.
        later_fragments: Whether later fragments match whatever their ports, flags and types.
    """

    source: Side | None = None
    destination: Side | None = None
    protocols: tuple[int, ...] = ()
    source_ports: tuple[Range, ...] = ()
    destination_ports: tuple[Range, ...] = ()
    tcp_set: int = 0
    tcp_clear: int = 0
    icmp_types: tuple[int, ...] = ()
    vlans: tuple[Range, ...] = ()
    fragment: str = ""
    lengths: tuple[Range, ...] = ()
    later_fragments: bool = False

    @property
    def transport(self) -> bool:
        """Whether it looks at what later fragments have not."""
        return bool(self.source_ports or self.destination_ports or self.tcp_set or self.tcp_clear or self.icmp_types)


@dataclass(frozen=True)
class Text:
    """A file's text, whose lines are read where a policy is compiled, not where it is looked at.

    Attributes:
        place: What messages call it.
        sha256: Digest of the text.
        texts: Where it is found by its digest: prefixes a line, and comments, in UTF-8.
    """

    place: str
    sha256: str
    texts: Mapping[str, bytes] = field(repr=False, compare=False)


@dataclass(frozen=True)
class PolicyList:
    """A named set of prefixes.

    Attributes:
        name: Unique among lists.
        action: ``pass``, ``drop``, ``limit`` or ``none``.
        limit: Name, where the action is ``limit``.
        observe: Whether it is only counted.
        prefixes: Entries.
        expiring: Those of them that end: seconds since 1970, and which.
        text: More entries.
        expires: When all of it ends; None is never.
        ended: Whether it has.
        max_entries: How many it may have.
        place: What messages call it.
    """

    name: str
    action: str = "drop"
    limit: str = ""
    observe: bool = False
    prefixes: PrefixSet = EMPTY
    expiring: tuple[tuple[int, PrefixSet], ...] = ()
    text: Text | None = None
    expires: int | None = None
    ended: bool = False
    max_entries: int | None = None
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class Part:
    """A rule or a service.

    Attributes:
        name: Unique among its kind.
        match: Which packets.
        action: ``pass``, ``drop``, ``afxdp``, ``syncookie``, or empty where there is only a limit, or nothing.
        limit: Name of the limit that is taken first.
        worker: Name, where the action is ``afxdp``.
        observe: Whether it is only counted.
        place: What messages call it.
    """

    name: str
    match: Match = Match()
    action: str = ""
    limit: str = ""
    worker: str = ""
    observe: bool = False
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class Rate:
    """So many in so many seconds.

    Attributes:
        count: Packets or bytes.
        seconds: 1, 60 or 3600.
        burst: Packets or bytes that may come at once.
    """

    count: int
    seconds: int
    burst: int


@dataclass(frozen=True)
class Limit:
    """Token buckets.

    Attributes:
        name: Unique among limits.
        packets: Rate of packets.
        bytes: Rate of bytes.
        per: ``source``, ``service`` or ``global``.
        v4_length: Length of the IPv4 sources that share a bucket.
        v6_length: The same for IPv6.
        every_packet: Whether all packets take it.
        observe: Whether it is only counted.
        place: What messages call it.
    """

    name: str
    packets: Rate | None = None
    bytes: Rate | None = None
    per: str = "source"
    v4_length: int = 32
    v6_length: int = 64
    every_packet: bool = False
    observe: bool = False
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class Policy:
    """How packets are judged.

    Attributes:
        trusted: Sources that nothing overrides.
        flows: Protocols and ports that nothing overrides.
        lists: In the order that decides ties.
        rules: In the order in which they are asked.
        limits: In the order in which packets take those for all.
        services: In the order in which they are asked.
        default: ``pass`` or ``drop``.
    """

    trusted: PrefixSet = EMPTY
    flows: tuple[Match, ...] = ()
    lists: tuple[PolicyList, ...] = ()
    rules: tuple[Part, ...] = ()
    limits: tuple[Limit, ...] = ()
    services: tuple[Part, ...] = ()
    default: str = "pass"

    def at(self, now: float) -> Policy:
        """Return the policy without what has ended.

        Args:
            now: Seconds since 1970.
        """
        return replace(self, lists=tuple(_at(one, now) for one in self.lists))

    @property
    def next_expiry(self) -> int | None:
        """Seconds since 1970 at which the next of what it holds ends; None where nothing does."""
        ends = [end for one in self.lists for end, _prefixes in one.expiring]
        ends += [one.expires for one in self.lists if one.expires is not None and not one.ended]
        return min(ends, default=None)


def _at(one: PolicyList, now: float) -> PolicyList:
    if one.expires is not None and one.expires <= now:
        return replace(one, prefixes=EMPTY, expiring=(), text=None, ended=True)
    ended = [prefixes for end, prefixes in one.expiring if end <= now]
    if not ended:
        return one
    v4, v6 = (chain.from_iterable(numbers) for numbers in zip(*((prefixes.v4, prefixes.v6) for prefixes in ended)))
    return replace(
        one,
        prefixes=one.prefixes.without(PrefixSet([*v4], [*v6])),
        expiring=tuple(pair for pair in one.expiring if pair[0] > now),
    )
