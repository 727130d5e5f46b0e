# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Documents of a policy, one owner's or all, and the interfaces that it judges: all of them, or none, get a change."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, CoreError, Findings, Impossible, Outcome, Refused
from .._core.errors import in_words
from .._core.names import absolute_path, interface_name
from .._core.system import Host
from .._guard.record import APART, Record, Restore, records
from .._policy.merge import INVENTORY, merge
from .._policy.request import parse
from .._policy.schema import POLICY
from . import policy_assignment, policy_documents, policy_trial
from .policy_assignment import KIND, Assignment
from .policy_changes import counts, shown
from .policy_documents import UNUSABLE
from .policy_durations import resolve
from .policy_lists import Lists
from .policy_requested import Requested, request
from .policy_resource import PolicyState, XdpPolicy, in_force
from .policy_tests import PolicyTest, saved_tests, store_tests
from .policy_trial import BREAKS, NEVER, STRICT, Trial
from .request import PIN_ROOT

_GIVEN = "durations"  # of the state file's body: what times of the document were made of
_DAMAGED: dict[str, Any] = {"document": {}}  # the body of a file that cannot be understood: no other is like it


@dataclass(frozen=True)
class DesiredPolicy:
    """What is requested.

    Attributes:
        name: Of the policy.
        interfaces: Names of those that it is to judge.
        document: The owner's; empty for one who requests nothing.
        texts: Those of its lists that come from files, by their digest.
        tests: What has to become of packets before it may come into force; they are saved for those who change it
            later. None where others have said so, and are to be held to it.
        refuses: Which of the saved tests' failures refuse it; see ``policy_trial``.
        bodies: Of the state files of all owners by owner, as a revision had them: they are requested then, in place of
            ``document``, and who is not among them has none.
    """

    name: str
    interfaces: Sequence[str]
    document: Mapping[str, Any] = field(repr=False)
    texts: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    tests: Sequence[PolicyTest] | None = None
    refuses: str = BREAKS
    owner: str = INVENTORY
    pin_root: str = PIN_ROOT
    state_directory: str = state_store.DIRECTORY
    bodies: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse names that reach further than these interfaces' pins and files.

        Raises:
            Invalid: The message says which, and why.
        """
        policy_documents.check_name(self.name)
        for interface in self.interfaces:
            interface_name(interface, "interfaces")
        absolute_path(self.pin_root, "pin_root")
        absolute_path(self.state_directory, "state_dir")


@dataclass(frozen=True)
class SetState:
    """What is there.

    Attributes:
        interfaces: By name.
        files: Bodies of the state files with the owner's document, or with those of all owners, by name; empty where
            there is none.
        tests: Those that are saved, as they are saved; None where that cannot be understood.
        trial: What came out when the policy was tried.
        guards: Open ones that hold the inventory's document, which is to be replaced.
    """

    interfaces: Mapping[str, PolicyState] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tests: list[Mapping[str, Any]] | None = None
    trial: Trial = field(default_factory=Trial)
    guards: Sequence[Record] = ()


class PolicySet:
    """The resource for ``converge``.

    Args:
        desired: What is requested.
        preview: Find out of which packets something else would become.
    """

    def __init__(self, desired: DesiredPolicy, preview: bool = False) -> None:
        self._desired, self._preview = desired, preview
        self._began = time.monotonic()
        self._left_behind: list[str] = []
        self._untold: list[str] = []
        self._now = time.time()  # of a duration's begin: the same when what was applied is read back
        self._resources: dict[str, tuple[XdpPolicy, Requested]] = {}
        self._base: Requested | None = None
        self._files: Mapping[str, Mapping[str, Any]] = {}  # bodies as they are requested, by the state file's name

    @property
    def desired(self) -> DesiredPolicy:
        """What is requested."""
        return self._desired

    @property
    def warnings(self) -> list[str]:
        """What the policy does that its writer may not expect, and what is left behind; each once."""
        compiled = [resource.compiled for resource, _requested in self._resources.values()]
        return list(
            dict.fromkeys(
                [*self._left_behind, *self._untold, *(words for one in compiled if one for words in one.warnings)]
            )
        )

    def facts(self, outcome: Outcome) -> dict[str, Any]:
        """Return what a module reports of an outcome."""
        first = self._desired.interfaces[0] if self._desired.interfaces else ""
        states: Mapping[str, PolicyState] = outcome.state.interfaces
        seconds = sum(resource.seconds for resource, _requested in self._resources.values())
        return {
            # All interfaces get the same parts.
            "parts": counts([change for change in outcome.changes if change.path[0] == first]),
            "digest": {name: one.running.digest and one.running.digest.hex() for name, one in states.items()},
            "slots": {name: dict(one.assignment.slots) if one.assignment else {} for name, one in states.items()},
            **({"flips": [one._asdict() for one in outcome.state.trial.flips]} if outcome.checked else {}),
            "seconds": {"compile": round(seconds, 3), "total": round(time.monotonic() - self._began, 3)},
        }

    def read(self, host: Host) -> SetState:
        """Read the documents, and what judges each interface.

        Raises:
            CoreError: The policy is malformed, or an interface's program takes none.
        """
        desired = self._desired
        held = self._held(host)
        self._lists = lists = Lists(host, desired.texts)
        try:
            bodies = self._bodies(held)
            merged = merge(_documents({**held, **bodies}))
        except (AttributeError, KeyError, TypeError, ValueError):
            parse(desired.document, lists, now=self._now)  # says everything that is wrong with it
            raise
        except Refused:
            if not desired.document.keys() <= POLICY["properties"].keys():
                parse(desired.document, lists, now=self._now)  # likewise, and not only which key is unknown
            raise
        base = self._requested(merged, lists)
        states = {}
        for interface in desired.interfaces:
            requested = base.seeded(replace(base.assignment, interface=interface, seed=policy_assignment.new_seed()))
            resource = self._resources[interface][0] if interface in self._resources else XdpPolicy(requested)
            self._resources[interface] = (resource, requested)
            states[interface] = resource.read(host)
        self._left_behind = self._left_behind or left_behind(host, desired, states)
        names = {owner: policy_documents.name(desired.name, owner) for owner in bodies}
        self._files = {names[owner]: body for owner, body in bodies.items()}
        files = {name: held.get(owner, {}) for owner, name in names.items()}
        saved = self._saved_tests(host)
        trial = self._tried(host, merged, states, saved or ())
        tests = None if saved is None else [one.saved for one in saved]
        return SetState(states, files, tests, trial, self._guards(host))

    def _guards(self, host: Host) -> list[Record]:
        desired = self._desired
        if desired.owner != INVENTORY or desired.bodies is not None:
            return []
        path = policy_documents.path(desired.name, INVENTORY, desired.state_directory)
        apart = [one for one in records(host) if one.open and one.subject == f"{APART}{desired.name}"]
        return [one for one in apart if path in one.state_files]

    def _saved_tests(self, host: Host) -> list[PolicyTest] | None:
        desired = self._desired
        try:
            return saved_tests(host, desired.name, self._lists, desired.state_directory)
        except CoreError as error:
            if desired.tests is None and desired.refuses != NEVER:
                raise
            if desired.tests is None:
                self._untold.append(str(error))
            return None

    def _tried(
        self, host: Host, merged: Mapping[str, Any], states: Mapping[str, PolicyState], saved: Sequence[PolicyTest]
    ) -> Trial:
        """Return what its tests say of the policy where it is not in force yet, or they are others than before."""
        desired = self._desired
        tests = saved if desired.tests is None else desired.tests
        if not tests and not self._preview:
            return Trial()
        others = [one.saved for one in tests] != [one.saved for one in saved]
        new = [
            states[name].assignment or requested.assignment
            for name, (_resource, requested) in self._resources.items()
            if others or not in_force(requested, states[name])
        ]
        if not new:
            if tests and not states:
                self._untold.append(f"the tests of policy {desired.name} were not tried, as it judges no interface now")
            return Trial()
        refuses = desired.refuses if desired.tests is None else STRICT
        try:
            trial = policy_trial.run(host, new, merged, self._lists, tests, refuses, self._preview)
        except (CoreError, OSError) as error:
            if tests and refuses != NEVER:
                raise
            # The way back is open whatever cannot be tried, and what is foretold is no condition.
            self._untold.append(f"policy {desired.name} was not tried before: {in_words(error)}")
            return Trial()
        self._untold += [f"this fails what is expected of policy {desired.name}: {one}" for one in trial.warnings]
        return trial

    def _requested(self, merged: Mapping[str, Any], lists: Lists) -> Requested:
        """Return the policy for an interface yet to be named; that of the last reading where nothing differs."""
        desired = self._desired
        if self._base is None or self._base.merged != merged:
            assignment = Assignment("", desired.name, desired.pin_root, desired.state_directory)
            self._base = request(assignment, merged, lists)
        return self._base

    def _held(self, host: Host) -> dict[str, dict[str, Any]]:
        """Return the bodies of the policy's state files by owner; what is replaced may be damaged."""
        desired = self._desired
        found = {}
        for owner in policy_documents.owners(host, desired.name, desired.state_directory):
            try:
                found[owner] = policy_documents.load_body(host, desired.name, owner, desired.state_directory)
            except Impossible:
                if desired.bodies is None and owner != desired.owner:
                    raise
                found[owner] = _DAMAGED
        return found

    def _bodies(self, held: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        """Return the body that is requested of each owner's state file that is concerned; empty for none."""
        desired = self._desired
        if desired.bodies is not None:
            return {owner: desired.bodies.get(owner, {}) for owner in (*held, *desired.bodies)}
        former = held.get(desired.owner, {}).get(_GIVEN, {})
        before = {place: (str(words), int(end)) for place, (words, end) in former.items()}
        document, given = resolve(desired.document, before, self._now)
        more = {_GIVEN: {place: list(one) for place, one in given.items()}} if given else {}
        return {desired.owner: policy_documents.body_of(desired.name, desired.owner, document, **more)}

    def validate(self, desired: DesiredPolicy, state: SetState) -> None:
        """Refuse what cannot be compiled, and what packets show to be another policy than is expected."""
        if state.guards:
            raise Refused(
                f"policy {desired.name}: nothing was changed: {state.guards[0].reason} waits to be confirmed, and "
                f"would take this change back with it: 'tripod-host policy confirm --policy {desired.name}' keeps it, "
                f"'tripod-host policy revert --policy {desired.name}' ends it"
            )
        Findings(list(state.trial.failures)).raise_if_any(
            Refused,
            f"policy {desired.name} is not what its tests expect, nothing was changed",
            flips=[one._asdict() for one in state.trial.flips],
        )
        for interface, (resource, requested) in self._resources.items():
            resource.validate(requested, state.interfaces[interface])

    def plan(self, desired: DesiredPolicy, state: SetState) -> list[Change]:
        """Return what differs on each interface, then the state files that do."""
        changes = [
            change
            for interface, (resource, requested) in self._resources.items()
            for change in resource.plan(requested, state.interfaces[interface])
        ]
        for name, before in state.files.items():
            after = self._files.get(name, {})
            if before != after:
                changes.append(Change(("state file", name), _shown(before), _shown(after)))
        tests = None if desired.tests is None else [one.saved for one in desired.tests]
        if tests is not None and tests != state.tests:
            name = policy_documents.tests_name(desired.name)
            changes.append(Change(("state file", name), state.tests or None, tests or None))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Put the policy in force on one interface after the other, then save the documents.

        Raises:
            ApplyFailed: One could not take it; the others are judged by what was before again, where that can be told.
        """
        desired = self._desired
        lists = Lists(host, desired.texts)
        lists.store()
        done: list[Requested] = []
        for interface, (resource, requested) in self._resources.items():
            own = [change for change in changes if change.path[0] == interface]
            try:
                if own:
                    resource.apply(host, own)
                    done.append(requested)
            except (CoreError, OSError) as error:
                raise ApplyFailed(f"{error}; {self._take_back(host, done, lists)}") from error
        for change in changes:
            if change.path == ("state file", policy_documents.tests_name(desired.name)):
                store_tests(host, desired.name, desired.tests or (), desired.state_directory)
            elif change.path[0] == "state file":
                name = change.path[1]
                policy_documents.write(host, name, self._files.get(name, {}), desired.state_directory)

    def _take_back(self, host: Host, done: Sequence[Requested], lists: Lists) -> str:
        """Put what judged before in force again on the interfaces that have the new policy; say what judges now."""
        try:
            before = policy_documents.load_all(host, self._desired.name, self._desired.state_directory)
            merged = merge(before)
            for one in done:
                XdpPolicy(request(one.assignment, merged, lists)).apply(host, [])
        except UNUSABLE as error:
            names = ", ".join(one.assignment.interface for one in done) or "none"
            return (
                f"what was before cannot be brought back ({in_words(error)}): interfaces with the new policy: {names}"
            )
        return "the policy before is in force on all of its interfaces"


def restores(desired: DesiredPolicy, state: SetState) -> list[Restore]:
    """Return what a guard reapplies to bring back what judged the interfaces; it restores the documents before."""
    return [
        Restore(KIND, (one.assignment or Assignment(name, "", desired.pin_root, desired.state_directory)).body)
        for name, one in state.interfaces.items()
    ]


def guarded_files(desired: DesiredPolicy, state: SetState) -> list[str]:
    """Return the paths of the state files that a guard restores: documents, and of interfaces that change policy."""
    changed = [
        Assignment(name, state_directory=desired.state_directory).path
        for name, one in state.interfaces.items()
        if one.assignment is None or one.assignment.policy != desired.name
    ]
    files = [state_store.path(name, desired.state_directory) for name in state.files]
    if desired.tests is not None:
        files.append(policy_documents.tests_path(desired.name, desired.state_directory))
    return [*files, *changed]


def left_behind(host: Host, desired: DesiredPolicy, interfaces: Mapping[str, PolicyState]) -> list[str]:
    """Return a warning for each interface that leaves a policy in which other owners have parts."""
    found = []
    for name, one in interfaces.items():
        former = one.assignment.policy if one.assignment else ""
        if former and former != desired.name:
            owners = policy_documents.owners(host, former, desired.state_directory)
            others = ", ".join(owner for owner in owners if owner != desired.owner)
            if others:
                found.append(
                    f"{name} was judged by policy {former}, in which {others} has parts: they do not go along to "
                    f"policy {desired.name}"
                )
    return found


def _documents(bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {owner: body["document"] for owner, body in bodies.items() if body}


def _shown(body: Mapping[str, Any]) -> Any:
    return shown(body.get("document", {})) or None
