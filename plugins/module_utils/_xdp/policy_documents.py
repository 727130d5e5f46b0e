# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A host's policies as they are requested: a state file for each owner of each policy, and one for each NIC.

Owners never share a file. A guard restores files whole: were they in one, an API change that nobody confirmed would
take with it what Ansible applied meanwhile.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .._core import state_store
from .._core.converge import Impossible, Invalid, Outcome
from .._core.system import Host
from .._policy.merge import check_owner

# Kinds of state files: what an owner requests of a policy, and which policy judges an interface.
KIND = "policy"
INTERFACE_KIND = "xdp_policy"
_PREFIX = "policy-"
# No dot: it parts a feed from its name, so that a file name has one meaning.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_FILE = re.compile(rf"{_PREFIX}(?P<policy>{_NAME.pattern}?)-(?P<owner>inventory|api|feed\..+)\.json")


def check_name(policy: str) -> None:
    """Raise Invalid where no policy can have that name, which is also a part of file names."""
    if not _NAME.fullmatch(policy):
        raise Invalid(
            f"policy {policy!r} is no name of 1 to 32 letters, digits, '_' and '-' that begins with no '_' or '-'"
        )


def name(policy: str, owner: str) -> str:
    """Return the name of the state file with an owner's document."""
    check_name(policy)
    check_owner(owner)
    return f"{_PREFIX}{policy}-{owner.replace(':', '.')}"


def path(policy: str, owner: str, directory: str = state_store.DIRECTORY) -> str:
    """Return the path of that file."""
    return state_store.path(name(policy, owner), directory)


def state_file(policy: str, owner: str, document: Mapping[str, Any]) -> state_store.StateFile:
    """Return an owner's document as the state file that it is kept in."""
    return state_store.StateFile(
        name(policy, owner), KIND, {"policy": policy, "owner": owner, "document": dict(document)}
    )


def store(
    host: Host, policy: str, owner: str, document: Mapping[str, Any], directory: str = state_store.DIRECTORY
) -> None:
    """Write an owner's document; an empty one leaves no file."""
    if document:
        state_store.store(host, state_file(policy, owner, document), directory)
    else:
        state_store.discard(host, name(policy, owner), directory)


def load(host: Host, policy: str, owner: str, directory: str = state_store.DIRECTORY) -> dict[str, Any]:
    """Return an owner's document; empty where it requests nothing.

    Raises:
        Impossible: The file cannot be understood.
    """
    file = name(policy, owner)
    found = state_store.load(host, file, directory)
    if found is None and not host.exists(state_store.path(file, directory)):
        return {}
    if found is None or found.kind != KIND or not isinstance(found.body.get("document"), dict):
        raise _not_understood(state_store.path(file, directory))
    return found.body["document"]


def load_all(host: Host, policy: str, directory: str = state_store.DIRECTORY) -> dict[str, dict[str, Any]]:
    """Return the documents of a policy by owner, as ``merge`` takes them.

    Raises:
        Impossible: A file cannot be understood: a policy without it would let through what its owner drops.
    """
    return {owner: load(host, policy, owner, directory) for owner in owners(host, policy, directory)}


def owners(host: Host, policy: str, directory: str = state_store.DIRECTORY) -> list[str]:
    """Return the owners who have a document of a policy."""
    check_name(policy)
    return [owner for one, owner in held(host, directory) if one == policy]


def texts(host: Host, policy: str, directory: str = state_store.DIRECTORY) -> dict[str, str]:
    """Return the files of a policy as they are, by owner: for whoever keeps them and may put them back."""
    found = {owner: host.read(path(policy, owner, directory)) for owner in owners(host, policy, directory)}
    return {owner: text for owner, text in found.items() if text is not None}


def document(text: str) -> dict[str, Any]:
    """Return the document in a file's text that ``texts`` gave."""
    return json.loads(text)["document"]


def interfaces(host: Host, policy: str, directory: str = state_store.DIRECTORY) -> list[dict[str, Any]]:
    """Return what is requested of each interface that a policy judges."""
    return [body for body in _placements(host, directory) if body["policy"] == policy]


def names(host: Host, directory: str = state_store.DIRECTORY) -> list[str]:
    """Return the name of every policy that an interface names, or an owner has a document of."""
    found = {policy for policy, _owner in held(host, directory)}
    return sorted(found.union(body["policy"] for body in _placements(host, directory) if body["policy"]))


def held(host: Host, directory: str) -> Iterator[tuple[str, str]]:
    """Yield policy and owner of every document that is there."""
    for file in host.list(directory):
        parts = _FILE.fullmatch(file)
        if parts:
            yield parts["policy"], parts["owner"].replace(".", ":", 1)


def _placements(host: Host, directory: str) -> Iterator[dict[str, Any]]:
    for file in host.list(directory):
        # The others may be documents of a million prefixes.
        if file.startswith(f"{INTERFACE_KIND}-") and file.endswith(".json"):
            found = state_store.load(host, file[: -len(".json")], directory)
            if found and found.kind == INTERFACE_KIND:
                yield dict(found.body)


def _not_understood(place: str) -> Impossible:
    return Impossible(
        f"{place} cannot be understood, and without it the policy would not be what its owner requests: run the "
        "playbook that wrote it again, or go back to an earlier revision ('tripod-host policy history')"
    )


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Do nothing: the interfaces that a policy judges have state files of their own, which bring it about.

    Raises:
        Impossible: Nobody can tell what the document requests.
    """
    if not isinstance(body.get("document"), dict):
        raise _not_understood(path(body["policy"], body["owner"]))
    return Outcome([], None, checked=check)
