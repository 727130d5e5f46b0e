# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""How a NIC spreads packets over its queues: RSS, hash fields and flow rules, by the ethtool ioctl.

The kernel serves these by netlink only from 6.17 (RSS) or not at all (flow rules).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional, Union

HASH_FLOW_TYPES: Mapping[str, int] = {
    "tcp4": 1,
    "udp4": 2,
    "sctp4": 3,
    "ah4": 9,
    "esp4": 10,
    "tcp6": 5,
    "udp6": 6,
    "sctp6": 7,
    "ah6": 11,
    "esp6": 12,
}
HASH_LETTERS: Mapping[str, int] = {
    "m": 1 << 1,
    "v": 1 << 2,
    "t": 1 << 3,
    "s": 1 << 4,
    "d": 1 << 5,
    "f": 1 << 6,
    "n": 1 << 7,
    "r": 1 << 31,
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
    function: Optional[str] = None
    functions: tuple[str, ...] = ()
    rings: int = 0


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
    """

    flow_type: str
    match: Mapping[str, str] = field(default_factory=dict)
    queue: Optional[int] = None
    vf: int = 0
    location: Optional[int] = None


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
            ``0x1000/0xf000``, ``02:00:00:00:00:01/ff:ff:ff:00:00:00``. A set bit of a mask must match.

    Raises:
        ValueError: The type or a field is unknown, or a value does not fit its field.
    """
    raise NotImplementedError


def set_rss(
    name: str,
    table: Union[Sequence[int], str, None] = None,
    key: Optional[bytes] = None,
    function: Optional[str] = None,
) -> None:
    """Set what is given of RSS.

    Args:
        name: Interface.
        table: Queue by bucket; ``"default"`` hands the table back to the driver.
        key: Hash key, of the length that the driver has.
        function: Hash function.

    Raises:
        ApplyFailed: The kernel or the driver refused.
    """
    raise NotImplementedError


def set_hash_fields(name: str, flow_type: str, letters: str) -> None:
    """Set what of a packet is hashed, in ethtool(8)'s letters (``sdfn``).

    Raises:
        ApplyFailed: The kernel or the driver refused.
    """
    raise NotImplementedError


def insert_flow_rule(name: str, rule: FlowRule) -> int:
    """Add a rule, replacing what is at its location, and return the location.

    Raises:
        ApplyFailed: The kernel or the driver refused.
    """
    raise NotImplementedError


def delete_flow_rule(name: str, location: int) -> None:
    """Remove the rule at a location.

    Raises:
        ApplyFailed: The kernel or the driver refused.
    """
    raise NotImplementedError
