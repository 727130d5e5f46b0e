"""What the data plane service gets of the host to change policies with, as its role sets it."""

from __future__ import annotations

from pathlib import Path

import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"


def _task(role: str, variable: str) -> dict:
    tasks = yaml.safe_load((ROLES / role / "tasks" / "main.yml").read_text())
    (task,) = [one for one in tasks if variable in one.get("vars", {})]
    return task["vars"]


def test_the_socket_is_reached_through_its_directory_and_nothing_can_be_written():
    """A mounted socket would be a stale one once the agent has started again."""
    container = _task("go_backend", "container_env")
    directory, _, name = container["container_env"]["POLICY_SOCKET"].rpartition("/")
    assert name == "policy.sock"
    mount = {"type": "bind", "source": directory, "target": directory, "read_only": True}
    assert mount in container["container_mounts"]
    assert all(mount["read_only"] for mount in container["container_mounts"])


def test_both_ends_read_the_secret_from_what_is_mounted_for_them():
    ends = {"go_backend": "POLICY_SECRET_FILE", "flask_backend": "GO_BACKEND_SECRET_FILE"}
    for role, variable in ends.items():
        container = _task(role, "container_env")
        path = Path(container["container_env"][variable])
        assert path.name == "policy_secret"
        assert str(path.parent) in {mount["target"] for mount in container["container_mounts"]}
