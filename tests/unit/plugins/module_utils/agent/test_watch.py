"""What the watch checks, and whom it waits for."""

from __future__ import annotations

import itertools

from ansible_collections.tripod.baremetal.plugins.module_utils._agent.reapply import Result
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.watch import Watch
from ansible_collections.tripod.baremetal.plugins.module_utils._core import lock, state_store


def test_everything_is_checked_when_the_watch_begins_and_links_alone_after_that(machine, caplog):
    host = machine()
    state_store.store(host, state_store.StateFile("later", "of-another-version", {}))
    watch = Watch(host)
    watch._resync("the watch began")
    due = watch.schedule.take(float("inf"))
    assert due == {"": ["the watch began"]}
    watch._check_links(due)
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == ["later"]
    again = watch.schedule.take(float("inf"))
    assert set(again) == watch.links.names
    caplog.clear()
    watch._check_links(again)
    assert caplog.records == []
    assert watch.schedule.idle(0.0) is None


def test_who_is_changing_the_host_is_waited_for(machine):
    host = machine()
    watch = Watch(host)
    with lock.alone(host):
        watch._check_links({"ens1": ["came up"]})
    assert watch.schedule.take(float("inf")) == {"ens1": ["came up"]}


def test_what_belongs_to_no_link_is_tried_again_with_everything_at_growing_intervals(machine, monkeypatch):
    watch = Watch(machine())
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    failing = [Result("hugepages", "hugepages", error="no page", failures={"pages 0 1G": "no page"})]
    monkeypatch.setattr(f"{Watch.__module__}.reapply", lambda *words, **more: failing)
    watch.schedule.request("", "the watch began", now[0])
    tries = []
    while now[0] < 130:
        now[0] += 0.5
        if due := watch.schedule.take(now[0]):
            assert set(due) == {""}, "no link is checked for what is not of it"
            tries.append(now[0])
            watch._check_links(due)
    waits = [round(after - before) for before, after in itertools.pairwise(tries)]
    assert waits == [1, 2, 4, 8, 16, 32, 60]
    failing.clear()
    now[0] += 60
    watch._check_links(watch.schedule.take(now[0]))
    assert watch.schedule.idle(now[0]) is None
