"""The one look that provision.yml takes asks for just what its roles would bring to the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.drift import COMPONENTS

ROOT = Path(__file__).resolve().parents[3]
PREFIX = "tripod.baremetal."
PLAYS = yaml.safe_load((ROOT / "playbooks" / "provision.yml").read_text(encoding="utf-8"))
# Of an earlier run, and no part of the plan; the look tells of it without being asked.
UNASKED = "change_guard"


def brought() -> dict[str, dict[str, Any]]:
    """Return what the roles of the playbook give each module, of the files that every run takes."""
    [play] = PLAYS
    imported = [
        task["ansible.builtin.import_role"]["name"] for task in play["tasks"] if "ansible.builtin.import_role" in task
    ]
    roles = {name.removeprefix(PREFIX) for name in [*(role["role"] for role in play["roles"]), *imported]}
    tasks = [
        task
        for role in sorted(roles)
        for task in yaml.safe_load((ROOT / "roles" / role / "tasks" / "main.yml").read_text(encoding="utf-8"))
    ]
    return {key.removeprefix(PREFIX): task[key] for task in tasks for key in task if key.startswith(PREFIX)}


def looked_for() -> dict[str, Any]:
    """Return what the look gives each module."""
    task = PLAYS[0]["pre_tasks"][0]
    return {**task[f"{PREFIX}host_drift_info"], "nic": task["vars"]["_provision_nic"]}


def test_every_part_of_the_plan_is_looked_at():
    assert looked_for().keys() == COMPONENTS.keys() == brought().keys() - {UNASKED}


@pytest.mark.parametrize("name", sorted(COMPONENTS))
def test_a_part_is_looked_for_as_it_is_brought(name):
    desired, looked = brought()[name], looked_for()[name]
    if name == "kernel_args":
        variables = yaml.safe_load((ROOT / "roles" / "kernel" / "vars" / "main.yml").read_text(encoding="utf-8"))
        own, _plus, brought_along = variables["_kernel_arguments"].partition(" + ")
        assert desired == {"arguments": "{{ _kernel_arguments }}"}
        assert looked == {"arguments": f"{own} }}}}"}
        # Which the look adds, in the order of its parts.
        assert brought_along == (
            "cpu_isolation_boot_arguments | default([]) + hugepages_boot_arguments | default([]) }}"
        )
        assert list(COMPONENTS).index("cpu_isolation") < list(COMPONENTS).index("hugepages")
    else:
        assert looked == desired
