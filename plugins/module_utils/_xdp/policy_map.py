# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The short form of an interface's policy: prefixes with an action and an owner each, and one owner's are changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core import state_store
from .._core.converge import Change, Findings, Impossible, Refused, tally
from .._core.names import absolute_path, interface_name
from .._core.system import Host
from .._guard.record import Restore
from .._policy.merge import INVENTORY
from .._policy.prefix import Prefix
from . import policy_assignment, policy_documents, policy_set
from .policy_entries import parse_entries, shorten
from .policy_set import DesiredPolicy, PolicySet, SetState
from .policy_short import LISTS, replaced, to_entries
from .request import PIN_ROOT

__all__ = ["OWNERS", "Policy", "XdpMap", "parse_entries"]

OWNERS = tuple(LISTS)
_ENTRY_PATH = 3  # interface, owner, prefix


@dataclass(frozen=True)
class Policy:
    """What is requested.

    Attributes:
        entries: Action by prefix.
        mode: ``exact`` makes the entries the whole of the owner's; ``present`` adds or changes them and leaves its
            others; ``absent`` removes them, whatever their action.
        state_directory: Directory of the host's state files.
    """

    interface: str
    owner: str = INVENTORY
    entries: Mapping[Prefix, str] = field(default_factory=dict)
    mode: str = "exact"
    pin_root: str = PIN_ROOT
    state_directory: str = state_store.DIRECTORY

    def __post_init__(self) -> None:
        """Refuse names that reach further than one interface's pins and files.

        Raises:
            Invalid: The message says which, and why.
        """
        interface_name(self.interface)
        absolute_path(self.pin_root, "pin_root")
        absolute_path(self.state_directory, "state_dir")

    @property
    def name(self) -> str:
        """Of the policy that the entries are in."""
        return policy_assignment.own_policy(self.interface)


@dataclass(frozen=True)
class Tables:
    """The entries as they are.

    Attributes:
        rules: Owner and action by prefix, all owners'.
        judged_by: Name of the policy that judges the interface; "" for none.
        policies: What that policy is in the kernel and on disk.
    """

    rules: Mapping[Prefix, tuple[str, str]]
    judged_by: str = ""
    policies: SetState = field(default_factory=SetState)


class XdpMap:
    """The resource for ``converge``.

    Args:
        policy: What is requested.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._desired: DesiredPolicy | None = None
        self._set: PolicySet | None = None

    def read(self, host: Host) -> Tables:
        """Read the entries of all owners, and what judges the interface."""
        policy = self._policy
        documents = {owner: self._document(host, owner) for owner in OWNERS}
        rules = {
            prefix: (owner, action)
            for owner, document in documents.items()
            for prefix, action in to_entries(document, owner).items()
        }
        document = replaced(documents[policy.owner], _target(policy, rules), policy.owner)
        self._desired = DesiredPolicy(
            policy.name,
            [policy.interface],
            document,
            owner=policy.owner,
            pin_root=policy.pin_root,
            state_directory=policy.state_directory,
        )
        # Of the same request when what was applied is read back, so that nothing is compiled twice.
        if self._set is None or self._set.desired != self._desired:
            self._set = PolicySet(self._desired)
        assignment = policy_assignment.load(host, policy.interface, policy.state_directory)
        return Tables(rules, assignment.policy if assignment else "", self._set.read(host))

    def _document(self, host: Host, owner: str) -> Mapping[str, Any]:
        policy = self._policy
        try:
            return policy_documents.load(host, policy.name, owner, policy.state_directory)
        except Impossible:
            if owner != policy.owner or policy.mode != "exact":
                raise
            return {}  # it is damaged, and written anew

    def validate(self, desired: Policy, state: Tables) -> None:
        """Refuse prefixes of another owner, an interface that another policy judges, and what cannot be compiled."""
        refuse(desired, state)
        resource, requested = self._requested()
        resource.validate(requested, state.policies)

    def plan(self, desired: Policy, state: Tables) -> list[Change]:
        """Return the entries that are removed, added or changed, then what differs beside them."""
        entries = plan_entries(desired, state)
        resource, requested = self._requested()
        return entries + [
            change for change in resource.plan(requested, state.policies) if change.path[1] != "lists" or not entries
        ]

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Put the policy in force with the entries in it, and save them."""
        resource, requested = self._requested()
        resource.apply(host, resource.plan(requested, resource.read(host)))

    def restores(self, state: Tables) -> tuple[list[Restore], list[str]]:
        """Return what a guard reapplies, and the paths of the state files that it restores."""
        desired = self._requested()[1]
        return policy_set.restores(desired, state.policies), policy_set.guarded_files(desired, state.policies)

    def _requested(self) -> tuple[PolicySet, DesiredPolicy]:
        if self._set is None or self._desired is None:
            raise AssertionError("read() comes first")
        return self._set, self._desired


def refuse(desired: Policy, state: Tables) -> None:
    """Raise where a prefix is another owner's, or some are to be changed in a policy that does not judge the interface.

    Raises:
        Refused: Every reason at once.
    """
    findings = Findings()
    if desired.mode != "exact" and state.judged_by not in ("", desired.name):
        findings.add(
            f"{desired.interface} is judged by policy {state.judged_by}: add the prefixes to a list of that, with "
            "xdp_policy"
        )
    for prefix in desired.entries:
        owner, action = state.rules.get(prefix, (desired.owner, ""))
        if owner != desired.owner:
            findings.add(
                f"{prefix} ({action}) belongs to owner {owner}, not {desired.owner}: "
                "remove it there, or leave it out here"
            )
    shorten(findings)
    findings.raise_if_any(Refused, f"{desired.interface}: nothing was changed")


def plan_entries(desired: Policy, state: Tables) -> list[Change]:
    """Return the entries of the owner that are removed, then those that are added or changed."""
    target, own = _target(desired, state.rules), own_entries(desired, state)
    removed = [(prefix, action, None) for prefix, action in own.items() if prefix not in target]
    set_ = [(prefix, own.get(prefix), action) for prefix, action in target.items() if own.get(prefix) != action]
    return [
        Change((desired.interface, desired.owner, str(prefix)), before, after)
        for prefix, before, after in removed + set_
    ]


def entry_changes(changes: Sequence[Change]) -> Sequence[Change]:
    """Return the changes that concern entries."""
    return [change for change in changes if len(change.path) == _ENTRY_PATH and change.path[1] in OWNERS]


def counts(changes: Sequence[Change]) -> dict[str, int]:
    """Return how many entries a plan adds, removes and changes."""
    return tally(entry_changes(changes))


def own_entries(desired: Policy, state: Tables) -> dict[Prefix, str]:
    """Return action by prefix of the owner's entries."""
    return {prefix: action for prefix, (owner, action) in state.rules.items() if owner == desired.owner}


def _target(desired: Policy, rules: Mapping[Prefix, tuple[str, str]]) -> dict[Prefix, str]:
    """Return what the owner's entries are to be."""
    if desired.mode == "exact":
        return dict(desired.entries)
    own = {prefix: action for prefix, (owner, action) in rules.items() if owner == desired.owner}
    if desired.mode == "present":
        return {**own, **desired.entries}
    return {prefix: action for prefix, action in own.items() if prefix not in desired.entries}
