# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the hosts of a play, or an error in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: requested_hosts
short_description: The pattern of a play's hosts, or an error where the inventory has none of that name
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Returns its input. Where that is the name of one group or host and the inventory has no host of it, the play ends
    with an error that says so. Ansible itself says that no hosts matched, and succeeds.
positional: groups
options:
  _input:
    description: The pattern. Patterns of more than one name are not checked.
    type: str
    required: true
  groups:
    description: The variable C(groups).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Do something on the hosts of the site
  hosts: "{{ 'tripod' | tripod.baremetal.requested_hosts(groups) }}"
"""

RETURN = r"""
_value:
  description: The pattern, as it is.
  type: str
"""

_ONE_NAME = re.compile(r"[^\s,:&!*?\[\]~]+")


def requested_hosts(pattern: str, groups: Mapping[str, Sequence[str]]) -> str:
    """Return the pattern.

    Raises:
        AnsibleFilterError: It is the name of a group or a host, and there is none.
    """
    hosts = groups.get("all", ())
    if isinstance(pattern, str) and _ONE_NAME.fullmatch(pattern) and pattern not in hosts and not groups.get(pattern):
        known = sorted(name for name in groups if name not in ("all", "ungrouped") and groups[name])
        there = f"it has {', '.join(known)}" if known else "it has no group with a host"
        raise AnsibleFilterError(
            f"the inventory has no group or host {pattern!r}; {there}: "
            "put the hosts of the site into the group tripod, or name theirs with -e tripod_hosts=GROUP"
        )
    return pattern


class FilterModule:
    """The collection's filter on a play's hosts."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"requested_hosts": requested_hosts}
