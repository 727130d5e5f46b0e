# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The policy that judges an interface: compiled, put in force in one step, and recognised by its digest."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from .._core import lock
from .._core.converge import ApplyFailed, Change, Impossible, Outcome, converge
from .._core.errors import in_words, reason
from .._core.system import Host
from .._linux import bpf, netlink
from .._policy.compiler import Compiled
from .._policy.merge import merge
from . import policy_assignment, policy_documents, program
from .identity import Identity, identify
from .policy_assignment import KIND, Assignment
from .policy_changes import changes_of
from .policy_documents import UNUSABLE
from .policy_in_force import HITS, MAPS, POLICY, InForce, made, new_slots, put, read_in_force
from .policy_lists import Lists
from .policy_requested import Requested, request, request_saved
from .request import CAPABILITIES_WORDS

__all__ = ["KIND", "PolicyState", "XdpPolicy", "apply", "reapply"]

_SHOWN = 12  # digits of a digest

_log = logging.getLogger("tripod-host")


@dataclass(frozen=True)
class PolicyState:
    """What judges an interface.

    Attributes:
        running: What its program judges by.
        assignment: Its state file; None where there is none.
        merged: The documents of the policy that it names.
    """

    running: InForce
    assignment: Assignment | None = None
    merged: Mapping[str, Any] | None = None


class XdpPolicy:
    """The resource for ``converge``.

    Args:
        desired: What is requested. Its seed and slots count only where the interface has none yet.

    Attributes:
        seconds: That compiling took.
    """

    def __init__(self, desired: Requested) -> None:
        self._desired = desired
        self._compiled: Compiled | None = None
        self.seconds = 0.0

    @property
    def _interface(self) -> str:
        return self._desired.assignment.interface

    @property
    def compiled(self) -> Compiled | None:
        """The policy compiled; None as long as that was not needed."""
        return self._compiled

    def _identify(self, host: Host) -> Identity:
        try:
            return identify(host, self._interface, self._desired.assignment.pin_root)
        except OSError as error:
            raise Impossible(
                f"{self._interface}: what runs on it cannot be read: {in_words(error)}; outside of 'ip netns exec', "
                f"which hides /sys/fs/bpf, it takes {CAPABILITIES_WORDS}"
            ) from error

    def unproven(self, host: Host) -> str | None:
        """Return why the pinned maps are not those of the program that runs; None where they are."""
        return self._identify(host).unproven(MAPS)

    def _running(self, host: Host) -> tuple[Identity, InForce]:
        """Return what runs.

        Raises:
            Impossible: What is pinned is not what runs; a policy would be put in force, and packets pass.
        """
        found = self._identify(host)
        found.require(MAPS)
        running = read_in_force(found.pinned_maps)
        if running is None:
            raise Impossible(f"{found.directory}/maps/{POLICY} is of a program that takes no policy of this release")
        return found, running

    def read(self, host: Host) -> PolicyState:
        """Read what the interface's program judges by, and what is saved."""
        running, desired = self._running(host)[1], self._desired.assignment
        assignment = policy_assignment.load(host, desired.interface, desired.state_directory)
        return PolicyState(running, assignment, _saved(host, assignment))

    def validate(self, desired: Requested, state: PolicyState) -> None:
        """Compile the policy, unless it is in force: what cannot be compiled is refused before anything is changed."""
        current = _current(desired, state.assignment)
        if state.running.digest != current.digest:
            began = time.monotonic()
            self._compiled = current.compile(state.running.bounds)
            self.seconds = time.monotonic() - began

    def plan(self, desired: Requested, state: PolicyState) -> list[Change]:
        """Return the parts that differ, and the state file where it names another policy."""
        current, interface = _current(desired, state.assignment), desired.assignment.interface
        changes: list[Change] = []
        if state.running.digest != current.digest:
            changes = changes_of(interface, state.merged or {}, desired.merged)
            if not changes:
                before = state.running.digest and state.running.digest.hex()[:_SHOWN]
                changes = [Change((interface, "policy", "in force"), before, current.digest.hex()[:_SHOWN])]
        elif state.assignment and state.assignment.digest != current.digest.hex():
            # Who put it in force was killed before the slots of its parts were saved.
            changes = [Change((interface, "policy", "saved"), None, current.digest.hex()[:_SHOWN])]
        named = state.assignment.policy if state.assignment else ""
        if named != current.assignment.policy:
            changes.append(Change((interface, "policy", "name"), named or None, current.assignment.policy or None))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Put the policy in force, by a program with more room where it takes that."""
        with lock.alone(host, path=lock.ATTACHING):
            found, running = self._running(host)
            desired = self._desired.assignment
            saved = policy_assignment.load(host, desired.interface, desired.state_directory)
            current = _current(self._desired, saved)
            compiled = self._compiled or current.compile(running.bounds)
            if compiled.bounds == running.bounds:
                self._exchange(found, current, compiled)
                _store(host, current.compiled_as(compiled))
                return
        program.reload(host, current)

    def _exchange(self, found: Identity, current: Requested, compiled: Compiled) -> None:
        try:
            with ExitStack() as held:
                outer, hits = (held.enter_context(bpf.map_by_id(found.pinned_maps[name].id)) for name in (POLICY, HITS))
                inner = held.enter_context(made(compiled))
                put(outer, hits, inner, new_slots(current.assignment.slots, compiled.slots))
        except OSError as error:
            raise ApplyFailed(
                f"{self._interface}: the policy could not be put in force: {reason(error)}; the one before goes on"
            ) from error


def in_force(desired: Requested, state: PolicyState) -> bool:
    """Whether an interface is judged by what is requested."""
    return state.running.digest == _current(desired, state.assignment).digest


def _current(desired: Requested, saved: Assignment | None) -> Requested:
    """Return what is requested with the interface's seed and slots."""
    if saved is None:
        return desired
    seed = saved.seed or desired.assignment.seed
    return desired.seeded(replace(desired.assignment, seed=seed, slots=saved.slots))


def _saved(host: Host, assignment: Assignment | None) -> Mapping[str, Any]:
    """Return the documents on disk, made one, to say what differs from them; what cannot be understood says nothing."""
    if assignment is None or not assignment.policy:
        return {}
    try:
        return merge(policy_documents.load_all(host, assignment.policy, assignment.state_directory))
    except UNUSABLE:
        return {}


def _store(host: Host, assignment: Assignment) -> None:
    if assignment.policy:
        assignment.store(host)
    else:
        host.remove(assignment.path)


def apply(host: Host, body: Mapping[str, Any], merged: Mapping[str, Any], check: bool = False) -> Outcome:
    """Bring a policy to an interface.

    Args:
        host: The machine.
        body: Of the interface's state file.
        merged: The documents of all owners, made one.
        check: Plan only.

    Raises:
        CoreError: As ``converge`` does.
    """
    desired = request(Assignment.from_body(body), merged, Lists(host))
    return converge(XdpPolicy(desired), desired, host, check)


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the policy that a state file's body names to its interface; ``only`` names the interfaces concerned.

    What has ended by now is left out. Maps live as long as their pins, which a reboot ends. An interface that is absent
    now is left out.
    """
    assignment = Assignment.from_body(body)
    interface = assignment.interface
    if only is not None and interface not in only:
        return Outcome([], None, checked=check)
    if netlink.link(interface) is None:
        _log.info("%s is absent: its policy is left out", interface)
        return Outcome([], None, checked=check, absent=True)
    desired = request_saved(host, assignment)
    resource = XdpPolicy(desired)
    if check and resource.unproven(host):
        # None is in force by these maps: the program is still to be attached, or its pins to be mended.
        return Outcome(changes_of(interface, {}, desired.merged), None, checked=True)
    return converge(resource, desired, host, check)
