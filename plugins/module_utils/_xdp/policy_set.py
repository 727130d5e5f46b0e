# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""One owner's document of a policy, and the interfaces that the policy judges: all of them, or none, get a change."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, CoreError, Findings, Outcome, Refused
from .._core.names import absolute_path, interface_name
from .._core.system import Host
from .._guard.record import Restore
from .._policy.merge import INVENTORY, merge
from .._policy.request import parse
from . import policy_assignment, policy_documents
from .policy_assignment import KIND, Assignment
from .policy_changes import counts, shown
from .policy_durations import resolve
from .policy_lists import Lists, digest, read_text
from .policy_requested import Requested, request
from .policy_resource import PolicyState, XdpPolicy, in_force
from .policy_tests import PolicyTest, failures, read_tests
from .policy_twin import Twin
from .request import PIN_ROOT

_GIVEN = "durations"  # of the state file's body: what times of the document were made of


@dataclass(frozen=True)
class DesiredPolicy:
    """What is requested.

    Attributes:
        name: Of the policy.
        interfaces: Names of those that it is to judge.
        document: The owner's; empty for one who requests nothing.
        texts: Those of its lists that come from files, by their digest.
        tests: What has to become of packets before it may come into force.
    """

    name: str
    interfaces: Sequence[str]
    document: Mapping[str, Any] = field(repr=False)
    texts: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    tests: Sequence[PolicyTest] = ()
    owner: str = INVENTORY
    pin_root: str = PIN_ROOT
    state_directory: str = state_store.DIRECTORY

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
        documents: Of the policy, by owner.
        given: What times in the owner's document were made of.
        failures: Tests that the policy fails.
    """

    interfaces: Mapping[str, PolicyState] = field(default_factory=dict)
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    given: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    failures: Sequence[str] = ()


class PolicySet:
    """The resource for ``converge``.

    Args:
        desired: What is requested.
    """

    def __init__(self, desired: DesiredPolicy) -> None:
        self._desired = desired
        self._began = time.monotonic()
        self._left_behind: list[str] = []
        self._now = time.time()  # of a duration's begin: the same when what was applied is read back
        self._resources: dict[str, tuple[XdpPolicy, Requested]] = {}
        self._base: Requested | None = None
        self._document: Mapping[str, Any] = {}
        self._given: Mapping[str, tuple[str, int]] = {}

    @property
    def desired(self) -> DesiredPolicy:
        """What is requested."""
        return self._desired

    @property
    def warnings(self) -> list[str]:
        """What the policy does that its writer may not expect, and what is left behind; each once."""
        compiled = [resource.compiled for resource, _requested in self._resources.values()]
        return list(dict.fromkeys([*self._left_behind, *(words for one in compiled if one for words in one.warnings)]))

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
            "seconds": {"compile": round(seconds, 3), "total": round(time.monotonic() - self._began, 3)},
        }

    def read(self, host: Host) -> SetState:
        """Read the documents, and what judges each interface.

        Raises:
            CoreError: The policy is malformed, or an interface's program takes none.
        """
        desired = self._desired
        documents, given = self._saved(host)
        self._lists = lists = Lists(host, desired.texts)
        try:
            self._document, self._given = resolve(desired.document, given, self._now)
            merged = merge(_with(documents, desired.owner, self._document))
        except (AttributeError, KeyError, TypeError, ValueError):
            parse(desired.document, lists, now=self._now)  # says everything that is wrong with it
            raise
        base = self._requested(merged, lists)
        states = {}
        for interface in desired.interfaces:
            requested = base.seeded(replace(base.assignment, interface=interface, seed=policy_assignment.new_seed()))
            resource = self._resources[interface][0] if interface in self._resources else XdpPolicy(requested)
            self._resources[interface] = (resource, requested)
            states[interface] = resource.read(host)
        self._left_behind = self._left_behind or left_behind(host, desired, states)
        return SetState(states, documents, given, tuple(self._failures(host, merged, states)))

    def _failures(self, host: Host, merged: Mapping[str, Any], states: Mapping[str, PolicyState]) -> Iterator[str]:
        """Yield which tests fail, if the policy is not in force on the first interface; the others get the same."""
        desired = self._desired
        for name, (_resource, requested) in list(self._resources.items())[:1] if desired.tests else ():
            if not in_force(requested, states[name]):
                with Twin(host, name, desired.pin_root, merged, desired.state_directory, lists=self._lists) as twin:
                    yield from failures(desired.tests, twin.judge)

    def _requested(self, merged: Mapping[str, Any], lists: Lists) -> Requested:
        """Return the policy for an interface yet to be named; that of the last reading where nothing differs."""
        desired = self._desired
        if self._base is None or self._base.merged != merged:
            assignment = Assignment("", desired.name, desired.pin_root, desired.state_directory)
            self._base = request(assignment, merged, lists)
        return self._base

    def _saved(self, host: Host) -> tuple[dict[str, Mapping[str, Any]], Mapping[str, tuple[str, int]]]:
        """Return the documents on disk, and what times in the owner's were made of; its own may be damaged."""
        desired = self._desired
        name, directory = policy_documents.name(desired.name, desired.owner), desired.state_directory
        found = state_store.load(host, name, directory)
        if found is None and host.exists(state_store.path(name, directory)):
            found = state_store.StateFile(name, "", {})
        others = self._others(host)
        if found is None:
            return others, {}
        given = {place: (str(words), int(end)) for place, (words, end) in found.body.get(_GIVEN, {}).items()}
        return {**others, desired.owner: found.body.get("document", {})}, given

    def _others(self, host: Host) -> dict[str, Mapping[str, Any]]:
        desired = self._desired
        owners = policy_documents.owners(host, desired.name, desired.state_directory)
        return {
            owner: policy_documents.load(host, desired.name, owner, desired.state_directory)
            for owner in owners
            if owner != desired.owner
        }

    def validate(self, desired: DesiredPolicy, state: SetState) -> None:
        """Refuse what cannot be compiled, and what packets show to be another policy than is expected."""
        Findings(list(state.failures)).raise_if_any(Refused, f"policy {desired.name}: nothing was changed")
        for interface, (resource, requested) in self._resources.items():
            resource.validate(requested, state.interfaces[interface])

    def plan(self, desired: DesiredPolicy, state: SetState) -> list[Change]:
        """Return what differs on each interface, then the document's change."""
        changes = [
            change
            for interface, (resource, requested) in self._resources.items()
            for change in resource.plan(requested, state.interfaces[interface])
        ]
        before = state.documents.get(desired.owner)
        if (before or {}) != self._document or dict(state.given) != dict(self._given):
            name = policy_documents.name(desired.name, desired.owner)
            changes.append(Change(("state file", name), before and shown(before), shown(self._document) or None))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Put the policy in force on one interface after the other, and save the document last.

        Raises:
            ApplyFailed: One could not take it; the others are judged by what was before again.
        """
        desired = self._desired
        lists = Lists(host, desired.texts)
        lists.store()
        before = merge(self._saved(host)[0])
        done: list[Requested] = []
        for interface, (resource, requested) in self._resources.items():
            own = [change for change in changes if change.path[0] == interface]
            try:
                if own:
                    resource.apply(host, own)
                    done.append(requested)
            except (CoreError, OSError) as error:
                for one in done:
                    former = request(one.assignment, before, lists)
                    XdpPolicy(former).apply(host, [])
                raise ApplyFailed(f"{error}; the policy before is in force on all of its interfaces") from error
        if any(change.path[0] == "state file" for change in changes):
            self._store(host)

    def _store(self, host: Host) -> None:
        desired = self._desired
        if not self._document:
            policy_documents.store(host, desired.name, desired.owner, {}, desired.state_directory)
            return
        file = policy_documents.state_file(desired.name, desired.owner, self._document)
        given = {_GIVEN: {place: list(one) for place, one in self._given.items()}} if self._given else {}
        state_store.store(host, replace(file, body={**file.body, **given}), desired.state_directory)


def from_options(options: Mapping[str, Any]) -> DesiredPolicy:
    """Return what a module's options request; files that lists name are read.

    Raises:
        Invalid: A file cannot be read, or an option is malformed.
    """
    given = options["policy"] if options["state"] == "present" else {}
    document, texts = _with_texts({key: value for key, value in given.items() if value is not None})
    return DesiredPolicy(
        options["name"],
        options["interfaces"],
        document,
        texts,
        read_tests(options.get("tests") or ()),
        pin_root=options["pin_root"],
        state_directory=options["state_dir"],
    )


def _with_texts(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a document whose lists name the digests of their files, and the files' texts."""
    texts: dict[str, bytes] = {}
    lists = document.get("lists")
    if not isinstance(lists, list):
        return dict(document), {}
    found = []
    for number, one in enumerate(lists):
        path = one.get("file") if isinstance(one, Mapping) else None
        if isinstance(path, str):
            text = read_text(path, f"lists[{number}].file")
            texts[digest(text)] = text
            one = {**one, "sha256": digest(text)}
        found.append(one)
    return {**document, "lists": found}, texts


def restores(desired: DesiredPolicy, state: SetState) -> list[Restore]:
    """Return what a guard reapplies to bring back what judged the interfaces; it restores the documents before."""
    return [
        Restore(KIND, (one.assignment or Assignment(name, "", desired.pin_root, desired.state_directory)).body)
        for name, one in state.interfaces.items()
    ]


def guarded_files(desired: DesiredPolicy, state: SetState) -> list[str]:
    """Return the paths of the state files that a guard restores: the document, and of interfaces that change policy."""
    changed = [
        Assignment(name, state_directory=desired.state_directory).path
        for name, one in state.interfaces.items()
        if one.assignment is None or one.assignment.policy != desired.name
    ]
    return [policy_documents.path(desired.name, desired.owner, desired.state_directory), *changed]


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


def _with(documents: Mapping[str, Mapping[str, Any]], owner: str, document: Mapping[str, Any]) -> dict[str, Any]:
    others = {one: held for one, held in documents.items() if one != owner}
    return {**others, owner: document} if document else others
