#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_agent_process
short_description: Run the container keeper where no service manager does
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Starts C(tripod-host keep) detached from the connection, or ends it, and waits until that is true.
  - A process that is older than its archive is replaced. That is computed from the live state, so a restart that a
    failed run owed is not forgotten.
  - Where systemd runs, a change is refused; use M(ansible.builtin.systemd_service).
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  state:
    description: Whether the keeper runs.
    type: str
    choices: [started, stopped]
    default: started
  path:
    description: The agent's archive.
    type: path
    default: /usr/local/lib/tripod/tripod-host
  label:
    description: Label of the containers to keep, as C(key=value).
    type: str
    default: org.tripod.collection=tripod.baremetal
  pid_file:
    description: Where the keeper notes its process. What operators stopped is remembered beside it.
    type: path
    default: /run/tripod-keep/keep.pid
  log:
    description: File that the keeper's output is appended to.
    type: path
    default: /var/log/tripod-keep.log
"""

EXAMPLES = r"""
- name: Start the keeper
  tripod.baremetal.host_agent_process:
    state: started
"""

RETURN = r"""
changes:
  description: One line for each step that was carried out, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: ["keeper running: False -> True"]
pid:
  description: Process of the keeper; none where it does not run. In check mode as it was found.
  type: int
  returned: success
  sample: 1234
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._agent_process import AgentProcess
from ..module_utils._core import CoreError, converge, exit_arguments
from ..module_utils._host import Host
from ..module_utils._keeper import LABEL, PID_FILE


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
            "path": {"type": "path", "default": "/usr/local/lib/tripod/tripod-host"},
            "label": {"type": "str", "default": LABEL},
            "pid_file": {"type": "path", "default": PID_FILE},
            "log": {"type": "path", "default": "/var/log/tripod-keep.log"},
        },
        supports_check_mode=True,
    )
    options = module.params
    pid_file = options["pid_file"]
    remembered = f"{os.path.splitext(pid_file)[0]}.json"
    keeper = AgentProcess(
        path=options["path"],
        pid_file=pid_file,
        log=options["log"],
        arguments=("keep", "--label", options["label"], "--pid-file", pid_file, "--state-file", remembered),
    )
    try:
        outcome = converge(keeper, options["state"] == "started", Host(), check=module.check_mode)
    except CoreError as error:
        module.fail_json(msg=str(error), **error.facts)
    process = outcome.state.process
    module.exit_json(**exit_arguments(outcome, pid=process.pid if process else None))


if __name__ == "__main__":
    main()
