"""Guards that nobody confirms: what is restored, in which order, and what a fault keeps from it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import lock, state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    Change,
    Outcome,
    Refused,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._guard import revert as revert_module
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.arm import protect
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.outcome import confirm, expire, revert
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.record import (
    Record,
    Restore,
    records,
    store_record,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.detached import Running, find_running

from .guards import BOOT, STATE_FILE, Nic, agent, arm, later, loaded, stat


def test_what_nobody_confirms_is_restored_at_the_deadline(host):
    host.write_atomically(STATE_FILE, "before\n")
    nic = Nic()
    guard = arm(host)
    nic.ring = 4096
    host.write_atomically(STATE_FILE, "after\n")
    assert expire(host, {"nic": nic.reapply}, later(59)) == []
    assert nic.ring == 4096
    [record] = expire(host, {"nic": nic.reapply}, later(61))
    assert (record.id, record.state, nic.ring, host.read(STATE_FILE)) == (guard.id, "reverted", 512, "before")
    assert list(record.report) == [
        "nobody confirmed within 60 s",
        f"{STATE_FILE} is as before",
        "ens1 ring: 4096 -> 512",
    ]
    assert expire(host, {"nic": nic.reapply}, later(3600)) == []


def test_a_long_policy_is_one_line_of_a_revert(host):
    guard = arm(host)
    entries = [Change(("ens1", "inventory", f"10.0.{n >> 8}.{n & 255}/32"), "drop", None) for n in range(10_000)]
    [record] = revert(host, {"nic": lambda body, host: Outcome(entries, None)}, guard.id)
    assert record.report[-1] == "ens1 inventory: 0 added, 10000 removed, 0 modified"
    assert len(record.report) < 5


def test_a_state_file_that_was_not_there_is_removed(host):
    guard = arm(host)
    host.write_atomically(STATE_FILE, "after\n")
    revert(host, {"nic": Nic().reapply}, guard.id)
    assert not host.exists(STATE_FILE)


def test_a_reboot_reverts_at_once_and_by_state_files_alone(host):
    state_store.store(host, state_store.StateFile("nic", "nic", {"ring": 1024}))
    guard = arm(host, ring=512)
    state_store.store(host, state_store.StateFile("nic", "nic", {"ring": 4096}))
    host.write_atomically(BOOT, "second\n")
    nic = Nic()
    [record] = expire(host, {"nic": nic.reapply})
    assert (record.id, record.state, nic.reapplied) == (guard.id, "reverted", [1024])
    assert record.report[0] == "the host rebooted before it was confirmed"


def test_a_revert_that_was_cut_off_is_resumed(host):
    guard = arm(host)
    store_record(host, replace(loaded(host, guard), state="reverting", attempts=1, deadline=later(-1)))
    nic = Nic()
    nic.ring = 4096
    [record] = expire(host, {"nic": nic.reapply})
    assert (record.state, nic.ring) == ("reverted", 512)


def test_one_fault_keeps_nothing_else_from_being_restored(host):
    state_store.store(host, state_store.StateFile("nic", "nic", {"ring": 512}))
    guard = arm(host)
    state_store.discard(host, "nic")
    with agent(host):
        protect(host, "nic", [], [Restore("xdp", {}), Restore("unknown", {})], "always", 60)
    nic = Nic()
    nic.ring = 4096

    def faulty(_body: Mapping[str, Any], _host: Host) -> Outcome:
        raise KeyError("mode")

    reappliers = {"nic": nic.reapply, "xdp": faulty}
    assert expire(host, reappliers, later(61)) == []
    [record] = records(host)
    assert (record.id, record.state, record.attempts, nic.ring) == (guard.id, "reverting", 1, 512)
    assert list(record.errors) == [
        "xdp: KeyError: 'mode'",
        "unknown: this agent does not know how to restore unknown: install it anew",
    ]
    assert host.exists(STATE_FILE)


def test_a_revert_is_tried_again_and_given_up_in_the_end(host):
    arm(host)
    nic = Nic()
    nic.ring = 4096
    nic.refusals = [ApplyFailed("busy"), OSError(16, "Device or resource busy")]
    assert expire(host, {"nic": nic.reapply}, later(61)) == []
    assert expire(host, {"nic": nic.reapply}, later(1)) == [], "not before a while"
    assert expire(host, {"nic": nic.reapply}, later(5)) == []
    [record] = expire(host, {"nic": nic.reapply}, later(9))
    assert (record.state, record.attempts, list(record.errors)) == ("reverted", 3, [])

    arm(host, subject="xdp")
    nic.refusals = [ApplyFailed("busy")] * 9
    reported: list[Record] = []
    for second in range(61, 100):
        reported += expire(host, {"nic": nic.reapply}, later(second))
    assert [(one.state, one.attempts, list(one.errors)) for one in reported] == [("failed", 5, ["nic: busy"])]
    with pytest.raises(Refused, match=r"reverted only in part at .* \(nic: busy\)"):
        confirm(host, reported[0].id)


def test_the_module_that_still_makes_the_change_is_ended_first(host, tmp_path):
    with subprocess.Popen(["sleep", "60"]) as module:
        real = Host(tmp_path / "real")
        real.root.mkdir()
        real.path("/proc").symlink_to("/proc")
        guard = arm(real)
        process = find_running(real, module.pid)
        store_record(real, replace(loaded(real, guard), process=process))
        reaper = threading.Thread(target=module.wait)
        reaper.start()
        [record] = expire(real, {"nic": Nic().reapply}, later(61))
        reaper.join()
    assert (record.state, module.returncode) == ("reverted", -15)
    assert f"process {module.pid}, which was still at work, is ended" in record.report


def test_a_process_of_the_same_number_is_not_ended(host):
    guard = arm(host)
    store_record(host, replace(loaded(host, guard), process=Running(os.getppid(), 1)))
    host.write_atomically(f"/proc/{os.getppid()}/stat", stat(os.getppid()))
    assert expire(host, {"nic": Nic().reapply}, later(61))[0].state == "reverted"


def test_a_revert_goes_on_where_somebody_else_never_lets_go_of_the_host(host, monkeypatch):
    monkeypatch.setattr(revert_module, "_PATIENCE", 0.2)
    guard = arm(host)
    with lock.alone(host):
        assert [one.id for one in expire(host, {"nic": Nic().reapply}, later(61))] == [guard.id]
