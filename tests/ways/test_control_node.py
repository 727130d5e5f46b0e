"""What is wrong with an inventory, or with the control node, is said before any host is met, in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fresh import ROOT

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
FULL = pytest.mark.full
PLAYBOOKS = [
    "site",
    *(
        pytest.param(one, marks=FULL)
        for one in (
            "provision",
            "deploy",
            "gateway",
            "summary",
            "teardown",
            "reset_password",
            "rotate_ca",
            "rotate_jwt_key",
        )
    ),
]


def played(
    folder: Path, inventory: dict[str, Any], playbook: str = "site", *words: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a playbook in check mode, as an operator who configured nothing but the collections."""
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    child = {
        **{key: value for key, value in os.environ.items() if key != "ANSIBLE_CONFIG"},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        "PWD": str(folder),
        **more,
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(ROOT / "playbooks" / f"{playbook}.yml")]
    return subprocess.run(
        [*command, "-i", "hosts.yml", "--check", *words],
        cwd=folder,
        env=child,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return all that was said by a run that failed before it met a host."""
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0, said
    for late in ("Gathering Facts", "TASK [tripod.baremetal", "Make the pair", "Report that the lab NIC"):
        assert late not in said, said
    return said


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_group_of_another_name_is_an_error_that_names_it(playbook: str, tmp_path: Path) -> None:
    said = refused(played(tmp_path, {"servers": {"hosts": {"edge1": LOCAL}}}, playbook))
    assert "the inventory has no group or host 'tripod'; it has servers" in said
    assert "tripod_hosts" in said


def test_that_group_can_be_named(tmp_path: Path) -> None:
    done = played(tmp_path, {"servers": {"hosts": {"edge1": LOCAL}}}, "summary", "-e", "tripod_hosts=servers")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("playbook", ["site", *(pytest.param(one, marks=FULL) for one in ("provision", "deploy"))])
def test_localhost_without_a_connection_is_named(playbook: str, tmp_path: Path) -> None:
    said = refused(played(tmp_path, {"tripod": {"hosts": {"localhost": {}}}}, playbook))
    assert "localhost is in the inventory without ansible_connection: local" in said


def test_every_mistake_in_a_variable_is_named_at_once(tmp_path: Path) -> None:
    mistakes = {
        "xdp_interfaces": ["tripod0"],
        "xdp_acl": [{"prefix": "192.0.2.0/24", "action": "deny"}],
        "nic_interfaces": [{"name": "ens1", "ring": {"rx": "max"}}],
        "kernel_sysctls": ["vm.swappiness=1"],
        "cpu_isolation_housekeeping_cores": "two",
        "postgres_clients": "flask",
        "tripod_flask_http_port": "http",
        "kernel_drivers": "{{ nowhere }}",
        "go_backend_policy_clients": [{"service": "connector", "uid": 570}],
    }
    for playbook in ("site", "provision"):
        said = refused(played(tmp_path, {"tripod": {"hosts": {"localhost": LOCAL}, "vars": mistakes}}, playbook))
        for words in (
            "nothing was changed, on no host",
            "xdp_interfaces[0] is a text (tripod0)",
            "xdp_acl[0]: action must be one of: pass, drop, got: deny",
            "nic_interfaces[0] (ens1): there is no key ring; did you mean rings?",
            "kernel_sysctls is a list",
            "cpu_isolation_housekeeping_cores is of type str",
            "postgres_clients is a text",
            "tripod_flask_http_port is of type str",
            "kernel_drivers cannot be worked out",
            "go_backend_policy_clients[0] (connector): calls are taken only from who has a certificate",
        ):
            assert words in said, words
        assert "preflight_interfaces" not in said, "it is made from a wrong variable, and nobody gave it"


def test_who_cannot_become_root_where_images_are_built_is_told(tmp_path: Path) -> None:
    become = tmp_path / "nobody-becomes"
    become.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    become.chmod(0o755)
    inventory = {"tripod": {"hosts": {"localhost": LOCAL}}}
    # As somebody who is root already, who would not be made root otherwise.
    sudo = {"ANSIBLE_BECOME_EXE": str(become), "ANSIBLE_BECOME_ALLOW_SAME_USER": "true"}
    said = refused(played(tmp_path, inventory, "site", **sudo))
    assert "nobody can become root on the control node, where images are built" in said
    assert "--ask-become-pass" in said
