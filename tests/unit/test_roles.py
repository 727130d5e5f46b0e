"""Every role keeps the rules of the house, as no linter checks them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.playbook.block import Block
from ansible.playbook.handler import Handler
from ansible.playbook.task import Task
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import INTERFACE

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
# What operators set keeps its name whatever the role that holds it is called.
PUBLIC = {"common": "tripod", "common_container": "container"}
KEYWORDS = set(Task.fattributes) | set(Block.fattributes) | set(Handler.fattributes) | {"local_action", "loop_with"}
# Variables that Ansible itself sets or reads; every other ansible_* name is an injected fact.
MAGIC = {
    "ansible_become",
    "ansible_check_mode",
    "ansible_connection",
    "ansible_diff_mode",
    "ansible_facts",
    "ansible_host",
    "ansible_limit",
    "ansible_loop",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_playbook_python",
    "ansible_python_interpreter",
    "ansible_user",
    "ansible_version",
}
Tasks = Iterator[tuple[str, dict[str, Any]]]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def defaults(role: str) -> dict[str, Any]:
    return load(ROOT / "roles" / role / "defaults" / "main.yml") or {}


def options(role: str) -> dict[str, Any]:
    return load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"].get("options", {})


def tasks_of(entries: list[dict[str, Any]], where: str) -> Tasks:
    for entry in entries or []:
        nested = [entry[key] for key in ("block", "rescue", "always") if key in entry]
        if not nested:
            yield where, entry
        for part in nested:
            yield from tasks_of(part, where)


def role_tasks(role: str) -> Tasks:
    for folder in ("tasks", "handlers"):
        for path in sorted((ROOT / "roles" / role / folder).rglob("*.yml")):
            yield from tasks_of(load(path), str(path.relative_to(ROOT)))


def play_tasks() -> Tasks:
    for path in [ROOT / "site.yml", *sorted(ROOT.glob("playbooks/*.yml")), *sorted(ROOT.glob("molecule/*/*.yml"))]:
        content = load(path)
        for play in content if isinstance(content, list) else []:
            for section in ("pre_tasks", "tasks", "post_tasks", "handlers"):
                yield from tasks_of(play.get(section, []), str(path.relative_to(ROOT)))


def module(task: dict[str, Any]) -> str:
    return next(key for key in task if key not in KEYWORDS and not key.startswith("with_"))


def results(task: dict[str, Any]) -> list[str]:
    facts = [name for name in task.get("ansible.builtin.set_fact", {}) if name != "cacheable"]
    return [*facts, task["register"]] if "register" in task else facts


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_what_the_argument_spec_says(role):
    specified = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert defaults(role) == specified


@pytest.mark.parametrize("role", ROLES)
def test_an_option_has_a_default_or_is_required(role):
    decided = [name for name, option in options(role).items() if "default" in option or option.get("required")]
    assert decided == list(options(role))


@pytest.mark.parametrize("role", ROLES)
def test_variables_carry_the_name_of_their_role(role):
    private = load(ROOT / "roles" / role / "vars" / "main.yml") or {}
    set_here = [name for _where, task in role_tasks(role) for name in results(task)]
    assert [name for name in options(role) if not name.startswith(f"{PUBLIC.get(role, role)}_")] == []
    assert [name for name in private if not name.startswith(f"_{role}_")] == []
    assert [name for name in set_here if not name.startswith((f"{role}_", f"_{role}_"))] == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_explains_itself(role):
    text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    known = set(options(role)) | {name for _where, task in role_tasks(role) for name in results(task)}
    reported = set(re.findall(rf"`((?:{role}|{PUBLIC.get(role, role)})_[a-z0-9_]+)`", text))
    assert reported - known == set(), "the README names variables that do not exist"


def facts(role: str) -> set[str]:
    """Return the names of the facts that a role sets for others."""
    return {
        name
        for _where, task in role_tasks(role)
        for name in task.get("ansible.builtin.set_fact", {})
        if name != "cacheable"
    }


@pytest.mark.parametrize("role", ROLES)
def test_defaults_can_be_worked_out_before_any_role_ran(role):
    """They are checked on the control node, before any host is met, and no fact of a role is there yet."""
    text = yaml.safe_dump(defaults(role))
    every = {name for one in ROLES for name in facts(one)}
    assert [name for name in sorted(every) if re.search(rf"\b{name}\b", text)] == [], "put it into the role's vars"


@pytest.mark.parametrize("role", [role for role in ROLES if role != "docker_engine"])
def test_who_reads_facts_of_the_engine_reads_the_engine_where_its_role_was_left_out(role):
    files = [path for part in ("tasks", "vars") for path in sorted((ROOT / "roles" / role / part).glob("*.yml"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    read = sorted(name for name in facts("docker_engine") if re.search(rf"\b{name}\b", text))
    included = [
        task["when"] if isinstance(task["when"], list) else [task["when"]]
        for _where, task in role_tasks(role)
        if task.get("ansible.builtin.include_role") == {"name": "tripod.baremetal.docker_engine", "tasks_from": "state"}
    ]
    guards = {f"{name} is not defined" for name in facts("docker_engine")}
    assert not read or any(guards & set(when) for when in included), f"it reads {', '.join(read)}"


def test_every_playbook_says_that_its_group_is_not_in_the_inventory():
    """By the filter that does; Ansible itself finds no hosts, and calls that a success."""
    hosts = [
        (path.name, play["hosts"])
        for path in sorted(ROOT.glob("playbooks/*.yml"))
        for play in load(path)
        if "hosts" in play and "tripod_hosts" in play["hosts"]
    ]
    assert {name for name, _pattern in hosts} >= {"control.yml", "reset_password.yml", "teardown.yml"}
    assert [one for one in hosts if "tripod.baremetal.requested_hosts(groups)" not in one[1]] == []


def test_the_compose_file_trusts_the_network_that_the_web_interface_is_on():
    content = load(ROOT / "files" / "services" / "docker-compose.dev.yml")
    services, networks = content["services"], content["networks"]
    [app] = networks["app-network"]["ipam"]["config"]
    [rpc] = networks["rpc-network"]["ipam"]["config"]
    assert {"app-network"} == set(services["webui"]["networks"]) & set(services["flask-backend"]["networks"])
    api = services["flask-backend"]
    assert api["environment"]["TRUSTED_PROXIES"] == f"{app['subnet']},!{app['gateway']}"
    assert api["extra_hosts"] == {"go-backend": rpc["gateway"]}
    assert services["go-backend"]["environment"]["GRPC_ADDRESS"].startswith(f"{rpc['gateway']}:")


@pytest.mark.parametrize("service", ["postgres", "flask-backend", "go-backend"])
def test_the_compose_file_gives_its_containers_the_secrets_and_directories_of_the_host_that_the_roles_do(service):
    content = load(ROOT / "files" / "services" / "docker-compose.dev.yml")
    here = content["services"][service]
    [given] = [
        task["vars"]
        for task in load(ROOT / "roles" / service.replace("-", "_") / "tasks" / "main.yml")
        if task.get("vars", {}).get("container_service") == service and "container_once" not in task["vars"]
    ]
    secrets = {name: path for name, path in given["container_env"].items() if path.startswith("/run/secrets/")}
    # There is no front in development.
    secrets.pop("FRONT_SECRET_FILE", None)
    assert {name: path for name, path in here["environment"].items() if path.startswith("/run/secrets/")} == secrets
    assert {f"/run/secrets/{name}" for name in here["secrets"]} == set(secrets.values())
    assert set(here["secrets"]) <= set(content["secrets"])
    mounted = {one["source"] for one in given.get("container_mounts", ()) if "_secrets" not in one["source"]}
    assert len(mounted) == len(here.get("volumes", ()))


@pytest.mark.parametrize("service", ["postgres", "flask-backend", "go-backend", "webui", "rabbitmq"])
def test_the_compose_file_limits_its_containers_as_the_roles_do(service):
    role = service.replace("-", "_")
    here, there = load(ROOT / "files" / "services" / "docker-compose.dev.yml")["services"][service], defaults(role)
    assert (here["mem_limit"].upper(), here["cpus"], here["pids_limit"]) == tuple(
        there[f"{role}_{limit}"] for limit in ("memory", "cpus", "pids")
    )
    assert here["memswap_limit"] == here["mem_limit"]
    assert here.get("shm_size", "").upper() == there.get(f"{role}_shm_size", "")


def test_modules_that_get_all_interfaces_take_what_the_role_takes_of_one():
    assert set(INTERFACE) == set(options("xdp")["xdp_interfaces"]["options"])


def test_modules_are_named_in_full_and_none_is_a_shell():
    used = [(where, module(task)) for role in ROLES for where, task in role_tasks(role)]
    used += [(where, module(task)) for where, task in play_tasks()]
    assert [use for use in used if use[1].count(".") < 2] == []
    shells = {"shell", "raw", "script", "expect"}
    assert [use for use in used if use[1].rpartition(".")[2] in shells] == []


def test_a_shared_port_or_path_is_written_once():
    shared = {
        name: str(value)
        for name, value in defaults("common").items()
        if name.endswith("_port") or (isinstance(value, str) and value.startswith("/"))
    }
    # Where the gateway listens, on another machine.
    others = ["roles/marchproxy/defaults/main.yml: 443 is tripod_https_port"]
    repeated = []
    for path in sorted([*ROOT.glob("roles/**/*.yml"), *ROOT.glob("roles/**/*.j2"), *ROOT.glob("playbooks/*.yml")]):
        if path.parts[-3:-1] == ("common", "defaults") or path.name == "argument_specs.yml":
            continue
        text = re.sub(r"^\s*#.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        repeated += [
            f"{path.relative_to(ROOT)}: {value} is {name}"
            for name, value in shared.items()
            if re.search(rf"(?<![\w./-]){re.escape(value)}(?![\w.-])", text)
        ]
    assert repeated == others


def test_facts_are_read_from_ansible_facts():
    injected = []
    for path in sorted([*ROOT.glob("roles/**/*.yml"), *ROOT.glob("playbooks/*.yml"), *ROOT.glob("inventory/*.yml")]):
        names = set(re.findall(r"\bansible_[a-z0-9_]+", path.read_text(encoding="utf-8"))) - MAGIC
        injected += [f"{path.relative_to(ROOT)}: {name}" for name in sorted(names)]
    assert injected == []
