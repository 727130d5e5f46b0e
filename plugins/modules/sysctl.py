#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sysctl
short_description: Set the kernel's variables, now and at boot, all in one call
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Brings every variable of a list to its value, by C(/proc/sys), and keeps the list in one file of its own,
    C(/etc/sysctl.d/60-tripod.conf), which is read at boot.
  - Names that the kernel lacks or only shows, and malformed values, are reported all at once before anything is
    changed. What the kernel shows afterwards is compared with what was requested.
  - A variable that is no longer requested gets its original value, from before this module first set it, unless
    somebody gave it another one since.
  - Variables that exclude each other, such as C(vm.dirty_bytes) and C(vm.dirty_ratio), are one setting. Both at once
    are refused, and the original of both is restored. Switches for several, such as C(kernel.watchdog), come first.
  - An original value that the kernel does not take back is a warning.
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  variables:
    description:
      - Values by name. Names are written as C(sysctl) takes them, C(net.ipv4.conf.all.rp_filter) or with slashes
        where a part has a dot, C(net/ipv4/conf/eth0.100/rp_filter).
      - An empty dictionary removes what is ours and nothing else.
      - Huge pages are for M(tripod.baremetal.hugepages), and refused here.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Let the kernel take more packets in one go
  tripod.baremetal.sysctl:
    variables:
      net.core.netdev_budget: 600
      net.core.netdev_max_backlog: 10000
      net.ipv4.tcp_rmem: 4096 131072 16777216

- name: Remove what is ours
  tripod.baremetal.sysctl:
    variables: {}
"""

RETURN = r"""
changes:
  description: What was, or would be, done.
  returned: success
  type: list
  elements: str
  sample: ["live net.core.netdev_budget: 300 -> 600"]
overridden:
  description:
    - Variables that a file, which this host's reader takes after ours at boot, sets to another value or takes out.
    - With systemd C(/etc/sysctl.conf) is such a file only where one of C(sysctl.d) links to it, as on Debian 12.
  returned: success
  type: list
  elements: str
reasons:
  description: Everything that stood in the way, each with its remedy.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._boot.sysctl_module import OPTIONS, answer
from ..module_utils._core.module import respond


def main() -> None:
    respond(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True), answer)


if __name__ == "__main__":
    main()
