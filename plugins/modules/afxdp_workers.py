#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: afxdp_workers
short_description: Say which handler of go-backend serves which queues of which NIC
version_added: 2.0.0
description:
  - Writes the file that go-backend reads its workers of AF_XDP from, and with O(service) has a running go-backend
    follow it. It changes only the workers that differ; the others lose no packet.
  - Everything that is wrong is reported at once, before anything is changed - queues that a NIC has not, or that have
    two workers; frames and rings that the kernel does not take; a mode that the driver has not; huge pages, CPUs or
    memory that are not there; unknown handlers, and what is wrong with their options; and a service of a policy that
    names a worker which serves none of the NICs that the policy judges.
  - What may not be meant is a warning - a worker that no service names, and a queue that neither RSS nor a flow rule
    sends packets to.
  - In check mode what the host cannot give is a warning too, as an earlier step of the same run may bring it.
    M(tripod.baremetal.preflight) holds workers against the NICs and huge pages as they are declared to become.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
requirements:
  - Linux 5.14 or newer
  - root
options:
  workers:
    description: All workers. Where the list is empty, the file is removed.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What a service of a policy names it by, C(afxdp:NAME). A letter, then up to 62 letters, digits, and signs of
            C(_.-).
        type: str
        required: true
      nic:
        description: Interface whose packets it takes. It has our XDP program.
        type: str
        required: true
      queues:
        description: Receive queues that it serves, each by a thread of its own, 0 to 63. Each queue has one worker.
        type: list
        elements: int
        required: true
      handler:
        description:
          - What becomes of the packets - V(sink) counts them, V(capture) too and lets them be looked at, V(reflect)
            sends them back, V(echo) answers pings, ARP, neighbour solicitations and UDP for addresses of its own,
            V(forward) sends them on by another NIC, V(balance) shares them out over backends.
        type: str
        required: true
      options:
        description:
          - What the handler takes; V(sink), V(capture) and V(reflect) take none.
          - Of V(echo), C(addresses), a list of IP addresses.
          - Of V(forward), C(peer), the other NIC, whose queues of the same numbers are served too; C(near) and C(far),
            each with C(next_hop), the MAC address that packets which leave by O(workers[].nic) and by the peer go to,
            and C(v4) and C(v6), the addresses that ICMP errors come from; and C(errors_per_second), up to 100000.
          - Of V(balance), C(addresses) that clients connect to; C(backends), each with C(name), C(address) and
            C(weight), 1 to 100; C(sources), what tunnels to them come from, one of each family; C(encapsulation),
            V(ipip) or V(gue), and C(gue_port); C(health_check), V(tcp), V(http) or V(none), C(health_port),
            C(health_path), C(health_host), C(health_interval_ms) and C(health_timeout_ms) in milliseconds,
            C(health_fall) and C(health_rise), checks after which a backend is out, and back; and C(errors_per_second).
        type: dict
        default: {}
      cpus:
        description: A CPU for each queue, in their order. Empty to take those of the container that are nearest to the
          NIC.
        type: list
        elements: int
        default: []
      mode:
        description: How packets come from the driver. V(auto) is zero-copy where the driver has it, else copy.
        type: str
        choices: [auto, zero-copy, copy]
        default: auto
      generic:
        description: Whether an XDP program in generic mode is good enough, where every packet is copied twice.
        type: bool
        default: false
      multi_buffer:
        description: Whether packets that are longer than a frame come in several. Linux 6.6 or newer.
        type: bool
        default: false
      rx_ring:
        description: Packets that the receive ring of a queue holds, a power of two up to 32768.
        type: int
        default: 2048
      tx_ring:
        description: Packets that its transmit ring holds, a power of two up to 32768.
        type: int
        default: 2048
      fill_ring:
        description: Frames that its fill ring holds, a power of two up to 32768, as many as O(workers[].rx_ring) or
          more. Twice as many where it is not given.
        type: int
      frame_size:
        description: Bytes of a frame, 2048 or 4096.
        type: int
        default: 4096
      frame_count:
        description: Frames of a queue. As many as its rings hold where it is not given, which is the least.
        type: int
      headroom:
        description: Bytes that are left free before a packet, beside the 256 of the kernel.
        type: int
        default: 0
      hugepages:
        description: Size of the pages that its frames are in; empty for the system's smallest.
        type: str
        choices: ["", 2M, 1G]
        default: ""
      hugepages_fallback:
        description: Whether other pages, or those of another node, are good enough where there are none.
        type: bool
        default: false
      node:
        description: NUMA node of its memory, -1 for any. The NIC's where it is not given.
        type: int
      batch:
        description: Packets that the handler gets at once, 18 to 4096.
        type: int
        default: 64
      spin:
        description: Whether it never sleeps, and takes its CPU whole.
        type: bool
        default: false
      busy_poll_us:
        description:
          - Microseconds, up to 1000000, that a call looks for packets in the driver by itself; 0 for interrupts. Takes
            effect with C(napi) of the NIC, see M(tripod.baremetal.nic).
        type: int
        default: 0
      busy_poll_budget:
        description: Packets that such a call handles, 1 to 65535.
        type: int
        default: 64
      watchdog_ms:
        description: Milliseconds, 50 to 60000, that it may stand still before its packets go on to the stack instead.
        type: int
        default: 100
  interfaces:
    description: Interfaces that have our XDP program, as C(xdp_interfaces) of the role P(tripod.baremetal.xdp#role).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the interface.
        type: str
        required: true
      mode:
        description: Where its program runs.
        type: str
        choices: [native, generic, offload]
        default: native
      policy:
        description: Name of its policy; V(default) where it is empty.
        type: str
        default: ""
      state:
        description: V(detached) for an interface that has none.
        type: str
        choices: [attached, detached]
        default: attached
      before:
        description: Program of others that has each packet first; not looked at here.
        type: dict
      after:
        description: Program of others that has each packet that passed; not looked at here.
        type: dict
  policies:
    description: Policies by name, as M(tripod.baremetal.xdp_policy) takes them; looked at for their services.
    type: dict
    default: {}
  path:
    description: The file.
    type: path
    default: /etc/tripod/workers/workers.json
  group:
    description: Numeric group that may read it.
    type: int
    default: 0
  cpus:
    description: CPU list that the container has; empty for all.
    type: str
    default: ""
  memory:
    description: Memory that the container may take, such as V(256M); empty for no limit.
    type: str
    default: ""
  pids:
    description: Threads and processes that the container may have, of which each queue takes one; V(0) for no limit.
    type: int
    default: 0
  service:
    description: The go-backend that is to follow the file. Where it is not given, the file is only written.
    type: dict
    suboptions:
      container:
        description: Name of its container.
        type: str
        required: true
      address:
        description: Address that it answers at for its health.
        type: str
        default: 127.0.0.1
      port:
        description: Port there.
        type: int
        required: true
      required:
        description:
          - Whether it must run and follow. Where it need not, one that does not run, or has no file of workers, is left
            alone, and it is a warning where it does not follow. In check mode it need not.
        type: bool
        default: true
      timeout:
        description: Seconds that it may take.
        type: int
        default: 30
      docker_socket:
        description: Socket of the Docker Engine, which sends the signal.
        type: path
        default: /run/docker.sock
seealso:
  - module: tripod.baremetal.nic
  - module: tripod.baremetal.xdp_policy
  - module: tripod.baremetal.hugepages
"""

EXAMPLES = r"""
- name: Answer for an address on two queues of a NIC, and have go-backend do it
  tripod.baremetal.afxdp_workers:
    interfaces:
      - {name: ens1f0, policy: edge}
    policies:
      edge:
        services:
          - {name: echo, match: {protocol: udp, port: 7}, action: "afxdp:edge"}
    workers:
      - name: edge
        nic: ens1f0
        queues: [2, 3]
        handler: echo
        options: {addresses: [192.0.2.1, "2001:db8::1"]}
        hugepages: 2M
    group: 562
    service: {container: tripod-go-backend, port: 8080}
"""

RETURN = r"""
changes:
  description: One line for each worker that differed, and for go-backend where it was to read its file.
  type: list
  elements: str
  returned: success
  sample: ["tripod-go-backend workers: absent -> 5c1a0b2f9e77"]
capabilities:
  description: Capabilities that a container must have for these workers.
  type: list
  elements: str
  returned: success
  sample: [NET_RAW, IPC_LOCK]
memory_nodes:
  description: The NUMA nodes that the container's memory should be on, all of them where not every worker is on the
    same one; empty where the host has one node, or there are no workers.
  type: str
  returned: success
  sample: "1"
threads:
  description: How many threads, one for each queue.
  type: int
  returned: success
  sample: 2
workers:
  description: With O(service), what runs, one for each queue.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The worker.
      type: str
      sample: edge
    nic:
      description: Its NIC.
      type: str
      sample: ens1f0
    queue:
      description: Its queue.
      type: int
      sample: 2
    mode:
      description: The mode that it obtained.
      type: str
      sample: zero-copy
    cpu:
      description: The CPU that its thread is on.
      type: int
      sample: 5
reasons:
  description: Everything that stood in the way, each with its limit and the way out.
  type: list
  elements: str
  returned: failure
  sample: ["worker edge: queue 9 of ens1f0: it has 4, 0 to 3: give it more channels (nic_interfaces), or serve fewer"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.module import respond
from ..module_utils._workers.module import OPTIONS, answer


def main() -> None:
    respond(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True), answer)


if __name__ == "__main__":
    main()
