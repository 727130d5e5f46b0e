#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_users
short_description: Reserve the users of services on a host
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Makes a system user and a group of one number for each service, so that nobody else is given the number that a
    container runs under. Nobody can log in as such a user, and it has no home.
  - A number in the host's range for people (C(UID_MIN) to C(UID_MAX) of C(/etc/login.defs)), or in one that systemd
    gives away, is refused, and so is a name or a number that somebody else has, also in a directory service. All
    reasons are reported at once.
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  users:
    description: Users.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the user and of its group.
        type: str
        required: true
      uid:
        description: Number of both.
        type: int
        required: true
      comment:
        description: What the user is for.
        type: str
        default: ""
      variable:
        description: Variable that sets the number, for messages.
        type: str
        default: ""
  state:
    description: With V(absent), users and groups that have both the name and the number are removed.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Reserve the user of a service
  tripod.baremetal.service_users:
    users:
      - {name: tripod-webui, uid: 563, comment: Tripod web interface, variable: tripod_webui_uid}
"""

RETURN = r"""
changes:
  description: What was, or would be, done.
  returned: success
  type: list
  elements: str
  sample: ["user tripod-webui: absent -> 563"]
reasons:
  description: Everything that stood in the way, each with its remedy.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import converge, exit_arguments
from ..module_utils._core.lock import changing
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._deploy.service_users import USER, ServiceUsers, parse


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "users": {"type": "list", "elements": "dict", "required": True, "options": USER},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    with answering(module), changing(Host(), module.check_mode) as host:
        resource, present = ServiceUsers(parse(module.params["users"])), module.params["state"] == "present"
        module.exit_json(**exit_arguments(converge(resource, present, host, check=module.check_mode)))


if __name__ == "__main__":
    main()
