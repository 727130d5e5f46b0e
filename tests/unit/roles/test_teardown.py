"""What the teardown removes of policies: every place that the core writes them to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import (
    policy_bans,
    policy_history,
    policy_serve,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._guard import record
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_lists

VARIABLES = Path(__file__).resolve().parents[3] / "roles" / "teardown" / "vars" / "main.yml"


@pytest.mark.parametrize(
    "path",
    [
        policy_lists.DIRECTORY,
        policy_history.DIRECTORY,
        policy_bans.JOURNAL,
        record.DIRECTORY,
        policy_serve.RUNTIME,
        policy_serve.LINK,
    ],
)
def test_what_policies_leave_is_removed_whatever_the_application_is_called(path):
    assert path in yaml.safe_load(VARIABLES.read_text())["_teardown_paths"]
