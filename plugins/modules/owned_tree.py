#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: owned_tree
short_description: Let files follow a service whose user got another number
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Gives every entry below a directory that belongs to a former user or group of a service to the present one. What
    belongs to others stays as it is. No symbolic link is followed.
  - A directory that itself belongs to neither is refused, as it may be somebody else's, unless it is empty.
  - Nothing may use the directory meanwhile. A run that was killed half way is completed by the next one.
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  path:
    description: The directory. One that does not exist needs nothing.
    type: path
    required: true
  user:
    description: Number of the user and of its group.
    type: int
    required: true
  former:
    description: Numbers that they had before.
    type: list
    elements: int
    required: true
"""

EXAMPLES = r"""
- name: Let the data follow its user
  tripod.baremetal.owned_tree:
    path: /var/lib/docker/volumes/tripod-postgres-data/_data
    user: 564
    former: [10004]
"""

RETURN = r"""
changes:
  description: What was, or would be, done.
  returned: success
  type: list
  elements: str
  sample: ["/srv/data owner 1243 entries: 10004 -> 564"]
reasons:
  description: What stood in the way, with its remedy.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import converge, exit_arguments
from ..module_utils._core.lock import changing
from ..module_utils._core.module import answering
from ..module_utils._core.names import absolute_path
from ..module_utils._core.system import Host
from ..module_utils._deploy.owned_tree import OwnedTree


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "user": {"type": "int", "required": True},
            "former": {"type": "list", "elements": "int", "required": True},
        },
        supports_check_mode=True,
    )
    with answering(module), changing(Host(), module.check_mode) as host:
        resource = OwnedTree(absolute_path(module.params["path"]), module.params["user"], module.params["former"])
        module.exit_json(**exit_arguments(converge(resource, True, host, check=module.check_mode)))


if __name__ == "__main__":
    main()
