#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: xdp_map
short_description: Declare the source prefixes that the XDP program passes or drops
version_added: 1.0.0
description:
  - The short form of a policy, as M(tripod.baremetal.xdp_policy) takes it as well. The variable C(xdp_acl) of the role
    C(tripod.baremetal.xdp) stays.
  - Entries are two lists of the policy C(nic-<interface>), C(acl) and C(acl-pass), which is
    put in force as by M(tripod.baremetal.xdp_policy). The longest prefix that holds a packet's source address decides.
  - Each entry has an owner. This module compares and changes only the entries of the owner C(inventory); those written
    through the API stay, and a prefix that is theirs is refused.
  - The whole list is one call and comes into force in one step.
  - A guard that nobody confirms restores the entries before. A program's guard that is armed is extended.
deprecated:
  removed_in: 3.0.0
  why: A list of prefixes is one policy of many, and one module declares them all.
  alternative: >-
    Use M(tripod.baremetal.xdp_policy) with O(tripod.baremetal.xdp_policy#module:entries), which makes the same policy
    of the same entries.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
  - tripod.baremetal.guard
requirements:
  - libbpf 1.0 or newer (Debian package C(libbpf1), which comes with iproute2)
  - A program attached by M(tripod.baremetal.xdp_program)
  - root with the capabilities SYS_ADMIN and NET_ADMIN
options:
  interface:
    description: Name of the interface.
    type: str
    required: true
  entries:
    description:
      - Policy entries, each prefix once, together with those of O(src). At most 1,000,000 with all owners together.
      - Required unless O(src) is given; an empty list requests no entries.
    type: list
    elements: dict
    suboptions:
      prefix:
        description:
          - IPv4 or IPv6 source prefix without host bits, such as V(192.0.2.0/24) or V(2001:db8::/32).
          - An address alone is one host.
        type: str
        required: true
      action:
        description: What becomes of packets from there.
        type: str
        choices: [drop, pass]
        default: drop
  src:
    description:
      - A file on the host with further entries, for policies of thousands, which are slow as a task's argument.
      - Each line has a prefix and, behind blanks, V(drop) or V(pass); without it, V(drop). What follows a C(#) is a
        comment. Mistakes are reported with their line.
    type: path
    version_added: 1.1.0
  state:
    description:
      - V(exact) makes O(entries) the whole of this owner's entries, and the policy the one that judges the interface.
      - V(present) adds or changes O(entries) and leaves the owner's others.
      - V(absent) removes O(entries), whatever their action.
    type: str
    choices: [exact, present, absent]
    default: exact
  pin_root:
    description: The O(tripod.baremetal.xdp_program#module:pin_root) that the program was attached with.
    type: path
    default: /sys/fs/bpf/tripod
  state_dir:
    description:
      - Directory of the state files C(policy-nic-<interface>-inventory.json) and C(xdp_policy-<interface>.json), from
        which the host agent puts the policy in force again after a reboot.
    type: path
    default: /etc/tripod/host.d
seealso:
  - module: tripod.baremetal.change_guard
  - module: tripod.baremetal.xdp_policy
  - module: tripod.baremetal.xdp_program
"""

EXAMPLES = r"""
- name: Drop two networks but for one host
  tripod.baremetal.xdp_map:
    interface: ens1
    entries:
      - prefix: 192.0.2.0/24
      - prefix: 192.0.2.7/32
        action: pass
      - prefix: 2001:db8::/32

- name: Drop one more and leave the rest
  tripod.baremetal.xdp_map:
    interface: ens1
    entries:
      - prefix: 198.51.100.0/24
    state: present

- name: Drop what a file on the host lists
  tripod.baremetal.xdp_map:
    interface: ens1
    src: /etc/tripod/blocklist

- name: Remove all entries of the inventory
  tripod.baremetal.xdp_map:
    interface: ens1
    entries: []
"""

RETURN = r"""
added:
  description: Number of entries added.
  type: int
  returned: success
  sample: 2
removed:
  description: Number of entries removed.
  type: int
  returned: success
  sample: 0
modified:
  description: Number of entries whose action changed.
  type: int
  returned: success
  sample: 1
entries:
  description: Number of entries of this owner after the call; before it, in check mode.
  type: int
  returned: success
  sample: 3
guard:
  description: The guard that was armed; none where there was no need.
  type: dict
  returned: always, unless the options are malformed
  contains:
    id:
      description: What M(tripod.baremetal.change_guard) confirms it by.
      type: str
      sample: xdp-1c2d3e4f
    armed:
      description: Whether it is armed.
      type: bool
    subject:
      description: What is guarded.
      type: str
      sample: xdp
    reason:
      description: Why it was armed.
      type: str
      sample: ens1 carries the connection from 192.0.2.1
    timeout:
      description: Seconds from arming to the deadline.
      type: float
      sample: 60
    remaining:
      description: Seconds until the host reverts, when the guard was armed.
      type: float
      sample: 59.4
reasons:
  description: Everything that stood in the way, each with its remedy; the first twenty.
  type: list
  elements: str
  returned: failure
"""

from collections.abc import Sequence

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import Change, CoreError, converge
from ..module_utils._core.lock import changing
from ..module_utils._core.module import answering
from ..module_utils._core.state_store import DIRECTORY
from ..module_utils._core.system import Host
from ..module_utils._guard import arm
from ..module_utils._xdp.policy_entries import ENTRIES, parse_entries, read_file
from ..module_utils._xdp.policy_map import Policy, Tables, XdpMap, counts, own_entries
from ..module_utils._xdp.request import KIND as PROGRAM
from ..module_utils._xdp.request import PIN_ROOT


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "interface": {"type": "str", "required": True},
            "entries": ENTRIES,
            "src": {"type": "path"},
            "state": {"type": "str", "choices": ["exact", "present", "absent"], "default": "exact"},
            "pin_root": {"type": "path", "default": PIN_ROOT},
            "state_dir": {"type": "path", "default": DIRECTORY},
            **arm.OPTIONS,
        },
        required_one_of=[("entries", "src")],
        supports_check_mode=True,
    )
    with answering(module):
        options = module.params
        guard = None

        def protect(changes: Sequence[Change], state: Tables) -> None:
            nonlocal guard
            restores, files = resource.restores(state)
            # One guard with the program's: both are confirmed, or reverted, together.
            guard = arm.protect(
                host, PROGRAM, [policy.interface], restores, options["guard"], options["guard_timeout"], files
            )

        try:
            policy = Policy(
                interface=options["interface"],
                entries=parse_entries(options["entries"] or (), read_file(options["src"]) if options["src"] else ()),
                mode=options["state"],
                pin_root=options["pin_root"],
                state_directory=options["state_dir"],
            )
            resource = XdpMap(policy)
            with changing(Host(), module.check_mode) as host:
                outcome = converge(resource, policy, host, module.check_mode, protect)
        except CoreError as error:
            module.fail_json(msg=str(error), **{"guard": guard and guard.facts, **error.facts})
        # One line per entry would be megabytes for a full map, so they are reported only to those who request the diff.
        diff = {"diff": outcome.diff} if module._diff else {}
        module.exit_json(
            changed=outcome.changed,
            entries=len(own_entries(policy, outcome.state)),
            guard=guard and guard.facts,
            **counts(outcome.changes),
            **diff,
        )


if __name__ == "__main__":
    main()
