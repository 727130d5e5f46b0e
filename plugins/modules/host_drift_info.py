#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_drift_info
short_description: Tell in one call whether a host is as its whole plan wants it
version_added: 1.0.0
description:
  - Asks what each module of a host's plan would change, fail at or need a reboot for, as it would answer in check
    mode, and changes nothing. One call takes the place of a dozen, so that looking at many hosts is cheap.
  - A part of the plan that its module would refuse is drift, not an error; the module itself tells it in full. So is a
    guard that an earlier run left behind.
  - A part that is not given is not looked at.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes.info
options:
  preflight:
    description: Options of M(tripod.baremetal.preflight).
    type: dict
  host_agent:
    description: Options of M(tripod.baremetal.host_agent).
    type: dict
  cpu_isolation:
    description: Options of M(tripod.baremetal.cpu_isolation).
    type: dict
  hugepages:
    description: Options of M(tripod.baremetal.hugepages).
    type: dict
  driver:
    description: Options of M(tripod.baremetal.driver).
    type: dict
  sysctl:
    description: Options of M(tripod.baremetal.sysctl).
    type: dict
  kernel_args:
    description:
      - Options of M(tripod.baremetal.kernel_args), without the boot arguments that O(cpu_isolation) and O(hugepages)
        bring, which are added behind its own, in this order.
    type: dict
  nic:
    description: Options of M(tripod.baremetal.nic).
    type: dict
seealso:
  - module: tripod.baremetal.host_topology_info
"""

EXAMPLES = r"""
- name: Look whether the host drifted
  tripod.baremetal.host_drift_info:
    hugepages:
      reservations:
        - {node: 1, size: 1G, count: 4}
    sysctl:
      variables: {net.core.netdev_budget: 600}
    nic:
      nics:
        - {name: ens1, rings: {rx: max}}
  register: look

- name: Tell what drifted
  ansible.builtin.debug:
    msg: "{{ look.parts | dict2items | selectattr('value.drifted') | items2dict }}"
  when: look.drifted
"""

RETURN = r"""
drifted:
  description: Whether any part of the host is not as planned.
  type: bool
  returned: success
parts:
  description: What was found, by part of the plan; C(change_guard) stands for guards that an earlier run left behind.
  type: dict
  returned: success
  contains:
    drifted:
      description: Whether this part is not as planned.
      type: bool
    changes:
      description: What its module would change, a line each.
      type: list
      elements: str
      sample: ["ens1 rings rx: 512 -> 4096"]
    reasons:
      description: Why it is not as planned besides; what its module would refuse, or a reboot is needed for.
      type: list
      elements: str
containers:
  description: CPUs and NUMA nodes of containers, as M(tripod.baremetal.cpu_isolation) returns them.
  type: dict
  returned: success
  sample: {go-backend: {cpuset_cpus: 2-3, cpuset_mems: "1"}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.system import Host
from ..module_utils._preflight.drift import PARTS, look


def main() -> None:
    module = AnsibleModule(argument_spec={name: {"type": "dict"} for name in PARTS}, supports_check_mode=True)
    asked = {name: options for name, options in module.params.items() if options is not None}
    found = look(asked, Host())
    drifted = any(one.drifted for one in found.values())
    # Where the modules are still to be called, they warn themselves.
    for words in [] if drifted else [words for one in found.values() for words in one.advice]:
        module.warn(words)
    module.exit_json(
        changed=False,
        drifted=drifted,
        parts={
            name: {"drifted": one.drifted, "changes": list(one.changes), "reasons": list(one.reasons)}
            for name, one in found.items()
        },
        containers=found["cpu_isolation"].facts.get("containers", {}) if "cpu_isolation" in found else {},
    )


if __name__ == "__main__":
    main()
