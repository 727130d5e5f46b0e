# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Entries that release 1 of the collection keeps: in two tries and a state file, taken over into a policy.

A program that takes a policy begins with these entries in it. Until then, as after a boot between two roles of an
upgrade, the agent still brings the state file's to the tries of the old program.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, Impossible, Outcome
from .._core.errors import reason
from .._core.system import Host
from .._linux import bpf, bpf_map, netlink
from .._linux.bpf import Map
from .._policy.merge import API, INVENTORY, merge
from .._policy.prefix import Prefix, parse_prefix
from . import policy_assignment, policy_documents
from .identity import identify
from .policy_assignment import Assignment
from .policy_in_force import read_in_force
from .policy_lists import Lists
from .policy_requested import Requested, request, request_saved
from .policy_short import to_document
from .request import Desired, former_state_file

KIND = "xdp_map"
TRIES: Mapping[int, str] = {4: "acl_v4", 6: "acl_v6"}
# enum tripod_owner and tripod_action, as release 1 numbers them; struct acl_rule is action, owner, length, reserved
_OWNERS: Mapping[str, int] = {INVENTORY: 1, API: 2}
_ACTIONS: Mapping[str, int] = {"pass": 1, "drop": 2}

_log = logging.getLogger("tripod-host")


@dataclass(frozen=True)
class Saved:
    """What an interface is to be judged by.

    Attributes:
        requested: The policy.
        documents: By owner: entries of release 1 that are in no document yet.
    """

    requested: Requested
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def store(self, host: Host, assignment: Assignment) -> None:
        """Save it, now that it is in force."""
        if not assignment.policy:
            return
        for owner, document in self.documents.items():
            policy_documents.store(host, assignment.policy, owner, document, assignment.state_directory)
        if policy_assignment.load(host, assignment.interface, assignment.state_directory) != assignment:
            assignment.store(host)


def clear(host: Host, desired: Desired) -> None:
    """Remove the state file of release 1, once what it requests is saved as a policy."""
    if policy_assignment.load(host, desired.interface, desired.state_directory):
        state_store.discard(host, former_state_file(desired.interface), desired.state_directory)


def saved(host: Host, desired: Desired, maps: Mapping[str, Map]) -> Saved:
    """Return what is saved for an interface, by this release or the one before; where nothing is, everything passes.

    Args:
        host: The machine.
        desired: What is requested of the interface.
        maps: Those of its program, by name.

    Raises:
        CoreError: What is saved cannot be understood, or makes no policy.
    """
    interface, directory = desired.interface, desired.state_directory
    assignment = policy_assignment.load(host, interface, directory)
    if assignment:
        return Saved(request_saved(host, assignment))
    path = Assignment(interface, state_directory=directory).path
    running = read_in_force(maps)
    if running and running.digest and host.exists(path):
        raise Impossible(
            f"{path} cannot be understood, and the policy in force would be lost with the program: put it in force "
            "anew first, with xdp_policy or xdp_map"
        )
    documents = {
        owner: to_document(entries, owner) for owner, entries in _entries(host, desired, maps).items() if entries
    }
    if not documents:
        return Saved(request(Assignment(interface, "", desired.pin_root, directory), {}, Lists(host)))
    policy, seed = policy_assignment.own_policy(interface), policy_assignment.new_seed()
    assignment = Assignment(interface, policy, desired.pin_root, directory, seed)
    return Saved(request(assignment, merge(documents), Lists(host)), documents)


def documents(host: Host, desired: Desired) -> list[str]:
    """Return the paths of the documents that taking over an interface would make."""
    directory = desired.state_directory
    if not host.exists(state_store.path(former_state_file(desired.interface), directory)):
        return []
    policy = policy_assignment.own_policy(desired.interface)
    return [policy_documents.path(policy, owner, directory) for owner in _OWNERS]


def _entries(host: Host, desired: Desired, maps: Mapping[str, Map]) -> dict[str, dict[Prefix, str]]:
    """Return action by prefix, by owner; the inventory's as the state file requests them."""
    found: dict[str, dict[Prefix, str]] = {}
    for name in TRIES.values():
        if name in maps and maps[name].layout.type == "lpm_trie":
            with bpf.map_by_id(maps[name].id) as descriptor:
                rules = bpf_map.items(descriptor, maps[name].layout)
            for owner, number in _OWNERS.items():
                own = {Prefix.from_key(key): _name(value[0]) for key, value in rules.items() if value[1] == number}
                found.setdefault(owner, {}).update((prefix, action) for prefix, action in own.items() if action)
    held = state_store.load(host, former_state_file(desired.interface), desired.state_directory)
    if held and held.kind == KIND:
        found[INVENTORY] = {parse_prefix(prefix): action for prefix, action in held.body["entries"].items()}
    return found


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the inventory's entries to the tries of a program of release 1, as its state file's body requests.

    Nothing is done where the interface has a policy: its program, or the one that comes with the next boot, takes that.
    """
    interface = body["interface"]
    if only is not None and interface not in only:
        return Outcome([], None, checked=check)
    if netlink.link(interface) is None:
        _log.info("%s is absent: its policy is left out", interface)
        return Outcome([], None, checked=check, absent=True)
    found = identify(host, interface, body["pin_root"])
    if found.unproven(TRIES.values()):
        return Outcome([], None, checked=check)
    desired = {parse_prefix(prefix): action for prefix, action in body["entries"].items()}
    changes = []
    for version, name in TRIES.items():
        here = {prefix: action for prefix, action in desired.items() if prefix.version == version}
        with bpf.map_by_id(found.pinned_maps[name].id) as descriptor:
            changes += _fill(descriptor, found.pinned_maps[name], here, interface, check)
    return Outcome(changes, None, checked=check)


def _fill(descriptor: int, trie: Map, desired: Mapping[Prefix, str], interface: str, check: bool) -> list[Change]:
    rules = {Prefix.from_key(key): value for key, value in bpf_map.items(descriptor, trie.layout).items()}
    own = {prefix: value[0] for prefix, value in rules.items() if value[1] == _OWNERS[INVENTORY]}
    gone = [prefix for prefix in own if prefix not in desired]
    new = [prefix for prefix, action in desired.items() if own.get(prefix) != _ACTIONS[action]]
    if not check:
        try:
            bpf_map.delete(descriptor, [prefix.key for prefix in gone])
            bpf_map.update(descriptor, [(prefix.key, _rule(prefix, desired[prefix])) for prefix in new])
        except OSError as error:
            raise ApplyFailed(f"{interface}: {trie.name} cannot be written: {reason(error)}") from error
    return [
        Change((interface, INVENTORY, str(prefix)), _name(own.get(prefix)), desired.get(prefix))
        for prefix in (*gone, *new)
    ]


def _rule(prefix: Prefix, action: str) -> bytes:
    return bytes((_ACTIONS[action], _OWNERS[INVENTORY], prefix.length, 0))


def _name(action: int | None) -> str | None:
    return next((name for name, number in _ACTIONS.items() if number == action), None)
