#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: change_guard
short_description: Let a host revert changes that cut its operator off
version_added: 1.0.0
description:
  - A guard is a rollback timer on the host. Unless it is confirmed over a new connection before it runs out, the host
    itself restores what was before. It outlives the playbook, the connection, a killed agent and a reboot.
  - M(tripod.baremetal.nic), M(tripod.baremetal.xdp_program), M(tripod.baremetal.xdp_policy) and
    M(tripod.baremetal.xdp_map) arm one by themselves where they change an interface that carries the connection. This
    module confirms it, arms one for tasks of your own, and cleans up after a run that never ended.
  - What is restored are the state files below C(/etc/tripod/host.d) with what they request of the host, and of the
    links their administrative state, MTU, master, addresses and routes. What was added meanwhile stays.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
requirements:
  - The agent C(tripod-host), as the role P(tripod.baremetal.host_agent#role) installs it, running C(watch)
  - root
options:
  state:
    description:
      - V(armed) arms a guard, or extends the one of the same O(subject), whose first snapshot stays.
      - V(confirmed) ends guards and leaves the changes in place. It fails if one was reverted already, and says when
        and what; and if it comes over the very connection that armed it, as that proves nothing.
      - V(reverted) restores at once.
      - V(reported) begins a run. Guards that an earlier run left armed are reverted; those that the host reverted on
        its own are reported as warnings, once. It is refused while the module that armed one is still at work.
      - V(settled) is the former name of V(reported); it is deprecated and goes with release 3.0.0.
    type: str
    choices: [armed, confirmed, reverted, reported, settled]
    required: true
  id:
    description: The guard to confirm or revert; all that there are by default.
    type: str
  subject:
    description: Name of the guard with O(state=armed).
    type: str
    default: operator
  interfaces:
    description:
      - Interfaces whose links, addresses and routes are restored, with those that stand on them and below them. Used
        with O(state=armed).
      - By default those that carry the connection.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds in which a guard has to be confirmed, 5 to 3600. Used with O(state=armed).
    type: float
    default: 60
seealso:
  - module: tripod.baremetal.nic
  - module: tripod.baremetal.xdp_policy
  - module: tripod.baremetal.xdp_program
"""

EXAMPLES = r"""
- name: Clean up after runs that never ended
  tripod.baremetal.change_guard:
    state: reported

- name: Give myself two minutes
  tripod.baremetal.change_guard:
    state: armed
    timeout: 120
  register: my_guard

- name: Do something daring
  ansible.builtin.command:
    argv: [ip, route, replace, default, via, 192.0.2.254]
  changed_when: true

- name: Connect anew
  ansible.builtin.meta: reset_connection

- name: Keep it
  tripod.baremetal.change_guard:
    state: confirmed
    id: "{{ my_guard.guard.id }}"
"""

RETURN = r"""
guard:
  description: The guard that was armed.
  type: dict
  returned: with O(state=armed); none in check mode
  contains:
    id:
      description: Name of the guard.
      type: str
      sample: operator-1c2d3e4f
    armed:
      description: Whether it is armed.
      type: bool
    subject:
      description: What is guarded.
      type: str
      sample: operator
    reason:
      description: Why.
      type: str
      sample: requested
    timeout:
      description: Seconds from arming to the deadline.
      type: float
      sample: 60
    remaining:
      description: Seconds until the host reverts.
      type: float
      sample: 59.4
guards:
  description: The guards concerned, as they were found with O(state=confirmed), as they are afterwards otherwise.
  type: list
  elements: dict
  returned: always, but for O(state=armed)
  contains:
    id:
      description: Name of the guard.
      type: str
      sample: xdp-1c2d3e4f
    subject:
      description: What was changed.
      type: str
      sample: xdp
    reason:
      description: Why it was guarded.
      type: str
      sample: ens1 carries the connection from 192.0.2.1
    state:
      description: V(armed), V(reverting), V(reverted), or V(failed) where something could not be restored.
      type: str
      sample: reverted
    created:
      description: When it was armed.
      type: str
      sample: "2026-11-23T08:00:00Z"
    timeout:
      description: Seconds from arming to the deadline.
      type: float
      sample: 60
    remaining:
      description: Seconds until the host reverts.
      type: float
      sample: 0
    ended:
      description: When it was reverted; none where it was not.
      type: str
      sample: "2026-11-23T08:01:00Z"
    report:
      description: Why it was reverted, and what was restored.
      type: list
      elements: str
      sample: ["nobody confirmed within 60 s", "ens1 is back to up"]
    errors:
      description: What could not be restored.
      type: list
      elements: str
    summary:
      description: All of this as a sentence.
      type: str
    story:
      description: The former name of C(summary); it is deprecated and goes with release 3.0.0.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._agent.reapply import RESTORERS
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._guard import outcome, record
from ..module_utils._guard.arm import TIMEOUT, arm_host, check_request

STATES = ["armed", "confirmed", "reverted", "reported", "settled"]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": STATES, "required": True},
            "id": {"type": "str"},
            "subject": {"type": "str", "default": "operator"},
            "interfaces": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": TIMEOUT},
        },
        supports_check_mode=True,
    )
    with answering(module):
        host, options, check = Host(), module.params, module.check_mode
        state = options["state"]
        if state == "settled":
            module.deprecate("state: settled is called reported", version="3.0.0", collection_name="tripod.baremetal")
            state = "reported"
        facts: dict[str, Any] = {}
        before = {one.id: one.state for one in record.records(host)}
        if state == "armed":
            requested = options["interfaces"], options["timeout"], options["subject"]
            check_request(*requested)
            guard = None if check else arm_host(host, *requested)
            after = {**before, guard.id if guard else options["subject"]: "armed"}
            facts = {"guard": guard.facts if guard else None}
            changed = True
        else:
            if state == "confirmed":
                found = outcome.confirm(host, options["id"], check)
            elif state == "reverted":
                found = outcome.revert(host, RESTORERS, options["id"], check)
            else:
                found = outcome.report(host, RESTORERS, check)
            over = {one.id: one.state for one in found}
            after = over if state == "reverted" else {}
            after = {**{name: state for name, state in before.items() if name not in over}, **after}
            facts = {"guards": [record.facts(one) for one in found]}
            changed = bool(found)
            for one in found if state == "reported" else ():
                module.warn(record.summary(one))
        module.exit_json(changed=changed, diff={"before": before, "after": after}, **facts)


if __name__ == "__main__":
    main()
