#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hugepages
short_description: Reserve huge pages per NUMA node, now and at boot, and mount them
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Brings the number of huge pages of every node and size that is named to what is requested. What is not named is left
    alone.
  - Where free memory is fragmented, it is compacted and the kernel tries again, a few times. Pages that still cannot
    be had fail the task, and the previous counts are restored. Only for the sizes in O(at_boot) a reboot can bring the
    rest, which RV(reboot_required) then says; the pages that could be had stay.
  - Writes a systemd mount unit of its own for each of O(mounts) and mounts it at once. C(/etc/fstab) is left alone.
  - Everything is saved in a state file on the host, which C(tripod-host) reapplies at boot.
  - Boot arguments are computed, not set; hand RV(boot_arguments) to M(tripod.baremetal.kernel_args).
extends_documentation_fragment:
  - tripod.baremetal.attributes
attributes:
  check_mode:
    details:
      - Whether the kernel can find as many contiguous pages is known only when it has to reserve them.
options:
  state:
    description:
      - With V(present), what is requested is so.
      - With V(absent), counts, modes and mounts get their original values, from before the first call, and the other
        options have no effect.
    type: str
    choices: [present, absent]
    default: present
  reservations:
    description: Pages that nodes keep, each node and size once.
    type: list
    elements: dict
    default: []
    suboptions:
      node:
        description: NUMA node; V(0) on a machine without NUMA.
        type: int
        default: 0
      size:
        description: Size of a page, such as V(2M), V(1G) or a number of bytes.
        type: str
        required: true
      count:
        description: Pages.
        type: int
        required: true
  at_boot:
    description:
      - Sizes that boot arguments reserve too, as the kernel finds gigantic pages for certain only then. Others are
        reserved when the state file is reapplied at boot.
      - Kernels from 5.16 on take a count for each node; older ones spread the sum over all nodes.
    type: list
    elements: str
    default: [1G]
  default_size:
    description: Size of the pages that programs get which name none. Takes a reboot.
    type: str
  mounts:
    description: All huge page file systems that are ours. One that is no longer named is unmounted.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Mount point.
        type: path
        required: true
      size:
        description: Size of a page.
        type: str
        required: true
      mode:
        description: Permission bits of its root directory, in octal.
        type: str
        default: "0755"
      owner:
        description: Name or number of the user who owns it.
        type: str
        default: "0"
      group:
        description: Name or number of its group.
        type: str
        default: "0"
      limit:
        description: Most memory that its files may take, a multiple of the page size. Unlimited by default.
        type: str
  transparent:
    description: Modes of transparent huge pages. What is not named is left alone.
    type: dict
    default: {}
    suboptions:
      enabled:
        description: Who gets them, V(always), V(madvise) or V(never).
        type: str
      defrag:
        description: When memory is compacted for them, V(always), V(defer), V(defer+madvise), V(madvise) or V(never).
        type: str
  drop_caches:
    description: Whether clean file caches of the whole host may be dropped where memory is fragmented.
    type: bool
    default: false
  keep:
    description: Memory that the host is left with beside all huge pages. Reservations that leave less are refused.
    type: str
    default: 512M
"""

EXAMPLES = r"""
- name: Reserve pages on both nodes and mount the large ones for the data plane
  tripod.baremetal.hugepages:
    reservations:
      - {node: 0, size: 2M, count: 512}
      - {node: 1, size: 2M, count: 2048}
      - {node: 1, size: 1G, count: 4}
    mounts:
      - {path: /dev/hugepages-1G, size: 1G, mode: "1770", group: dataplane}
    transparent:
      enabled: madvise
  register: pages

- name: Reserve them at the next boot too
  tripod.baremetal.kernel_args:
    arguments: "{{ pages.boot_arguments }}"

- name: Restore the original values
  tripod.baremetal.hugepages:
    state: absent
"""

RETURN = r"""
changes:
  description: What was, or would be, done.
  returned: success
  type: list
  elements: str
  sample: ["pages 1 1G: 0 -> 4"]
pools:
  description: Every pool of the host after the call; before it in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    node:
      description: NUMA node.
      type: int
      sample: 1
    size:
      description: Size of a page.
      type: str
      sample: 1G
    total:
      description: Pages reserved.
      type: int
      sample: 4
    free:
      description: Pages that nobody uses.
      type: int
      sample: 4
boot_arguments:
  description: Ordered boot arguments for the sizes in O(at_boot) and for O(default_size).
  returned: success
  type: list
  elements: str
  sample: ["hugepagesz=1G", "hugepages=1:4"]
reboot_required:
  description: Whether pages are missing that a reboot with RV(boot_arguments) brings.
  returned: success
  type: bool
  sample: true
reboot_reasons:
  description: Why.
  returned: success
  type: list
  elements: str
  sample: ["node 1: 2 of 4 pages of 1 GiB are there; boot arguments bring the rest"]
reasons:
  description: Everything that stood in the way, each with its remedy.
  returned: failure
  type: list
  elements: str
stands:
  description: What a run that failed half way had changed before, and left so; the original values are saved.
  type: list
  elements: str
  returned: when a step failed
  sample: ["pages 0 2M: 8 -> 64"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.module import respond
from ..module_utils._hugepages.module import OPTIONS, answer


def main() -> None:
    respond(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True), answer)


if __name__ == "__main__":
    main()
