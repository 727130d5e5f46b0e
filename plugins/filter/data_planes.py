# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: where the API asks the data planes of other hosts."""

from __future__ import annotations

from typing import Any

from ..module_utils._deploy import data_planes

DOCUMENTATION = r"""
name: data_planes
short_description: Where the API asks the data planes of other hosts
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Adds to each host of C(flask_backend_data_planes) what the inventory says of it, and where its secret is.
positional: hosts
options:
  _input:
    description: Hosts, each with C(name) and, where the inventory's C(ansible_host) is no good for it, C(address).
    type: list
    elements: dict
    required: true
  hosts:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: See where the others are asked
  ansible.builtin.debug:
    msg: "{{ flask_backend_data_planes | tripod.baremetal.data_planes(hostvars) }}"
"""

RETURN = r"""
_value:
  description:
    - The hosts, each with its C(address) and C(port); C(asked), which is what the API is told of it; C(secret_source),
      the file on that host that holds its secret; C(secret), the name of the API's copy.
  type: list
  elements: dict
"""


class FilterModule:
    """The collection's filters on data planes."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"data_planes": data_planes.data_planes}
