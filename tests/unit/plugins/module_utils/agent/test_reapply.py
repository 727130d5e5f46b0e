"""State files are reapplied in order, each for itself."""

from __future__ import annotations

import json
import logging

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import cli
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.reapply import (
    FAILURES,
    LINK_KINDS,
    REAPPLIERS,
    Result,
    as_json,
    exit_status,
    log_results,
    reapply,
    table,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Change,
    Impossible,
    Incomplete,
    Outcome,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.state_store import StateFile


class Recorder:
    """Reapplies by noting what was requested; a body's ``change`` is what differs, its ``error`` what is raised."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool, object]] = []

    def __call__(self, body, host, check=False, only=None):
        self.calls.append((body["name"], check, only))
        if "error" in body:
            raise Impossible(body["error"])
        changes = [Change((body["name"], "ring", "rx"), 256, body["change"])] if "change" in body else []
        if "failures" in body and not (check and body.get("shows only when tried")):
            failures = {what: why for what, why in body["failures"].items() if only is None or what in only}
            if failures:
                raise Incomplete(Outcome(changes if check else [], None, checked=check), failures)
        return Outcome(changes, None, checked=check)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def host(machine):
    def store(*state_files):
        made = machine()
        for name, kind, body in state_files:
            state_store.store(made, StateFile(name, kind, {"name": name, **body}))
        return made

    return store


def test_kinds_come_in_their_order_and_names_within(host, recorder):
    made = host(("a", "second", {}), ("z", "first", {}), ("b", "first", {}))
    results = reapply(made, reappliers={"first": recorder, "second": recorder})
    assert [call[0] for call in recorder.calls] == ["b", "z", "a"]
    assert [result.state for result in results] == ["converged"] * 3
    assert exit_status(results) == 0


def test_one_that_fails_does_not_keep_the_others_from_it(host, recorder):
    made = host(("a", "first", {"error": "no such ring"}), ("b", "first", {"change": 512}))
    results = reapply(made, reappliers={"first": recorder})
    assert [(one.name, one.state, one.error) for one in results] == [
        ("a", "failed", "no such ring"),
        ("b", "differs", None),
    ]
    assert exit_status(results) == 1
    assert exit_status(results[1:]) == 2


def test_a_body_of_another_make_fails_by_itself(host, recorder):
    made = host(("b", "first", {}))
    state_store.store(made, StateFile("a", "first", {"nothing": "of ours"}))
    results = reapply(made, reappliers={"first": recorder})
    assert [one.state for one in results] == ["failed", "converged"]
    assert results[0].error == "its state file is not understood: KeyError('name')"


def test_what_is_unknown_or_damaged_is_reported(host, recorder):
    made = host(("a", "later", {}))
    made.write_atomically(state_store.path("torn"), '{"format": 1, "ki')
    results = reapply(made, reappliers={"first": recorder})
    assert [(one.name, one.state) for one in results] == [("a", "failed"), ("torn", "failed")]
    assert "'later': apply the host_agent role again" in results[0].error
    assert "/etc/tripod/host.d/torn.json cannot be understood: run the playbook" in results[1].error


def test_reapplying_can_be_for_some_kinds_and_some_interfaces(host, recorder):
    made = host(("a", "first", {}), ("b", "second", {}))
    reapply(made, check=True, kinds=("second",), only={"ens1"}, reappliers={"first": recorder, "second": recorder})
    assert recorder.calls == [("b", True, {"ens1"})]


def test_what_is_not_compared_is_not_called_converged(host, recorder):
    made = host(*((name, "first", {"interface": name}) for name in ("ens1", "ens2")), ("nics", "first", {}))
    results = reapply(made, check=True, only={"ens2"}, reappliers={"first": recorder})
    assert [one.name for one in results] == ["ens2", "nics"]


def test_what_speaks_of_something_absent_is_absent(host):
    results = reapply(
        host(("a", "first", {})), check=True, reappliers={"first": lambda *_: Outcome([], None, absent=True)}
    )
    assert [one.state for one in results] == ["absent"]
    assert exit_status(results) == 2
    assert "a         absent" in table(results)
    assert json.loads(as_json(results))[0]["state"] == "absent"


def test_the_table_says_what_differs_and_what_failed(host, recorder):
    made = host(("nic", "first", {"change": 512}), ("xdp-ens1", "first", {"error": "no such object"}))
    results = reapply(made, check=True, reappliers={"first": recorder})
    assert table(results) == (
        "RESOURCE  STATE\n"
        "nic       differs\n"
        "  nic ring rx: 256 -> 512\n"
        "xdp-ens1  failed\n"
        "  no such object\n"
    )  # fmt: skip
    assert table([]) == "nothing is requested of this host\n"
    reported = json.loads(as_json(results))
    assert reported[0]["diff"] == {"before": {"nic": {"ring": {"rx": 256}}}, "after": {"nic": {"ring": {"rx": 512}}}}
    assert (reported[1]["state"], reported[1]["error"]) == ("failed", "no such object")


class TestOneOfSeveralFailed:
    FAILURES = ("first", {"failures": {"ens1": "ens1: no CPU 7", "ens2": "ens2: no ring of 9"}})

    def test_it_is_degraded_and_names_each(self, host, recorder):
        made = host(("nic", *self.FAILURES))
        results = reapply(made, check=True, reappliers={"first": recorder})
        assert (results[0].state, exit_status(results)) == ("degraded", 1)
        assert table(results) == (
            "RESOURCE  STATE\n"
            "nic       degraded\n"
            "  ens1: no CPU 7\n"
            "  ens2: no ring of 9\n"
        )  # fmt: skip
        [reported] = json.loads(as_json(results))
        assert (reported["state"], reported["failures"]) == ("degraded", self.FAILURES[1]["failures"])

    def test_what_shows_only_when_it_is_tried_stays_degraded_until_it_is_right(self, host, recorder):
        body = {"failures": {"nic ring": "nic: refused"}, "shows only when tried": True, "change": 512}
        made = host(("nic", "first", body))
        reappliers = {"first": recorder}
        assert [one.state for one in reapply(made, check=True, reappliers=reappliers)] == ["differs"]
        reapply(made, reappliers=reappliers)
        [seen] = reapply(made, check=True, reappliers=reappliers)
        assert (seen.state, seen.error, len(seen.changes)) == ("degraded", "nic: refused", 1)
        state_store.store(made, StateFile("nic", "first", {"name": "nic"}))
        assert [one.state for one in reapply(made, check=True, reappliers=reappliers)] == ["converged"]
        reapply(made, reappliers=reappliers)
        assert not made.exists(FAILURES)

    def test_what_was_not_tried_again_is_still_known(self, host, recorder):
        made = host(("nic", *self.FAILURES))
        reapply(made, reappliers={"first": recorder})
        state_store.store(made, StateFile("nic", "first", {"name": "nic"}))
        reapply(made, only=["ens2"], reappliers={"first": recorder})
        assert json.loads(made.read(FAILURES)) == {"nic": {"ens1": "ens1: no CPU 7"}}

    def test_a_damaged_record_is_none(self, host, recorder):
        made = host(("nic", "first", {"change": 512}))
        made.write_atomically(FAILURES, '{"nic": 1')
        assert [one.state for one in reapply(made, check=True, reappliers={"first": recorder})] == ["differs"]


def test_a_link_kind_is_one_that_can_be_reapplied():
    assert set(LINK_KINDS) < set(REAPPLIERS)


def test_the_former_name_of_the_state_directory_is_taken_and_deprecated(caplog):
    parser = cli.parser("1")
    assert parser.parse_args(["apply", "--state-dir", "/a"]).state_dir == "/a"
    assert caplog.text == ""
    assert parser.parse_args(["watch", "--documents", "/b"]).state_dir == "/b"
    assert "--documents is deprecated and goes with release 3.0.0: use --state-dir" in caplog.text
    assert parser.parse_args(["status"]).state_dir == "/etc/tripod/host.d"


def test_a_long_policy_is_one_line_of_the_log(caplog):
    entries = [Change(("ens1", "inventory", f"10.{n >> 8}.{n & 255}.0/24"), None, "drop") for n in range(1000)]
    gone = [Change(("ens1", "inventory", "192.0.2.0/24"), "drop", None)]
    result = Result("xdp_map-ens1", "xdp_map", [*gone, *entries])
    with caplog.at_level(logging.INFO, logger="tripod-host"):
        log_results([result])
    [said] = [record.getMessage() for record in caplog.records]
    assert said == "xdp_map-ens1: ens1 inventory: 1000 added, 1 removed, 0 modified"
    assert "ens1 inventory: 1000 added" in table([result])
    few = Result("xdp_map-ens1", "xdp_map", gone)
    assert few.lines == ["ens1 inventory 192.0.2.0/24: drop -> absent"]


def test_every_setting_of_a_nic_is_a_line():
    changes = [Change(("ens1", "features", f"feature-{n}"), "off", "on") for n in range(40)]
    assert len(Result("nic", "nic", changes).lines) == 40
