"""Who may call the data plane gets a certificate, as it is known by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.clients import CLIENTS, SERVICES, refusals

ROLES = Path(__file__).parents[5] / "roles"


@pytest.mark.parametrize(
    ("clients", "services"), [([], []), (["api"], ["api"]), (["connector", "api"], ["postgres", "api", "connector"])]
)
def test_clients_that_get_a_certificate_are_let_through(clients, services):
    assert list(refusals(clients, services)) == []


def test_each_that_gets_none_is_named_with_its_place_and_the_way_out():
    reasons = list(refusals(["connector", "api", "script"], ["postgres", "api"]))
    assert [reason.partition(":")[0] for reason in reasons] == [f"{CLIENTS}[0] (connector)", f"{CLIENTS}[2] (script)"]
    assert all(f"{SERVICES} has postgres, api: add it there" in reason for reason in reasons)
    assert "has nobody" in next(refusals(["api"], []))


def test_the_defaults_of_both_roles_agree():
    clients, services = (
        [one["service"] for one in yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text())[variable]]
        for role, variable in (("go_backend", CLIENTS), ("pki", SERVICES))
    )
    assert clients
    assert list(refusals(clients, services)) == []
