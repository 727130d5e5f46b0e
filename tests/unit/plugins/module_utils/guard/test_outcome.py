"""Guards that are confirmed, late, or reported to the next run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid, Outcome, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.outcome import confirm, expire, report, revert
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.record import (
    ARCHIVE,
    DIRECTORY,
    records,
    store_record,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.sessions import SSH, UNKNOWN, Session
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.detached import Running

from .guards import AGAIN, Nic, arm, come_from, later, left, loaded


def test_a_confirmation_over_a_new_connection_leaves_nothing(host, monkeypatch):
    pin = host.path("/pin")
    pin.touch()
    guard = arm(host, leftovers=["/pin"])
    assert len(left(host)) == 2
    come_from(monkeypatch, AGAIN)
    assert [one.id for one in confirm(host)] == [guard.id]
    assert left(host) == []
    assert not pin.exists()
    assert expire(host, {}, later(61)) == []


def test_the_connection_that_armed_it_cannot_confirm(host, monkeypatch):
    guard = arm(host)
    with pytest.raises(Refused, match=r"the very connection that armed it \(from 192.0.2.1 port 40001\)"):
        confirm(host, guard.id)
    come_from(monkeypatch, None)
    assert confirm(host, guard.id), "a controller on the host itself has no connection to prove"


def test_a_confirmation_that_is_late_fails_with_the_report(host, monkeypatch):
    guard = arm(host)
    expire(host, {"nic": Nic().reapply}, later(61))
    come_from(monkeypatch, AGAIN)
    with pytest.raises(
        Refused, match=rf"{guard.id} of nic .* was reverted at 20.*Z: the host has its previous state. nobody"
    ):
        confirm(host)


def test_confirming_what_is_not_there(host):
    assert confirm(host) == []
    with pytest.raises(Invalid, match=r"no guard nic-1 on this host .confirmed already.*; there are none"):
        confirm(host, "nic-1")
    with pytest.raises(Invalid, match="no guard"):
        confirm(host, "../../../etc/passwd")


def test_the_next_run_reverts_what_a_crashed_one_left_and_reports_it_once(host):
    guard = arm(host, subject="xdp")
    store_record(host, replace(loaded(host, guard), process=Running(2**22 + 1, 1)))
    nic = Nic()
    nic.ring = 4096
    assert [one.id for one in report(host, {"nic": nic.reapply}, check=True)] == [guard.id]
    assert nic.ring == 4096
    [reported] = report(host, {"nic": nic.reapply})
    assert (reported.id, reported.state, nic.ring) == (guard.id, "reverted", 512)
    assert report(host, {"nic": nic.reapply}) == []
    assert left(host) == [f"{ARCHIVE.lstrip('/')}/{guard.id}.json"]


@pytest.mark.parametrize("act", ["confirm", "revert", "report"])
def test_a_check_only_reports(host, monkeypatch, act):
    guard = arm(host)
    store_record(host, replace(loaded(host, guard), process=None))
    before, files = records(host), left(host)
    come_from(monkeypatch, AGAIN)
    reappliers = {"nic": Nic().reapply}
    reported = {
        "confirm": lambda: confirm(host, guard.id, check=True),
        "revert": lambda: revert(host, reappliers, guard.id, check=True),
        "report": lambda: report(host, reappliers, check=True),
    }[act]()
    assert reported == records(host) == before
    assert left(host) == files


def test_the_archive_is_bounded(host):
    for _number in range(23):
        guard = arm(host)
        store_record(host, replace(loaded(host, guard), process=None))
        report(host, {"nic": Nic().reapply})
    assert len(host.list(ARCHIVE)) == 20
    assert f"{guard.id}.json" in host.list(ARCHIVE)


def test_a_run_that_is_still_at_work_is_left_alone(host):
    guard = arm(host)
    with pytest.raises(Refused, match=rf"guard {guard.id} was armed by process {os.getpid()}, which is still at work"):
        report(host, {})
    assert records(host)[0].state == "armed"


@pytest.mark.parametrize("content", ['{"format": 1, "id": "to', "[]", "{}", '{"format": 2}', "\0\0\0"])
def test_a_torn_record_does_not_keep_the_others_from_being_seen_to(host, content, caplog):
    host.write_atomically(f"{DIRECTORY}/a-torn.json", content)
    guard = arm(host)
    [record] = expire(host, {"nic": Nic().reapply}, later(61))
    assert record.id == guard.id
    assert "a-torn.json cannot be understood, so it reverts nothing and is set aside" in caplog.text
    caplog.clear()
    expire(host, {})
    assert not caplog.text, "it is reported each second"
    assert host.list(ARCHIVE) == ["a-torn.torn"]


def test_a_confirmation_waits_for_a_revert_and_then_fails(host, monkeypatch):
    arm(host)
    begun = threading.Event()

    def slow(_body: Mapping[str, Any], _host: Host) -> Outcome:
        begun.set()
        time.sleep(0.5)
        return Outcome([], None)

    thread = threading.Thread(target=lambda: expire(host, {"nic": slow}, later(61)))
    thread.start()
    assert begun.wait(5)
    come_from(monkeypatch, AGAIN)
    with pytest.raises(Refused, match="was reverted"):
        confirm(host)
    thread.join()


def test_a_change_that_no_playbook_made_is_none_of_a_run(host, monkeypatch):
    nic = Nic()
    apart, own = arm(host, subject="policy-edge"), arm(host, subject="nic")
    for one in (apart, own):
        store_record(host, replace(loaded(host, one), process=None))
    come_from(monkeypatch, AGAIN)
    assert [one.id for one in confirm(host, check=True)] == [own.id]
    assert [one.id for one in revert(host, {"nic": nic.reapply}, check=True)] == [own.id]
    assert [one.id for one in report(host, {"nic": nic.reapply}, check=True)] == [own.id]
    assert {one.id for one in confirm(host)} == {own.id}
    assert [one.id for one in records(host)] == [apart.id]
    assert [one.id for one in expire(host, {"nic": nic.reapply}, later(61))] == [apart.id]


def test_somebody_elses_confirmation_counts_by_the_connection_that_it_came_by(host, monkeypatch):
    guard = arm(host)
    armed_by = loaded(host, guard).session
    come_from(monkeypatch, AGAIN)
    with pytest.raises(Refused, match="the very connection that armed it"):
        confirm(host, guard.id, session=Session(SSH, armed_by))
    assert confirm(host, guard.id, session=Session(UNKNOWN))
