"""What the supervisor does about which sequence of events."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.engine_api import Container, Event
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.ledger import Ledger, verdict
from ansible_collections.tripod.baremetal.plugins.module_utils._core.backoff import Backoff

ID = "4f1c" * 16
SECOND = 10**9


def observed(actions: str, ledger: Ledger | None = None, at: int = 0) -> Ledger:
    """Observe actions, one a second, and return what is then known."""
    ledger = ledger or Ledger(Backoff())
    for second, action in enumerate(actions.split(), at):
        ledger.observe(Event(action, ID, "web", second * SECOND), float(second))
    return ledger


@pytest.mark.parametrize(
    ("actions", "due_in"),
    [
        ("start", None),
        ("start die", 1.0),
        ("die", 1.0),
        ("start die stop", None),
        ("start stop die", None),
        ("start die start", None),
        ("start die stop start", None),
        ("start die stop start die", 1.0),
        ("start die start die", 2.0),
        ("start die start die start die", 4.0),
        ("start die destroy", None),
        ("start health_status:unhealthy", None),
    ],
)
def test_events_decide_what_is_due(actions, due_in):
    ledger = observed(actions)
    assert ledger.idle(float(len(actions.split()) - 1)) == due_in


def test_a_stop_is_saved_until_a_start_or_the_end():
    assert observed("start die stop").stopped == {ID}
    assert observed("start die stop start").stopped == set()
    assert observed("start die stop destroy").stopped == set()


def test_waits_grow_to_their_limit_and_a_steady_run_forgets_them():
    ledger = observed("start die " * 10)
    assert ledger.idle(19.0) == 60.0
    ledger.observe(Event("start", ID, "web", 100 * SECOND), 100.0)
    ledger.observe(Event("die", ID, "web", 160 * SECOND), 160.0)
    assert ledger.idle(160.0) == 1.0


def test_a_short_run_forgets_nothing():
    ledger = observed("start die " * 2)
    ledger.observe(Event("start", ID, "web", 100 * SECOND), 100.0)
    ledger.observe(Event("die", ID, "web", 159 * SECOND), 159.0)
    assert ledger.idle(159.0) == 4.0


@pytest.mark.parametrize(
    ("stopped", "status", "due_in"),
    [
        ([], "exited", 1.0),
        ([], "restarting", 1.0),
        ([ID], "exited", None),
        ([], "running", None),
        ([ID], "running", None),
        ([], "created", None),
        ([], "removing", None),
        ([], "paused", None),
    ],
)
def test_what_was_missed_is_made_up_for(stopped, status, due_in):
    ledger = Ledger(Backoff(), stopped)
    ledger.resync([Container(ID, "web", status)], 10.0)
    assert ledger.idle(10.0) == due_in
    assert ledger.due(10.0 + (due_in or 0)) == ([ID] if due_in else [])
    assert ledger.stopped == (set() if status == "running" else set(stopped))


def test_a_resync_forgets_who_is_gone_and_keeps_waits():
    ledger = observed("start die start die")
    ledger.resync([Container(ID, "web", "exited")], 3.0)
    assert ledger.idle(3.0) == 2.0
    ledger.resync([], 3.0)
    assert ledger.idle(3.0) is None


@pytest.mark.parametrize(
    ("status", "exit_status", "policy", "expected"),
    [
        ("exited", 137, "always", "start"),
        ("exited", 0, "always", "start"),
        ("exited", 137, "unless-stopped", "start"),
        ("exited", 1, "on-failure", "start"),
        ("exited", 0, "on-failure", "leave"),
        ("exited", 1, "no", "leave"),
        ("exited", 1, "", "leave"),
        ("restarting", 1, "always", "wait"),
        ("running", 0, "always", "leave"),
        ("created", 0, "always", "leave"),
        ("paused", 0, "always", "leave"),
        ("removing", 137, "always", "leave"),
        ("dead", 137, "always", "leave"),
    ],
)
def test_state_and_policy_decide_who_is_started(status, exit_status, policy, expected):
    assert verdict(Container(ID, "web", status, exit_status, policy)) == expected
