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
