#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_agent
short_description: Install the agent that looks after a host between two runs
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Packs the collection's core into C(tripod-host), one executable file, and runs its services.
  - C(tripod-apply) reapplies at boot what is requested of the host, before the network and the containers come up.
    C(tripod-watch) does so for a link that comes up or whose driver was reloaded, and reverts guarded changes that
    nobody confirms. C(tripod-policy) changes policies and bans for those who may ask it on its Unix socket,
    C(<run_dir>/tripod-policy/policy.sock). C(tripod-export) writes what each list, rule, limit and service of the data
    plane's policies has met as metrics, and sends flows of what they drop, or would drop, to a collector of IPFIX.
    C(tripod-keep), the container supervisor, starts containers again that died without
      anybody requesting it.
  - They are units of systemd. Where systemd does not run, those that stay are processes detached
    from the connection, and C(tripod-host apply) is for the host's own start.
  - A service that runs other sources or other arguments than are requested is restarted. That is computed from the live
    state, so a restart that a failed run owed still happens.
  - The sources are those of this module's own collection; nothing is downloaded, and the same sources give the same
    bytes on every host.
extends_documentation_fragment:
  - tripod.baremetal.attributes
requirements:
  - Python 3.9 or newer on the host; its standard library is enough
  - root
options:
  state:
    description:
      - V(absent) ends the services and removes everything that this module installs.
      - It is refused while a guard is armed, as nobody else could revert it.
    type: str
    choices: [present, absent]
    default: present
  path:
    description: The agent. Where its directory is named C(tripod) and left empty, it is removed with it.
    type: path
    default: /usr/local/lib/tripod/tripod-host
  command:
    description: Link to the agent, so that it can be called by its name.
    type: path
    default: /usr/local/sbin/tripod-host
  python:
    description: Interpreter that runs it.
    type: path
    default: /usr/bin/python3
  label:
    description: Label of the containers to supervise, as C(key=value).
    type: str
    default: org.tripod.collection=tripod.baremetal
  state_dir:
    description: Where other modules write the state files, one for each resource.
    type: path
    default: /etc/tripod/host.d
  run_dir:
    description:
      - Where the services note their processes, each in a directory of its own.
      - Under systemd it is always V(/run).
    type: path
    default: /run
  log_dir:
    description: Where the services append their output if systemd does not run; its journal has it otherwise.
    type: path
    default: /var/log
  policy_uid:
    description:
      - Number of the user who may change policies and ban addresses on the socket of C(tripod-policy), beside root; the
        socket belongs to the group of the same number.
      - Where it is not given, root alone may.
    type: int
    version_added: 2.0.0
  sample_rate:
    description:
      - How many dropped packets, or such as would be, C(tripod-export) takes from each NIC in a second, at most.
      - The kernel keeps to it; counters count the others too.
    type: int
    default: 100
    version_added: 2.0.0
  ipfix_collector:
    description: IPv4 or IPv6 address of the collector that flows are sent to; empty for none.
    type: str
    default: ""
    version_added: 2.0.0
  ipfix_port:
    description: UDP port of the collector.
    type: int
    default: 4739
    version_added: 2.0.0
  ipfix_domain:
    description: Observation domain that this host is to the collector; V(0) for none.
    type: int
    default: 0
    version_added: 2.0.0
"""

EXAMPLES = r"""
- name: Install the agent
  tripod.baremetal.host_agent:

- name: Have it send what policies drop to a collector, too
  tripod.baremetal.host_agent:
    ipfix_collector: 192.0.2.20

- name: Remove it
  tripod.baremetal.host_agent:
    state: absent
"""

RETURN = r"""
changes:
  description: One line for each step that was carried out, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: ["tripod-keep enabled: False -> True"]
version:
  description: What C(tripod-host version) says of the requested agent.
  type: str
  returned: success
  sample: 9a0364b9e99b
service_manager:
  description: Who runs the services.
  type: str
  returned: success
  sample: systemd
services:
  description: The services by name, after the call; before it, in check mode.
  type: dict
  returned: success
  contains:
    enabled:
      description: Whether it starts at boot; none where nothing could start it.
      type: bool
      sample: true
    pid:
      description: Its process; none for C(tripod-apply), which ends.
      type: int
      sample: 1234
reasons:
  description: Everything that stood in the way, each with its remedy.
  type: list
  elements: str
  returned: failure
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._agent.module import OPTIONS, answer
from ..module_utils._core.module import respond


def main() -> None:
    respond(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True), answer)


if __name__ == "__main__":
    main()
