# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: an address and a port as programs take them."""

from __future__ import annotations

from typing import Any

from ..module_utils._deploy.data_planes import of_socket

DOCUMENTATION = r"""
name: socket_address
short_description: An address and a port as programs take them
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Joins an address and a port, with brackets around one of IPv6.
options:
  _input:
    description: A dictionary with C(address) and C(port).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: See where an API is called
  ansible.builtin.debug:
    msg: "{{ {'address': '2001:db8::1', 'port': 50052} | tripod.baremetal.socket_address }}"
"""

RETURN = r"""
_value:
  description: Both in one.
  type: str
  sample: "[2001:db8::1]:50052"
"""


class FilterModule:
    """The collection's filters on addresses of sockets."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"socket_address": of_socket}
