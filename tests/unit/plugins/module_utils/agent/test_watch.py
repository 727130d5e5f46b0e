"""What the watch checks, and whom it waits for."""

from __future__ import annotations

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
