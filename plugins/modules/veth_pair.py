#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: veth_pair
short_description: Make a NIC and its cable in software
version_added: 1.0.0
description:
  - Makes or removes a pair of virtual Ethernet interfaces (veth). The far end can live in a network namespace of its
    own, so that traffic between the two crosses the near end as it would cross a NIC.
  - An interface of the same name that is not the veth with that other end is refused, never changed.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
requirements:
  - pyroute2 >= 0.7.2 (Debian package C(python3-pyroute2))
options:
  name:
    description: Near end, in the namespace where the module runs. At most 15 characters.
    type: str
    required: true
  peer:
    description: Far end. At most 15 characters.
    type: str
    required: true
  peer_netns:
    description:
      - Network namespace of the far end, as named below C(/run/netns). Made where it is absent.
      - With O(state=absent) it is removed only if this module made it, and refused while other interfaces are in it.
      - Both ends are in the same namespace where this is not given.
    type: str
  addresses:
    description:
      - Addresses of the near end, each with its prefix length, IPv4 or IPv6.
      - The list is complete, others are removed, but for link-local ones. Not compared where it is not given.
    type: list
    elements: str
  peer_addresses:
    description: Addresses of the far end, in the same way.
    type: list
    elements: str
  mtu:
    description: MTU of both ends, in bytes, 68 to 65535. Not compared where it is not given.
    type: int
  queues:
    description:
      - Receive and transmit queues of each end, 1 to 4096.
      - Native XDP needs as many receive queues as the other end has transmit queues.
      - Fixed when the pair is made; another number for an existing pair is an error.
    type: int
  up:
    description: Whether both ends are up.
    type: bool
    default: true
  state:
    description: Whether the pair exists.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Make a lab NIC whose cable ends in a namespace
  tripod.baremetal.veth_pair:
    name: tripod0
    peer: tripod1
    peer_netns: tripod-lab
    addresses: [198.51.100.1/24, 2001:db8:100::1/64]
    peer_addresses: [198.51.100.2/24, 2001:db8:100::2/64]
    queues: 2

- name: Remove it and the namespace made for it
  tripod.baremetal.veth_pair:
    name: tripod0
    peer: tripod1
    peer_netns: tripod-lab
    state: absent
"""

RETURN = r"""
changes:
  description: One line for each step that was carried out, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: ["netns tripod-lab: absent -> present", "tripod0 up: False -> True"]
interface:
  description: The near end as read back; none where it does not exist. In check mode as it was found.
  type: dict
  returned: success
  contains: &end
    ifindex:
      description: Interface index in its namespace.
      type: int
      sample: 8
    mtu:
      description: MTU in bytes.
      type: int
      sample: 1500
    queues:
      description: Receive queues.
      type: int
      sample: 2
    up:
      description: Administrative state.
      type: bool
      sample: true
    addresses:
      description: Addresses with prefix length, without link-local ones.
      type: list
      elements: str
      sample: [198.51.100.1/24]
peer_interface:
  description: The far end, in the same form.
  type: dict
  returned: success
  contains: *end
"""

import os

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils._core.converge import Outcome, converge, exit_arguments
from ..module_utils._core.lock import changing
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._deploy.veth_pair import PYROUTE2_IMPORT_ERROR, End, Pair, VethPair


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "peer": {"type": "str", "required": True},
            "peer_netns": {"type": "str"},
            "addresses": {"type": "list", "elements": "str"},
            "peer_addresses": {"type": "list", "elements": "str"},
            "mtu": {"type": "int"},
            "queues": {"type": "int"},
            "up": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    with answering(module), changing(Host(), module.check_mode) as host:
        options = module.params
        if PYROUTE2_IMPORT_ERROR:
            if options["state"] == "absent" and not _anything(options):
                module.exit_json(**exit_arguments(Outcome([], None), interface=None, peer_interface=None))
            module.fail_json(msg=missing_required_lib("pyroute2"), exception=PYROUTE2_IMPORT_ERROR)
        resource = VethPair(options["name"], options["peer"], options["peer_netns"])
        desired = Pair(
            present=options["state"] == "present",
            near=_end(options["addresses"]),
            far=_end(options["peer_addresses"]),
            mtu=options["mtu"],
            queues=options["queues"],
            up=options["up"],
        )
        outcome = converge(resource, desired, host, check=module.check_mode)
        near, far = outcome.state.near, outcome.state.far
        module.exit_json(
            **exit_arguments(outcome, interface=near and near.facts(), peer_interface=far and far.facts()),
        )


def _anything(options: dict) -> bool:
    """Whether there may be something to remove, as far as is known without the library."""
    places = [f"/sys/class/net/{options['name']}", f"/run/netns/{options['peer_netns']}"]
    return any(os.path.lexists(place) for place in places)


def _end(addresses: list[str] | None) -> End:
    return End(None if addresses is None else tuple(addresses))


if __name__ == "__main__":
    main()
