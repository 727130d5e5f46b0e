#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_args
short_description: Set the kernel's boot arguments, and report whether they are in effect
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Keeps an ordered list of boot arguments in one file of its own, C(/etc/default/grub.d/zz-tripod.cfg). Arguments of
    other files are never touched.
  - Compares three things, which are that file, the entry of C(grub.cfg) that boots next, and C(/proc/cmdline). So a
    C(grub.cfg) that a power cut kept from being made is made now, and RV(reboot_required) is computed from what the
    host shows, not from what an earlier run saved.
  - A new C(grub.cfg) is made beside the live one with C(grub-mkconfig) and takes its place only where the entry that
    boots next has the arguments in order. Otherwise the task fails and everything is as it was.
  - Recovery entries do not get the arguments.
  - Nothing is rebooted. Boot loaders other than GRUB as Debian and Ubuntu arrange it are refused.
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  arguments:
    description:
      - The arguments that are ours, one an item, in order. Repeated ones are legal, as in C(hugepagesz=1G hugepages=4
        hugepagesz=2M hugepages=512), and so are those of which each counts, such as C(console) and C(memmap). Others of
        one name and different values contradict each other and are refused.
      - An empty list removes what is ours and nothing else.
      - A value with blanks is put in double quotes. Signs that a shell or GRUB would read as theirs, as in
        C(memmap=64K$0x18690000), are quoted for both. Quotes within a value, backslashes and signs beyond ASCII are
        refused, as GRUB does not pass them on unchanged.
      - C(isolcpus) and C(nohz_full) of other CPUs than the saved plan of M(tripod.baremetal.cpu_isolation) are refused.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Isolate two CPUs and reserve large pages at boot
  tripod.baremetal.kernel_args:
    arguments:
      - isolcpus=managed_irq,domain,2-3
      - nohz_full=2-3
      - hugepagesz=1G
      - hugepages=0:2,1:4
  register: boot

- name: Say why a reboot is required
  ansible.builtin.debug:
    var: boot.reboot_reasons
  when: boot.reboot_required

- name: Remove what is ours
  tripod.baremetal.kernel_args:
    arguments: []
"""

RETURN = r"""
changes:
  description: What was, or would be, done.
  returned: success
  type: list
  elements: str
pending:
  description: Arguments of the entry that boots next, in order; in check mode, as they would be.
  returned: success
  type: list
  elements: str
  sample: ["root=LABEL=ROOT", "ro", "quiet", "isolcpus=2-3"]
running:
  description: Arguments of the running kernel, in order.
  returned: success
  type: list
  elements: str
  sample: ["BOOT_IMAGE=/boot/vmlinuz-6.12.48-amd64", "root=LABEL=ROOT", "ro", "quiet"]
entry:
  description: Title of the menu entry that boots next.
  returned: success
  type: str
  sample: Debian GNU/Linux
conflicts:
  description: Arguments that others set to another value. Ours come after them.
  returned: success
  type: list
  elements: str
  sample: ["/etc/default/grub line 6 sets isolcpus=1, which isolcpus=2-3 comes after"]
reboot_required:
  description: Whether an argument of ours is not in effect yet, or one that was removed still is.
  returned: success
  type: bool
  sample: true
reboot_reasons:
  description: Which.
  returned: success
  type: list
  elements: str
  sample: ["boot arguments isolcpus=2-3 are set for the next boot and not in effect"]
boot_id:
  description: Identity of the running boot. It differs after a reboot.
  returned: success
  type: str
  sample: 8a3e6f7e-6a56-4a3a-8d0c-2b3ff6f0f7b1
reasons:
  description: Everything that stood in the way, each with its remedy.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._boot.kernel_args_module import OPTIONS, answer
from ..module_utils._core.module import respond


def main() -> None:
    respond(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True), answer)


if __name__ == "__main__":
    main()
