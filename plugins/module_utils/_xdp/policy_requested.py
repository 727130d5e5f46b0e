# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The policy that is requested of an interface, from the documents of its owners to what the compiler takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._core.system import Host
from .._linux.clock import hz
from .._policy.compiler import Compiled, compile_policy
from .._policy.digest import policy_digest
from .._policy.merge import merge
from .._policy.model import Policy
from .._policy.request import parse
from . import policy_documents
from .policy_assignment import Assignment
from .policy_lists import Lists


@dataclass(frozen=True)
class Requested:
    """A policy for an interface.

    Attributes:
        assignment: Which policy that is, with the interface's seed and slots.
        merged: The documents of all owners, made one.
        policy: The same without what has ended.
        hz: Ticks of the kernel in a second.
    """

    assignment: Assignment
    merged: Mapping[str, Any] = field(repr=False)
    policy: Policy = field(repr=False)
    hz: int

    def seeded(self, assignment: Assignment) -> Requested:
        """Return the same for an interface as it is by now."""
        return replace(self, assignment=assignment)

    @property
    def digest(self) -> bytes:
        """What a compiled policy says that it was compiled from."""
        return policy_digest(self.policy, hz=self.hz, seed=bytes.fromhex(self.assignment.seed))

    def compile(self, bounds: Mapping[str, int] | None) -> Compiled:
        """Return the policy as the program takes it.

        Args:
            bounds: Of the program that runs, which are kept where the policy fits them.

        Raises:
            CoreError: It cannot be compiled; every reason at once.
        """
        seed = bytes.fromhex(self.assignment.seed)
        return compile_policy(self.policy, hz=self.hz, seed=seed, slots=self.assignment.slots, bounds=bounds)

    def compiled_as(self, compiled: Compiled) -> Assignment:
        """Return the assignment once the compiled policy is in force."""
        slots, digest = dict(compiled.slots), compiled.digest.hex()
        return replace(self.assignment, slots=slots, until=compiled.next_expiry, digest=digest)


def request(assignment: Assignment, merged: Mapping[str, Any], lists: Lists) -> Requested:
    """Return a policy for an interface at this moment.

    Raises:
        Invalid: The policy is malformed; every reason at once.
    """
    now = time.time()
    return Requested(assignment, merged, parse(merged, lists, now=now).at(now), hz())


def request_saved(host: Host, assignment: Assignment) -> Requested:
    """Return the policy that an interface's state file names, as its owners' documents are on disk.

    Raises:
        CoreError: A document cannot be understood, or they make no policy.
    """
    merged = {}
    if assignment.policy:
        merged = merge(policy_documents.load_all(host, assignment.policy, assignment.state_directory))
    return request(assignment, merged, Lists(host))
