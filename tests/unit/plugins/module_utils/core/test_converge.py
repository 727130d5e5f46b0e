"""The one loop: what it reads, refuses, plans, applies and proves."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Change,
    Findings,
    Impossible,
    NotConverged,
    converge,
    describe,
    diff,
)


class Dial:
    """A resource with one number, and a kernel that may not take it."""

    def __init__(self, value=0, stuck=False):
        self.value, self.stuck, self.applied = value, stuck, []

    def read(self, host):
        return self.value

    def validate(self, desired, state):
        if desired > 11:
            raise Impossible(f"dial: {desired} > maximum 11")

    def plan(self, desired, state):
        return [] if desired == state else [Change(("dial",), state, desired)]

    def apply(self, host, changes):
        self.applied.append(changes)
        if not self.stuck:
            self.value = changes[-1].after


def test_applies_once_and_proves_it():
    dial = Dial()
    outcome = converge(dial, 5, host=None)
    assert outcome.changed
    assert outcome.state == 5
    assert len(dial.applied) == 1
    assert not converge(dial, 5, host=None).changed
    assert len(dial.applied) == 1, "what is already right is not touched"


def test_check_applies_nothing():
    dial = Dial()
    outcome = converge(dial, 5, host=None, check=True)
    assert outcome.changed
    assert outcome.checked
    assert outcome.state == 0
    assert dial.applied == []


def test_refuses_before_anything_is_changed():
    dial = Dial()
    with pytest.raises(Impossible, match="maximum 11"):
        converge(dial, 12, host=None)
    assert dial.applied == []


def test_fails_where_the_host_disagrees_afterwards():
    with pytest.raises(NotConverged, match="dial: 0 -> 5") as caught:
        converge(Dial(stuck=True), 5, host=None)
    assert caught.value.facts["remaining"] == ["dial: 0 -> 5"]


def test_diff_is_a_tree_of_what_changes():
    changes = [
        Change(("ens1", "ring", "rx"), 512, 4096),
        Change(("ens1", "mode"), None, "native"),
        Change(("old",), 1, None),
    ]
    assert diff(changes) == {
        "before": {"ens1": {"ring": {"rx": 512}}, "old": 1},
        "after": {"ens1": {"ring": {"rx": 4096}, "mode": "native"}},
    }
    assert [describe(change) for change in changes][1:] == ["ens1 mode: absent -> native", "old: 1 -> absent"]


def test_findings_speak_together():
    findings = Findings()
    findings.raise_if_any(Impossible, "never")
    findings.add("one")
    findings.add("two")
    with pytest.raises(Impossible, match="nothing fits: one; two") as caught:
        findings.raise_if_any(Impossible, "nothing fits")
    assert caught.value.facts == {"reasons": ["one", "two"]}


LONG = {f"nic{number}": {"channels": {"combined": number}, "rings": {"rx": 512, "tx": 512}} for number in range(8)}


def test_a_whole_state_file_is_shown_by_what_differs_in_it():
    def line(before, after):
        return describe(Change(("state file", "nic"), before, after))

    after = {**LONG, "nic1": {"channels": {"combined": 4}, "rings": {"rx": 512, "tx": 512}}, "nic9": {"a": "b" * 99}}
    assert line({"nics": LONG}, {"nics": after}) == (
        "state file nic: nics nic1 channels combined: 1 -> 4, nics nic9: new"
    )
    assert line(None, {"nics": LONG, "original": {}}) == "state file nic: new, with nics, original"
    assert line({"nics": LONG}, None) == "state file nic: removed, with nics"
    other = {name: {**body, "rings": {"rx": 1, "tx": 512}} for name, body in LONG.items()}
    assert line(LONG, other).endswith("nic5 rings rx: 512 -> 1 and 2 more")


def test_a_short_body_is_shown_whole():
    assert (
        describe(Change(("ens1", "flow_rules", "0"), None, {"queue": 1})) == "ens1 flow_rules 0: absent -> {'queue': 1}"
    )
