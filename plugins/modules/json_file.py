#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: json_file
short_description: Merge keys into a JSON file
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Sets the named keys in a JSON file and leaves every other key as it is, as C(daemon.json) of Docker usually has
    other authors too.
  - Objects are merged at every depth; lists and scalars are replaced.
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  path:
    description: The file; it is created where it does not exist and O(values) is not empty.
    type: path
    required: true
  values:
    description: Keys to set.
    type: dict
    default: {}
  consumer_pid_file:
    description:
      - Process ID file of the daemon that reads the file. Its time stamp shows when the daemon started, and
        RV(restart_required) is computed from it, so a restart that an earlier, failed run owed is not forgotten.
    type: path
"""

EXAMPLES = r"""
- name: Keep containers running while the daemon restarts
  tripod.baremetal.json_file:
    path: /etc/docker/daemon.json
    values:
      live-restore: true
    consumer_pid_file: /run/docker.pid
"""

RETURN = r"""
changes:
  description: One line per key that differs.
  returned: always
  type: list
  elements: str
  sample: ["live-restore: absent -> True"]
restart_required:
  description: Whether the running daemon started before the file was last written, or, in check mode, would be.
  returned: always
  type: bool
restart_reason:
  description: Why, in words; empty where no restart is required.
  returned: always
  type: str
  sample: /etc/docker/daemon.json is 12 s newer than the running daemon that reads it
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import converge, exit_arguments
from ..module_utils._core.module import answering
from ..module_utils._core.names import absolute_path
from ..module_utils._core.system import Host
from ..module_utils._deploy.json_file import JsonFile, restart_reason


def _started(pid_file: str | None) -> float | None:
    try:
        return os.stat(pid_file).st_mtime if pid_file else None
    except FileNotFoundError:
        return None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "values": {"type": "dict", "default": {}},
            "consumer_pid_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    with answering(module):
        path = absolute_path(module.params["path"])
        pid_file = module.params["consumer_pid_file"]
        started = _started(absolute_path(pid_file, "consumer_pid_file") if pid_file is not None else None)
        outcome = converge(JsonFile(path), module.params["values"], Host(), check=module.check_mode)
        reason = restart_reason(path, outcome.state, started)
        if outcome.checked and outcome.changed and started is not None:
            reason = f"{path} would be newer than the running daemon that reads it"
        module.exit_json(**exit_arguments(outcome, restart_required=bool(reason), restart_reason=reason))


if __name__ == "__main__":
    main()
