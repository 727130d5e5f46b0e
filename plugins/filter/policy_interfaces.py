# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: which policy judges which interfaces, and which files it needs on the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: policy_interfaces
short_description: Which policy judges which interfaces
version_added: 2.0.0
author: Tripod contributors (@tripod)
description:
  - Groups interfaces by the policy that they name, as M(tripod.baremetal.xdp_policy) takes them.
  - An interface that names none has the policy C(default), where there is one. Else it is left out.
positional: policies, directory, remote, tests
options:
  _input:
    description: Interfaces, each with C(name) and perhaps C(policy).
    type: list
    elements: dict
    required: true
  policies:
    description: Policies by name.
    type: dict
    required: true
  directory:
    description: Directory on the host that the files of lists, and captures, are shipped to.
    type: path
    required: true
  remote:
    description: Whether these files are on the host already.
    type: bool
    default: false
  tests:
    description: Tests, each with C(policy), C(expect), and C(frame) or C(pcap), a capture that is shipped like a list.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: See who is judged by what
  ansible.builtin.debug:
    msg: "{{ interfaces | tripod.baremetal.policy_interfaces({'edge': {}}, '/etc/tripod/lists') }}"
  vars:
    interfaces: [{name: ens1, policy: edge}]
"""

RETURN = r"""
_value:
  description:
    - Policies that judge an interface, each with C(name), C(interfaces) and C(policy), in which lists name their files
      on the host, C(files) to ship, each with C(src) and C(dest), and its C(tests).
  type: list
  elements: dict
  sample: [{"name": "edge", "interfaces": ["ens1"], "policy": {}, "files": [], "tests": []}]
"""

_DEFAULT = "default"
# Parts a policy's name, which has no dot, from that of a list, which begins with a letter, or a capture's number.
_SEPARATOR = "."


def policy_interfaces(
    interfaces: Sequence[Mapping[str, Any]],
    policies: Mapping[str, Any],
    directory: str,
    remote: bool = False,
    tests: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Return the policies that judge an interface, in the order of the interfaces."""
    judged: dict[str, list[str]] = {}
    for one in interfaces:
        name = one.get("policy") or (_DEFAULT if _DEFAULT in policies else "")
        if name and name not in policies:
            known = ", ".join(policies) or "none"
            raise AnsibleFilterError(f"interface {one['name']} names policy {name}, and there are {known}")
        if name:
            judged.setdefault(name, []).append(one["name"])
    found = []
    for name, names in judged.items():
        declared = {} if policies[name] is None else policies[name]
        if not isinstance(declared, Mapping):
            raise AnsibleFilterError(
                f"policy {name} is {declared!r:.60}, and must be a mapping of trusted, lists, rules, limits, services "
                "and default"
            )
        policy, files = _placed(name, declared, directory, remote)
        own = [{key: value for key, value in one.items() if key != "policy"} for one in tests if one["policy"] == name]
        for number, one in enumerate(own):
            if one.get("pcap") and not remote:
                files.append({"src": one["pcap"], "dest": f"{directory}/{name}{_SEPARATOR}{number}.pcap"})
                one["pcap"] = files[-1]["dest"]
        found.append({"name": name, "interfaces": names, "policy": policy, "files": files, "tests": own})
    return found


def _placed(
    name: str, policy: Mapping[str, Any], directory: str, remote: bool
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    files: list[dict[str, str]] = []
    lists = []
    for one in policy.get("lists") or ():
        if isinstance(one, Mapping) and one.get("file") and not remote:
            files.append({"src": one["file"], "dest": f"{directory}/{name}{_SEPARATOR}{one.get('name')}"})
            one = {**one, "file": files[-1]["dest"]}
        lists.append(one)
    return {**policy, "lists": lists} if "lists" in policy else dict(policy), files


class FilterModule:
    """The collection's filters on policies."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"policy_interfaces": policy_interfaces}
