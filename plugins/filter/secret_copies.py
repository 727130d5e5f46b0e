# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: where the copies of a secret go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils._deploy.secret_files import copies_of

DOCUMENTATION = r"""
name: secret_copies
short_description: Where the copies of a secret go
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Gives every service that reads a secret a file of its own, as M(tripod.baremetal.secret_files) takes them.
positional: config_dir, name
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
    description: Name of the secret.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: See who gets the database password
  ansible.builtin.debug:
    msg: "{{ [{'service': 'api', 'uid': 561}] | tripod.baremetal.secret_copies('/etc/tripod', 'db_password') }}"
"""

RETURN = r"""
_value:
  description: Copies for M(tripod.baremetal.secret_files).
  type: list
  elements: dict
  sample: [{"path": "/etc/tripod/secrets/api/db_password", "owner": 561, "group": 561}]
"""


def secret_copies(services: Sequence[Mapping[str, Any]], config_dir: str, name: str) -> list[dict[str, Any]]:
    """Return one copy per service, readable by its user alone."""
    return copies_of(services, config_dir, name)


class FilterModule:
    """The collection's filters on secrets."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"secret_copies": secret_copies}
