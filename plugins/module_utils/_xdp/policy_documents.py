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
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from .._core import state_store
from .._core.converge import CoreError, Impossible, Invalid, Outcome
from .._core.system import Host
from .._policy.merge import check_owner

# Kinds of state files: what an owner requests of a policy, and which policy judges an interface.
KIND = "policy"
INTERFACE_KIND = "xdp_policy"
# What documents on disk raise that cannot be read, or that somebody has written by hand.
UNUSABLE = (CoreError, AttributeError, KeyError, TypeError, ValueError, OSError)
MODE = 0o600  # a policy says whom a site fears, and nobody without root's rights has to read one
_PREFIX = "policy-"
# What the inventory expects of a policy: beside its documents, as it is no part of what is compiled.
TESTS_KIND = "policy_tests"
# No dot: it parts a feed from its name, so that a file name has one meaning.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_TESTS_FILE = re.compile(rf"{TESTS_KIND}-(?P<policy>{_NAME.pattern})\.json")
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


def tests_name(policy: str) -> str:
    """Return the name of the state file with what is expected of a policy."""
    check_name(policy)
    return f"{TESTS_KIND}-{policy}"


def tests_path(policy: str, directory: str) -> str:
    """Return the path of that file."""
    return state_store.path(tests_name(policy), directory)


def body_of(policy: str, owner: str, document: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return the body of the state file that holds an owner's document; empty for an empty one, which has no file."""
    return {"policy": policy, "owner": owner, "document": dict(document), **more} if document else {}


def store(
    host: Host, policy: str, owner: str, document: Mapping[str, Any], directory: str = state_store.DIRECTORY
) -> None:
    """Write an owner's document; an empty one leaves no file."""
    write(host, name(policy, owner), body_of(policy, owner, document), directory)


def write(host: Host, file: str, body: Mapping[str, Any], directory: str = state_store.DIRECTORY) -> None:
    """Write the state file of that name; an empty body leaves none."""
    if body:
        state_store.store(host, state_store.StateFile(file, KIND, body), directory, MODE)
    else:
        state_store.discard(host, file, directory)


def close_off(host: Host, directory: str = state_store.DIRECTORY) -> None:
    """Let nobody but root read the documents, which earlier ones wrote for all."""
    for policy, owner in held(host, directory):
        make_private(host, path(policy, owner, directory))


def make_private(host: Host, file: str) -> None:
    """Give a file the mode of what tells of a policy, whatever it had; one that is gone by now needs none."""
    with suppress(FileNotFoundError):
        if stat.S_IMODE(host.path(file).stat().st_mode) != MODE:
            host.path(file).chmod(MODE)


def load(host: Host, policy: str, owner: str, directory: str = state_store.DIRECTORY) -> dict[str, Any]:
    """Return an owner's document; empty where it requests nothing.

    Raises:
        Impossible: The file cannot be understood.
    """
    return load_body(host, policy, owner, directory).get("document", {})


def load_body(host: Host, policy: str, owner: str, directory: str = state_store.DIRECTORY) -> dict[str, Any]:
    """Return the body of an owner's state file, with what goes with its document; empty where there is none.

    Raises:
        Impossible: The file cannot be understood.
    """
    file = name(policy, owner)
    found = state_store.load(host, file, directory)
    if found is None and not host.exists(state_store.path(file, directory)):
        return {}
    if found is None or found.kind != KIND or not isinstance(found.body.get("document"), dict):
        raise _not_understood(state_store.path(file, directory))
    return dict(found.body)


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


def body(text: str) -> dict[str, Any]:
    """Return the body in a file's text that ``texts`` gave.

    Raises:
        ValueError: It is none of an owner's document.
    """
    found = state_store.parse(text)
    if found is None or found[0] != KIND or not isinstance(found[1].get("document"), dict):
        raise ValueError("no document of a policy")
    return dict(found[1])


def interfaces(host: Host, policy: str, directory: str = state_store.DIRECTORY) -> list[dict[str, Any]]:
    """Return what is requested of each interface that a policy judges."""
    return [body for body in _placements(host, directory) if body["policy"] == policy]


def names(host: Host, directory: str = state_store.DIRECTORY) -> list[str]:
    """Return the name of every policy that an interface names, or an owner has a document of."""
    return sorted({policy for policy, _owner in held(host, directory)} | named(host, directory))


def named(host: Host, directory: str = state_store.DIRECTORY) -> set[str]:
    """Return the policies that an interface names; documents of others stay, and nothing is judged by them."""
    return {body["policy"] for body in _placements(host, directory) if body["policy"]}


def unnamed(host: Host, directory: str = state_store.DIRECTORY) -> list[str]:
    """Return the policies of which there are documents or tests, though no interface names them.

    None are told where a file cannot be understood that says which policy an interface has, as it may be any of them.
    """
    if any(_placement(host, file, directory) is None for file in placements(host, directory)):
        return []
    tested = {found["policy"] for found in map(_TESTS_FILE.fullmatch, host.list(directory)) if found}
    return sorted(tested.union(policy for policy, _owner in held(host, directory)) - named(host, directory))


def files(host: Host, policy: str, directory: str = state_store.DIRECTORY) -> list[str]:
    """Return the names of a policy's state files: the documents of all owners, and what is expected of it."""
    found = [name(policy, owner) for owner in owners(host, policy, directory)]
    return [*found, tests_name(policy)] if host.exists(tests_path(policy, directory)) else found


def held(host: Host, directory: str) -> Iterator[tuple[str, str]]:
    """Yield policy and owner of every document that is there."""
    for file in host.list(directory):
        parts = _FILE.fullmatch(file)
        if parts:
            yield parts["policy"], parts["owner"].replace(".", ":", 1)


def placements(host: Host, directory: str = state_store.DIRECTORY) -> list[str]:
    """Return the names of the state files that say which policy judges an interface."""
    # The others may be documents of a million prefixes.
    files = [file for file in host.list(directory) if file.startswith(f"{INTERFACE_KIND}-") and file.endswith(".json")]
    return [file[: -len(".json")] for file in files]


def _placements(host: Host, directory: str) -> Iterator[dict[str, Any]]:
    for file in placements(host, directory):
        found = _placement(host, file, directory)
        if found is not None:
            yield found


def _placement(host: Host, file: str, directory: str) -> dict[str, Any] | None:
    found = state_store.load(host, file, directory)
    return dict(found.body) if found and found.kind == INTERFACE_KIND and "policy" in found.body else None


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
