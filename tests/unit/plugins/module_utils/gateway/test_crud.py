"""What a lost answer, an error, a killed run or a second one beside it leave is brought to its end."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed, NotConverged

from tests.support.marchproxy.client import (
    import_in_child,
    import_to,
    killing,
    real_server,
    service,
    stored,
)
from tests.support.marchproxy.serving import Answer, served

SERVICES = [service("a", auth_type="jwt"), service("b"), service("c", auth_type="base64"), service("d")]
PRUNE = {"settings": {"prune": True}}


def prepared():
    """Return a server on which there is one thing of each kind to do, and things of others."""
    server = real_server()
    server.add(**stored(service("b"), port=1))
    server.add(**stored(SERVICES[2], auth_type="none"))
    server.add(**stored(service("d"), is_active=False))
    server.add(**stored(service("old")))
    server.add(**stored(service("their"), collection="other"))
    return server


def assert_done(server, foreign=None):
    """The server holds what is described, once, and others' rows as they were."""
    assert import_to(server, SERVICES, **PRUNE).plan.writes == []
    names = [row.name for row in server.services.values()]
    assert sorted(names) == ["a", "b", "c", "d", "old", "their"]
    assert all(server.named(one.name).is_active for one in SERVICES)
    assert not server.named("old").is_active
    assert server.named("a").jwt_secret
    assert server.named("c").token_base64
    assert foreign is None or server.named("their") == foreign


def count_requests():
    with served(prepared()) as server:
        import_to(server, SERVICES, **PRUNE)
        return len(server.log), [number for number, request in enumerate(server.log, 1) if request.writes]


REQUESTS, WRITES = count_requests()


@pytest.fixture
def server():
    with served(prepared()) as server:
        yield server


def test_the_run_that_is_disturbed_has_one_of_each_kind(server):
    import_to(server, SERVICES, **PRUNE)
    assert [request.line for request in server.writes] == [
        "POST /services",
        "PATCH /services/1",
        "PATCH /services/2",
        "POST /services/2/rotate-token",
        "PATCH /services/3",
        "DELETE /services/4",
    ]
    assert len(WRITES) == 6
    assert_done(server)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("moment", range(1, REQUESTS + 1))
def test_a_run_that_was_killed_is_completed_by_the_next(server, moment, when, tmp_path):
    """Before its request was carried out, and after that but before the answer."""
    backup = str(tmp_path / "backup.json")
    foreign = copy.deepcopy(server.named("their"))
    original = [row.shown() for row in server.services.values()]
    server.fault = killing(server, moment, when)
    ended = import_in_child(server, lambda: import_to(server, SERVICES, backup=backup, **PRUNE))
    server.fault = lambda number, request: None
    assert ended == -9
    report = import_to(server, SERVICES, backup=backup, **PRUNE)
    assert report.failures == []
    assert not (tmp_path / "backup.json.unfinished").exists()
    assert_done(server, foreign)
    # What both of them found is what is restored, and not the half of it that the second one found.
    if report.plan.writes:
        import_to(server, [], restore=backup)
        for row in original:
            ignored = {"updated_at": 0, "token_base64": None}
            assert {**server.named(row["name"]).shown(), **ignored} == {**row, **ignored}


@pytest.mark.parametrize("fault", ["before", "after", "fail", "fail after"])
@pytest.mark.parametrize("moment", WRITES)
def test_a_write_whose_answer_is_lost_or_an_error_is_looked_up(server, moment, fault):
    """0.4, 3.6: after 5xx or a lost connection the list says what is stored, in the same run."""
    server.fault = lambda number, request: fault if number == moment else None
    report = import_to(server, SERVICES, **PRUNE)
    assert (report.failures, report.verified) == ([], True)
    sent = [request.line for request in server.writes]
    assert len(sent) == (6 if fault in ("after", "fail after") else 7)
    assert_done(server)


def test_a_server_that_always_answers_with_an_error_and_stores_is_not_asked_twice():
    """3.2: as its POST /clusters does."""
    with served(real_server()) as server:
        server.fault = lambda number, request: "fail after" if request.writes else None
        report = import_to(server, SERVICES)
        assert report.plan.results["created"] == ["a", "b", "c", "d"]
        assert len(server.writes) == 4


def test_a_write_that_is_never_done_is_given_up_and_the_others_are_not(server):
    server.fault = lambda number, request: "fail" if request.line == "POST /services" else None
    report = import_to(server, SERVICES, **PRUNE)
    assert report.failures == ["a: create: create a: 500; and the server lists it as before"]
    assert report.plan.results["updated"] == ["b", "c"]
    assert [request.line for request in server.writes].count("POST /services") == 2


def test_a_write_that_is_accepted_without_effect_is_an_error(server):
    handle = server.handle
    server.handle = lambda request: Answer(200, {}) if request.line == "PATCH /services/1" else handle(request)
    with pytest.raises(NotConverged, match="accepted 2 times, but the server lists it as before: update b"):
        import_to(server, SERVICES, **PRUNE)


def test_a_server_that_goes_away_leaves_words(server):
    server.fault = lambda number, request: "before" if number > WRITES[2] else None
    with pytest.raises(
        ApplyFailed, match="dropped without an answer; what was changed before stands: create a; update b"
    ):
        import_to(server, SERVICES, **PRUNE)
    server.fault = lambda number, request: None
    assert import_to(server, SERVICES, **PRUNE).failures == []
    assert_done(server)


def test_a_server_that_starts_again_is_waited_for(server):
    away = range(WRITES[0], WRITES[0] + 3)
    server.fault = lambda number, request: "before" if number in away else None
    assert import_to(server, SERVICES, **PRUNE).failures == []
    assert_done(server)


def test_a_row_that_somebody_removes_meanwhile_is_made_again(server):
    """1: PATCH and DELETE are 404 then."""

    def fault(number, request):
        if number == WRITES[1]:
            del server.services[1]

    server.fault = fault
    report = import_to(server, SERVICES, **PRUNE)
    assert report.failures == []
    assert_done(server)


def test_two_runs_at_once_make_nothing_twice(server):
    """2: the same creates at the same moment: 201 for one, 400 or 500 for the other, which goes on as present."""
    foreign = copy.deepcopy(server.named("their"))
    together = threading.Barrier(2)

    def between():
        try:
            together.wait(0.5)
        except threading.BrokenBarrierError:
            together.reset()

    server.between = between
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _n: import_to(server, SERVICES, **PRUNE), range(2)))
    server.between = lambda: None
    assert [report.failures for report in reports] == [[], []]
    assert_done(server, foreign)


def test_progress_is_said_after_each_step():
    said = []
    with served(prepared()) as server:
        import_to(server, SERVICES, progress=lambda done, total, step: said.append((done, total, step.name)), **PRUNE)
    assert [(done, total) for done, total, _name in said] == [(number, 6) for number in range(1, 7)]
    assert said[0][2] == "a"


def test_a_thousand_services(record_property):
    """All are listed in pages, created one after the other, and not touched again."""
    services = [service(f"s{number:04}", port=1000 + number) for number in range(1000)]
    with served(real_server()) as server:
        first = import_to(server, services)
        assert (len(first.plan.results["created"]), server.most_at_once) == (1000, 1)
        assert first.requests == 1005  # description, login, clusters, list; creates; list
        server.forget()
        second = import_to(server, services)
        assert (second.plan.writes, second.requests, len(server.writes)) == ([], 4, 0)
        record_property("seconds", f"{first.seconds:.2f}, then {second.seconds:.2f}")
        print(f"1,000 services: {first.requests} requests in {first.seconds:.2f} s, then 4 in {second.seconds:.2f} s")
