#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_control
short_description: Check the variables of all roles, and the control node, before any host is met
version_added: 1.1.0
description:
  - Validates what the inventory gives to every role of the collection, all at once, and names the variable, the place
    in it and the way out. Ansible itself validates a role's arguments only where that role begins.
  - Checks that the inventory reaches C(localhost) without a connection where it names it, that the options of
    ansible-core are those that the roles were tested with, and, with O(builder), that images can be built here.
  - Refuses to publish plain HTTP on an address that others reach, unless C(tripod_publish_plain) says that it may be.
  - Refuses a TLS front (C(tripod_https)) that cannot be made as requested.
  - Refuses clients of the data plane's gRPC (C(go_backend_policy_clients)) that get no certificate (C(pki_services)).
  - Refuses APIs of other hosts (C(go_backend_apis)) that could not be called.
  - Refuses hosts (C(flask_backend_data_planes)) whose data planes the API of another one could not reach, or not tell
    apart.
  - Runs on the control node. No connection to the host is made, and nothing is changed.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes.info
options:
  builder:
    description:
      - Result of M(ansible.builtin.setup) on the control node, run as root. A failed one is a finding.
      - Not checked where it is not given.
    type: dict
seealso:
  - module: tripod.baremetal.preflight
"""

EXAMPLES = r"""
- name: Check everything that can be known before a host is met
  tripod.baremetal.preflight_control:
"""

RETURN = r"""
reasons:
  description: Everything that is wrong.
  type: list
  elements: str
  returned: always
  sample: ["nic_interfaces[0] (ens1): there is no key ring; did you mean rings?"]
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(argument_spec={"builder": {"type": "dict"}}, supports_check_mode=True)
    module.fail_json(msg="tripod.baremetal.preflight_control runs on the control node only: call it as a task")


if __name__ == "__main__":
    main()
