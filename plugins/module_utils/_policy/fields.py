# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Fields of a packet as people name them: protocols, flags, types, numbers with units."""

from __future__ import annotations

from collections.abc import Mapping

# IANA's assigned protocol numbers.
PROTOCOLS: Mapping[str, int] = {
    **{"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51},
    **{"icmpv6": 58, "ospf": 89, "pim": 103, "vrrp": 112, "l2tp": 115, "sctp": 132, "udplite": 136},
}
# In the order of their bits, from the lowest.
TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
# Type of ICMP, of ICMPv6; None where there is none.
ICMP_TYPES: Mapping[str, tuple[int | None, int | None]] = {
    "echo-request": (8, 128),
    "echo-reply": (0, 129),
    "destination-unreachable": (3, 1),
    "time-exceeded": (11, 3),
    "parameter-problem": (12, 4),
    "redirect": (5, 137),
    "packet-too-big": (None, 2),
    "timestamp-request": (13, None),
    "router-solicitation": (10, 133),
    "router-advertisement": (9, 134),
    "neighbor-solicitation": (None, 135),
    "neighbor-advertisement": (None, 136),
}
