"""Each component's options are written once, in its role; the drift check of provision.yml takes them from there."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.drift import COMPONENTS, _validated

ROOT = Path(__file__).resolve().parents[3]
PREFIX = "tripod.baremetal."
[PLAY] = yaml.safe_load((ROOT / "playbooks" / "provision.yml").read_text(encoding="utf-8"))
# No components of the plan: of an earlier run, which the drift check reports without being requested to, and what other
# components declared, for runs that leave them out.
UNREQUESTED = {"change_guard", "host_plan_info"}
# What no component of the plan takes, as other tasks of the role use it.
BESIDE = {"kernel_modules", "kernel_reboot_ok", "kernel_reboot_timeout"}


@functools.cache
def load(role: str, file: str) -> Any:
    """Return a file of a role, its strings as Ansible templates them; nothing where there is no such file."""
    path = ROOT / "roles" / role / file
    return DataLoader().load_from_file(str(path), trusted_as_template=True) if path.exists() else {}


def roles() -> list[str]:
    """Return the roles that the playbook brings to every host, in order."""
    imported = [
        task["ansible.builtin.import_role"]["name"] for task in PLAY["tasks"] if "ansible.builtin.import_role" in task
    ]
    return [name.removeprefix(PREFIX) for name in [*(role["role"] for role in PLAY["roles"]), *imported]]


@functools.cache
def calls(file: str = "main") -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the tasks that call a module of the collection, each with its role, of one file of every role."""
    return {
        key.removeprefix(PREFIX): (role, task)
        for role in roles()
        for task in load(role, f"tasks/{file}.yml")
        for key in task
        if key.startswith(PREFIX)
    }


def checked() -> dict[str, str]:
    """Return what the drift check gets for each component."""
    [block] = [task for task in PLAY["pre_tasks"] if "block" in task]
    return dict(block["block"][0][f"{PREFIX}host_drift_info"])


def options(name: str) -> str:
    """Return the name of the variable with the options of a component."""
    return checked()[name].split()[1]


def variables(role: str, **given: Any) -> dict[str, Any]:
    """Return all that a role knows where an operator gives just these variables."""
    return {
        **load("common", "defaults/main.yml"),
        **load(role, "defaults/main.yml"),
        **given,
        **load(role, "vars/main.yml"),
    }


def requested(name: str, **given: Any) -> dict[str, Any]:
    """Return the options of a component as Ansible gives them to the module; what it omits is absent."""
    known = variables(calls()[name][0], playbook_dir="/srv", **given)
    return dict(Templar(loader=DataLoader(), variables=known).template({"all": known[options(name)]})["all"])


def used(text: str, private: dict[str, Any]) -> set[str]:
    """Return the variables that a text leads to, through those of the role's own."""
    names = set(re.findall(r"\b[a-z_]+\b", text))
    return names.union(*(used(str(private[name]), private) for name in names & private.keys()))


def test_every_component_of_the_plan_is_checked():
    assert checked().keys() == COMPONENTS.keys() == calls().keys() - UNREQUESTED


@pytest.mark.parametrize("name", sorted(COMPONENTS))
def test_the_drift_check_takes_the_options_of_the_role(name):
    role, _task = calls()[name]
    assert options(name).startswith(f"_{role}_")
    assert isinstance(load(role, "vars/main.yml")[options(name)], dict)
    if name == "nic":
        # Its task is skipped on the same condition.
        assert checked()[name] == "{{ _nic_options if nic_interfaces | length > 0 else omit }}"
        assert calls()[name][1]["when"] == "nic_interfaces | length > 0"
    else:
        assert checked()[name] == f"{{{{ {options(name)} }}}}"


@pytest.mark.parametrize("file", ["main", "reboot"])
def test_a_task_gives_its_module_those_options_and_no_others(file):
    for name, (role, task) in calls(file).items():
        if name in COMPONENTS.keys() - {"kernel_args"}:
            assert task[f"{PREFIX}{name}"] is None, f"{role}: {task['name']}"
            assert task["module_defaults"] == {f"{PREFIX}{name}": f"{{{{ {options(name)} }}}}"}


@pytest.mark.parametrize("file", ["main", "reboot"])
def test_boot_arguments_are_those_of_the_drift_check_and_what_other_components_bring(file):
    role, task = calls(file)["kernel_args"]
    assert task[f"{PREFIX}kernel_args"] == {"arguments": "{{ _kernel_arguments }}"}
    # It is all that the module can be given.
    assert COMPONENTS["kernel_args"].options.keys() == {"arguments"}
    own, _plus, brought_along = load(role, "vars/main.yml")["_kernel_arguments"].partition(" + ")
    assert own == "{{ _kernel_args_options.arguments"
    # Which the drift check adds, in the order of its components.
    assert brought_along == "_kernel_cpu_arguments + _kernel_hugepages_arguments }}"
    for component in ("cpu", "hugepages"):
        name = "cpu_isolation" if component == "cpu" else component
        for what, fact in (("arguments", "boot_arguments"), ("reasons", "reboot_reasons")):
            # Of a role that was left out, what it declared on the host; never nothing because it was left out.
            text = " ".join(load(role, "vars/main.yml")[f"_kernel_{component}_{what}"].split())
            assert text == (f"{{{{ {name}_{fact} if {name}_{fact} is defined else _kernel_declared.{name}.{fact} }}}}")
    assert list(COMPONENTS).index("cpu_isolation") < list(COMPONENTS).index("hugepages")


@pytest.mark.parametrize("name", sorted(COMPONENTS))
def test_a_module_takes_what_its_role_gives_by_default(name):
    given = {"tripod_config_dir": "/etc/elsewhere", "kernel_sysctls": {"net.core.somaxconn": 5000}}
    desired = requested(name, **given)
    assert desired.keys() <= COMPONENTS[name].options.keys()
    assert _validated(name, COMPONENTS[name], desired)


@pytest.mark.parametrize("role", roles())
def test_every_variable_of_a_role_reaches_its_modules(role):
    specified = load(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    private = load(role, "vars/main.yml")
    given = set().union(*(used(options(name), private) for name in COMPONENTS if calls()[name][0] == role))
    assert specified.keys() - given == specified.keys() & BESIDE


@pytest.mark.parametrize(
    ("name", "empty", "given"),
    [
        ("cpu_isolation", "housekeeping", {"cpu_isolation_housekeeping": 0}),
        ("cpu_isolation", "housekeeping_cores", {"cpu_isolation_housekeeping_cores": 1}),
        ("cpu_isolation", "isolated", {"cpu_isolation_isolated": "rest"}),
        ("cpu_isolation", "governor", {"cpu_isolation_governor": "performance"}),
        ("hugepages", "default_size", {"hugepages_default_size": "1G"}),
    ],
)
def test_what_is_left_empty_is_omitted(name, empty, given):
    assert empty not in requested(name)
    [value] = given.values()
    assert str(requested(name, **given)[empty]) == str(value)


def test_a_cpu_plan_is_present_where_it_names_a_cpu():
    assert requested("cpu_isolation")["state"] == "absent"
    assert requested("cpu_isolation", cpu_isolation_housekeeping=0)["state"] == "present"
    assert requested("cpu_isolation", cpu_isolation_housekeeping=0, cpu_isolation_state="absent")["state"] == "absent"
