"""What the watch makes of the kernel's messages, and when it checks which link."""

from __future__ import annotations

import itertools
import socket
import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.reapply import Result
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.watch import Links, News, Schedule, Watch, parse
from ansible_collections.tripod.baremetal.plugins.module_utils._core import lock, state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.backoff import Backoff

NEWLINK, DELLINK = 16, 17
UP, LOWER_UP = 1, 1 << 16


def message(kind: int, index: int, name: str, flags: int = 0, family: int = socket.AF_UNSPEC) -> bytes:
    """One message as rtnetlink(7) lays it out: header, ifinfomsg, attributes (MTU before the name)."""
    text = name.encode() + b"\0"
    attributes = struct.pack("=HHI", 8, 4, 1500) + struct.pack("=HH", 4 + len(text), 3) + text
    body = struct.pack("=BxHiII", family, 1, index, flags, 0) + attributes
    body += b"\0" * (-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_a_datagram_can_hold_several_messages():
    datagram = message(NEWLINK, 4, "ens1", UP | LOWER_UP) + message(DELLINK, 5, "veth1a2b3c4")
    assert list(parse(datagram)) == [
        News(4, "ens1", up=True, carrier=True),
        News(5, "veth1a2b3c4", gone=True),
    ]


def test_a_port_that_leaves_its_bridge_is_not_a_link_that_goes():
    assert list(parse(message(DELLINK, 4, "ens1", UP, socket.AF_BRIDGE))) == []


def test_other_messages_are_passed_over():
    assert list(parse(message(20, 4, "ens1") + message(NEWLINK, 4, "ens1"))) == [News(4, "ens1")]


@pytest.mark.parametrize(
    ("summary", "reasons"),
    [
        ([News(4, "ens1")], ["appeared"]),
        ([News(4, "ens1"), News(4, "ens1", up=True)], ["appeared", None]),
        ([News(4, "ens1"), News(4, "ens1", True), News(4, "ens1", True, True)], ["appeared", None, "came up"]),
        ([News(4, "ens1", True, True), News(4, "ens1", True, True)], ["appeared", None]),
        # The ring change of a driver: the layer below goes and comes back, the administrator's wish stays.
        (
            [News(4, "ens1", True, True), News(4, "ens1", True), News(4, "ens1", True, True)],
            ["appeared", None, "came up"],
        ),
        ([News(4, "eth0"), News(4, "ens1")], ["appeared", "was renamed from eth0"]),
        # A driver that is loaded again.
        ([News(4, "ens1", True, True), News(4, "ens1", gone=True), News(9, "ens1")], ["appeared", None, "appeared"]),
    ],
)
def test_reasons_to_look_at_a_link(summary, reasons):
    links = Links()
    assert [links.observe(news) for news in summary] == reasons


def test_links_that_are_gone_are_forgotten():
    links = Links()
    for news in (News(4, "ens1"), News(5, "veth1"), News(5, "veth1", gone=True)):
        links.observe(news)
    assert links.names == {"ens1"}


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
