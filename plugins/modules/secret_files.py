#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_files
short_description: Keep secrets as files, one copy for each reader
version_added: 1.0.0
description:
  - Generates each secret once and stores it in one file for each of its readers, with mode C(0400) and no newline at
    its end.
  - The first copy that exists holds the true value; copies that are missing or differ are written from it.
  - A value stays until another is given, or O(secrets[].renew) requests one.
  - No value ever leaves the host. Neither the result nor the diff shows one.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  secrets:
    description: The secrets. All are validated before the first is written.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What messages call it; each name once.
        type: str
        required: true
      length:
        description: Characters of a generated value, 16 to 1024, out of letters, digits, C(-) and C(_).
        type: int
        default: 32
      value:
        description:
          - A value of your own, 8 to 4096 characters without control characters. It replaces what is there.
          - Where it is not given, or empty, a value is generated once, and stays.
        type: str
      multiline:
        description: O(secrets[].value) is a text of several lines, such as PEM, of up to 65536 characters.
        type: bool
        default: false
        version_added: 1.1.0
      renew:
        description:
          - Generate another value now, at each run that says so; every copy is written again.
          - With V(with_former) the value before stays on a second line, for a reader that takes what was signed with
            it for some time yet; the one before that goes. With V(alone) nothing of it stays.
          - Not with O(secrets[].value).
        type: str
        choices: [with_former, alone]
        version_added: 1.1.0
      copies:
        description: The files that hold it.
        type: list
        elements: dict
        required: true
        suboptions:
          path:
            description: Absolute path; each path once. Directories that are missing are made, with mode C(0711).
            type: str
            required: true
          owner:
            description: Numeric id of the owner, such as the user a container runs as.
            type: int
            default: 0
          group:
            description: Numeric id of the group.
            type: int
            default: 0
  state:
    description:
      - Whether the files exist.
      - With V(absent), directories that are empty then go too, if they have the mode this module makes them with.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Share the database password between the database and its client
  tripod.baremetal.secret_files:
    secrets:
      - name: database password
        copies:
          - {path: /etc/tripod/secrets/postgres/db_password, owner: 564, group: 564}
          - {path: /etc/tripod/secrets/flask-backend/db_password, owner: 561, group: 561}

- name: Sign with another key from now on, and accept the former one for some time yet
  tripod.baremetal.secret_files:
    secrets:
      - name: signing key
        length: 64
        renew: with_former
        copies:
          - {path: /etc/tripod/secrets/flask-backend/jwt_secret, owner: 561, group: 561}

- name: Keep a token of our own
  tripod.baremetal.secret_files:
    secrets:
      - name: gateway token
        value: "{{ vault_gateway_token }}"
        copies:
          - path: /etc/tripod/secrets/gateway/token
"""

RETURN = r"""
changes:
  description: One line for each step that was carried out, or would be in check mode. Values never appear.
  type: list
  elements: str
  returned: success
  sample: ["/etc/tripod/secrets/postgres/db_password value: absent -> present"]
paths:
  description: The first copy of each secret, by the secret's name.
  type: dict
  returned: success
  sample: {"database password": /etc/tripod/secrets/postgres/db_password}
generation:
  description:
    - Differs after any copy was written again, and shows nothing of the values. A container that carries it as a label
      is made anew when its secrets are.
    - V(pending) in check mode where something would be written.
  type: str
  returned: success
  sample: "1795408046123456789"
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import converge, exit_arguments
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._deploy.secret_files import ALONE, WITH_FORMER, Copy, Secret, SecretFiles, generation


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "secrets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "no_log": False,
                "options": {
                    "name": {"type": "str", "required": True},
                    "length": {"type": "int", "default": 32},
                    "value": {"type": "str", "no_log": True},
                    "multiline": {"type": "bool", "default": False},
                    "renew": {"type": "str", "choices": [WITH_FORMER, ALONE]},
                    "copies": {
                        "type": "list",
                        "elements": "dict",
                        "required": True,
                        "options": {
                            "path": {"type": "str", "required": True},
                            "owner": {"type": "int", "default": 0},
                            "group": {"type": "int", "default": 0},
                        },
                    },
                },
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    with answering(module):
        desired = [
            Secret(
                name=option["name"],
                copies=tuple(Copy(**copy) for copy in option["copies"]),
                length=option["length"],
                value=option["value"] or None,
                multiline=option["multiline"],
                renew=option["renew"] or "",
            )
            for option in module.params["secrets"]
        ]
        outcome = converge(SecretFiles(desired), module.params["state"] == "present", Host(), check=module.check_mode)
        module.exit_json(
            **exit_arguments(
                outcome,
                paths={secret.name: secret.copies[0].path for secret in desired},
                generation="pending" if outcome.checked and outcome.changed else generation(outcome.state),
            )
        )


if __name__ == "__main__":
    main()
