"""What the one role that starts containers asks of Docker, with the host's CPU plan and without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "common_container"
SERVICES = ["postgres", "flask-backend", "go-backend", "webui", "rabbitmq"]
PLAN = {
    "default": {"cpuset_cpus": "0-1", "cpuset_mems": "0-1"},
    "go-backend": {"cpuset_cpus": "2-3", "cpuset_mems": "1"},
}


def load(path: Path) -> Any:
    return DataLoader().load_from_file(str(path), trusted_as_template=True)


def requested(service: str, facts: dict[str, Any], generation: str = "") -> dict[str, Any]:
    """Return the options that depend on the plan, as Ansible gives them to the module; what it omits is absent."""
    (task,) = [one for one in load(ROLE / "tasks" / "main.yml") if "community.docker.docker_container" in one]
    options = task["community.docker.docker_container"]
    chosen = {name: value for name, value in options.items() if name.startswith("cpuset_")}
    chosen["generation"] = options["labels"]["org.tripod.generation"]
    variables = {
        **load(ROLE / "vars" / "main.yml"),
        **facts,
        "container_service": service,
        "container_generation": generation,
    }
    return Templar(loader=DataLoader(), variables=variables).template(chosen)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("generation", ["", "7f3a"])
def test_without_a_plan_a_container_is_what_it_was(service, generation):
    assert requested(service, {"cpu_isolation_containers": {}}, generation) == {"generation": generation}


@pytest.mark.parametrize("service", SERVICES)
def test_with_a_plan_each_container_has_its_cpus_and_memory(service):
    expected = PLAN.get(service, PLAN["default"])
    assert requested(service, {"cpu_isolation_containers": PLAN}) == {**expected, "generation": expected["cpuset_cpus"]}


def test_other_cpus_make_another_container():
    assert requested("webui", {"cpu_isolation_containers": PLAN}, "7f3a")["generation"] == "7f3a on CPUs 0-1"


@pytest.mark.parametrize("service", SERVICES)
def test_a_run_that_left_the_plan_out_takes_it_from_the_host(service):
    read = {"cpu_isolation": {"containers": PLAN}}
    expected = PLAN.get(service, PLAN["default"])
    assert requested(service, {"_common_container_declared": read}) == {
        **expected,
        "generation": expected["cpuset_cpus"],
    }


def test_what_is_read_for_a_run_that_left_the_plan_out_is_the_host_s():
    (task,) = [one for one in load(ROLE / "tasks" / "main.yml") if "tripod.baremetal.host_plan_info" in one]
    assert (task["register"], task["when"]) == ("_common_container_declared", "cpu_isolation_containers is not defined")


def test_a_run_that_knows_no_plan_fails_instead_of_taking_cpus_away():
    with pytest.raises(AnsibleError, match="_common_container_declared"):
        requested("webui", {})


def test_the_role_is_the_only_place_where_containers_are_started():
    starters = [
        path.relative_to(ROOT)
        for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/*.yml")]
        for task in yaml.safe_load(path.read_text()) or []
        if task.get("community.docker.docker_container", {}).get("state", "") not in ("absent", "")
    ]
    assert starters == [Path("roles/common_container/tasks/main.yml")]


def test_the_services_are_deployed_under_a_plan():
    (play,) = yaml.safe_load((ROOT / "playbooks" / "deploy.yml").read_text())
    roles = [role["role"].rpartition(".")[2] for role in play["roles"]]
    assert roles.index("cpu_isolation") < min(roles.index(name.replace("-", "_")) for name in SERVICES)


def told(name: str, **variables: Any) -> Any:
    """Return what one of the role's own variables is."""
    loader = DataLoader()
    known = {**load(ROLE / "defaults" / "main.yml"), **load(ROLE / "vars" / "main.yml"), "tripod_app_name": "tripod"}
    known |= {"container_service": "flask-backend", "_common_container_image": "new", **variables}
    return Templar(loader=loader, variables=known).template(known[name])


@pytest.mark.parametrize(("once", "name"), [("", "tripod-flask-backend"), ("migrate", "tripod-flask-backend-migrate")])
def test_a_step_has_a_container_of_its_own(once, name):
    assert told("_common_container_name", container_once=once) == name


@pytest.mark.parametrize(("once", "anew"), [("", False), ("migrate", True)])
def test_a_step_that_an_aborted_run_left_behind_is_made_anew(once, anew):
    """Else the module finds it running as it should, and the role goes on before the step is done."""
    (task,) = [one for one in load(ROLE / "tasks" / "main.yml") if "community.docker.docker_container" in one]
    asked = Templar(loader=DataLoader(), variables={"container_once": once}).template(
        {name: task["community.docker.docker_container"].get(name, False) for name in ("recreate", "cleanup", "detach")}
    )
    assert asked == {"recreate": anew, "cleanup": anew, "detach": not anew}


@pytest.mark.parametrize(
    ("once", "result", "changed"),
    [
        ("", {"changed": True}, True),
        ("", {"changed": False}, False),
        ("migrate", {"changed": True, "container": {"Output": ""}}, False),
        ("migrate", {"changed": True, "container": {"Output": '{"message": "changed: not so"}\n'}}, False),
        ("migrate", {"changed": True, "container": {"Output": '{"message": "waiting"}\nchanged: schema\n'}}, True),
        ("migrate", {"failed": True, "msg": "it ended with 1"}, False),
    ],
)
def test_a_step_changed_something_where_it_says_so(once, result, changed):
    assert told("_common_container_changed", container_once=once, _common_container_run=result) is changed


@pytest.mark.parametrize(
    ("once", "check", "running", "foretold"),
    [
        ("", True, {"skipped": True}, False),
        ("migrate", False, {"skipped": True}, False),
        ("migrate", True, {"container": None}, True),
        ("migrate", True, {"container": {"Config": {"Image": "old"}}}, True),
        ("migrate", True, {"container": {"Config": {"Image": "new"}}}, False),
    ],
)
def test_check_mode_foretells_a_step_where_the_service_gets_another_image(once, check, running, foretold):
    variables = {"container_once": once, "ansible_check_mode": check, "_common_container_running": running}
    assert told("_common_container_foretold", **variables) is foretold
