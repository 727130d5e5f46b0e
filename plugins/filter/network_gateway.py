# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the host's address on a Docker network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils._deploy.docker_networks import first_range

DOCUMENTATION = r"""
name: network_gateway
short_description: The host's address on a Docker network
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Picks the gateway of a network, which is the host's own address on it, from the results of a loop over
    M(community.docker.docker_network).
positional: name
options:
  _input:
    description: The C(results) of a registered loop over M(community.docker.docker_network).
    type: list
    elements: dict
    required: true
  name:
    description: Name of the network.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Bind to the host's address on a network
  ansible.builtin.debug:
    msg: "{{ networks.results | tripod.baremetal.network_gateway('tripod-rpc') }}"
"""

RETURN = r"""
_value:
  description: The address; empty where the network does not exist yet, as in check mode.
  type: str
"""


def network_gateway(results: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return the first gateway of the named network, or an empty string where it does not exist yet."""
    return first_range(results, name, "Gateway").get("Gateway", "").split("/")[0]


class FilterModule:
    """The collection's filters on Docker's answers."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"network_gateway": network_gateway}
