#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cpu_isolation
short_description: Share a host's CPUs out between housekeeping and isolated work
version_added: 1.0.0
description:
  - Takes one plan for all CPUs of a host, checks it as a whole against the topology, and reports every reason at once
    why it cannot be.
  - Computes boot arguments, and the CPUs and memory nodes of each container, for others to apply
    (M(tripod.baremetal.kernel_args), M(community.docker.docker_container)).
  - Sets what is set at run time. These are the default CPUs of interrupts, the CPUs of kernel work that is bound to
    none, the frequency governor, and C(CPUAffinity) of systemd in C(/etc/systemd/system.conf.d/tripod.conf).
  - Kernel work is moved only once the kernel runs with the plan's boot arguments, as the move stalls a loaded host.
    Until then it is left to the reboot.
  - Threads of a core stay together, the CPU that the kernel boots on keeps house, and every online CPU is either
    housekeeping or isolated.
  - The host agent reapplies the plan after each boot, from C(/etc/tripod/host.d/cpu_isolation.json).
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  state:
    description:
      - V(present) makes the host follow the plan.
      - V(absent) restores the original values, from before the first plan. Without a plan of ours it changes nothing.
    type: str
    choices: [present, absent]
    default: present
  housekeeping:
    description:
      - CPUs that run everything that is not assigned, as a list such as V(0-1,8).
      - By default those that are not isolated.
    type: str
  housekeeping_cores:
    description: Keep house on the first so many cores of each NUMA node instead, with all their threads.
    type: int
  isolated:
    description: CPUs to isolate, as a list such as V(2-7); V(rest), as by default, for those that do not keep house.
    type: str
  isolation:
    description:
      - What the kernel takes off the isolated CPUs, from its next boot on.
      - V(managed_irq) takes interrupts that the kernel places itself, V(nohz_full) the timer tick while one thread
        runs, and V(rcu_nocbs) RCU callbacks.
      - V(domain) takes the scheduler's load balancing, also among the isolated CPUs themselves. It suits threads that
        are pinned one by one; a container with several threads would stay on one CPU.
      - An empty list needs no such boot arguments, and keeps services and containers apart by affinity alone.
    type: list
    elements: str
    choices: [domain, managed_irq, nohz_full, rcu_nocbs]
    default: [managed_irq, nohz_full, rcu_nocbs]
  split_cores:
    description: Whether threads of one core may have different duties. They slow each other down.
    type: bool
    default: false
  governor:
    description: Frequency governor of every CPU, such as V(performance). Not touched if not given.
    type: str
  assignments:
    description:
      - Who gets CPUs of its own. Everybody else gets the housekeeping ones.
      - Isolated CPUs are given to one only. A list is either of isolated or of housekeeping CPUs.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Service, such as V(go-backend).
        type: str
        required: true
      cpus:
        description: CPUs, as a list.
        type: str
      cores:
        description: Number of whole isolated cores instead, all of one node.
        type: int
      node:
        description: NUMA node of the cores. The first that has enough if not given.
        type: int
      nic:
        description: NIC at whose NUMA node the cores are to be, by name, PCI address or MAC address.
        type: str
seealso:
  - module: tripod.baremetal.host_topology_info
  - module: tripod.baremetal.kernel_args
"""

EXAMPLES = r"""
- name: Keep house on one core of each node, and give the data plane the cores beside its NIC
  tripod.baremetal.cpu_isolation:
    housekeeping_cores: 1
    assignments:
      - name: go-backend
        cores: 4
        nic: ens1
  register: cpus

- name: Run the data plane there
  community.docker.docker_container:
    name: data-plane
    image: data-plane:1.0
    cpuset_cpus: "{{ cpus.containers['go-backend'].cpuset_cpus }}"
    cpuset_mems: "{{ cpus.containers['go-backend'].cpuset_mems }}"

- name: Remove the plan
  tripod.baremetal.cpu_isolation:
    state: absent
"""

RETURN = r"""
changes:
  description: One line for each step that was carried out, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: ["irq default_smp_affinity: 0-3 -> 0-1"]
plan:
  description: The groups of CPUs, by duty; empty without a plan.
  type: list
  elements: dict
  returned: success
  contains:
    duty:
      description: C(housekeeping), a name out of O(assignments), or C(isolated, unassigned).
      type: str
      sample: go-backend
    cpus:
      description: CPUs.
      type: str
      sample: 4-7,20-23
    nodes:
      description: NUMA nodes they are of.
      type: str
      sample: "1"
    cores:
      description: Cores they are of.
      type: int
      sample: 4
boot_arguments:
  description: What the kernel has to be booted with, in order; empty without a plan.
  type: list
  elements: str
  returned: success
  sample: ["isolcpus=managed_irq,2-3", "nohz_full=2-3", "rcu_nocbs=2-3", "irqaffinity=0-1"]
containers:
  description:
    - C(cpuset_cpus) and C(cpuset_mems) by name out of O(assignments), and under C(default) those of all others.
    - Who is assigned CPUs gets the memory of their nodes, the others get that of all nodes. Empty without a plan.
  type: dict
  returned: success
  sample:
    default: {"cpuset_cpus": "0-1", "cpuset_mems": "0-1"}
    go-backend: {"cpuset_cpus": "2-3", "cpuset_mems": "1"}
reboot_required:
  description: Whether the running system was not booted with the plan.
  type: bool
  returned: success
reboot_reasons:
  description:
    - Each difference between the running system and the plan that only a reboot removes, computed from the kernel's
      command line and systemd's own affinity.
    - That boot arguments are gone again after V(absent) is for M(tripod.baremetal.kernel_args) to report.
  type: list
  elements: str
  returned: success
  sample: ["boot argument nohz_full=2-3 is requested, the kernel runs without"]
advice:
  description: What is allowed, and probably not meant. Also shown as warnings.
  type: list
  elements: str
  returned: success
reasons:
  description: Everything that stands in the way of the plan, each with the limit and the way out.
  type: list
  elements: str
  returned: failure
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.module import respond
from ..module_utils._cpu.module import OPTIONS, answer


def main() -> None:
    respond(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True), answer)


if __name__ == "__main__":
    main()
