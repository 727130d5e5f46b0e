#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_drift_info
short_description: Report in one call whether a host is as its whole plan requests
version_added: 1.0.0
description:
  - Asks what each module of a host's plan would change, fail at or need a reboot for, as it would answer in check
    mode, and changes nothing. One call takes the place of a dozen, so that checking many hosts is cheap.
  - A component that its module would refuse is drift, not an error; the module itself reports it in full. So is a
    guard that an earlier run left behind.
  - A component that is not given is not checked.
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
- name: Check whether the host drifted
  tripod.baremetal.host_drift_info:
    hugepages:
      reservations:
        - {node: 1, size: 1G, count: 4}
    sysctl:
      variables: {net.core.netdev_budget: 600}
    nic:
      nics:
        - {name: ens1, rings: {rx: max}}
  register: drift

- name: Report what drifted
  ansible.builtin.debug:
    msg: "{{ drift.components | dict2items | selectattr('value.drifted') | items2dict }}"
  when: drift.drifted
"""

RETURN = r"""
drifted:
  description: Whether any component is not as planned.
  type: bool
  returned: success
components:
  description: What differs, by component; C(change_guard) stands for guards that an earlier run left behind.
  type: dict
  returned: success
  contains:
    drifted:
      description: Whether this component is not as planned.
      type: bool
    changes:
      description: What its module would change, a line each.
      type: list
      elements: str
      sample: ["ens1 rings rx: 512 -> 4096"]
    reasons:
      description: Why it is not as planned besides; what its module would refuse, or what requires a reboot.
      type: list
      elements: str
parts:
  description: The former name of RV(components); it is deprecated and goes with release 3.0.0.
  type: dict
  returned: success
containers:
  description: CPUs and NUMA nodes of containers, as M(tripod.baremetal.cpu_isolation) returns them.
  type: dict
  returned: success
  sample: {go-backend: {cpuset_cpus: 2-3, cpuset_mems: "1"}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._preflight.drift import COMPONENTS, check_drift


def main() -> None:
    module = AnsibleModule(argument_spec={name: {"type": "dict"} for name in COMPONENTS}, supports_check_mode=True)
    with answering(module):
        requested = {name: options for name, options in module.params.items() if options is not None}
        found = check_drift(requested, Host())
        drifted = any(one.drifted for one in found.values())
        # Where the modules are still to be called, they warn themselves.
        for words in [] if drifted else [words for one in found.values() for words in one.warnings]:
            module.warn(words)
        components = {
            name: {"drifted": one.drifted, "changes": list(one.changes), "reasons": list(one.reasons)}
            for name, one in found.items()
        }
        module.exit_json(
            changed=False,
            drifted=drifted,
            components=components,
            parts=components,
            containers=found["cpu_isolation"].facts.get("containers", {}) if "cpu_isolation" in found else {},
        )


if __name__ == "__main__":
    main()
