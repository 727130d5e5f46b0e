"""Whom the API believes of the client's address, as the role sets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.data_planes import data_planes

ROLE = Path(__file__).resolve().parents[3] / "roles" / "flask_backend"
NETWORK = {"docker_engine_app_subnet": "172.18.0.0/16", "docker_engine_app_gateway": "172.18.0.1"}


def containers(loader: DataLoader) -> list[dict[str, Any]]:
    """Return what the role says of its two containers, in their order."""
    tasks = loader.load_from_file(str(ROLE / "tasks" / "main.yml"), trusted_as_template=True)
    return [task["vars"] for task in tasks if "container_env" in task.get("vars", {})]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "172.18.0.0/16,!172.18.0.1"),
        (["192.0.2.1", "!172.18.0.9"], "172.18.0.0/16,!172.18.0.1,192.0.2.1,!172.18.0.9"),
    ],
)
def test_the_web_interface_is_believed_and_what_an_operator_adds(given, expected):
    loader = DataLoader()
    kept = loader.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True)
    once, service = containers(loader)
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    chosen = {"flask_backend_trusted_proxies": given} if given else {}
    templar = Templar(loader=loader, variables={**defaults, **kept, **NETWORK, **chosen})
    assert templar.template(service["container_env"]["TRUSTED_PROXIES"]) == expected
    assert once["container_env"] == service["container_env"]


def test_go_backend_is_known_by_its_host_when_it_calls():
    loader = DataLoader()
    once, service = containers(loader)
    environ = service["container_env"]
    assert environ["GO_BACKEND_NAME"] == "{{ inventory_hostname | tripod.baremetal.data_plane_name }}"
    ports = Templar(
        loader=loader,
        variables={
            "tripod_flask_publish_address": "127.0.0.1",
            "tripod_flask_http_port": 5000,
            "flask_backend_grpc_address": "192.0.2.1",
            "tripod_flask_grpc_port": 50062,
        },
    )
    assert ports.template(service["container_ports"]) == ["127.0.0.1:5000:5000", "192.0.2.1:50062:50062"]
    assert ports.template(environ["GRPC_PORT"]) == "50062"
    assert "container_ports" not in once


def test_the_database_is_prepared_by_the_same_image_before_the_service_is_replaced():
    once, service = containers(DataLoader())
    assert once["container_command"] == ["python3", "-m", "tripod_api.migrate"]
    assert (once["container_service"], once["container_once"]) == ("flask-backend", "migrate")
    assert (service["container_service"], "container_once" in service) == ("flask-backend", False)


@pytest.mark.parametrize("others", [[], [{"name": "edge2", "address": "192.0.2.2"}]])
def test_the_hosts_whose_data_planes_are_served_are_named_to_the_service(others):
    loader = DataLoader()
    kept = loader.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True)
    once, service = containers(loader)
    known = {
        "inventory_hostname": "edge1",
        "tripod_go_grpc_port": 50051,
        # Which a filter of the collection's makes of the option.
        "_flask_backend_others": data_planes(others, {"edge2": {}}),
    }
    variable = Templar(loader=loader, variables={**kept, **NETWORK, **known}).template(
        service["container_env"]["GO_BACKENDS"]
    )
    own = {"name": "edge1", "target": "go-backend:50051", "secret_file": "/run/secrets/policy_secret"}
    other = {
        "name": "edge2",
        "target": "192.0.2.2:50051",
        "tls_name": "go-backend.edge2",
        "secret_file": "/run/secrets/policy_secret_edge2",
    }
    # A site of one host is told nothing new.
    assert json.loads(variable) == ([own, other] if others else [])
    assert once["container_env"] == service["container_env"]
