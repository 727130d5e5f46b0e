"""One check of several components of a plan says what each of their modules would say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.machine import Machine

PLAN: dict[str, Any] = {
    "sysctl": {"variables": {"net.core.somaxconn": 5000}},
    "nic": {"nics": [{"name": "drift0", "txqueuelen": 500}], "guard": "never"},
}


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    made.cable("drift0", "drift1")
    for name, options in PLAN.items():
        assert machine_changed(made, name, options)
    yield made
    made.close()


def machine_changed(machine: Machine, name: str, options: dict[str, Any], check: bool = False) -> list[str]:
    run = machine.module(name, check=check, **options)
    assert not run.failed, run.output
    return run.result["changes"]


def check(machine: Machine, plan: dict[str, Any]) -> dict[str, Any]:
    run = machine.module("host_drift_info", **plan)
    assert not run.failed, run.output
    assert not run.changed
    return dict(run.result)


def test_a_host_that_is_as_planned_did_not_drift(machine: Machine) -> None:
    reported = check(machine, PLAN)
    assert not reported["drifted"]
    assert reported["parts"] == {
        name: {"drifted": False, "changes": [], "reasons": []} for name in ("change_guard", "sysctl", "nic")
    }


def test_drift_is_reported_as_the_modules_would_and_left_alone(machine: Machine) -> None:
    machine.run("sysctl", "--write", "net.core.somaxconn=1000")
    machine.run("ip", "link", "set", "drift0", "txqueuelen", "700")
    reported = check(machine, PLAN)
    assert reported["drifted"]
    for name, options in PLAN.items():
        found = reported["parts"][name]
        assert found["changes"] == machine_changed(machine, name, options, check=True) != []
        assert found["drifted"]
    assert machine.run("sysctl", "--values", "net.core.somaxconn") == "1000\n"
    assert machine.ip("link", "show", "drift0")[0]["txqlen"] == 700
    # What is not requested is not checked.
    assert set(check(machine, {"nic": PLAN["nic"]})["parts"]) == {"change_guard", "nic"}


def test_what_a_module_would_refuse_is_drift_in_its_words(machine: Machine) -> None:
    reported = check(
        machine,
        {
            "sysctl": {"variables": {"net.core.nope": 1}},
            "driver": {"drivers": [{"name": "igb", "optoins": {}}]},
            "hugepages": {"reservations": "many"},
            "nic": {"nics": [{"name": "nosuch0", "mtu": 9000}]},
        },
    )
    reasons = {name: " ".join(part["reasons"]) for name, part in reported["parts"].items() if part["drifted"]}
    assert reasons.keys() == {"sysctl", "driver", "hugepages", "nic"}
    assert "net.core.nope" in reasons["sysctl"]
    assert "optoins" in reasons["driver"]
    assert "reservations" in reasons["hugepages"]
    assert "nosuch0" in reasons["nic"]
