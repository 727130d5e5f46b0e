# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The policy of a program that is about to be attached: it is there before the program's first packet."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from .._linux import bpf, map_in_map
from .._linux.bpf_object import BpfObject
from .policy_assignment import Assignment
from .policy_in_force import HITS, POLICY, InForce, equip, made, new_slots, put
from .policy_requested import Requested
from .undo import Undo, step


class Filling:
    """A policy, and the map that it goes into.

    Args:
        requested: The policy.
        running: What the interface's program judges by now; None where none runs, or it takes no policy.
        held: What is closed when all is done.

    Raises:
        CoreError: The policy cannot be compiled.
    """

    def __init__(self, requested: Requested, running: InForce | None, held: ExitStack) -> None:
        self._requested, self._held = requested, held
        bounds = running.bounds if running else None
        self._compiled = requested.compile(bounds)
        # The program that runs goes on by the policy in its outer map, which must not become one that it cannot read.
        self.keeps_outer = running is not None and running.digest is not None and bounds == self._compiled.bounds
        with step("make the map of the policy"):
            self._inner = held.enter_context(made(self._compiled))

    @property
    def assignment(self) -> Assignment:
        """The interface's assignment, once the policy is in force."""
        return self._requested.compiled_as(self._compiled)

    def equip(self, opened: BpfObject) -> None:
        """Prepare the object, before it is loaded."""
        equip(opened, self._compiled, self._requested.hz, self._inner)

    def fill(self, opened: BpfObject, undo: Undo) -> None:
        """Put the policy into the outer map of the object, after it is loaded."""
        outer = opened.map(POLICY)
        with step("put the policy in force"):
            before = map_in_map.held(outer)
            if before is not None:
                inner = self._held.enter_context(bpf.map_by_id(before))
                undo.add("put the policy before in force", partial(map_in_map.exchange, outer, inner))
            slots = new_slots(self._requested.assignment.slots, self._compiled.slots)
            put(outer, opened.map(HITS), self._inner, slots)
