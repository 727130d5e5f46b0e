#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: xdp_policy
short_description: Declare by which policy the XDP program judges packets
version_added: 2.0.0
description:
  - Compiles a policy and puts it in force on interfaces whose program was attached by M(tripod.baremetal.xdp_program).
    The order is trusted, lists, rules, limits, services, default.
  - No packet is judged by half a policy, whatever its size. Counters of parts that stay go on.
  - A policy that is in force already is recognised by its digest and touches nothing.
  - The parts of a policy have owners. This module declares those of the owner C(inventory); those that came through
    the API or from feeds stay.
  - A policy that outgrows the program that runs is put in force with a program that is loaded anew, without a packet
    that passes unjudged.
  - A guard that nobody confirms restores the policy before. A program's guard that is armed is extended.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
  - tripod.baremetal.guard
requirements:
  - libbpf 1.0 or newer (Debian package C(libbpf1), which comes with iproute2)
  - A program attached by M(tripod.baremetal.xdp_program)
  - root with the capabilities SYS_ADMIN, NET_ADMIN and, for a policy that outgrows the program that runs, CHOWN
options:
  name:
    description:
      - Name of the policy, 1 to 32 letters, digits, C(_) and C(-).
      - Required unless O(entries) or O(src) is given for one interface, whose own policy C(nic-<interface>) it is then.
    type: str
  interfaces:
    description:
      - Names of the interfaces that it judges. Give all of them in one call.
      - A policy that no interface names any more is removed by the agent within two days, with the parts of all owners.
        Its last revisions stay, and can be restored once an interface names it again (C(tripod-host policy restore)).
      - With O(state=absent) those that no policy is to judge, so that everything passes there.
    type: list
    elements: str
    required: true
  policy:
    description:
      - The parts that the inventory declares, C(trusted), C(lists), C(rules), C(limits), C(services) and C(default).
      - Everything that is wrong with it is reported at once, each with its place.
      - A list may name a C(file) on the host, a prefix a line, instead of or beside its C(prefixes); very long ones are
        slow as a task's argument.
      - A service of action C(syncookie) costs its clients options. A connection that it answered has an MSS, and no
        window scaling, SACK or timestamps. It answers under attack only, unless C(net.ipv4.tcp_syncookies) is 2.
      - Where a list or an entry C(expires) after a duration such as V(24h), that counts from when it was first
        declared. Running again does not renew it.
      - With O(state=present) this is required, or O(entries) or O(src).
    type: dict
  entries:
    description:
      - The policy in the short form, instead of O(policy), together with O(src). Each prefix is there once. It is two
        lists, C(acl) and C(acl-pass), and the longest prefix that holds a packet's source address decides.
      - An empty list declares nothing, so that everything passes.
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
      - A file on the host with further O(entries), for policies of thousands, which are slow as a task's argument.
      - Each line has a prefix and, behind blanks, V(drop) or V(pass); without it, V(drop). What follows a C(#) is a
        comment. Mistakes are reported with their line.
    type: path
  tests:
    description:
      - What has to become of packets by the policy. A twin of the program judges them before it comes into force, and
        the policy is refused where something else becomes of one. Nothing is tried where the policy is in force already
        and its tests are those of before.
      - They are saved on the host, captures included, and hold for whoever changes the policy later, through the API,
        the command line or a feed. A change that fails one which held before is refused. Bans, the way back to an
        earlier revision, the guard and a boot are never refused. Without tests, what was saved is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What messages call it, in a few words.
        type: str
      frame:
        description:
          - The packet, by C(source), C(destination), C(protocol), C(source_port), C(destination_port), C(tcp_flags),
            C(icmp_type), C(vlan), C(fragment) and C(length). Only C(source) is required.
          - Either this or O(tests[].pcap).
        type: dict
      pcap:
        description:
          - A capture on the host, pcap or pcapng, whose frames are tried, each for itself. What was not captured of one
            counts as zeros. Up to 10,000 frames of Ethernet.
        type: path
      number:
        description: Only this frame of O(tests[].pcap), counted from 1 as Wireshark does. All by default.
        type: int
      expect:
        description:
          - What is expected, out of C(verdict), C(reason), C(would), C(trusted), C(banned), and the names of the
            C(list), C(rule), C(limit) and C(service) that have a say, those in observe mode too.
          - A name is one that O(policy) declares, as nobody else's may be relied on. V(null) is none.
        type: dict
        required: true
  staged:
    description:
      - Where files that O(policy) and O(tests) name are read from instead, by the path that they name.
      - For check mode, while the files are still to be shipped.
    type: dict
    default: {}
  state:
    description:
      - V(present) puts the policy in force.
      - V(absent) removes the parts that the inventory declares.
    type: str
    choices: [present, absent]
    default: present
  pin_root:
    description: The O(tripod.baremetal.xdp_program#module:pin_root) that the programs were attached with.
    type: path
    default: /sys/fs/bpf/tripod
  state_dir:
    description:
      - Directory of the state files C(policy-<name>-inventory.json) and C(xdp_policy-<interface>.json), from which the
        host agent puts the policy in force again after a reboot.
    type: path
    default: /etc/tripod/host.d
seealso:
  - module: tripod.baremetal.change_guard
  - module: tripod.baremetal.xdp_program
"""

EXAMPLES = r"""
- name: Judge what two NICs receive
  tripod.baremetal.xdp_policy:
    name: edge
    interfaces: [ens1f0, ens1f1]
    policy:
      trusted:
        - prefix: 192.0.2.0/28
        - {protocol: tcp, port: 22}
      lists:
        - {name: bogons, action: drop, file: /etc/tripod/bogons.txt}
        - {name: scanners, action: drop, mode: observe, prefixes: [203.0.113.0/24], expires: 24h}
      rules:
        - {id: no-snmp, protocol: udp, destination_port: 161, action: drop}
      limits:
        - {name: dns, per: service, bytes: 200M/s}
      services:
        - {name: resolver, protocol: udp, port: 53, limit: dns}
    tests:
      - name: scanners are only observed
        frame: {source: 203.0.113.9, protocol: tcp, destination_port: 443}
        expect: {verdict: pass, would: drop, list: scanners}
      - pcap: /etc/tripod/pcaps/customers.pcapng
        expect: {verdict: pass}

- name: Drop two networks but for one host
  tripod.baremetal.xdp_policy:
    interfaces: [ens1]
    entries:
      - prefix: 192.0.2.0/24
      - prefix: 192.0.2.7/32
        action: pass
      - prefix: 2001:db8::/32

- name: Let everything pass again
  tripod.baremetal.xdp_policy:
    name: edge
    interfaces: [ens1f0, ens1f1]
    state: absent
"""

RETURN = r"""
parts:
  description: How many parts of each kind were added, removed and modified, or would be in check mode.
  type: dict
  returned: success
  sample: {"lists": {"added": 1, "removed": 0, "modified": 0}}
digest:
  description: SHA-256 of what is in force now, by interface, in hexadecimal; in check mode as it was found.
  type: dict
  returned: success
slots:
  description: Slots of the map C(hits) by part, by interface; in check mode as they were found.
  type: dict
  returned: success
  sample: {"ens1f0": {"list:bogons": 1}}
seconds:
  description: Time that it took to C(compile), on all interfaces together, and C(total).
  type: dict
  returned: success
  sample: {"compile": 0.41, "total": 0.77}
changes:
  description: One line for each part that was changed, or would be in check mode.
  type: list
  elements: str
  returned: success
flips:
  description:
    - Of which packets something else would become, of those of the last minute's samples, as long as they are still in
      the NICs' ring buffers, and of O(tests). The diff shows them as C(verdicts).
  type: list
  elements: dict
  returned: in check mode, also where tests fail
  contains:
    frame:
      description: The packet, or the test that it is of.
      type: str
      sample: ens1f0 203.0.113.9:4000 > 192.0.2.1:443 tcp length 60
    before:
      description: What becomes of it now, and by whose word.
      type: str
      sample: pass no_rule
    after:
      description: What would become of it.
      type: str
      sample: drop list_drop list:scanners
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
  description: Everything that stood in the way, each with its remedy.
  type: list
  elements: str
  returned: failure
"""

from collections.abc import Sequence

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import Change, CoreError, converge, describe
from ..module_utils._core.converge import diff as differences
from ..module_utils._core.lock import changing
from ..module_utils._core.module import answering
from ..module_utils._core.state_store import DIRECTORY
from ..module_utils._core.system import Host
from ..module_utils._guard import arm
from ..module_utils._xdp import policy_options, policy_set
from ..module_utils._xdp.policy_entries import ENTRIES
from ..module_utils._xdp.policy_set import PolicySet, SetState
from ..module_utils._xdp.request import KIND as PROGRAM
from ..module_utils._xdp.request import PIN_ROOT


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str"},
            "interfaces": {"type": "list", "elements": "str", "required": True},
            "policy": {"type": "dict"},
            "entries": ENTRIES,
            "src": {"type": "path"},
            "tests": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str"},
                    "frame": {"type": "dict"},
                    "pcap": {"type": "path"},
                    "number": {"type": "int"},
                    "expect": {"type": "dict", "required": True},
                },
                "required_one_of": [("frame", "pcap")],
                "mutually_exclusive": [("frame", "pcap"), ("frame", "number")],
            },
            "staged": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "pin_root": {"type": "path", "default": PIN_ROOT},
            "state_dir": {"type": "path", "default": DIRECTORY},
            **arm.OPTIONS,
        },
        required_if=[("state", "present", ["policy", "entries", "src"], True)],
        mutually_exclusive=[("policy", "entries"), ("policy", "src")],
        supports_check_mode=True,
    )
    with answering(module):
        options = module.params
        guard = None

        def protect(changes: Sequence[Change], state: SetState) -> None:
            nonlocal guard
            restores, files = policy_set.restores(desired, state), policy_set.guarded_files(desired, state)
            # One guard with the program's: both are confirmed, or reverted, together.
            guard = arm.protect(
                host, PROGRAM, desired.interfaces, restores, options["guard"], options["guard_timeout"], files
            )

        try:
            desired = policy_options.from_options(options)
            resource = PolicySet(desired, preview=module.check_mode)
            with changing(Host(), module.check_mode) as host:
                outcome = converge(resource, desired, host, module.check_mode, protect)
        except CoreError as error:
            module.fail_json(msg=str(error), **{"guard": guard and guard.facts, **error.facts})
        for warning in resource.warnings:
            module.warn(warning)
        # A policy can be megabytes, so it is reported only to those who request the diff.
        turned = [Change(("verdicts", one.frame), one.before, one.after) for one in outcome.state.trial.flips]
        diff = {"diff": differences([*outcome.changes, *turned])} if module._diff else {}
        module.exit_json(
            changed=outcome.changed,
            changes=[describe(change) for change in outcome.changes],
            guard=guard and guard.facts,
            **resource.facts(outcome),
            **diff,
        )


if __name__ == "__main__":
    main()
