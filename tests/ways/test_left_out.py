"""What a run leaves out stays as it is: other roles' boot arguments, and what cannot be looked at."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fresh import ansible_playbook, fresh_machine
from tests.support.machine import Machine

PAGES = {
    "reservations": [{"node": 0, "size": "1G", "count": 2}],
    "at_boot": ["1G"],
    "default_size": None,
    "mounts": [],
    "transparent": {},
    "drop_caches": False,
    "keep": 0,
    "original": {},
}
CPUS = {
    "housekeeping": "0",
    "isolated": "1",
    "isolation": ["managed_irq"],
    "split_cores": True,
    "governor": None,
    "assignments": [],
    "original": {},
}
ARGUMENTS = ["skew_tick=1", "isolcpus=managed_irq,1", "irqaffinity=0", "hugepagesz=1G", "hugepages=0:2"]


@pytest.fixture
def machine() -> Iterator[Machine]:
    with fresh_machine() as made:
        yield made


def inventory(folder: Path, **variables: Any) -> str:
    """Write an inventory of this machine alone, and return its path."""
    host = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3", **variables}
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"tripod": {"hosts": {"localhost": host}}}), encoding="utf-8")
    return str(path)


def write(machine: Machine, path: str, content: dict[str, Any]) -> None:
    """Write a state file within a machine."""
    text = json.dumps({"format": 1, **content})
    machine.run("sh", "-ec", 'mkdir -p "$(dirname "$1")"; echo "$2" >"$1"', "sh", path, text)


@pytest.mark.parametrize(
    "words",
    [
        ("--tags", "kernel"),
        ("--skip-tags", "hugepages,preflight,nic"),
        pytest.param(("--skip-tags", "cpu_isolation,preflight,nic"), marks=pytest.mark.full),
        pytest.param(("--skip-tags", "cpu_isolation,hugepages,preflight,nic"), marks=pytest.mark.full),
    ],
)
def test_boot_arguments_of_roles_that_are_left_out_stay(
    words: tuple[str, str], machine: Machine, tmp_path: Path
) -> None:
    pages_of_one_node = [one.replace("0:2", "2") for one in ARGUMENTS]
    write(machine, "/etc/tripod/host.d/cpu_isolation.json", {"kind": "cpu_isolation", **CPUS})
    write(machine, "/etc/tripod/host.d/hugepages.json", {"kind": "hugepages", **PAGES})
    declared = machine.module("host_plan_info").result
    arguments = ["skew_tick=1", *declared["cpu_isolation"]["boot_arguments"], *declared["hugepages"]["boot_arguments"]]
    assert arguments in (ARGUMENTS, pages_of_one_node)
    machine.module("kernel_args", arguments=arguments)
    # Those who run give the same variables each time; of the roles that are left out none has to be given.
    given = {
        "kernel_boot_arguments": ["skew_tick=1"],
        "cpu_isolation_housekeeping": "0",
        "cpu_isolation_split_cores": True,
        "cpu_isolation_isolation": ["managed_irq"],
        "hugepages_reservations": PAGES["reservations"],
        "hugepages_keep": "0",
    }
    if words[0] == "--tags":
        given = {"kernel_boot_arguments": ["skew_tick=1"]}
    hosts = inventory(tmp_path, **given)
    done = ansible_playbook(
        machine,
        ["playbooks/provision.yml", "-i", hosts, "--check", *words],
        environment={"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Warnings may stand before and behind it.
    said, _end = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
    tasks = [task for play in said["plays"] for task in play["tasks"]]
    [boot] = [one["hosts"]["localhost"] for one in tasks if one["task"]["name"].endswith("Set the boot arguments")]
    assert not boot["changed"], boot
    assert [one for one in boot["pending"] if one in arguments] == arguments


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """An interpreter with the standard library only, as a virtual environment's is."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    return str(tmp_path / "bare" / "bin" / "python")


@pytest.fixture
def engine(machine: Machine, tmp_path: Path) -> Iterator[None]:
    """A socket that something listens on: the library is missed before anything is said."""
    listener = socket.socket(socket.AF_UNIX)
    place = tmp_path / "docker.sock"
    listener.bind(str(place))
    listener.listen()
    machine.run("sh", "-ec", 'touch /run/docker.sock; mount --bind "$1" /run/docker.sock', "sh", str(place))
    # The packages are there, with their library: where they were still to come, it could come with them.
    packages = Path(f"/proc/{os.getpid()}/root", "var/lib/dpkg")
    machine.run("cp", "-a", str(packages), "/var/lib/")
    yield
    listener.close()


@pytest.mark.parametrize(
    ("playbook", "words"),
    [
        ("teardown", ("-e", "teardown_data=true")),
        ("deploy", ("--tags", "docker_engine")),
        ("deploy", ("--tags", "webui")),
        pytest.param("deploy", ("--tags", "postgres"), marks=pytest.mark.full),
        pytest.param("deploy", ("--tags", "go_backend"), marks=pytest.mark.full),
        pytest.param("deploy", ("--tags", "firewall"), marks=pytest.mark.full),
    ],
)
@pytest.mark.usefixtures("engine")
def test_a_missing_library_is_an_error_by_name_and_no_absence(
    playbook: str, words: tuple[str, str], machine: Machine, bare_python: str, tmp_path: Path
) -> None:
    hosts = inventory(tmp_path, ansible_python_interpreter=bare_python)
    machine.run("mkdir", "-p", "/etc/tripod/secrets/postgres")
    done = ansible_playbook(machine, [f"playbooks/{playbook}.yml", "-i", hosts, "--check", *words])
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "requests" in said, said
    assert bare_python in said, said
    for word in ("would run", "would start", "Remove our", "Remove the data", "Detach"):
        assert word not in said, said
