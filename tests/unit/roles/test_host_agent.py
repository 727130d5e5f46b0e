"""What the role says of the agent is what the agent has."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_command import ACTIONS

ROLE = Path(__file__).resolve().parents[3] / "roles" / "host_agent"
SERVICES = ("export", "serve")  # run as services, under names of their own


@pytest.mark.parametrize("action", [one for one in ACTIONS if one not in SERVICES])
def test_each_command_on_policies_is_named(action):
    told = (ROLE / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    paragraph = told[told.index("C(tripod-host policy show) prints") :].partition("\n      - ")[0]
    assert f"C({action})" in paragraph or f"C(tripod-host policy {action})" in paragraph
