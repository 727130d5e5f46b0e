#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: xdp_program
short_description: Attach, replace or detach an XDP program on an interface
version_added: 1.0.0
description:
  - Loads a compiled BPF object with libbpf and attaches its XDP program to an interface through a pinned C(bpf_link),
    which outlives the process and which nobody evicts by accident.
  - Another object or program replaces the attached one in one step, so that no packet passes without a program. Maps
    whose layout is unchanged stay with their entries.
  - Everything that stands in the way is reported at once, each with its remedy, before anything is changed. Where a
    step fails later, what was before is restored.
  - A program of this collection has the policy that is saved for the interface before its first packet.
  - Program, link and maps are pinned below O(pin_root)C(/<interface>) as C(prog), C(link) and C(maps/<name>). A dot in
    the interface's name becomes a colon there.
  - A program of this collection calls one of somebody else's before it judges a packet, O(before), and one for what
    it passes, O(after). Both are loaded with it and stay over policies, replacements and boots. Their maps are pinned
    as C(maps/before:<name>) and C(maps/after:<name>) and go on as ours do. Where there is one before, C(prog) is what
    calls it, and the program that judges is pinned as C(judge).
  - A guard that nobody confirms restores what was attached before with its maps and entries, another owner's
    program too.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
  - tripod.baremetal.guard
requirements:
  - libbpf 1.0 or newer (Debian package C(libbpf1), which comes with iproute2)
  - Linux 5.7 or newer; a C(bpf_link) needs 5.9, older kernels are served by netlink
  - A BPF file system at O(pin_root)
  - root with the capabilities SYS_ADMIN, NET_ADMIN and, for O(pin_group), CHOWN
options:
  interface:
    description:
      - Name of the interface, 1 to 15 bytes without space, C(/), C(:) and C(~).
      - Devices on which a program does not see what arrives are refused, with the device to use instead. These are
        devices without an Ethernet header such as tun and WireGuard, bridges, VRFs, ifbs and ipvlans in mode l3s.
    type: str
    required: true
  state:
    description:
      - V(attached) attaches or replaces the program.
      - V(detached) removes the program, its pins and maps, and the state file; another owner's program stays.
    type: str
    choices: [attached, detached]
    default: attached
  object:
    description: Path on the host of the BPF ELF object. Required with O(state=attached).
    type: path
  sha256:
    description:
      - SHA-256 that the object must have, in lower-case hexadecimal. Checked on the very bytes that are loaded.
      - Any object is accepted where this is not given.
    type: str
  program:
    description:
      - Name of the program in the object. Needed only where the object has several XDP programs.
      - Of this collection's, the one for frames in several buffers is taken where the MTU needs it, else the plain one.
    type: str
  before:
    description:
      - Somebody else's program that has each packet first. It drops it, or whatever it likes, or hands it on by a tail
        call of slot 1 (C(EXTENSION_OURS)) of a map C(extensions), which its object declares as C(tripod_xdp.h) does.
      - It is of the kind of ours, C(SEC("xdp")), or C(SEC("xdp.frags")) where ours takes packets in several buffers.
      - Left out, there is none, and one that was there is taken out.
    type: dict
    suboptions: &extension
      object:
        description: Path on the host of its BPF ELF object.
        type: path
        required: true
      sha256:
        description: SHA-256 that the object must have, in lower-case hexadecimal. Without it, any is accepted.
        type: str
      program:
        description: Name of the program. Needed only where the object has several XDP programs.
        type: str
  after:
    description:
      - Somebody else's program that has each packet that ours passes. Its verdict holds. What ours counts and samples
        is its own verdict.
      - Its kind is as for O(before). It needs no map C(extensions).
      - Left out, there is none, and one that was there is taken out.
    type: dict
    suboptions: *extension
  mode:
    description:
      - Where the program runs, V(native) in the driver, V(generic) in the stack behind it, V(offload) on the NIC.
      - There is no silent fallback from one to another. Changing it detaches the program for a moment.
    type: str
    choices: [native, generic, offload]
    default: native
  pin_root:
    description:
      - Directory on a BPF file system below which is a directory for each interface. Made where it is absent.
      - It leads through no symbolic link and is not the BPF file system itself.
      - With O(state=detached) the place that the state file names counts.
    type: path
    default: /sys/fs/bpf/tripod
  pin_group:
    description:
      - Group, by name or number, that may list the pins (directories 0750) and read program and maps (0640). The owner
        is always root, and nobody else writes a map.
    type: str
    default: "0"
  incompatible_maps:
    description:
      - What to do where a pinned map's type, key size, value size, flags, number of entries or the meaning of its keys
        and values (names, offsets and types in their BTF) differ from the new object's.
      - V(fail) names each map and difference and changes nothing.
      - V(recreate) makes such maps anew; their entries are lost.
    type: str
    choices: [fail, recreate]
    default: fail
  replace_foreign:
    description: Whether to detach a program that this module did not attach. It is refused otherwise.
    type: bool
    default: false
  state_dir:
    description: Directory of the state file C(xdp-<interface>.json), which says what is requested.
    type: path
    default: /etc/tripod/host.d
seealso:
  - module: tripod.baremetal.change_guard
  - module: tripod.baremetal.xdp_policy
"""

EXAMPLES = r"""
- name: Attach the filter, or replace an older one without a gap
  tripod.baremetal.xdp_program:
    interface: ens1
    object: /var/lib/tripod/bpf/tripod_xdp.bpf.o
    sha256: 66a01835bc30e959fef54227b53c61aa2b0abb92cd04cdb51dbe916d88bb1c41
    pin_group: "562"

- name: Filter on a NIC whose driver has no native XDP
  tripod.baremetal.xdp_program:
    interface: ens2
    object: /var/lib/tripod/bpf/tripod_xdp.bpf.o
    mode: generic

- name: Have the site's own programs see each packet first, and what the filter passes
  tripod.baremetal.xdp_program:
    interface: ens1
    object: /var/lib/tripod/bpf/tripod_xdp.bpf.o
    before: {object: /opt/site/mark.bpf.o}
    after: {object: /opt/site/measure.bpf.o, program: latency}

- name: Take it off
  tripod.baremetal.xdp_program:
    interface: ens1
    state: detached
"""

RETURN = r"""
changes:
  description: One line for each step that was carried out, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: ["ens1 mode: absent -> native"]
disrupts:
  description: Whether a step stops traffic for a moment or may bounce the link.
  type: bool
  returned: success
mode:
  description: Mode read back from the kernel; none where nothing of ours is attached. In check mode as it was found.
  type: str
  returned: success
  sample: native
program:
  description: The attached program as the kernel describes it; none where nothing of ours is attached.
  type: dict
  returned: success
  contains:
    id:
      description: Program id.
      type: int
      sample: 421
    name:
      description: Name, cut to 15 characters by the kernel.
      type: str
      sample: tripod_xdp
    tag:
      description: Hash of the instructions. It says nothing about maps.
      type: str
      sample: dd8d1e5a2bf82f3a
extensions:
  description: Programs that it calls, by C(before), C(ours) and C(after), each as C(program).
  type: dict
  returned: success
  sample: {"after": {"id": 430, "name": "latency", "tag": "0f3a1c5b2bf82f3a"}}
maps:
  description:
    - The program's maps; C(rodata) is that of its constants.
    - Variables of a section C(.data.NAME) are the map C(NAME), other variables are none.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name, also of the pin.
      type: str
      sample: counters
    id:
      description: Map id.
      type: int
      sample: 150
    type:
      description: Map type.
      type: str
      sample: percpu_array
    key_size:
      description: Size of a key in bytes.
      type: int
      sample: 4
    value_size:
      description: Size of a value in bytes.
      type: int
      sample: 16
    max_entries:
      description: Most entries it can hold.
      type: int
      sample: 128
sha256:
  description: SHA-256 of the object behind the attached program; none where it is unknown.
  type: str
  returned: success
  sample: 66a01835bc30e959fef54227b53c61aa2b0abb92cd04cdb51dbe916d88bb1c41
pins:
  description: Directory of the pins.
  type: str
  returned: success
  sample: /sys/fs/bpf/tripod/ens1
guard:
  description: The guard that was armed; none where there was no need.
  type: dict
  returned: always, unless an option is malformed
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
verifier_log:
  description: What libbpf and the kernel's verifier said.
  type: str
  returned: failure, where the kernel does not accept the program
"""

import grp
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import CoreError, Invalid, converge, exit_arguments
from ..module_utils._core.lock import changing
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._guard.arm import OPTIONS as GUARD_OPTIONS
from ..module_utils._xdp.called import OTHERS
from ..module_utils._xdp.program import XdpProgram
from ..module_utils._xdp.request import MODES, PIN_ROOT, STATE_DIRECTORY, Desired, Extension
from ..module_utils._xdp.saved import Protection
from ..module_utils._xdp.state import facts

_EXTENSION = {
    "object": {"type": "path", "required": True},
    "sha256": {"type": "str"},
    "program": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "interface": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["attached", "detached"], "default": "attached"},
            "object": {"type": "path"},
            "sha256": {"type": "str"},
            "program": {"type": "str"},
            **{slot: {"type": "dict", "options": _EXTENSION} for slot in OTHERS},
            "mode": {"type": "str", "choices": list(MODES), "default": "native"},
            "pin_root": {"type": "path", "default": PIN_ROOT},
            "pin_group": {"type": "str", "default": "0"},
            "incompatible_maps": {"type": "str", "choices": ["fail", "recreate"], "default": "fail"},
            "replace_foreign": {"type": "bool", "default": False},
            "state_dir": {"type": "path", "default": STATE_DIRECTORY},
            **GUARD_OPTIONS,
        },
        required_if=[("state", "attached", ["object"])],
        supports_check_mode=True,
    )
    with answering(module):
        try:
            desired = _desired(module.params)
        except Invalid as error:
            module.fail_json(msg=str(error))
        host = Host()
        protection = Protection(host, desired, module.params["guard"], module.params["guard_timeout"])
        try:
            with changing(host, module.check_mode):
                outcome = converge(XdpProgram(desired), desired, host, module.check_mode, protection)
        except CoreError as error:
            module.fail_json(msg=str(error), **{"guard": protection.facts, **error.facts})
        state = facts(outcome.state)
        module.exit_json(
            **exit_arguments(outcome, disrupts=outcome.disrupts, pins=desired.pins, guard=protection.facts, **state)
        )


def _desired(options: Mapping[str, Any]) -> Desired:
    return Desired(
        interface=options["interface"],
        present=options["state"] == "attached",
        object=options["object"] or "",
        sha256=options["sha256"],
        program=options["program"],
        mode=options["mode"],
        pin_root=options["pin_root"],
        pin_group=_group_id(options["pin_group"]),
        recreate_maps=options["incompatible_maps"] == "recreate",
        replace_foreign=options["replace_foreign"],
        state_directory=options["state_dir"],
        extensions={slot: Extension(**options[slot]) for slot in OTHERS if options[slot]},
    )


def _group_id(group: str) -> int:
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise Invalid(f"pin_group {group!r} does not exist on this host: make the group, or give a number") from None


if __name__ == "__main__":
    main()
