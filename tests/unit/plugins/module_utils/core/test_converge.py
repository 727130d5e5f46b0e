"""The one loop: what it reads, refuses, plans, applies and proves."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    Change,
    Findings,
    Impossible,
    NotConverged,
    converge,
    describe,
    described,
    diff,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host


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


class Table(Dial):
    """Very many entries that the host takes, and does not keep."""

    def validate(self, desired, state):
        pass

    def plan(self, desired, state):
        entries = [Change(("ens1", "inventory", f"10.0.{n >> 8}.{n & 255}"), None, "drop") for n in range(desired)]
        return [Change(("ens1", "mtu"), 1500, 9000), *entries]


def test_very_many_changes_beside_each_other_are_one_line_of_an_error():
    with pytest.raises(NotConverged) as caught:
        converge(Table(stuck=True), 65_536, host=None)
    table = "ens1 inventory: 65536 added, 0 removed, 0 modified"
    assert caught.value.facts["remaining"] == ["ens1 mtu: 1500 -> 9000", table]
    assert len(str(caught.value)) < 200
    few = [Change(("ens1", "features", f"feature-{n}"), "off", "on") for n in range(100)]
    assert len(described(few)) == 100


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


class Refusing:
    """Two values in a file each; the disk is full, or read-only, from some step on."""

    def __init__(self, refused: str) -> None:
        self.values = {"first": 1, "second": 1}
        self._refused = refused

    def _refuse(self, what: str) -> None:
        if what == self._refused:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"/etc/{what}")

    def read(self, host):
        self._refuse("read")
        return dict(self.values)

    def validate(self, desired, state):
        self._refuse("validate")

    def plan(self, desired, state):
        return [Change((name,), state[name], value) for name, value in desired.items() if state[name] != value]

    def apply(self, host, changes):
        for change in changes:
            self._refuse(change.path[0])
            self.values[change.path[0]] = change.after


@pytest.mark.parametrize("step", ["read", "validate"])
def test_what_the_system_refuses_before_the_first_change_is_said_in_words(step):
    with pytest.raises(Impossible, match=rf"/etc/{step}: No space left on device: .* nothing was changed"):
        converge(Refusing(step), {"first": 2}, Host())


def test_what_stands_is_said_where_the_system_refuses_half_way():
    resource = Refusing("second")
    with pytest.raises(ApplyFailed, match=r"second: .* changed before stands: first: 1 -> 2; run again") as caught:
        converge(resource, {"first": 2, "second": 2}, Host())
    assert caught.value.facts["stands"] == ["first: 1 -> 2"]


def test_nothing_stands_where_the_first_step_is_refused():
    with pytest.raises(ApplyFailed, match="nothing was changed") as caught:
        converge(Refusing("first"), {"first": 2, "second": 2}, Host())
    assert caught.value.facts["stands"] == []


def test_a_guard_that_cannot_be_written_keeps_the_change_from_being_made():
    resource = Refusing("")

    def guard(changes, state):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/run/tripod/guards")

    with pytest.raises(Impossible, match="nothing was changed"):
        converge(resource, {"first": 2}, Host(), before_apply=guard)
    assert resource.values["first"] == 1
