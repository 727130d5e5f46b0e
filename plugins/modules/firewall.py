#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: Keep others from networks of containers, and these from what they do not need
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Keeps a table of its own in the kernel's packet filter, C(inet tripod). It is replaced as a whole in one
    transaction, and no other table is read, flushed or changed. An accept in it does not end what other tables decide.
  - What arrives from outside for an address of a network, or for a loopback address, is dropped before a container
    engine translates addresses. Ports that an engine publishes are reached under their published addresses only.
  - Containers of a network reach each other, of the host what O(networks[].host_ports) names, and of other machines
    what O(networks[].outside_ports) names. They begin no other connection, neither to the host nor to other networks,
    nor to the Internet.
  - Processes of a user in O(processes) answer, and begin no connection but to the local ports and other machines
    that are named.
  - Each rule that drops counts what it dropped; C(nft list table inet tripod) shows it.
  - Connections that exist when the table is made go on.
  - What is requested is saved in C(/etc/tripod/host.d/firewall.json). C(tripod-host) makes the table at boot, before
    the network comes up, and again within seconds where somebody changes or removes it.
requirements:
  - The C(nft) command (package C(nftables)), and nf_tables in the kernel.
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  state:
    description:
      - With V(present), the table is as requested.
      - With V(absent), the table and its state file are removed, and the other options have no effect.
    type: str
    choices: [present, absent]
    default: present
  networks:
    description: Networks of containers.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the network, for rules and messages.
        type: str
        required: true
      bridge:
        description: Its interface on the host. It need not exist yet; an interface that is no bridge is refused.
        type: str
        required: true
      subnets:
        description: Its prefixes. One that overlaps the network of another interface is refused.
        type: list
        elements: str
        required: true
      published:
        description: Whether ports of its containers are published by a container engine.
        type: bool
        default: false
      host_ports:
        description: What its containers may reach on the host.
        type: list
        elements: dict
        default: []
        suboptions:
          address:
            description: The host's address on that network.
            type: str
            required: true
          port:
            description: Port.
            type: int
            required: true
          protocol:
            description: Transport protocol.
            type: str
            choices: [tcp, udp]
            default: tcp
      outside_ports:
        description: What its containers may reach on other machines; of a network with O(networks[].published) alone.
        type: list
        elements: dict
        default: []
        suboptions:
          address:
            description: The other machine's address.
            type: str
            required: true
          port:
            description: Port.
            type: int
            required: true
          protocol:
            description: Transport protocol.
            type: str
            choices: [tcp, udp]
            default: tcp
  processes:
    description: Services on the host's own network.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the service, for rules and messages.
        type: str
        required: true
      uid:
        description: The user that it runs as, and nothing else does. Not root.
        type: int
        required: true
      local_ports:
        description: TCP ports on the host itself that it may connect to.
        type: list
        elements: int
        default: []
      outside_ports:
        description: What it may reach on other machines.
        type: list
        elements: dict
        default: []
        suboptions:
          address:
            description: The other machine's address.
            type: str
            required: true
          port:
            description: Port.
            type: int
            required: true
          protocol:
            description: Transport protocol.
            type: str
            choices: [tcp, udp]
            default: tcp
"""

EXAMPLES = r"""
- name: Let the containers of one network reach one port of the host, and be reached under published ports
  tripod.baremetal.firewall:
    networks:
      - name: front
        bridge: front
        subnets: [172.30.0.0/24]
        published: true
        host_ports:
          - {address: 172.30.0.1, port: 50051}
    processes:
      - {name: data-plane, uid: 562, local_ports: [8080, 50051]}

- name: Remove the table
  tripod.baremetal.firewall:
    state: absent
"""

RETURN = r"""
changes:
  description: What was, or would be, done.
  returned: success
  type: list
  elements: str
  sample: ["table inet tripod: present -> absent"]
reasons:
  description: Everything that stood in the way, each with its remedy.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.module import respond
from ..module_utils._firewall.module import OPTIONS, answer


def main() -> None:
    respond(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True), answer)


if __name__ == "__main__":
    main()
