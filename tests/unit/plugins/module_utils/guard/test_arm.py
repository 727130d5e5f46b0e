"""Guards that are armed, extended and acknowledged."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import CoreError, Invalid, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.arm import _acknowledged, arm_host, protect
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.outcome import expire, revert
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.record import DIRECTORY, RUNTIME, Restore, records

from .guards import STATE_FILE, Nic, agent, arm, left, stat


def test_nothing_is_armed_without_an_agent(host):
    host.write_atomically(STATE_FILE, "before\n")
    with pytest.raises(Refused, match=r"no tripod-host watches this host.*host_agent role"):
        protect(host, "nic", [], [], "always", 60)
    assert left(host) == []


def test_an_acknowledgement_of_an_agent_that_died_does_not_count(host):
    host.write_atomically(f"/proc/{os.getpid()}/stat", stat(os.getpid()).replace(stat(os.getpid()).split()[21], "1"))
    with agent(host):
        protect(host, "nic", [], [], "always", 60)
    [name] = host.list(DIRECTORY)
    acknowledgement = f"{RUNTIME}/{name[: -len('.json')]}.ack"
    assert json.loads(host.read(acknowledgement)) == {"pid": os.getpid(), "started": 1}
    host.write_atomically(f"/proc/{os.getpid()}/stat", stat(os.getpid()))
    assert not _acknowledged(host, records(host)[0])
    expire(host, {})
    assert json.loads(host.read(acknowledgement))["started"] != 1, "the next agent has not taken it over"


def test_never_arms_nothing(host):
    assert protect(host, "nic", ["lo"], [], "never", 60) is None
    assert left(host) == []


@pytest.mark.parametrize("timeout", [4, 3601])
def test_a_timeout_out_of_range(host, timeout):
    with pytest.raises(Invalid, match=rf"no guard was armed: a timeout of {timeout} s is not within 5 to 3600 s"):
        protect(host, "nic", [], [], "always", timeout)


def test_arming_again_extends_and_the_first_snapshot_has_the_last_word(host):
    host.write_atomically(STATE_FILE, "first\n")
    first = arm(host, ring=512)
    host.write_atomically(STATE_FILE, "second\n")
    deadline = records(host)[0].deadline
    second = arm(host, ring=1024)
    [record] = records(host)
    assert first.id == second.id == record.id
    assert record.deadline > deadline
    nic = Nic()
    nic.ring = 4096
    revert(host, {"nic": nic.reapply})
    assert (nic.reapplied, host.read(STATE_FILE)) == ([1024, 512], "first")


def test_an_extension_without_an_agent_leaves_the_first_guard_as_it_was(host):
    arm(host)
    [before] = records(host)
    with pytest.raises(Refused):
        protect(host, "nic", [], [], "always", 60)
    assert records(host) == [before]


def test_arming_for_an_operator_saves_every_state_file(host, monkeypatch):
    state_store.store(host, state_store.StateFile("nic", "nic", {"ring": 512}))
    with agent(host):
        guard = arm_host(host, ["lo"], 60)
    [record] = records(host)
    assert (guard.id, list(record.state_files), list(record.restores)) == (
        record.id,
        [STATE_FILE],
        [Restore("nic", {"ring": 512})],
    )
    assert record.process is None
    assert "lo" in record.links.links


def test_arming_for_an_operator_checks_before_it_arms(host):
    with pytest.raises(Invalid, match=r"interface ens999 does not exist; there are .*lo"):
        arm_host(host, ["ens999"], 60)
    assert left(host) == []


@pytest.mark.parametrize("subject", ["", "a/b", "..", "x" * 41])
def test_a_subject_is_a_file_name(host, subject):
    with pytest.raises(CoreError, match="subject"):
        arm_host(host, ["lo"], 60, subject)
