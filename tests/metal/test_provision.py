"""What a run on a host that is as asked costs it."""

from __future__ import annotations

from tests.metal.conftest import Playbook

MOST_CALLS = 10


def test_a_run_without_changes_changes_nothing_in_ten_module_calls(host, playbook: Playbook):
    cursor = host.check_output("journalctl --lines 0 --show-cursor --quiet").removeprefix("-- cursor: ")
    told = playbook("playbooks/provision.yml")
    assert [one["changed"] for one in told["stats"].values()] == [0]
    # Every module says in the host's own journal that it was called.
    lines = host.check_output("journalctl --after-cursor %s --grep 'Invoked with' --output short", cursor).splitlines()
    calls = [line.split("Invoked with")[0].split()[-1] for line in lines if not line.startswith("--")]
    assert {"nic", "hugepages", "sysctl"} <= {call.split("baremetal.")[-1].partition("[")[0] for call in calls}, calls
    assert len(calls) <= MOST_CALLS, calls
