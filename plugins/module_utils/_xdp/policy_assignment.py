# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which policy judges an interface, and what its maps know the policy's parts by."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core import state_store
from .._core.system import Host
from . import policy_documents
from .policy_documents import INTERFACE_KIND as KIND
from .request import PIN_ROOT, former_state_file, policy_state_file

__all__ = ["KIND", "Assignment", "files", "load", "new_seed", "own_policy"]

_MODE = 0o600  # who knows the seed can aim at the buckets of others
_SEED_BYTES = 16
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,15}")
_ODD = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True)
class Assignment:
    """The state file of an interface.

    Attributes:
        interface: Its name.
        policy: The policy's name; "" for none, by which everything passes.
        pin_root: Where the pins are.
        state_directory: Directory of the state files, the documents of the policy among them.
        seed: Secret of the limits, in hexadecimal; "" where none was needed yet.
        slots: Slot of the map ``hits`` by part, such as ``list:bogons``.
        until: Seconds since 1970 at which the next entry ends; None where none does.
        digest: Of the policy that was put in force, in hexadecimal.
    """

    interface: str
    policy: str = ""
    pin_root: str = PIN_ROOT
    state_directory: str = state_store.DIRECTORY
    seed: str = ""
    slots: Mapping[str, int] = field(default_factory=dict)
    until: int | None = None
    digest: str = ""

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Assignment:
        """Read the state file's body.

        Raises:
            KeyError: It is not what ``body`` returns.
        """
        return cls(
            body["interface"],
            body["policy"],
            body["pin_root"],
            body["state_dir"],
            body.get("seed", ""),
            dict(body.get("slots", {})),
            body.get("until"),
            body.get("digest", ""),
        )

    @property
    def body(self) -> dict[str, Any]:
        """The state file's body."""
        return {
            "interface": self.interface,
            "policy": self.policy,
            "pin_root": self.pin_root,
            "state_dir": self.state_directory,
            "seed": self.seed,
            "slots": dict(self.slots),
            "until": self.until,
            "digest": self.digest,
        }

    @property
    def path(self) -> str:
        """Path of the state file."""
        return state_store.path(policy_state_file(self.interface), self.state_directory)

    def store(self, host: Host) -> None:
        """Write the state file."""
        state_file = state_store.StateFile(policy_state_file(self.interface), KIND, self.body)
        state_store.store(host, state_file, self.state_directory, _MODE)


def load(host: Host, interface: str, directory: str) -> Assignment | None:
    """Return what the state file of an interface says; None where there is none that can be understood."""
    found = state_store.load(host, policy_state_file(interface), directory)
    if found is None or found.kind != KIND:
        return None
    try:
        return Assignment.from_body(found.body)
    except (KeyError, TypeError, ValueError):
        return None


def files(host: Host, interface: str, directory: str) -> list[str]:
    """Return the paths of the state files that go with an interface, those of its policy too where no other has it."""
    assignment = load(host, interface, directory)
    name = policy_state_file(interface)
    found = [state_store.path(one, directory) for one in (name, former_state_file(interface))]
    if assignment and assignment.policy:
        policy = assignment.policy
        if all(body["interface"] == interface for body in policy_documents.interfaces(host, policy, directory)):
            found += [state_store.path(one, directory) for one in policy_documents.files(host, policy, directory)]
    return [path for path in found if host.exists(path)]


def new_seed() -> str:
    """Return a secret of the limits."""
    return secrets.token_hex(_SEED_BYTES)


def own_policy(interface: str) -> str:
    """Return the name of the policy that is an interface's alone: of entries in the short form."""
    if _PLAIN.fullmatch(interface):
        return f"nic-{interface}"
    return f"nic-{_ODD.sub('-', interface)}-{hashlib.sha256(interface.encode()).hexdigest()[:8]}"
