#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_plan_info
short_description: Report what a host's CPU plan and huge pages declare to others
version_added: 1.1.0
description:
  - Reads the state files that M(tripod.baremetal.cpu_isolation) and M(tripod.baremetal.hugepages) saved on the host,
    and computes from them what those modules would return to others, without their options. So a run that leaves
    them out keeps the boot arguments, and containers keep their CPUs.
  - A state file that is there and cannot be understood is an error. Where there is none, nothing is declared.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes.info
seealso:
  - module: tripod.baremetal.cpu_isolation
  - module: tripod.baremetal.hugepages
  - module: tripod.baremetal.kernel_args
"""

EXAMPLES = r"""
- name: Read what is declared
  tripod.baremetal.host_plan_info:
  register: plan

- name: Keep the boot arguments of the CPU plan, and add one
  tripod.baremetal.kernel_args:
    arguments: "{{ plan.cpu_isolation.boot_arguments + plan.hugepages.boot_arguments + ['iommu=pt'] }}"
"""

RETURN = r"""
cpu_isolation:
  description: What the CPU plan declares.
  type: dict
  returned: success
  contains:
    declared:
      description: Whether there is a plan.
      type: bool
    boot_arguments:
      description: The same as of M(tripod.baremetal.cpu_isolation).
      type: list
      elements: str
      sample: ["isolcpus=managed_irq,2-3", "nohz_full=2-3"]
    reboot_reasons:
      description: The same as of M(tripod.baremetal.cpu_isolation).
      type: list
      elements: str
    containers:
      description: The same as of M(tripod.baremetal.cpu_isolation).
      type: dict
      sample: {go-backend: {cpuset_cpus: 2-3, cpuset_mems: "1"}}
hugepages:
  description: What the huge pages declare.
  type: dict
  returned: success
  contains:
    declared:
      description: Whether any are requested.
      type: bool
    boot_arguments:
      description: The same as of M(tripod.baremetal.hugepages).
      type: list
      elements: str
      sample: ["hugepagesz=1G", "hugepages=4"]
    reboot_reasons:
      description: The same as of M(tripod.baremetal.hugepages).
      type: list
      elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._preflight.declared import declared


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    with answering(module):
        module.exit_json(changed=False, **declared(Host()))


if __name__ == "__main__":
    main()
