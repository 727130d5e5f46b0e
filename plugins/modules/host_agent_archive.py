#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_agent_archive
short_description: Pack the host agent into one executable file
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Packs the collection's core into C(tripod-host), a zip archive that Python runs. Meant for the control node, where
    the sources are.
  - The same sources give the same bytes, whoever packs them and whenever.
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  source:
    description: The collection's C(plugins/module_utils).
    type: path
    required: true
  dest:
    description: Where the archive goes; its directory is made.
    type: path
    required: true
  python:
    description: Interpreter on the hosts, 3.9 or newer.
    type: path
    default: /usr/bin/python3
"""

EXAMPLES = r"""
- name: Pack the agent
  tripod.baremetal.host_agent_archive:
    source: plugins/module_utils
    dest: /var/cache/tripod/tripod-host
  delegate_to: localhost
"""

RETURN = r"""
changes:
  description: One line for what differs.
  returned: success
  type: list
  elements: str
  sample: ["/var/cache/tripod/tripod-host mode: absent -> 0755"]
version:
  description: What C(tripod-host version) says.
  returned: success
  type: str
  sample: 9a0364b9e99b
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core import CoreError, converge, exit_arguments
from ..module_utils._host import Host
from ..module_utils._zipapp import Archive, Request, version


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "python": {"type": "path", "default": "/usr/bin/python3"},
        },
        supports_check_mode=True,
    )
    request = Request(module.params["source"], module.params["python"])
    try:
        outcome = converge(Archive(request, module.params["dest"]), request, Host(), check=module.check_mode)
    except CoreError as error:
        module.fail_json(msg=str(error), **error.facts)
    module.exit_json(**exit_arguments(outcome, version=version(outcome.state.sources)))


if __name__ == "__main__":
    main()
