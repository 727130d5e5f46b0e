# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the name by which the certificate of a data plane says whose it is."""

from __future__ import annotations

from typing import Any

from ..module_utils._deploy.data_planes import certificate_name

DOCUMENTATION = r"""
name: data_plane_name
short_description: The name by which the certificate of a data plane says whose it is
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Makes a name for a certificate out of that of a host in the inventory.
options:
  _input:
    description: Name of the host.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: See the name of this host's data plane
  ansible.builtin.debug:
    msg: "{{ inventory_hostname | tripod.baremetal.data_plane_name }}"
"""

RETURN = r"""
_value:
  description: The name.
  type: str
  sample: go-backend.edge1.example.com
"""


class FilterModule:
    """The collection's filters on names of data planes."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"data_plane_name": certificate_name}
