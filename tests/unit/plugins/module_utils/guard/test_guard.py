"""Guards as records on disk: armed, acknowledged, confirmed, reverted, and told of."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import lock, state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    Change,
    CoreError,
    Invalid,
    Outcome,
    Refused,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._guard import guard as guards
from ansible_collections.tripod.baremetal.plugins.module_utils._guard import record as guard_record
from ansible_collections.tripod.baremetal.plugins.module_utils._guard import sessions
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.guard import Restore
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.sessions import Session, Ssh
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import detached
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.detached import Running, find_running

BOOT = "/proc/sys/kernel/random/boot_id"
STATE_FILE = state_store.path("nic")
HERE = Ssh("192.0.2.1", 40001, "192.0.2.10", 22)
AGAIN = replace(HERE, peer_port=40002)


@pytest.fixture
def host(machine, monkeypatch) -> Host:
    """A machine in its first boot, whose processes are this one's."""
    made = machine({BOOT: "first\n", f"/proc/{os.getpid()}/stat": stat(os.getpid())})
    monkeypatch.setattr(guards, "_ACKNOWLEDGE_SECONDS", 1.0)
    monkeypatch.setattr(detached, "POLL", 0.01)
    come_from(monkeypatch, HERE)
    return made


def stat(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read()


def come_from(monkeypatch: pytest.MonkeyPatch, ssh: Ssh | None) -> None:
    """The operator is connected like this; how that is found out, test__session.py tries."""
    monkeypatch.setattr(sessions, "current", lambda _host: Session("ssh" if ssh else "local", ssh))


class Nic:
    """A subject whose state is a number, and which can refuse."""

    def __init__(self) -> None:
        self.ring = 512
        self.replayed: list[int] = []
        self.refusals: list[Exception] = []

    def reapply(self, body: Mapping[str, Any], _host: Host) -> Outcome:
        if self.refusals:
            raise self.refusals.pop(0)
        self.replayed.append(body["ring"])
        changes = [Change(("ens1", "ring"), self.ring, body["ring"])] if body["ring"] != self.ring else []
        self.ring = body["ring"]
        return Outcome(changes, None)


@contextmanager
def agent(host: Host, reappliers: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Somebody who looks at the guards, as the watch does."""
    end = threading.Event()

    def watch() -> None:
        while not end.wait(0.01):
            guards.expire(host, reappliers or {})

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def arm(host: Host, ring: int = 512, subject: str = "nic", **options: Any) -> guards.Guard:
    with agent(host):
        guard = guards.protect(host, subject, [], [Restore("nic", {"ring": ring})], "always", 60, **options)
    assert guard is not None
    return guard


def loaded(host: Host, guard: guards.Guard) -> guards.Record:
    record = guards.load(host, guard.id)
    assert record is not None
    return record


def later(seconds: float) -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) + seconds


def left(host: Host) -> list[str]:
    """Everything that guards have left on the machine, but for their lock."""
    return [
        str(path.relative_to(host.root))
        for directory in (guard_record.DIRECTORY, guard_record.RUNTIME)
        for path in host.path(directory).rglob("*")
        if path.is_file() and path.name != "lock"
    ]


def test_what_nobody_confirms_is_put_back_at_the_deadline(host):
    host.write_atomically(STATE_FILE, "before\n")
    nic = Nic()
    guard = arm(host)
    nic.ring = 4096
    host.write_atomically(STATE_FILE, "after\n")
    assert guards.expire(host, {"nic": nic.reapply}, later(59)) == []
    assert nic.ring == 4096
    [record] = guards.expire(host, {"nic": nic.reapply}, later(61))
    assert (record.id, record.state, nic.ring, host.read(STATE_FILE)) == (guard.id, "reverted", 512, "before")
    assert list(record.report) == [
        "nobody confirmed within 60 s",
        f"{STATE_FILE} is as before",
        "ens1 ring: 4096 -> 512",
    ]
    assert guards.expire(host, {"nic": nic.reapply}, later(3600)) == []


def test_a_document_that_was_not_there_is_removed(host):
    guard = arm(host)
    host.write_atomically(STATE_FILE, "after\n")
    guards.revert(host, {"nic": Nic().reapply}, guard.id)
    assert not host.exists(STATE_FILE)


def test_a_confirmation_over_a_new_connection_leaves_nothing(host, monkeypatch):
    pin = host.path("/pin")
    pin.touch()
    guard = arm(host, leftovers=["/pin"])
    assert len(left(host)) == 2
    come_from(monkeypatch, AGAIN)
    assert [one.id for one in guards.confirm(host)] == [guard.id]
    assert left(host) == []
    assert not pin.exists()
    assert guards.expire(host, {}, later(61)) == []


def test_the_connection_that_armed_it_cannot_confirm(host, monkeypatch):
    guard = arm(host)
    with pytest.raises(Refused, match=r"the very connection that armed it \(from 192.0.2.1 port 40001\)"):
        guards.confirm(host, guard.id)
    come_from(monkeypatch, None)
    assert guards.confirm(host, guard.id), "a controller on the host itself has no connection to prove"


def test_a_confirmation_that_is_late_fails_with_the_story(host, monkeypatch):
    guard = arm(host)
    guards.expire(host, {"nic": Nic().reapply}, later(61))
    come_from(monkeypatch, AGAIN)
    with pytest.raises(
        Refused, match=rf"{guard.id} of nic .* was reverted at 20.*Z: the host has its previous state. nobody"
    ):
        guards.confirm(host)


def test_confirming_what_is_not_there(host):
    assert guards.confirm(host) == []
    with pytest.raises(Invalid, match=r"no guard nic-1 on this host .confirmed already.*; there are none"):
        guards.confirm(host, "nic-1")
    with pytest.raises(Invalid, match="no guard"):
        guards.confirm(host, "../../../etc/passwd")


def test_nothing_is_armed_without_an_agent(host):
    host.write_atomically(STATE_FILE, "before\n")
    with pytest.raises(Refused, match=r"no tripod-host watches this host.*host_agent role"):
        guards.protect(host, "nic", [], [], "always", 60)
    assert left(host) == []


def test_an_acknowledgement_of_an_agent_that_died_does_not_count(host):
    host.write_atomically(f"/proc/{os.getpid()}/stat", stat(os.getpid()).replace(stat(os.getpid()).split()[21], "1"))
    with agent(host):
        guards.protect(host, "nic", [], [], "always", 60)
    [name] = host.list(guard_record.DIRECTORY)
    acknowledgement = f"{guard_record.RUNTIME}/{name[: -len('.json')]}.ack"
    assert json.loads(host.read(acknowledgement)) == {"pid": os.getpid(), "started": 1}
    host.write_atomically(f"/proc/{os.getpid()}/stat", stat(os.getpid()))
    assert not guards._acknowledged(host, guards.records(host)[0])
    guards.expire(host, {})
    assert json.loads(host.read(acknowledgement))["started"] != 1, "the next agent has not taken it over"


def test_never_arms_nothing(host):
    assert guards.protect(host, "nic", ["lo"], [], "never", 60) is None
    assert left(host) == []


@pytest.mark.parametrize("timeout", [4, 3601])
def test_a_timeout_out_of_range(host, timeout):
    with pytest.raises(Invalid, match=rf"no guard was armed: a timeout of {timeout} s is not within 5 to 3600 s"):
        guards.protect(host, "nic", [], [], "always", timeout)


def test_a_reboot_reverts_at_once_and_by_documents_alone(host):
    state_store.store(host, state_store.StateFile("nic", "nic", {"ring": 1024}))
    guard = arm(host, ring=512)
    state_store.store(host, state_store.StateFile("nic", "nic", {"ring": 4096}))
    host.write_atomically(BOOT, "second\n")
    nic = Nic()
    [record] = guards.expire(host, {"nic": nic.reapply})
    assert (record.id, record.state, nic.replayed) == (guard.id, "reverted", [1024])
    assert record.report[0] == "the host rebooted before it was confirmed"


def test_a_revert_that_was_cut_off_is_resumed(host):
    guard = arm(host)
    guard_record.store_record(host, replace(loaded(host, guard), state="reverting", attempts=1, deadline=later(-1)))
    nic = Nic()
    nic.ring = 4096
    [record] = guards.expire(host, {"nic": nic.reapply})
    assert (record.state, nic.ring) == ("reverted", 512)


def test_one_fault_keeps_nothing_else_from_coming_back(host):
    state_store.store(host, state_store.StateFile("nic", "nic", {"ring": 512}))
    guard = arm(host)
    state_store.discard(host, "nic")
    with agent(host):
        guards.protect(host, "nic", [], [Restore("xdp", {}), Restore("unknown", {})], "always", 60)
    nic = Nic()
    nic.ring = 4096

    def faulty(_body: Mapping[str, Any], _host: Host) -> Outcome:
        raise KeyError("mode")

    reappliers = {"nic": nic.reapply, "xdp": faulty}
    assert guards.expire(host, reappliers, later(61)) == []
    [record] = guards.records(host)
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
    assert guards.expire(host, {"nic": nic.reapply}, later(61)) == []
    assert guards.expire(host, {"nic": nic.reapply}, later(1)) == [], "not before a while"
    assert guards.expire(host, {"nic": nic.reapply}, later(5)) == []
    [record] = guards.expire(host, {"nic": nic.reapply}, later(9))
    assert (record.state, record.attempts, list(record.errors)) == ("reverted", 3, [])

    arm(host, subject="xdp")
    nic.refusals = [ApplyFailed("busy")] * 9
    reported: list[guards.Record] = []
    for second in range(61, 100):
        reported += guards.expire(host, {"nic": nic.reapply}, later(second))
    assert [(one.state, one.attempts, list(one.errors)) for one in reported] == [("failed", 5, ["nic: busy"])]
    with pytest.raises(Refused, match=r"reverted only in part at .* \(nic: busy\)"):
        guards.confirm(host, reported[0].id)


def test_arming_again_extends_and_the_first_snapshot_has_the_last_word(host):
    host.write_atomically(STATE_FILE, "first\n")
    first = arm(host, ring=512)
    host.write_atomically(STATE_FILE, "second\n")
    deadline = guards.records(host)[0].deadline
    second = arm(host, ring=1024)
    [record] = guards.records(host)
    assert first.id == second.id == record.id
    assert record.deadline > deadline
    nic = Nic()
    nic.ring = 4096
    guards.revert(host, {"nic": nic.reapply})
    assert (nic.replayed, host.read(STATE_FILE)) == ([1024, 512], "first")


def test_an_extension_without_an_agent_leaves_the_first_guard_as_it_was(host):
    arm(host)
    [before] = guards.records(host)
    with pytest.raises(Refused):
        guards.protect(host, "nic", [], [], "always", 60)
    assert guards.records(host) == [before]


def test_the_next_run_reverts_what_a_crashed_one_left_and_tells_it_once(host):
    guard = arm(host, subject="xdp")
    guard_record.store_record(host, replace(loaded(host, guard), process=Running(2**22 + 1, 1)))
    nic = Nic()
    nic.ring = 4096
    assert [one.id for one in guards.report(host, {"nic": nic.reapply}, check=True)] == [guard.id]
    assert nic.ring == 4096
    [reported] = guards.report(host, {"nic": nic.reapply})
    assert (reported.id, reported.state, nic.ring) == (guard.id, "reverted", 512)
    assert guards.report(host, {"nic": nic.reapply}) == []
    assert left(host) == [f"{guard_record.ARCHIVE.lstrip('/')}/{guard.id}.json"]


@pytest.mark.parametrize("act", ["confirm", "revert", "settle"])
def test_a_check_only_tells(host, monkeypatch, act):
    guard = arm(host)
    guard_record.store_record(host, replace(loaded(host, guard), process=None))
    before, files = guards.records(host), left(host)
    come_from(monkeypatch, AGAIN)
    reappliers = {"nic": Nic().reapply}
    reported = {
        "confirm": lambda: guards.confirm(host, guard.id, check=True),
        "revert": lambda: guards.revert(host, reappliers, guard.id, check=True),
        "settle": lambda: guards.report(host, reappliers, check=True),
    }[act]()
    assert reported == guards.records(host) == before
    assert left(host) == files


def test_the_archive_is_bounded(host):
    for _number in range(23):
        guard = arm(host)
        guard_record.store_record(host, replace(loaded(host, guard), process=None))
        guards.report(host, {"nic": Nic().reapply})
    assert len(host.list(guard_record.ARCHIVE)) == 20
    assert f"{guard.id}.json" in host.list(guard_record.ARCHIVE)


def test_a_run_that_is_still_at_work_is_left_alone(host):
    guard = arm(host)
    with pytest.raises(Refused, match=rf"guard {guard.id} was armed by process {os.getpid()}, which is still at work"):
        guards.report(host, {})
    assert guards.records(host)[0].state == "armed"


def test_the_module_that_still_makes_the_change_is_ended_first(host, tmp_path):
    with subprocess.Popen(["sleep", "60"]) as module:
        real = Host(tmp_path / "real")
        real.root.mkdir()
        real.path("/proc").symlink_to("/proc")
        guard = arm(real)
        process = find_running(real, module.pid)
        guard_record.store_record(real, replace(loaded(real, guard), process=process))
        reaper = threading.Thread(target=module.wait)
        reaper.start()
        [record] = guards.expire(real, {"nic": Nic().reapply}, later(61))
        reaper.join()
    assert (record.state, module.returncode) == ("reverted", -15)
    assert f"process {module.pid}, which was still at work, is ended" in record.report


def test_a_process_of_the_same_number_is_not_ended(host):
    guard = arm(host)
    guard_record.store_record(host, replace(loaded(host, guard), process=Running(os.getppid(), 1)))
    host.write_atomically(f"/proc/{os.getppid()}/stat", stat(os.getppid()))
    assert guards.expire(host, {"nic": Nic().reapply}, later(61))[0].state == "reverted"


@pytest.mark.parametrize("content", ['{"format": 1, "id": "to', "[]", "{}", '{"format": 2}', "\0\0\0"])
def test_a_torn_record_does_not_keep_the_others_from_being_seen_to(host, content, caplog):
    host.write_atomically(f"{guard_record.DIRECTORY}/a-torn.json", content)
    guard = arm(host)
    [record] = guards.expire(host, {"nic": Nic().reapply}, later(61))
    assert record.id == guard.id
    assert "a-torn.json cannot be understood, so it reverts nothing and is set aside" in caplog.text
    caplog.clear()
    guards.expire(host, {})
    assert not caplog.text, "it is told each second"
    assert host.list(guard_record.ARCHIVE) == ["a-torn.torn"]


def test_a_revert_goes_on_where_somebody_else_never_lets_go_of_the_host(host, monkeypatch):
    monkeypatch.setattr(guards, "_PATIENCE", 0.2)
    guard = arm(host)
    with lock.alone(host):
        assert [one.id for one in guards.expire(host, {"nic": Nic().reapply}, later(61))] == [guard.id]


def test_a_confirmation_waits_for_a_revert_and_then_fails(host, monkeypatch):
    arm(host)
    begun = threading.Event()

    def slow(_body: Mapping[str, Any], _host: Host) -> Outcome:
        begun.set()
        time.sleep(0.5)
        return Outcome([], None)

    thread = threading.Thread(target=lambda: guards.expire(host, {"nic": slow}, later(61)))
    thread.start()
    assert begun.wait(5)
    come_from(monkeypatch, AGAIN)
    with pytest.raises(Refused, match="was reverted"):
        guards.confirm(host)
    thread.join()


def test_arming_for_an_operator_keeps_every_document(host, monkeypatch):
    state_store.store(host, state_store.StateFile("nic", "nic", {"ring": 512}))
    with agent(host):
        guard = guards.arm_host(host, ["lo"], 60)
    [record] = guards.records(host)
    assert (guard.id, list(record.state_files), list(record.restores)) == (
        record.id,
        [STATE_FILE],
        [Restore("nic", {"ring": 512})],
    )
    assert record.process is None
    assert "lo" in record.links.links


def test_arming_for_an_operator_looks_before_it_arms(host):
    with pytest.raises(Invalid, match=r"interface ens999 does not exist; there are .*lo"):
        guards.arm_host(host, ["ens999"], 60)
    assert left(host) == []


@pytest.mark.parametrize("subject", ["", "a/b", "..", "x" * 41])
def test_a_subject_is_a_file_name(host, subject):
    with pytest.raises(CoreError, match="subject"):
        guards.arm_host(host, ["lo"], 60, subject)
