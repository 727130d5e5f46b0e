#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_daemon
short_description: Run a Docker Engine where no service manager does
version_added: 1.0.0
description:
  - Starts C(dockerd) detached from the connection and waits until it answers, or ends it and waits until it is gone.
  - Meant for hosts without systemd, such as containers and minimal virtual machines. Debian's SysV script is not used;
    it fails where limits cannot be raised. Where systemd runs, a change is refused.
  - Only the C(dockerd) that the pid file names is ever ended.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
attributes:
  idempotent:
    support: partial
    details:
      - O(state=restarted) restarts a running engine each time.
options:
  state:
    description:
      - V(started) changes nothing where an engine already answers on O(socket), whoever started it.
      - V(restarted) ends it and starts another.
      - V(stopped) sends C(SIGTERM) and waits; nothing is killed harder.
    type: str
    choices: [started, stopped, restarted]
    default: started
  socket:
    description: Unix socket the engine answers on.
    type: path
    default: /run/docker.sock
  pid_file:
    description: Where the engine notes its process.
    type: path
    default: /run/docker.pid
  log:
    description: File that the engine's output is appended to.
    type: path
    default: /var/log/dockerd.log
  arguments:
    description: Further arguments of C(dockerd), used only when it is started. Options belong into C(daemon.json).
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait until the engine answers, or has ended.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Start the engine
  tripod.baremetal.docker_daemon:
    state: started

- name: Start a second engine, for tests
  tripod.baremetal.docker_daemon:
    socket: /run/second/docker.sock
    pid_file: /run/second/docker.pid
    log: /var/log/second-dockerd.log
    arguments:
      - --data-root=/var/lib/second-docker
      - --exec-root=/run/second/exec
      # Not --bridge=none: it removes docker0, also where another engine uses it.
      - --bridge=second0
      - --iptables=false
"""

RETURN = r"""
changes:
  description: One line for each step that was carried out, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: ["engine running: False -> True"]
running:
  description: Whether an engine answers on the socket. In check mode as it was found, like the values below.
  type: bool
  returned: success
pid:
  description: Process of the engine; none where the pid file names no living C(dockerd).
  type: int
  returned: success
  sample: 1234
service_manager:
  description: V(systemd) where it runs as process 1, else V(none).
  type: str
  returned: success
  sample: none
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import converge, exit_arguments
from ..module_utils._core.lock import changing
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._deploy.docker_daemon import DEFAULT_PID_FILE, DaemonOptions, Desired, DockerDaemon, facts
from ..module_utils._deploy.engine_socket import DEFAULT_SOCKET
from ..module_utils._linux.detached import now_ticks


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped", "restarted"], "default": "started"},
            "socket": {"type": "path", "default": DEFAULT_SOCKET},
            "pid_file": {"type": "path", "default": DEFAULT_PID_FILE},
            "log": {"type": "path", "default": "/var/log/dockerd.log"},
            "arguments": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    with answering(module), changing(Host(), module.check_mode) as host:
        options = module.params
        state = options["state"]
        daemon = DaemonOptions(
            socket=options["socket"],
            pid_file=options["pid_file"],
            log=options["log"],
            arguments=tuple(options["arguments"]),
            timeout=options["timeout"],
        )
        desired = Desired(running=state != "stopped", started_after=now_ticks() if state == "restarted" else None)
        outcome = converge(DockerDaemon(daemon), desired, host, check=module.check_mode)
        module.exit_json(**exit_arguments(outcome, **facts(outcome.state)))


if __name__ == "__main__":
    main()
