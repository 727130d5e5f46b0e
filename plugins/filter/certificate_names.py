# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the names in the certificate of a service."""

from __future__ import annotations

from typing import Any

from ..module_utils._deploy.certificate_names import certificate_names

DOCUMENTATION = r"""
name: certificate_names
short_description: The names in the certificate of a service
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Gives the name of a service, and each further name and address once, as M(community.crypto.openssl_csr_pipe) takes
    them.
options:
  _input:
    description: A service, with C(service), and C(names) where it has further ones.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: See which names a certificate has
  ansible.builtin.debug:
    msg: "{{ {'service': 'nginx', 'names': ['ui.example', '192.0.2.10']} | tripod.baremetal.certificate_names }}"
"""

RETURN = r"""
_value:
  description: Names and addresses, the service's own first. An address that stands for all of a kind is none.
  type: list
  elements: str
  sample: ["DNS:nginx", "DNS:ui.example", "IP:192.0.2.10"]
"""


class FilterModule:
    """The collection's filters on the names in certificates."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"certificate_names": certificate_names}
