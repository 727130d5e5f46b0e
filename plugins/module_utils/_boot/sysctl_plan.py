# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""From kernel variables to the live values to write and to the text of our file. Functions of data only."""

from __future__ import annotations

from collections.abc import Mapping

from .._core.converge import Change
from .sysctl_state import FILE, MARK, SysctlState


def plan(desired: Mapping[str, str], state: SysctlState) -> list[Change]:
    """Return the live values to write, then what changes in the file."""
    held = state.file or {}
    changes = [
        Change(("live", name), state.live[name], value) for name, value in desired.items() if state.live[name] != value
    ]
    changes += [
        Change(("live", name), state.live[name], state.original[name])
        for name in held
        # What somebody set to another value since is theirs.
        if name not in desired and name in state.original and state.live.get(name) == held[name] != state.original[name]
    ]
    names = [*desired, *(name for name in held if name not in desired)]
    changes += [
        Change((FILE, name), held.get(name), desired.get(name)) for name in names if held.get(name) != desired.get(name)
    ]
    if state.file is not None and not state.file and not desired:
        changes.append(Change((FILE,), "without variables", None))
    return changes


def warnings(state: SysctlState, desired: Mapping[str, str]) -> list[str]:
    """Return what an operator should know: values that will not outlive the next boot."""
    return [
        f"{file}, which is read after {FILE}, sets {name} to {value}, so the next boot ends with that: remove it there"
        for name, (file, value) in state.later.items()
        if name in desired and value != desired[name]
    ]


def file_text(desired: Mapping[str, str], state: SysctlState) -> str:
    """Return what our file is to hold."""
    original = _originals(desired, state)
    lines = [MARK]
    for name, value in desired.items():
        lines += [f"# before: {name} = {original[name]}", f"{name} = {value}"]
    return "\n".join(lines) + "\n"


def _originals(desired: Mapping[str, str], state: SysctlState) -> dict[str, str]:
    """Return the first value seen of everything that is requested, which is saved."""
    return {name: state.original.get(name, state.live[name] or "") for name in desired}
