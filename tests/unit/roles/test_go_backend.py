"""What the data plane service gets of the host to change policies with, as its role sets it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse_all
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.policies import compiled
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.workers import malformed
from ansible_collections.tripod.baremetal.plugins.module_utils._workers.request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._workers.site import services

ROLES = Path(__file__).resolve().parents[3] / "roles"


def _task(role: str, variable: str) -> dict:
    tasks = yaml.safe_load((ROLES / role / "tasks" / "main.yml").read_text())
    (service,) = [
        one["vars"] for one in tasks if variable in one.get("vars", {}) and "container_once" not in one["vars"]
    ]
    return service


def test_the_socket_is_reached_through_its_directory_and_nothing_can_be_written():
    """A mounted socket would be a stale one once the agent has started again."""
    container = _task("go_backend", "container_env")
    directory, _slash, name = container["container_env"]["POLICY_SOCKET"].rpartition("/")
    assert name == "policy.sock"
    mount = {"type": "bind", "source": directory, "target": directory, "read_only": True}
    assert mount in container["container_mounts"]
    assert all(mount["read_only"] for mount in container["container_mounts"])


@pytest.mark.parametrize(
    ("clients", "names"), [([], "go-backend"), (["flask-backend"], "flask-backend"), (["a", "b"], "a,b")]
)
def test_whom_it_takes_calls_from_is_what_the_operator_lists(clients, names):
    """An empty value would be the one that the service has by itself, which is the API."""
    text = trust_as_template(_task("go_backend", "container_env")["container_env"]["GRPC_CLIENTS"])
    variables = {"go_backend_policy_clients": [{"service": name} for name in clients]}
    assert Templar(loader=DataLoader(), variables=variables).template(text) == names


def test_both_ends_read_the_secret_from_what_is_mounted_for_them():
    ends = {"go_backend": "POLICY_SECRET_FILE", "flask_backend": "GO_BACKEND_SECRET_FILE"}
    for role, variable in ends.items():
        container = _task(role, "container_env")
        path = Path(container["container_env"][variable])
        assert path.name == "policy_secret"
        assert str(path.parent) in {mount["target"] for mount in container["container_mounts"]}


def test_the_file_of_workers_is_in_a_directory_that_is_mounted():
    """A mounted file would stay the one of before when it is written anew."""
    container = _task("go_backend", "container_env")
    assert container["container_env"]["WORKERS_FILE"] == "{{ _go_backend_workers_file }}"
    variables = yaml.safe_load((ROLES / "go_backend" / "vars" / "main.yml").read_text())
    assert variables["_go_backend_workers_path"].rpartition("/")[0] == "{{ _go_backend_workers_directory }}"
    assert "{{ _go_backend_workers_directory }}" in {mount["source"] for mount in container["container_mounts"]}


def test_the_example_of_workers_is_one_that_works():
    specification = yaml.safe_load((ROLES / "go_backend" / "meta" / "argument_specs.yml").read_text())
    [given] = [
        play["vars"] for play in yaml.safe_load(specification["argument_specs"]["main"]["examples"]) if "vars" in play
    ]
    assert malformed(given["go_backend_workers"]) == []
    [worker] = parse(given["go_backend_workers"])
    [nic] = parse_all(given["nic_interfaces"])
    [pages] = given["hugepages_reservations"]
    assert compiled("edge", given["xdp_policies"]["edge"], lambda path: b"").warnings == []
    [service] = services(given["xdp_interfaces"], given["xdp_policies"])
    assert (service.worker, service.interfaces) == (worker.name, (worker.nic,))
    assert max(worker.queues) < nic.channels["combined"]
    assert nic.rss.equal == min(worker.queues), "RSS keeps off the queues that flow rules steer to"
    assert {rule.queue for rule in nic.flow_rules} == set(worker.queues)
    assert worker.memory // worker.page <= pages["count"]
