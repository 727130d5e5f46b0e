#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Say everything that stands in the way of a deployment, at once
version_added: 1.0.0
description:
  - Compares a host with what a site needs and reports every finding in one table, each with what was found, what is
    needed and the way out. Nothing is changed.
  - A port that is held by a running container with O(container_label) is no finding, so a converged host passes again.
  - What O(nics), O(drivers), O(hugepages), O(cpu_plan), O(boot_arguments), O(sysctls) and O(users) request is
    checked by the very code of the modules that will do it, and XDP is checked against the NICs as they are declared
    to become.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes.info
options:
  distributions:
    description: Supported distributions, each as C(ID VERSION_ID) of C(/etc/os-release).
    type: list
    elements: str
    default: [debian 12, debian 13]
  untested_distributions:
    description: Distributions that only earn a warning.
    type: list
    elements: str
    default: [ubuntu 24.04]
  architectures:
    description: Supported machine types, as C(uname -m) prints them.
    type: list
    elements: str
    default: [x86_64, aarch64]
  kernel:
    description: Oldest kernel release. By default the oldest that the XDP program was tried on.
    type: str
    default: "6.1"
  memory_bytes:
    description: Total memory needed, in bytes.
    type: int
    default: 0
  ports:
    description: Ports that must be free, or held by a container of ours or the TLS front.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: Port, 1 to 65535.
        type: int
        required: true
      name:
        description: The service that is to listen there.
        type: str
        required: true
      protocol:
        description: Transport protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
      variable:
        description: The Ansible variable that sets the port, for the remedy.
        type: str
        default: ""
      address:
        description: Address that is to be listened on.
        type: str
        default: 0.0.0.0
      addresses:
        description: Addresses instead of that one, where there are several.
        type: list
        elements: str
        default: []
  disk:
    description: Space that will be taken. What falls on one file system is added up.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it will be taken. The nearest existing parent directory is measured.
        type: path
        required: true
      need_bytes:
        description: Bytes needed.
        type: int
        required: true
      what:
        description: What takes the space.
        type: str
        required: true
  interfaces:
    description: Network interfaces that must exist.
    type: list
    elements: str
    default: []
  pending_interfaces:
    description: Network interfaces that will be made before they are needed, so that they are not missed.
    type: list
    elements: str
    default: []
  features:
    description:
      - Kernel features that must be there.
      - V(btf) is type information of the kernel, V(bpffs) a BPF file system that is mounted or can be, V(cgroup) are
        control groups that are mounted, V(iommu) is an IOMMU, which vfio needs and XDP does not, V(nf_tables) is the
        packet filter that M(tripod.baremetal.firewall) needs.
    type: list
    elements: str
    choices: [btf, bpffs, cgroup, iommu, nf_tables]
    default: [btf, bpffs, cgroup]
  commands:
    description: Programs that must be found.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the program.
        type: str
        required: true
      package:
        description: The package that brings it, for the remedy.
        type: str
        required: true
  policy:
    description: Entries that the XDP program is to be given, as M(tripod.baremetal.xdp_map) takes them.
    type: list
    elements: dict
    default: []
    suboptions:
      prefix:
        description: IPv4 or IPv6 source prefix without host bits.
        type: str
        required: true
      action:
        description: What becomes of packets from there.
        type: str
        choices: [drop, pass]
        default: drop
  policies:
    description:
      - Policies by name that XDP programs are to be given, as the option C(policy) of M(tripod.baremetal.xdp_policy)
        takes them. Their limits are held against the host's clock.
      - It is a warning where the address that the connection comes from is in no trusted prefix and no trusted flow.
      - Files that lists name are not looked at.
    type: dict
    default: {}
    version_added: 2.0.0
  xdp:
    description:
      - Programs that are to be attached.
      - For native mode, the driver's support, the MTU against the driver's limit, receive offloads that merge packets,
        and the channels are checked, as far as O(nics) does not declare them otherwise.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the interface. One that does not exist is left to O(interfaces).
        type: str
        required: true
      mode:
        description: Where the program is to run, as M(tripod.baremetal.xdp_program) takes it.
        type: str
        choices: [native, generic, offload]
        default: native
      state:
        description: V(detached) for an interface that is to have none.
        type: str
        choices: [attached, detached]
        default: attached
      policy:
        description: Name of the policy that is to judge its packets; looked at for services that workers serve.
        type: str
        default: ""
        version_added: 2.0.0
      before:
        description: Program of others that has each packet first; not looked at here.
        type: dict
        version_added: 2.0.0
      after:
        description: Program of others that has each packet that passed; not looked at here.
        type: dict
        version_added: 2.0.0
  pin_root:
    description: Where our programs are pinned, by which they are told from those of others.
    type: path
    default: /sys/fs/bpf/tripod
  nics:
    description: NICs that are to be set up, as M(tripod.baremetal.nic) takes them.
    type: list
    elements: dict
    default: []
  drivers:
    description: Drivers with their minimum versions and module options, as M(tripod.baremetal.driver) takes them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the kernel module.
        type: str
        required: true
      options:
        description: Module options.
        type: dict
        default: {}
      minimum_version:
        description: Oldest version.
        type: str
      minimum_firmware:
        description: Oldest firmware of every NIC that it drives.
        type: str
      xdp_features:
        description: What it must offer XDP on every NIC that it drives.
        type: list
        elements: str
        default: []
  hugepages:
    description: Huge pages that are to be reserved.
    type: dict
    default: {}
    suboptions:
      reservations:
        description: Pages by node and size.
        type: list
        elements: dict
        default: []
        suboptions:
          node:
            description: NUMA node.
            type: int
            default: 0
          size:
            description: Size of a page.
            type: str
            required: true
          count:
            description: Number of pages.
            type: int
            required: true
      keep:
        description: Memory that the host must be left with.
        type: str
        default: 512M
  cpu_plan:
    description:
      - The CPU plan, with the options of M(tripod.baremetal.cpu_isolation). An empty option is as good as none.
      - Nothing is checked without O(cpu_plan.housekeeping), O(cpu_plan.housekeeping_cores) or O(cpu_plan.isolated).
    type: dict
    default: {}
    suboptions:
      housekeeping:
        description: CPUs of the host itself.
        type: str
      housekeeping_cores:
        description: Cores of each node for the host itself.
        type: int
      isolated:
        description: Isolated CPUs.
        type: str
      isolation:
        description: What they are isolated from.
        type: list
        elements: str
      split_cores:
        description: Whether threads of one core may be on both sides.
        type: bool
      governor:
        description: Governor of the isolated CPUs.
        type: str
      assignments:
        description: Who gets which CPUs.
        type: list
        elements: dict
        suboptions:
          name:
            description: Who.
            type: str
            required: true
          cpus:
            description: These CPUs.
            type: str
          cores:
            description: So many cores.
            type: int
          node:
            description: Cores of this NUMA node.
            type: int
          nic:
            description: Cores of the NUMA node of this NIC.
            type: str
  boot_arguments:
    description: Boot arguments, as M(tripod.baremetal.kernel_args) takes them.
    type: list
    elements: str
    default: []
  sysctls:
    description: The kernel's variables, as M(tripod.baremetal.sysctl) takes them.
    type: dict
    default: {}
  users:
    description: Users of services, as M(tripod.baremetal.service_users) takes them.
    type: list
    elements: dict
    default: []
    version_added: 1.1.0
    suboptions:
      name:
        description: Name of the user and of its group.
        type: str
        required: true
      uid:
        description: Number of both.
        type: int
        required: true
      comment:
        description: What the user is for.
        type: str
        default: ""
      variable:
        description: Variable that sets the number, for the remedy.
        type: str
        default: ""
  containers:
    description:
      - Limits of containers. One that the host cannot keep, or that leaves a service too little to start with, is an
        error. An empty one is as good as none.
    type: list
    elements: dict
    default: []
    version_added: 1.1.0
    suboptions:
      role:
        description: The role that runs it, with whose name the variables begin that set its limits.
        type: str
        choices: [postgres, flask_backend, webui, go_backend, rabbitmq]
        required: true
      memory:
        description: Memory, from what the service takes by itself to that of the host.
        type: str
        default: ""
      cpus:
        description: CPUs' worth of time, from C(0.01) to the number of the host's CPUs; C(0) is no limit.
        type: str
        default: ""
      pids:
        description: Processes and threads, at least C(64).
        type: str
        default: ""
      shm_size:
        description: Shared memory, which is a part of O(containers[].memory).
        type: str
        default: ""
  bridges:
    description: Names of container networks, which their bridges on the host get too.
    type: list
    elements: str
    default: []
    version_added: 1.1.0
  workers:
    description:
      - Workers of AF_XDP, as M(tripod.baremetal.afxdp_workers) takes them. They are held against NICs, huge pages and
        policies as O(nics), O(hugepages), O(xdp) and O(policies) declare them to become.
      - The mode that each of their NICs can give - zero-copy, native copy or generic - is reported, and what a kernel
        lacks.
    type: list
    elements: dict
    default: []
    version_added: 2.0.0
  worker_capabilities:
    description: Capabilities that their container is given instead of those that it needs; empty for those.
    type: list
    elements: str
    default: []
    version_added: 2.0.0
  container_label:
    description: Label of the containers that are ours, as C(key=value).
    type: str
    default: org.tripod.collection=tripod.baremetal
  docker_socket:
    description: Where the Docker Engine answers, if one does.
    type: path
    default: /run/docker.sock
  fail:
    description: Whether an error ends the task. The message holds the whole table.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Check before anything is changed
  tripod.baremetal.preflight:
    memory_bytes: "{{ '2GiB' | ansible.builtin.human_to_bytes }}"
    ports:
      - port: "{{ webui_port }}"
        name: webui
        variable: webui_port
    disk:
      - path: /var/lib/docker
        need_bytes: "{{ '4GiB' | ansible.builtin.human_to_bytes }}"
        what: container images
    interfaces: [ens1]

- name: See whether a NIC can become what it is to be, and run XDP then
  tripod.baremetal.preflight:
    xdp:
      - name: ens1
    nics:
      - pci: "0000:81:00.0"
        channels: {combined: 4}
        mtu: 3000
    hugepages:
      reservations:
        - {node: 1, size: 2M, count: 512}
    fail: false
  register: preflight
"""

RETURN = r"""
passed:
  description: Whether there is no error. Nothing else counts.
  type: bool
  returned: always
findings:
  description: Everything that was found, errors first, then warnings.
  type: list
  elements: dict
  returned: always
  contains:
    severity:
      description: V(error), V(warning), or V(info) for what is good to know.
      type: str
      sample: error
    subject:
      description: What it is about.
      type: str
      sample: port 3000/tcp (webui)
    found:
      description: What is there.
      type: str
      sample: process 4242 (python3 -m http.server 3000) listens on 0.0.0.0:3000
    limit:
      description: What is needed.
      type: str
      sample: free, or a service of ours
    remedy:
      description: The way out.
      type: str
      sample: stop it, or set webui_port to another port
table:
  description: The findings as a text table; empty where there is none.
  type: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.module import respond
from ..module_utils._preflight.module import OPTIONS, answer


def main() -> None:
    respond(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True), answer, changes=False)


if __name__ == "__main__":
    main()
