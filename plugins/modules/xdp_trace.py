#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: xdp_trace
short_description: Count the packets that XDP programs lose, and say why
version_added: 1.0.0
description:
  - Watches the kernel's tracepoints of XDP exceptions and of failed redirections and transmissions for a while, and
    returns how many packets met which fate, by interface, action and reason.
  - Such packets vanish before any counter of the network stack sees them, and most drivers do not count them either.
  - Nothing on the host is changed, so check mode watches too. The events are added up inside the kernel.
  - The kernel gives interface indices without their network namespace. Names are those of the namespace in which the
    module runs, so an interface of a container may appear under the name of another one with the same index here.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes.info
requirements:
  - bcc for the Python of the module (Debian and Ubuntu package C(python3-bpfcc))
  - headers of the running kernel (C(linux-headers-$(uname -r))), or a kernel that carries them (C(CONFIG_IKHEADERS))
  - root, or the capabilities BPF and PERFMON
options:
  duration:
    description:
      - How long to watch, in seconds, 1 to 3600.
      - Above the timeout of the connection, run the task with C(async).
    type: int
    default: 10
  interfaces:
    description: Count only packets that came in by these interfaces. All are counted where none is named.
    type: list
    elements: str
    default: []
notes:
  - Compiling takes a few seconds, during which nothing is counted yet.
"""

EXAMPLES = r"""
- name: See whether packets get lost behind the XDP programs
  tripod.baremetal.xdp_trace:
    duration: 30
  register: trace

- name: Fail if any was
  ansible.builtin.assert:
    that: trace.total == 0
    fail_msg: "{{ trace.counts | map(attribute='reason') | join('; ') }}"

- name: Watch one NIC for an hour
  tripod.baremetal.xdp_trace:
    duration: 3600
    interfaces: [ens1]
  async: 3700
  poll: 30
"""

RETURN = r"""
seconds:
  description: How long was watched, in seconds.
  type: float
  returned: success
  sample: 30.0
events:
  description: Tracepoints that were watched. An older kernel lacks some.
  type: list
  elements: str
  returned: success
  sample: [xdp_exception, xdp_redirect_err, xdp_redirect_map_err, xdp_bulk_tx, xdp_devmap_xmit, xdp_cpumap_enqueue]
total:
  description:
    - Sum of all counts, 0 where nothing got lost.
    - A packet that a driver fails to redirect is counted by two events, C(xdp_redirect_err) and C(xdp_exception).
  type: int
  returned: success
  sample: 1024
lost:
  description: Packets on top of those whose fate found no room in the table; 0 but for thousands of distinct fates.
  type: int
  returned: success
  sample: 0
counts:
  description: Packets by their fate, most first.
  type: list
  elements: dict
  returned: success
  contains:
    event:
      description: Tracepoint.
      type: str
      sample: xdp_redirect_map_err
    interface:
      description: Interface that the packets came in by; none where the kernel or this namespace does not know it.
      type: str
      sample: ens1
    ifindex:
      description: Its index; none where the event does not say.
      type: int
      sample: 2
    action:
      description: What the program returned, as V(aborted), V(drop), V(pass), V(tx), V(redirect), or V(unknown 42).
      type: str
      sample: redirect
    error:
      description: Name of the error; none where there was no error number.
      type: str
      sample: ENETDOWN
    reason:
      description: What that means.
      type: str
      sample: the interface to leave by is down, or has no carrier
    to_interface:
      description: Interface that the packets were to leave by, if known.
      type: str
      sample: ens2
    map_id:
      description: Map that was redirected by, if any.
      type: int
    program:
      description: C(id) and C(name) of the program; none where the event does not say.
      type: dict
      sample: {"id": 42, "name": "tripod_xdp"}
    packets:
      description: How many.
      type: int
      sample: 1024
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import Invalid
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._linux import netlink
from ..module_utils._linux.topology import LiveProbe
from ..module_utils._xdp.trace import LONGEST, describe, watch


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "duration": {"type": "int", "default": 10},
            "interfaces": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    with answering(module):
        duration, interfaces = module.params["duration"], module.params["interfaces"]
        if not 1 <= duration <= LONGEST:
            raise Invalid(f"duration {duration} s is outside of 1 to {LONGEST} s: watch in several runs")
        unknown = sorted(set(interfaces) - {link.name for link in netlink.links()})
        if unknown:
            raise Invalid(f"no interface {', '.join(unknown)} here: correct 'interfaces'")
        seen = watch(Host(), duration)
        names = {link.index: link.name for link in netlink.links()}
        probe = LiveProbe()
        programs = {number: probe.program(number)["name"] for number in {one.program for one in seen.counts} if number}
        counts = [describe(one, names, programs) for one in seen.counts]
        if interfaces:
            counts = [one for one in counts if one["interface"] in interfaces]
        module.exit_json(
            changed=False,
            seconds=round(seen.seconds, 3),
            events=seen.events,
            total=sum(one["packets"] for one in counts),
            lost=seen.lost,
            counts=counts,
        )


if __name__ == "__main__":
    main()
