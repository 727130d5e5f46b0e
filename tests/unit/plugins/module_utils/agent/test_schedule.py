"""When the watch checks which link."""

from __future__ import annotations

import itertools

from ansible_collections.tripod.baremetal.plugins.module_utils._agent.schedule import Schedule
from ansible_collections.tripod.baremetal.plugins.module_utils._core.backoff import Backoff


def test_a_check_waits_until_there_is_no_more_news():
    schedule = Schedule(Backoff())
    for now in (10.0, 10.2, 10.4):
        schedule.request("ens1", "came up", now)
    assert schedule.take(10.6) == {}
    assert schedule.take(10.75) == {"ens1": ["came up"]}
    assert schedule.idle(10.75) is None


def test_news_without_end_does_not_put_a_check_off_for_ever():
    schedule = Schedule(Backoff())
    for tenth in range(100):
        schedule.request("ens1", "came up", tenth / 10)
    assert schedule.take(3.0) == {"ens1": ["came up"]}


def test_a_check_after_a_change_comes_once_and_then_it_is_quiet():
    schedule = Schedule(Backoff())
    schedule.request("ens1", "appeared", 0.0)
    assert schedule.take(0.3) == {"ens1": ["appeared"]}
    schedule.acted("ens1", 0.5)
    schedule.request("ens1", "came up", 0.6)  # The change's own bounce.
    assert schedule.take(1.4) == {}
    assert schedule.take(1.5) == {"ens1": ["came up"]}
    schedule.converged("ens1", 1.5)
    assert schedule.idle(1.5) is None


def fight(schedule: Schedule, seconds: float) -> list[float]:
    """Somebody changes the link back right after each check; return when it was checked."""
    now, checks = 0.0, []
    schedule.request("ens1", "came up", now)
    while now < seconds:
        now += 0.1
        if schedule.take(now):
            checks.append(now)
            schedule.acted("ens1", now)
            schedule.request("ens1", "came up", now)
    return checks


def test_who_keeps_changing_it_back_is_answered_at_growing_intervals():
    checks = fight(Schedule(Backoff()), 300.0)
    waits = [round(after - before) for before, after in itertools.pairwise(checks)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_failures_are_forgotten_after_a_calm_time():
    schedule = Schedule(Backoff())
    fight(schedule, 20.0)
    schedule.take(100.0)
    schedule.converged("ens1", 100.0)
    schedule.request("ens1", "came up", 200.0)
    assert schedule.take(200.3) == {"ens1": ["came up"]}


def test_what_failed_is_tried_again_by_itself():
    schedule = Schedule(Backoff())
    schedule.request("ens1", "appeared", 0.0)
    schedule.take(0.3)
    schedule.acted("ens1", 0.3)
    schedule.retry("ens1", "failed before")
    assert schedule.take(1.2) == {}
    assert schedule.take(1.3) == {"ens1": ["failed before"]}


def test_a_check_that_has_to_wait_keeps_its_reasons():
    schedule = Schedule(Backoff())
    schedule.request("ens1", "came up", 0.0)
    reasons = schedule.take(0.3)["ens1"]
    schedule.request("ens1", "was renamed from eth0", 0.4)
    schedule.put_off("ens1", reasons, 0.8)
    assert schedule.take(0.8) == {"ens1": ["came up", "was renamed from eth0"]}


def test_a_link_that_is_gone_is_not_checked():
    schedule = Schedule(Backoff())
    schedule.request("veth1", "appeared", 0.0)
    schedule.forget({"veth1", "unknown"})
    assert schedule.idle(0.0) is None
