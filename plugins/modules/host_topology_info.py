#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_topology_info
short_description: Report what a host is made of, as far as packets care
version_added: 1.0.0
description:
  - Returns NUMA nodes with their CPUs, memory and hugepages, the CPUs and how they share cores, each NIC with its
    driver, place, queues, rings, interrupts, IOMMU and XDP state, the running kernel, and irqbalance.
  - A value that the kernel or a driver does not give is none, never 0.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes.info
options: {}
"""

EXAMPLES = r"""
- name: Read the topology
  tripod.baremetal.host_topology_info:
  register: topology

- name: Show the CPUs beside each NIC
  ansible.builtin.debug:
    msg: "{{ item.name }} sits at node {{ item.numa_node }}, beside CPUs {{ cpus[item.numa_node] }}"
  loop: "{{ topology.nics | rejectattr('numa_node', 'none') }}"
  vars:
    cpus: "{{ topology.nodes | items2dict(key_name='id', value_name='cpus') }}"
"""

RETURN = r"""
nodes:
  description: NUMA nodes, by id. The whole machine is node 0 where the kernel knows no nodes.
  type: list
  elements: dict
  returned: success
  contains:
    id:
      description: Number of the node.
      type: int
      sample: 0
    cpus:
      description: Its CPUs.
      type: list
      elements: int
      sample: [0, 1]
    memory_total:
      description: Its memory, in bytes.
      type: int
      sample: 2079051776
    memory_free:
      description: The unused part of it, in bytes.
      type: int
      sample: 1779437568
    hugepages:
      description: Its hugepages, by size.
      type: list
      elements: dict
      contains:
        size:
          description: Bytes of one page.
          type: int
          sample: 2097152
        total:
          description: Pages reserved.
          type: int
          sample: 512
        free:
          description: Pages of them that are unused.
          type: int
          sample: 512
    distance:
      description: Distance to each node in the order of their ids; 10 is local.
      type: list
      elements: int
      sample: [10, 21]
cpus:
  description: The machine's CPUs.
  type: dict
  returned: success
  contains:
    online:
      description: CPUs in use.
      type: list
      elements: int
    present:
      description: CPUs that exist.
      type: list
      elements: int
    isolated:
      description: CPUs taken from the scheduler.
      type: list
      elements: int
    nohz_full:
      description: CPUs without the timer tick.
      type: list
      elements: int
    siblings:
      description: Groups of hardware threads that share a core.
      type: list
      elements: list
      sample: [[0, 2], [1, 3]]
nics:
  description: Network interfaces but for loopback, by interface index.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Interface name.
      type: str
      sample: ens1
    ifindex:
      description: Interface index.
      type: int
      sample: 2
    kind:
      description: Kind of a virtual interface, such as V(veth); none for hardware.
      type: str
    driver:
      description: Driver.
      type: str
      sample: igb
    driver_version:
      description: Version of the driver.
      type: str
    firmware_version:
      description: Version of the firmware.
      type: str
    pci_address:
      description: PCI function.
      type: str
      sample: "0000:81:00.0"
    numa_node:
      description: NUMA node; none where the hardware does not say.
      type: int
      sample: 1
    mac:
      description: Current MAC address.
      type: str
      sample: "52:54:00:12:34:56"
    permanent_mac:
      description: MAC address burnt into the hardware.
      type: str
    mtu:
      description: MTU, in bytes.
      type: int
      sample: 1500
    up:
      description: Administrative state.
      type: bool
    operstate:
      description: Operational state.
      type: str
      sample: up
    speed_mbps:
      description: Link speed, in Mbit/s; none while there is no link.
      type: int
      sample: 1000
    queues:
      description: Number of C(rx) and C(tx) queues in use.
      type: dict
      sample: {"rx": 4, "tx": 4}
    channels:
      description: Channels by kind (C(rx), C(tx), C(other), C(combined)), each with C(current) and C(max).
      type: dict
      sample: {"combined": {"current": 4, "max": 8}}
    rings:
      description: Descriptors by ring (C(rx), C(tx), ...), each with C(current) and C(max).
      type: dict
      sample: {"rx": {"current": 256, "max": 4096}, "tx": {"current": 256, "max": 4096}}
    irqs:
      description: Interrupts that its driver has requested, by number; none while the interface is down.
      type: list
      elements: dict
      contains:
        irq:
          description: Number of the interrupt.
          type: int
          sample: 42
        name:
          description: What the driver calls it.
          type: str
          sample: ens1-TxRx-0
        queue:
          description: Queue that it serves; none for an interrupt of another purpose.
          type: int
          sample: 0
        cpus:
          description: CPUs that may handle it.
          type: str
          sample: 2-3
        effective:
          description: CPUs that do; none where the kernel does not say.
          type: str
          sample: "2"
        movable:
          description: Whether its CPUs can be chosen.
          type: bool
        pending:
          description: Whether it moves to its new CPUs when it next fires.
          type: bool
    iommu:
      description: C(group) of its IOMMU and C(type) of the domain; none without an IOMMU.
      type: dict
      sample: {"group": 12, "type": "DMA-FQ"}
    xdp:
      description: What the driver can do with XDP, and what is attached.
      type: dict
      contains:
        features:
          description:
            - Features the driver claims; empty for a driver without native XDP.
            - None where the kernel cannot say (before 6.3).
          type: list
          elements: str
          sample: [basic, redirect]
        mode:
          description: V(native), V(generic), V(offload), V(multi), or none where nothing is attached.
          type: str
        programs:
          description: Program by mode, each with C(id), and C(name) and C(tag) where they can be read.
          type: dict
          sample: {"native": {"id": 42, "name": tripod_xdp, "tag": 3b185187f1855c4c}}
kernel:
  description: The running kernel.
  type: dict
  returned: success
  contains:
    release:
      description: Release.
      type: str
      sample: 6.12.9-amd64
    cmdline:
      description: Boot arguments in order; repeated ones count.
      type: list
      elements: str
      sample: [quiet, default_hugepagesz=1G]
    btf:
      description: Whether the kernel describes its own types.
      type: bool
    bpffs:
      description: Whether a BPF file system is mounted at C(/sys/fs/bpf).
      type: bool
    transparent_hugepages:
      description: Mode in use by C(enabled) and C(defrag); empty where the kernel has none.
      type: dict
      sample: {"enabled": "madvise", "defrag": "madvise"}
    hugetlbfs:
      description: Mount points at which programs find huge pages as files.
      type: list
      elements: str
      sample: [/dev/hugepages]
irqbalance:
  description: What moves interrupts by itself.
  type: dict
  returned: success
  contains:
    command:
      description: How its systemd unit starts it; none where there is no such unit.
      type: str
      sample: /usr/sbin/irqbalance --foreground
    banned:
      description: Interrupts that the M(tripod.baremetal.nic) module keeps it off; none where it keeps it off none.
      type: list
      elements: int
    stray:
      description: Whether it runs without systemd, where nothing keeps it off interrupts.
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import CoreError
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._linux.topology import LiveProbe, read


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    with answering(module):
        try:
            topology = read(Host(), LiveProbe())
        except (CoreError, OSError) as error:
            module.fail_json(msg=f"the host's topology cannot be read: {error}")
        module.exit_json(changed=False, **topology)


if __name__ == "__main__":
    main()
