"""How the role asks the gateway's server, and what it takes for its own host's word."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.run_module import OPTIONS

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "marchproxy"
IMPORT = "tripod.baremetal.marchproxy_import"
SPECIFIED = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]


def tasks(entries: list[dict[str, Any]], inherited: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        whole = {**inherited, **entry}
        if "block" in entry:
            yield from tasks(entry["block"], {key: value for key, value in whole.items() if key != "block"})
        else:
            yield whole


IMPORTS = [
    pytest.param(task, id=f"{path.stem}: {task['name']}")
    for path in sorted((ROLE / "tasks").glob("*.yml"))
    for task in tasks(yaml.safe_load(path.read_text()), {})
    if IMPORT in task
]


def worked_out(name: str, **given: Any) -> Any:
    """Return a variable of the role as Ansible templates it where an operator gives just these."""
    load = DataLoader().load_from_file
    files = (
        ROOT / "roles" / "common" / "defaults" / "main.yml",
        *(ROLE / one / "main.yml" for one in ("defaults", "vars")),
    )
    known: dict[str, Any] = {"playbook_dir": "/srv", "inventory_hostname": "edge1", "role_path": str(ROLE)}
    for path in files:
        known |= load(str(path), trusted_as_template=True)
    # What these look up takes Ansible's own loader of plugins; tests/integration/test_gateway.py has it.
    known |= {"tripod_marchproxy_directory": "/srv", "marchproxy_app_version": "1.0.0", "marchproxy_hosts": ["edge1"]}
    known |= given
    return Templar(loader=DataLoader(), variables=known).template(known[name])


def test_there_is_a_task_for_each_of_import_restore_drain_and_undrain() -> None:
    assert len(IMPORTS) == 4


@pytest.mark.parametrize("task", IMPORTS)
def test_the_server_is_asked_from_the_control_node_once_at_a_time_and_always_alike(task: dict[str, Any]) -> None:
    """It freezes when many ask at once."""
    assert (task["delegate_to"], task["become"]) == ("localhost", False)
    assert task.get("run_once") or task.get("throttle") == 1
    assert task["module_defaults"] == {IMPORT: "{{ _marchproxy_gateway }}"}


def test_what_cannot_be_drained_is_no_warning() -> None:
    [drain] = [param.values[0][IMPORT] for param in IMPORTS if param.values[0][IMPORT].get("state") == "drained"]
    assert drain["strict"] is True


@pytest.mark.parametrize("name", ["drain", "undrain"])
def test_one_hosts_services_do_not_pass_for_the_whole_application(name: str) -> None:
    [task] = [param.values[0] for param in IMPORTS if str(param.id).startswith(f"{name}:")]
    assert task[IMPORT]["partial"] is True


def test_the_module_takes_what_the_role_gives_and_hides_the_same_secrets() -> None:
    given = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["_marchproxy_gateway"]
    assert [name for name in given if name not in OPTIONS] == []
    for name in set(given) & {variable.removeprefix("marchproxy_") for variable in SPECIFIED}:
        option = SPECIFIED[f"marchproxy_{name}"]
        assert bool(option.get("no_log")) == bool(OPTIONS[name].get("no_log")), name
        assert option.get("choices") == OPTIONS[name].get("choices"), name


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ({"marchproxy_api": ""}, True),
        ({"marchproxy_api": "https://gateway"}, False),
        ({"marchproxy_api": "https://gateway", "marchproxy_local_names": True}, True),
        ({"marchproxy_api": "https://gateway", "marchproxy_local_names": "no"}, False),
    ],
)
def test_names_that_only_the_host_resolves_are_for_files_alone(given: dict[str, Any], accepted: bool) -> None:
    assert worked_out("_marchproxy_files", **given)["local_names"] is accepted


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, ("go-backend", "")),
        ({"go_backend_grpc_address": ""}, ("go-backend", "")),
        ({"go_backend_grpc_address": "192.0.2.1"}, ("", "192.0.2.1")),
    ],
)
def test_grpc_is_at_the_host_where_it_is_published_there(given: dict[str, str], place: tuple[str, str]) -> None:
    [grpc] = [one for one in worked_out("marchproxy_services", **given) if one["protocol"] == "grpc"]
    assert (grpc["ip_fqdn"], grpc["published"]) == place


HEALTHY = DataLoader().load_from_file(str(ROLE / "tasks" / "healthy.yml"), trusted_as_template=True)


def test_every_service_that_can_be_asked_is_asked_once_before_it_gets_traffic() -> None:
    own = [
        {"name": f"{protocol} {checked}", "protocol": protocol, "health_check_enabled": checked}
        for protocol in ("http", "https", "grpc", "tcp", "udp")
        for checked in (True, False)
    ]
    loops = [worked_out("loop", loop=task["loop"], _marchproxy_own=own) for task in HEALTHY if "loop" in task]
    assert [[one["name"] for one in loop] for loop in loops] == [
        ["http True", "https True"],
        ["http False", "https False", "grpc True", "grpc False", "tcp True", "tcp False"],
    ]


@pytest.mark.parametrize(("left", "failed", "ends"), [(60, True, False), (60, False, True), (-1, True, True)])
def test_a_service_is_asked_no_longer_than_is_said(left: int, failed: bool, ends: bool) -> None:
    """However long each answer takes; what was not healthy by then has failed all the same."""
    [until] = [trust_as_template("{{ " + task["until"] + " }}") for task in HEALTHY if "until" in task]
    known = {"_marchproxy_health": {"failed": failed}, "_marchproxy_healthy_until": time.time() + left}
    assert worked_out("until", until=until, **known) is ends


def test_the_page_has_the_scripts_exit_statuses() -> None:
    statuses = re.findall(r"\bEX_\w+=(\d)", (ROOT / "scripts" / "marchproxy-import.sh").read_text())
    page = (ROOT / "docs" / "gateway.md").read_text().partition("| status | meaning |")[2]
    assert re.findall(r"^\| (\d) \|", page, re.MULTILINE) == ["0", *statuses]
