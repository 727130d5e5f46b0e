#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nic
short_description: Bring NICs, their queues and their interrupts to one plan
version_added: 1.0.0
description:
  - Sets rings, channels, coalescing, offloads, pause, private flags, MTU, RSS, flow rules, interrupt affinity, XPS and
    RPS of all NICs of a host in one call, in the order that drivers need.
  - Only what is requested is compared, and nothing that is right already is touched. Whatever a NIC cannot do, from a
    ring beyond the hardware's maximum to a feature that is fixed, is reported at once for all NICs, before anything is
    changed. Afterwards everything is read back.
  - Interrupts are placed from the topology. Those of a NIC's queues go to CPUs of its NUMA node, one queue for each
    core before second hardware threads are used, spread over the NICs of a node; isolated CPUs, those of the CPU
    plan or of the kernel's boot arguments, are used only where they are named. A NIC of a node without CPUs is served
    from the nearest that has some. irqbalance, where systemd runs it, is kept off them.
  - Which queue an interrupt serves is read from the kernel, or else from its driver's names. One whose name is not
    known stays where it is, with a warning; where no queue is known at all, O(nics[].irq) is refused.
  - What is requested is saved in C(/etc/tripod/host.d/nic.json) with the PCI address and the MAC, and with the original
    values, those before the first change. C(tripod-host) reapplies it at boot, at link-up and after a driver was loaded
    anew.
  - NICs that are not listed stay as they are, and saved if they were. Only those that are listed are compared.
  - Each setting of a NIC has one owner. A bond that is listed takes the settings that are given for it from what is
    saved for a member by itself, with a warning; a member that is listed goes before its bond. Both in one list are
    refused.
  - Original values are saved before the first change. A run that fails half way reports what stands, and
    O(state=absent) restores it.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
  - tripod.baremetal.guard
requirements:
  - Linux 5.10 or newer
  - root
options:
  state:
    description:
      - V(absent) restores the original values of every NIC that is saved, and forgets it, whatever O(nics) says.
    type: str
    choices: [present, absent]
    default: present
  nics:
    description:
      - The NICs, each by O(nics[].pci), O(nics[].mac) or O(nics[].name); all that are given must agree.
      - Required with O(state=present).
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Interface name.
          - For a bond, O(nics[].up), O(nics[].mtu) and O(nics[].txqueuelen) are its own; everything else is set on each
            of its members, one after the other.
        type: str
      pci:
        description: PCI address, such as V(0000:81:00.0).
        type: str
      mac:
        description: MAC address, the permanent one where the NIC has it.
        type: str
      state:
        description:
          - V(absent) restores the original values, those before this module's first change, and forgets the NIC.
        type: str
        choices: [present, absent]
        default: present
      up:
        description: Administrative state. A NIC is opened before and closed after everything else.
        type: bool
      mtu:
        description: MTU in bytes.
        type: int
      txqueuelen:
        description: Length of the transmit queue in packets.
        type: int
      rings:
        description:
          - Descriptors by C(rx), C(tx), C(rx_mini) and C(rx_jumbo), each a number or V(max). A driver that would round
            a number is not given it; the error names the size that fits.
          - Also C(rx_buf_len) and C(cqe_size) in bytes, C(tcp_data_split), C(tx_push) and C(rx_push) as booleans.
        type: dict
      channels:
        description:
          - Queues by C(combined), or C(rx) and C(tx), and C(other), each a number or V(max). While an XDP program is
            attached V(max) leaves those that the driver needs for it.
        type: dict
      coalesce:
        description:
          - Interrupt coalescing in the words of C(ethtool -C), such as C(rx_usecs), C(tx_frames), C(adaptive_rx).
        type: dict
      features:
        description:
          - Offloads, each on or off, by the kernel's name (C(rx-gro-hw)) or by C(ethtool -K)'s short or long one
            (C(lro), C(ntuple), C(tcp-segmentation-offload)). A name for several means those that the driver can
            switch.
        type: dict
      pause:
        description: Flow control. C(autoneg), C(rx) and C(tx), each on or off.
        type: dict
      private_flags:
        description: The driver's own switches, each on or off.
        type: dict
      napi:
        description:
          - How the kernel polls the queues (NAPI), the same for all of them. On a bond these are set on its members.
          - A socket of AF_XDP that busy-polls wants O(nics[].napi.defer_hard_irqs) and
            O(nics[].napi.gro_flush_timeout), so that interrupts stay off while it polls. How long other sockets
            busy-poll is a sysctl of the whole host, C(net.core.busy_poll) and C(net.core.busy_read); see
            M(tripod.baremetal.sysctl).
        type: dict
        suboptions:
          defer_hard_irqs:
            description:
              - Polls that find nothing before interrupts are switched on again, at most 2147483647. Without
                O(nics[].napi.gro_flush_timeout) it has no effect, of which there is a warning.
            type: int
          gro_flush_timeout:
            description:
              - Nanoseconds after which the kernel polls a queue by itself while its interrupts are off, and flushes
                what GRO holds; V(0) for neither, at most 1000000000. Packets wait that long where nobody polls.
            type: int
          threaded:
            description:
              - Whether each queue is polled by a thread of its own, C(napi/NAME-ID), which can be placed and ranked as
                any other, instead of in the softirq of the CPU that was interrupted. Linux 5.12 or newer.
              - It takes a queue that is polled. A veth has some while it is up with GRO or with an XDP program.
            type: bool
      rss:
        description: How received packets are spread over the queues.
        type: dict
        suboptions:
          equal:
            description: Evenly over the first so many queues.
            type: int
          weights:
            description: By queue, in these proportions; V(0) leaves a queue out.
            type: list
            elements: int
          table:
            description: Queue by bucket, the whole indirection table.
            type: list
            elements: int
          default:
            description: As the driver does it by itself, over all queues.
            type: bool
            default: false
          key:
            description: Hash key in hexadecimal, with or without colons, as long as the hardware's.
            type: str
          function:
            description: Hash function, such as V(toeplitz), V(xor) or V(crc32).
            type: str
          hash_fields:
            description:
              - What of a packet is hashed, by flow type (C(tcp4), C(udp4), C(sctp4), C(ah4), C(esp4), and with C(6)),
                in the letters of C(ethtool -N rx-flow-hash), such as V(sdfn) for addresses and ports.
            type: dict
      flow_rules:
        description:
          - All rules of the NIC's classifier within O(nics[].flow_rule_locations). Rules elsewhere are left alone, and
            foreign ones within are refused.
          - Needs the feature C(ntuple).
        type: list
        elements: dict
        suboptions:
          flow_type:
            description: C(ether), C(ip4), C(tcp4), C(udp4), C(sctp4), C(ah4), C(esp4), or those with C(6).
            type: str
            required: true
          match:
            description:
              - What a packet must have, by C(src_ip), C(dst_ip), C(src_port), C(dst_port), C(tos), C(tclass),
                C(l4proto), C(l4data), C(spi), C(src_mac), C(dst_mac), C(ethertype), C(vlan) and others of C(ethtool
                -N), each a value or value/mask. A set bit of a mask must match.
            type: dict
          queue:
            description: Receive queue for its packets.
            type: int
          drop:
            description: Drop its packets.
            type: bool
            default: false
          location:
            description: Place in the table. By default the first free one.
            type: int
      flow_rule_locations:
        description: First and last location that are this module's, such as V(1000-1063). By default the last 64.
        type: str
      irq:
        description: Where interrupts are handled. Given but empty, they are placed near the NIC.
        type: dict
        suboptions:
          placement:
            description: V(local) to have CPUs chosen, or a list of CPU lists, one for each queue or one for all.
            type: raw
            default: local
          cpus:
            description: CPU list to choose from, instead of those of the NIC's node. Isolated ones may be named.
            type: str
          avoid:
            description:
              - CPU list for housekeeping. No queue's interrupt is placed there, but those that serve no queue are.
            type: str
          other:
            description: CPU list for interrupts that serve no queue. By default those to avoid, else as they are.
            type: str
      xps:
        description:
          - V(auto) shares the CPUs of the NIC's node out over the transmit queues, V(off) leaves the choice to the
            hash, a list of CPU lists says it for each queue.
        type: raw
      rps:
        description: Spreading received packets in software.
        type: dict
        suboptions:
          cpus:
            description: CPU list for each receive queue; empty for none. Isolated CPUs cannot be used.
            type: str
          flow_entries:
            description:
              - Flows that the NIC holds (RFS), shared out over its queues. The table of all sockets is enlarged
                as far as needed, and never made smaller.
            type: int
seealso:
  - module: tripod.baremetal.change_guard
  - module: tripod.baremetal.cpu_isolation
  - module: tripod.baremetal.xdp_program
"""

EXAMPLES = r"""
- name: Give the data NIC four queues on the CPUs of its node
  tripod.baremetal.nic:
    nics:
      - pci: "0000:81:00.0"
        channels: {combined: 4}
        rings: {rx: max, tx: 1024}
        coalesce: {rx_usecs: 20}
        features: {lro: false}
        rss:
          equal: 4
          hash_fields: {udp4: sdfn}
        irq: {avoid: "0-1"}
        xps: auto

- name: Steer DNS to a queue of its own
  tripod.baremetal.nic:
    nics:
      - name: ens1f0
        features: {ntuple: true}
        rss: {weights: [1, 1, 1, 0]}
        flow_rules:
          - {flow_type: udp4, match: {dst_port: 53}, queue: 3}
        irq: {placement: ["2", "3", "4", "5"]}

- name: Leave the NIC's interrupts to sockets that busy-poll, which the kernel helps out after 200 microseconds
  tripod.baremetal.nic:
    nics:
      - name: ens1f0
        napi: {defer_hard_irqs: 2, gro_flush_timeout: 200000}

- name: Restore the original values
  tripod.baremetal.nic:
    nics:
      - {pci: "0000:81:00.0", state: absent}
"""

RETURN = r"""
changes:
  description: One line for each step that was carried out, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: ["ens1 channels combined: 8 -> 4", "ens1 rings rx: 256 -> 4096"]
disruptive:
  description: Those of RV(changes) that bounce the link or stop traffic.
  type: list
  elements: str
  returned: success
  sample: ["ens1 rings rx: 256 -> 4096"]
guard:
  description: The armed guard, which waits to be confirmed; none where none was needed.
  type: dict
  returned: success
  contains:
    id:
      description: Its name.
      type: str
      sample: nic-1f0c2a9e
    armed:
      description: Always true.
      type: bool
    reason:
      description: Why the change is guarded.
      type: str
      sample: ens1 carries the connection
    timeout:
      description: Seconds from arming to the revert.
      type: float
      sample: 60.0
    remaining:
      description: Seconds that are left of them.
      type: float
      sample: 58.7
nics:
  description: Each NIC as read back. In check mode as it was found.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Interface name.
      type: str
      sample: ens1
    pci:
      description: PCI address; none for a virtual interface.
      type: str
      sample: 0000:81:00.0
    mac:
      description: Permanent MAC address, else the current one.
      type: str
      sample: 52:54:00:12:34:56
    driver:
      description: Its driver.
      type: str
      sample: igb
    node:
      description: Its NUMA node; none where it is unknown.
      type: int
      sample: 1
    queues:
      description: Numbers of receive and transmit queues.
      type: dict
      sample: {"rx": 4, "tx": 4}
    irqs:
      description: The interrupts that the driver has requested.
      type: list
      elements: dict
      contains:
        irq:
          description: Number, of this boot and this load of the driver.
          type: int
          sample: 35
        name:
          description: What the driver calls it.
          type: str
          sample: ens1-TxRx-0
        queue:
          description: Queue that it serves; none for none.
          type: int
          sample: 0
        cpus:
          description: CPUs that may handle it.
          type: str
          sample: "2"
        effective:
          description: CPUs that do; none where the kernel does not say.
          type: str
          sample: "2"
        movable:
          description: Whether its CPUs can be chosen.
          type: bool
          sample: true
        pending:
          description: Whether it moves only when it next fires.
          type: bool
          sample: false
    unmovable:
      description: Interrupts whose CPUs the kernel manages itself.
      type: list
      elements: str
    notes:
      description: What to know about this NIC, such as queues that share a core.
      type: list
      elements: str
reasons:
  description: Everything that stood in the way, each with its limit and the way out.
  type: list
  elements: str
  returned: failure
  sample: ["ens1: rx ring 8192 > hardware maximum 4096"]
stands:
  description: What a run that failed half way had changed before, and left so; the original values are saved.
  type: list
  elements: str
  returned: when a step failed
  sample: ["ens1 rings rx: 256 -> 512"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.module import respond
from ..module_utils._nic.module import OPTIONS, REQUIRED_IF, answer


def main() -> None:
    respond(AnsibleModule(argument_spec=OPTIONS, required_if=REQUIRED_IF, supports_check_mode=True), answer)


if __name__ == "__main__":
    main()
