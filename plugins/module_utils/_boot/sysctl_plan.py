# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""From kernel variables to the live values to write and to the text of our file. Functions of data only."""

from __future__ import annotations

from collections.abc import Mapping

from .._core.converge import Change
from .sysctl_groups import COUNTERPARTS, broad_first, companions, to_write
from .sysctl_state import FILE, MARK, SysctlState


def plan(desired: Mapping[str, str], state: SysctlState) -> list[Change]:
    """Return the live values to write, then what changes in the file."""
    held = state.file or {}
    changes = [
        Change(("live", name), state.live[name], desired[name])
        for name in broad_first(desired)
        if state.live[name] != desired[name]
    ]
    changes += _restored(desired, state)
    names = [*desired, *(name for name in held if name not in desired)]
    changes += [
        Change((FILE, name), held.get(name), desired.get(name)) for name in names if held.get(name) != desired.get(name)
    ]
    if state.file is not None and not state.file and not desired:
        changes.append(Change((FILE,), "without variables", None))
    return changes


def _restored(desired: Mapping[str, str], state: SysctlState) -> list[Change]:
    """Return the steps that restore what is no longer requested, and what was changed along with it."""
    ours = {**state.begun, **(state.file or {})}
    found: dict[str, Change] = {}
    for name in broad_first(ours):
        others = companions(name)
        # What is requested of a counterpart settles both. What somebody set to another value since is theirs.
        if name in desired or COUNTERPARTS.get(name) in desired:
            continue
        if name not in state.original or state.live.get(name) != ours[name]:
            continue
        which, value = to_write(name, state.original[name], state.original)
        if state.live.get(which) != value:
            found.setdefault(which, Change(("live", which), state.live.get(which), value))
        for other in others:
            before = state.original.get(other)
            if other in desired or other in ours or other in COUNTERPARTS or not before:
                continue
            if state.live.get(other) not in (None, before):
                found.setdefault(other, Change(("live", other), state.live[other], before))
    return list(found.values())


def warnings(state: SysctlState, desired: Mapping[str, str]) -> list[str]:
    """Return what an operator should know: values that will not outlive the next boot."""
    found = []
    for name, (file, value) in state.later.items():
        if name in desired and value is None:
            found.append(
                f"{file}, which is read after {FILE}, takes {name} out (-{name}), so the next boot does not set it: "
                "remove it there"
            )
        elif name in desired and value != desired[name]:
            found.append(
                f"{file}, which is read after {FILE}, sets {name} to {value}, so the next boot ends with that: "
                "remove it there"
            )
        elif value is not None and COUNTERPARTS.get(name) in desired:
            found.append(
                f"{file}, which is read after {FILE}, sets {name}, which excludes {COUNTERPARTS[name]}, so the next "
                "boot ends with that: remove it there"
            )
    return found


def file_text(desired: Mapping[str, str], state: SysctlState) -> str:
    """Return what our file is to hold."""
    original = originals(desired, state)
    lines = [MARK]
    for name in broad_first(desired):
        lines += [f"# before: {one} = {original.pop(one)}" for one in (name, *companions(name)) if one in original]
        lines.append(f"{name} = {desired[name]}")
    return "\n".join(lines) + "\n"


def begun_text(desired: Mapping[str, str], state: SysctlState) -> str:
    """Return what our file must hold before the first step: original values outlive a run that fails half way."""
    lines = (state.text or MARK).splitlines()
    lines += [
        f"# before: {name} = {value}" for name, value in originals(desired, state).items() if name not in state.original
    ]
    lines += [f"# begun: {name} = {value}" for name, value in desired.items() if state.live[name] != value]
    return "\n".join(lines) + "\n"


def originals(desired: Mapping[str, str], state: SysctlState) -> dict[str, str]:
    """Return the first value seen of everything that is requested, and of what changes along with it."""
    found: dict[str, str] = {}
    for name in desired:
        found[name] = state.original.get(name, state.live[name] or "")
        for other in companions(name):
            if other in state.original:
                found[other] = state.original[other]
            elif name not in state.original and state.live.get(other):
                # Once a variable of ours was written, what its companion shows is no original.
                found[other] = str(state.live[other])
    return found
