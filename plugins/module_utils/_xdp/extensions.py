# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Programs of others before and after ours: what is requested of them, what is in the way, and how they are loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from .._core.converge import Change
from .._linux.bpf import Program
from .._linux.bpf_object import BpfObject
from .called import AFTER, BEFORE, EXTENSIONS, OTHERS, OURS, called, entry_of, fill, owner_of, theirs
from .layout import differences
from .request import Desired
from .state import Source, State
from .undo import step

EXTENDED = "extended"  # constant of ours: whether it calls what comes after it


def joined(source: Source, others: Mapping[str, Source]) -> Source:
    """Return an object with the maps of others' programs beside its own, but for the array, which they share.

    Args:
        source: Our object.
        others: Those of others, by slot.
    """
    maps = {
        theirs(slot, name): layout
        for slot, other in others.items()
        for name, layout in other.maps.items()
        if name != EXTENSIONS
    }
    own = [theirs(slot, name) for slot, other in others.items() for name in other.own_maps]
    return replace(source, maps={**source.maps, **maps}, own_maps=[*source.own_maps, *own])


def program_of(desired: Desired, state: State, slot: str) -> str:
    """Return the name of somebody else's program in its object; "" where the request has to name one."""
    programs = state.extensions.get(slot, Source()).programs
    return desired.extensions[slot].program or (programs[0] if len(programs) == 1 else "")


def faults(desired: Desired, state: State, judge: str) -> Iterator[str]:
    """Yield what is wrong with the request for others' programs, each with its remedy.

    Args:
        desired: What is requested.
        state: What is there.
        judge: Name of our program.
    """
    source = state.source or Source()
    if (
        desired.extensions
        and not source.error
        and (EXTENSIONS not in source.maps or entry_of(judge) not in source.programs)
    ):
        yield (
            f"program {judge or 'of several'} in {desired.object} calls no other: leave out "
            f"{' and '.join(desired.extensions)}, or attach this collection's program"
        )
        return
    for slot, one in desired.extensions.items():
        other = state.extensions.get(slot, Source())
        name = program_of(desired, state, slot)
        if other.error:
            yield f"{slot}: {other.error}"
            continue
        if one.sha256 is not None and one.sha256 != other.sha256:
            yield (
                f"{slot}: object {one.object} has SHA-256 {other.sha256}, {one.sha256} is expected: copy the right "
                "object, or correct sha256"
            )
        if name not in other.programs:
            held = ", ".join(other.programs) or "none"
            yield f"{slot}: object {one.object} has the XDP programs {held}: name one of them with 'program'"
        elif (name in other.fragments) != (judge in source.fragments):
            section = "xdp.frags" if judge in source.fragments else "xdp"
            yield (
                f"{slot}: program {name} of {one.object} is not of the kind of {judge}, and the kernel lets programs "
                f'call those of their own kind only: build it with SEC("{section}")'
            )
        yield from _array_faults(slot, one.object, other, source)


def _array_faults(slot: str, path: str, other: Source, source: Source) -> Iterator[str]:
    if EXTENSIONS in other.maps:
        apart = differences(source.maps[EXTENSIONS], other.maps[EXTENSIONS]) if EXTENSIONS in source.maps else []
        if apart:
            words = ", ".join(apart)
            yield f"{slot}: map {EXTENSIONS} of {path} is another than ours ({words}): declare it as tripod_xdp.h does"
    elif slot == BEFORE:
        yield (
            f"{slot}: {path} has no map {EXTENSIONS}, so that its program could hand no packet on to ours: declare it "
            "as tripod_xdp.h does, and end with a tail call of EXTENSION_OURS"
        )


def plan(desired: Desired, state: State) -> list[Change]:
    """Return what differs in the programs that ours calls; each is loaded anew with ours."""
    found = []
    for slot in OTHERS:
        before, after = _running(state, slot), None
        if slot in desired.extensions:
            after = _words(program_of(desired, state, slot), state.extensions[slot].sha256)
        if before != after:
            found.append(Change((desired.interface, EXTENSIONS, slot), before, after))
    return found


def _running(state: State, slot: str) -> str | None:
    ours = state.ours
    if ours is None:
        return None
    program = ours.calls.get(slot)
    if program is None:
        # What only hands packets on is there for a program before ours.
        return "nothing" if slot == BEFORE and ours.judge != ours.program else None
    saved = ((state.state_file or {}).get("loaded") or {}).get(EXTENSIONS, {}).get(slot, {})
    if saved.get("id") == program.id:
        return _words(saved["program"], saved["sha256"])
    return f"unknown, program {program.name} (id {program.id})"


def _words(program: str, sha256: str) -> str:
    return f"{program} of object {sha256}"


def body(desired: Desired, state: State) -> dict[str, Any]:
    """Return what a state file says of the request; nothing where there is none."""
    found = {
        slot: {
            "object": one.object,
            "sha256": state.extensions[slot].sha256,
            "program": program_of(desired, state, slot),
        }
        for slot, one in desired.extensions.items()
    }
    return {EXTENSIONS: found} if found else {}


def loaded(desired: Desired, state: State, program: Program) -> dict[str, Any]:
    """Return what a state file says of what is loaded, so that it is known again; nothing where nothing is called.

    Args:
        desired: What was requested.
        state: What was there.
        program: The one that is attached.
    """
    calls = called(program)
    found = {
        slot: {
            "id": calls[slot].id,
            "sha256": state.extensions[slot].sha256,
            "program": program_of(desired, state, slot),
        }
        for slot in desired.extensions
        if slot in calls
    }
    return {EXTENSIONS: found} if found else {}


class Loaded:
    """Our object and those of others, loaded as one.

    Args:
        ours: Our object, opened.
        judge: Name of our program.
        desired: What is requested.
        state: What is there.
        held: What is closed when all is done.
    """

    def __init__(self, ours: BpfObject, judge: str, desired: Desired, state: State, held: ExitStack) -> None:
        self._ours, self._judge = ours, judge
        self._names = {slot: program_of(desired, state, slot) for slot in desired.extensions}
        self._others = {
            slot: held.enter_context(BpfObject(state.extensions[slot].content, one.object))
            for slot, one in desired.extensions.items()
        }

    def load(self, reused: Mapping[str, int]) -> None:
        """Verify and load all programs.

        Args:
            reused: Descriptors of existing maps, by the names of their pins.

        Raises:
            ApplyFailed: The kernel refused one.
        """
        entry = [entry_of(self._judge)] if BEFORE in self._others else []
        if AFTER in self._others:
            self._ours.set_constants({EXTENDED: b"\1"})
        self._ours.load(self._judge, _of("", reused), entry)
        if not self._others:
            return
        array = self._ours.map(EXTENSIONS)
        programs = {OURS: self.judge} if entry else {}
        for slot, other in self._others.items():
            shared = {EXTENSIONS: array} if EXTENSIONS in other.maps() else {}
            other.load(self._names[slot], {**_of(slot, reused), **shared})
            programs[slot] = other.program(self._names[slot])
        with step(f"put {' and '.join(programs)} into the array of programs"):
            fill(array, programs)

    @property
    def judge(self) -> int:
        """Descriptor of the program that judges."""
        return self._ours.program(self._judge)

    @property
    def attached(self) -> int:
        """Descriptor of the program to be attached."""
        return self._ours.program(entry_of(self._judge)) if BEFORE in self._others else self.judge

    def map(self, pin: str) -> int:
        """Return the descriptor of a map by the name of its pin."""
        slot, name = owner_of(pin)
        return (self._others[slot] if slot else self._ours).map(name)


def _of(slot: str, reused: Mapping[str, int]) -> dict[str, int]:
    """Return the maps of one object, by their own names."""
    return {name: held for pin, held in reused.items() for owner, name in (owner_of(pin),) if owner == slot}
