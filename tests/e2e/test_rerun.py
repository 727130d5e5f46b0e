"""A converged site stays as it is, and says so before it is asked to do anything."""

from __future__ import annotations

import pytest

from tests.support.site import playbook, result


@pytest.mark.parametrize("mode", [["--check", "--diff"], []], ids=["check", "run"])
def test_a_converged_site_has_nothing_to_change(mode):
    done = playbook("site.yml", *mode)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    told = result(done)
    changed = [
        task["task"]["name"]
        for play in told["plays"]
        for task in play["tasks"]
        if any(host.get("changed") for host in task["hosts"].values())
    ]
    assert changed == []
    assert told["stats"]["localhost"]["changed"] == 0
