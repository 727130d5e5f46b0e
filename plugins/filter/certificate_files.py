# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the files of certificates beside the secrets of each service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils._deploy.secret_files import copies_of

DOCUMENTATION = r"""
name: certificate_files
short_description: The files of certificates beside the secrets of each service
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Gives every service a file with certificates beside its secrets, as M(tripod.baremetal.secret_files) takes them.
positional: config_dir, name, certificates
options:
  _input:
    description: Services, each with C(service) and C(uid).
    type: list
    elements: dict
    required: true
  config_dir:
    description: Configuration directory of the host.
    type: path
    required: true
  name:
    description: Name of the file.
    type: str
    required: true
  certificates:
    description: PEM, one text for all services, or one for each, by service. A service without one gets no file.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: See where the certificates of the authority go
  ansible.builtin.debug:
    msg: "{{ [{'service': 'api', 'uid': 561}] | tripod.baremetal.certificate_files('/etc/tripod', 'ca.crt', pem) }}"
"""

RETURN = r"""
_value:
  description: Secrets for M(tripod.baremetal.secret_files).
  type: list
  elements: dict
  sample:
    - name: ca.crt of api
      multiline: true
      value: "-----BEGIN CERTIFICATE-----"
      copies: [{"path": "/etc/tripod/secrets/api/ca.crt", "owner": 561, "group": 561}]
"""


def certificate_files(
    services: Sequence[Mapping[str, Any]], config_dir: str, name: str, certificates: str | Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return one file per service that has certificates, readable by its user alone."""
    every = {item["service"]: certificates for item in services} if isinstance(certificates, str) else certificates
    return [
        {
            "name": f"{name} of {item['service']}",
            "multiline": True,
            "value": f"{every[item['service']]}\n",
            "copies": copies_of([item], config_dir, name),
        }
        for item in services
        if item["service"] in every
    ]


class FilterModule:
    """The collection's filters on the files of certificates."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"certificate_files": certificate_files}
