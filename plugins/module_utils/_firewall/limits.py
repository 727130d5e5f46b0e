# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What stands against a request of the packet filter."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from .request import KIND, Network, Request
from .ruleset import FAMILY, MARK, TABLE
from .state import FirewallState

_BRIDGE = "bridge"


def impossible(request: Request | None, state: FirewallState) -> Iterator[str]:
    """Yield what this host cannot do."""
    # Where nothing was ever requested there is nothing to remove.
    if state.obstacle and (request is not None or state.state_file is not None):
        yield state.obstacle


def refusals(request: Request | None, state: FirewallState) -> Iterator[str]:
    """Yield what would take hold of what is not ours: somebody else's table, a NIC, the operator's network."""
    if state.state_file is None or state.state_file.kind != KIND:
        rules = [rule for chain in (state.chains or {}).values() for rule in chain.rules]
        if state.others or any(not rule.comment.startswith(MARK) for rule in rules):
            yield (
                f"there is a table {FAMILY} {TABLE} with rules that are not ours: rename it, or remove it with "
                f"'nft delete table {FAMILY} {TABLE}'"
            )
    for network in request.networks if request else ():
        yield from _network(network, state)


def _network(network: Network, state: FirewallState) -> Iterator[str]:
    kind = state.links.get(network.bridge)
    if kind is not None and kind != _BRIDGE:
        yield (
            f"{network.name}: {network.bridge} is {kind or 'a NIC'} and no bridge, and its rules would cut it off: "
            "give the bridge of the network"
        )
        return
    for text in network.subnets:
        subnet = ipaddress.ip_network(text)
        for interface, prefixes in state.networks.items():
            for prefix in prefixes if interface != network.bridge else ():
                other = ipaddress.ip_network(prefix)
                if other.version == subnet.version and other.overlaps(subnet):
                    yield (
                        f"{network.name}: {subnet} overlaps {prefix} of {interface}, whose packets the rules would "
                        f"drop: make {network.name} with another subnet"
                    )
