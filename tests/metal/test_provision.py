"""What a run on a host that is as asked costs it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.metal.conftest import Playbook

MOST_CALLS = 3  # facts included; ten are what was promised


def calls(host: Any, begin: str) -> list[str]:
    """Return the modules called since a place in the host's own journal, where every one of them says so."""
    lines = host.check_output("journalctl --after-cursor %s --grep 'Invoked with' --output short", begin).splitlines()
    called = [line.split("Invoked with")[0].split()[-1] for line in lines if not line.startswith("--")]
    return [call.split("baremetal.")[-1].partition("[")[0] for call in called]


@pytest.fixture
def cursor(host: Any) -> str:
    """Return the end of the journal."""
    return host.check_output("journalctl --lines 0 --show-cursor --quiet").removeprefix("-- cursor: ")


def test_a_run_without_changes_is_one_look(host: Any, playbook: Playbook, cursor: str):
    reported = playbook("playbooks/provision.yml")
    assert [one["changed"] for one in reported["stats"].values()] == [0]
    called = calls(host, cursor)
    assert "host_drift_info" in called
    assert len(called) <= MOST_CALLS, called


@pytest.mark.full
def test_what_drifted_is_brought_back_by_the_roles(host: Any, playbook: Playbook, cursor: str):
    host.check_output("sysctl --write net.core.netdev_budget=300")
    host.check_output("ethtool --coalesce ens1 rx-usecs 50")
    reported = playbook("playbooks/provision.yml")
    assert [one["changed"] for one in reported["stats"].values()] == [2]
    assert {"host_drift_info", "nic", "sysctl"} <= set(calls(host, cursor))
    assert host.check_output("sysctl --values net.core.netdev_budget") == "600"
    assert json.loads(host.check_output("ethtool --json --show-coalesce ens1"))[0]["rx-usecs"] == 20
