#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: driver
short_description: Set options of drivers, and require versions, firmware and XDP features of them
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Writes the options of all drivers into one file of its own, C(/etc/modprobe.d/tripod.conf), and compares them with
    what the loaded modules run with.
  - The initramfs holds a copy of that file, which counts where a driver is loaded from there. One that is older than
    the file is rebuilt with C(update-initramfs), where that is installed and the kernel has a module of one of the
    drivers. That takes up to minutes for each kernel, of which check mode warns.
  - Never reloads a driver, as that takes its links down. RV(reload_required) names those that need it.
  - A requirement that is not met fails the task before anything is changed.
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  drivers:
    description: All drivers. An empty list removes the file.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the kernel module.
        type: str
        required: true
      options:
        description: Values by parameter, as C(modinfo) names them.
        type: dict
        default: {}
      minimum_version:
        description:
          - Oldest version of the driver, compared number by number, so that V(9.20) is newer than V(9.3).
          - Drivers without a version of their own have the kernel's.
        type: str
      minimum_firmware:
        description: Oldest firmware of every NIC that it drives. The first version in what the driver reports counts.
        type: str
      xdp_features:
        description: What the driver must offer on every NIC that it drives, such as V(basic) or V(xsk-zerocopy).
        type: list
        elements: str
        default: []
"""

EXAMPLES = r"""
- name: Let the driver make no virtual functions, and require XDP and a firmware
  tripod.baremetal.driver:
    drivers:
      - name: igb
        options: {max_vfs: "0"}
        minimum_firmware: "3.25"
        xdp_features: [basic, redirect]
"""

RETURN = r"""
changes:
  description: What was, or would be, done.
  returned: success
  type: list
  elements: str
  sample: ["/etc/modprobe.d/tripod.conf igb: absent -> max_vfs=0"]
drivers:
  description: Every driver that was named, as it runs.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the module.
      type: str
      sample: igb
    loaded:
      description: Whether it is loaded.
      type: bool
      sample: true
    version:
      description: Its own version, else the kernel's.
      type: str
      sample: 6.12.48+deb13-amd64
    parameters:
      description: Parameters that can be read back, with their values.
      type: dict
      sample: {max_vfs: "0"}
reload_required:
  description: Drivers that run with other options than those that are set.
  returned: success
  type: list
  elements: str
  sample: [igb]
reboot_required:
  description: Whether there is any such driver, as a reboot reloads it.
  returned: success
  type: bool
  sample: true
reboot_reasons:
  description: Which options those are.
  returned: success
  type: list
  elements: str
  sample: ["igb: max_vfs is 2, 0 is set: reload the driver (modprobe -r igb && modprobe igb), or reboot"]
reasons:
  description: Everything that stood in the way, each with its remedy.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._boot.driver_module import OPTIONS, answer
from ..module_utils._core.module import respond


def main() -> None:
    respond(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True), answer)


if __name__ == "__main__":
    main()
