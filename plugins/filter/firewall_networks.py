# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: Docker networks as the packet filter is to know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DOCUMENTATION = r"""
name: firewall_networks
short_description: Docker networks as the packet filter is to know them
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Turns networks, as the Docker Engine shows them, into the C(networks) of M(tripod.baremetal.firewall). One that is
    not internal is taken for one through which published ports are reached.
positional: host_ports, outside_ports
options:
  _input:
    description: Networks, each the C(network) that M(community.docker.docker_network) returns.
    type: list
    elements: dict
    required: true
  host_ports:
    description: TCP ports that containers reach at the host's address on their network, by the network's name.
    type: dict
    default: {}
  outside_ports:
    description:
      - TCP ports of other machines that containers reach, each with C(address) and C(port), by the network's name.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Keep others from the networks
  tripod.baremetal.firewall:
    networks: "{{ docker_engine_inspected | tripod.baremetal.firewall_networks({'tripod-rpc': [50051]}) }}"
"""

RETURN = r"""
_value:
  description: Networks for M(tripod.baremetal.firewall).
  type: list
  elements: dict
"""

BRIDGE_NAME = "com.docker.network.bridge.name"
ID_DIGITS = 12  # of a network's ID, in the name of a bridge that nobody named


def firewall_networks(
    networks: Sequence[Mapping[str, Any]],
    host_ports: Mapping[str, Sequence[int]] | None = None,
    outside_ports: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> list[dict[str, Any]]:
    """Return each network with its bridge, its prefixes and what it reaches on the host and elsewhere."""
    found = []
    for network in networks:
        configured = (network.get("IPAM") or {}).get("Config") or []
        gateways = [one["Gateway"].split("/")[0] for one in configured if one.get("Gateway")]
        ports = (host_ports or {}).get(network["Name"], ())
        found.append(
            {
                "name": network["Name"],
                "bridge": (network.get("Options") or {}).get(BRIDGE_NAME) or f"br-{network['Id'][:ID_DIGITS]}",
                "subnets": [one["Subnet"] for one in configured],
                "published": not network.get("Internal", False),
                "host_ports": [{"address": gateway, "port": int(port)} for gateway in gateways for port in ports],
                "outside_ports": [
                    {"address": one["address"], "port": int(one["port"])}
                    for one in (outside_ports or {}).get(network["Name"], ())
                ],
            }
        )
    return found


class FilterModule:
    """The collection's filters on Docker's networks."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"firewall_networks": firewall_networks}
