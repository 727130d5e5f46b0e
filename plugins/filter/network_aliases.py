# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: a container's networks, with its name on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

DOCUMENTATION = r"""
name: network_aliases
short_description: A container's networks, with its name on each
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Turns names of networks into the C(networks) of M(community.docker.docker_container), each with one alias.
positional: alias
options:
  _input:
    description: Names of the networks.
    type: list
    elements: str
    required: true
  alias:
    description: Name by which other containers reach this one.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Join two networks as "api"
  ansible.builtin.debug:
    msg: "{{ ['front', 'back'] | tripod.baremetal.network_aliases('api') }}"
"""

RETURN = r"""
_value:
  description: Networks for M(community.docker.docker_container).
  type: list
  elements: dict
  sample: [{"name": "front", "aliases": ["api"]}]
"""


def network_aliases(networks: Sequence[str], alias: str) -> list[dict[str, Any]]:
    """Return each network with the alias on it."""
    return [{"name": network, "aliases": [alias]} for network in networks]


class FilterModule:
    """The collection's filters on container networks."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"network_aliases": network_aliases}
