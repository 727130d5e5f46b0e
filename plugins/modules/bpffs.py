#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bpffs
short_description: Mount the BPF file system and make the directory that pins go to
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Mounts the BPF file system where nothing did, which systemd does by itself and other systems do not.
  - Makes the directory that M(tripod.baremetal.xdp_program) pins into, with mode C(0750).
  - C(/etc/fstab) is left alone.
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  mount:
    description: Mount point.
    type: path
    default: /sys/fs/bpf
  path:
    description: Directory of the pins, below O(mount).
    type: path
    default: /sys/fs/bpf/tripod
  group:
    description: Number of the group that may look into it.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Make room for pins that the data plane service may see
  tripod.baremetal.bpffs:
    path: /sys/fs/bpf/tripod
    group: 562
"""

RETURN = r"""
changes:
  description: What was, or would be, done.
  returned: success
  type: list
  elements: str
  sample: ["/sys/fs/bpf type: absent -> bpf"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import converge, exit_arguments
from ..module_utils._core.lock import changing
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._xdp.bpffs import Bpffs, PinRoot


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "mount": {"type": "path", "default": "/sys/fs/bpf"},
            "path": {"type": "path", "default": "/sys/fs/bpf/tripod"},
            "group": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    with answering(module), changing(Host(), module.check_mode) as host:
        desired = PinRoot(**module.params)
        outcome = converge(Bpffs(desired), desired, host, check=module.check_mode)
        module.exit_json(**exit_arguments(outcome))


if __name__ == "__main__":
    main()
