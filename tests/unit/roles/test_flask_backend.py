"""Whom the API believes of the client's address, as the role sets it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[3] / "roles" / "flask_backend"
NETWORK = {"docker_engine_app_subnet": "172.18.0.0/16", "docker_engine_app_gateway": "172.18.0.1"}


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
    (task,) = [
        one
        for one in loader.load_from_file(str(ROLE / "tasks" / "main.yml"), trusted_as_template=True)
        if "container_env" in one.get("vars", {})
    ]
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    chosen = {"flask_backend_trusted_proxies": given} if given else {}
    templar = Templar(loader=loader, variables={**defaults, **kept, **NETWORK, **chosen})
    assert templar.template(task["vars"]["container_env"]["TRUSTED_PROXIES"]) == expected
