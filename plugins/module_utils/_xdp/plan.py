# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The steps from what is attached to an interface to what is requested: pure functions."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

from .._core.converge import Change
from .._linux import bpf
from .._linux.bpf import MapLayout
from . import extensions
from .called import BEFORE
from .identity import JUDGE_PIN
from .layout import differences, fits
from .request import DIRECTORY_MODE, Desired
from .state import Source, State
from .variants import chosen

ORPHAN = "saved for no guard"
# The group's, of pins: to read. Who holds the pin of a map for writing lets through what it likes. Maps that a service
# of that group has to write are named here, and no other: the sockets of its workers; and the ring of samples, whose
# memory the kernel shows to nobody else, and of which nobody can write more than how far it was read.
_PIN_MODE, _WRITTEN_MODE = 0o640, 0o660
_WRITTEN_BY_GROUP: Collection[str] = ("samples", "xsks")


def plan(desired: Desired, state: State) -> list[Change]:
    """Return the steps to the desired attachment."""
    return _plan_attach(desired, state) if desired.present else _plan_detach(state.in_force(desired), state)


def touches_traffic(changes: Sequence[Change]) -> bool:
    """Whether a plan touches more than permissions and state files."""
    return any(change.path[1] not in ("permissions", "state file", "policy", ORPHAN) for change in changes)


def _plan_attach(desired: Desired, state: State) -> list[Change]:
    name = desired.interface
    ours, source, link = state.ours, state.source or Source(), state.link
    hardware = link is not None and link.kind is None and desired.mode != "generic"
    changes = [Change((name, "foreign", one.mode), str(one), None, disrupts=True) for one in state.foreign]
    if ours is None:
        changes.append(Change((name, "mode"), None, desired.mode, disrupts=hardware))
    elif ours.mode != desired.mode:
        changes.append(Change((name, "mode"), ours.mode, desired.mode, disrupts=True))
    if ours is None or state.loaded_sha256 != source.sha256:
        before = None if ours is None else state.loaded_sha256 or f"unknown, program tag {ours.program.tag}"
        changes.append(Change((name, "object"), before, source.sha256))
    program = program_name(desired, state)
    if ours is None or ours.judge.name != program[: bpf.NAME_LIMIT]:
        changes.append(Change((name, "program"), ours.judge.name if ours else None, program))
    changes += extensions.plan(desired, state)
    if ours and f"{desired.pins}/prog" not in state.permissions:
        changes.append(Change((name, "pins", "prog"), None, "pinned"))
    changes += [Change((name, "pins", pin), before, after) for pin, (before, after) in state.strays.items()]
    changes += [Change((name, "pins", half), "half a replacement", None) for half in state.halves]
    changes += _plan_maps(desired, state, reloads=bool(changes))
    if not changes:
        changes += _plan_permissions(desired, state)
        held = {key: value for key, value in (state.state_file or {}).items() if key != "loaded"}
        requested = state_file_body(desired, state)
        if held != requested:
            changes.append(Change((name, "state file"), held or None, requested))
    return changes + _plan_former_entries(desired, state) + _plan_orphans(desired, state)


def _plan_former_entries(desired: Desired, state: State) -> list[Change]:
    """Return the removal of release 1's state file, which a run that was killed after taking it over left."""
    _program, policy, former = desired.state_files
    if not {policy, former} <= set(state.policy):
        return []
    return [Change((desired.interface, "policy", os.path.basename(former)), former, None)]


def _plan_orphans(desired: Desired, state: State) -> list[Change]:
    return [Change((desired.interface, ORPHAN, path), "pinned", None) for path in state.orphans]


def _plan_maps(desired: Desired, state: State, reloads: bool) -> list[Change]:
    name = desired.interface
    source = state.source or Source()
    changes = []
    for one, layout in source.maps.items():
        if one not in state.maps:
            changes.append(Change((name, "maps", one), None, _show_layout(layout)))
        elif reloads and not fits(state.maps[one].layout, layout):
            before, after = _show_layout(state.maps[one].layout), _show_layout(layout)
            if before == after:
                after += f" ({', '.join(differences(state.maps[one].layout, layout))})"
            changes.append(Change((name, "maps", one), before, after))
        elif f"maps/{one}" not in state.strays and f"{desired.pins}/maps/{one}" not in state.permissions:
            changes.append(Change((name, "pins", f"maps/{one}"), None, "pinned"))
    for path in stale_maps(desired, state):
        changes.append(Change((name, "maps", os.path.basename(path)), "pinned", None))
    return changes


def _plan_permissions(desired: Desired, state: State) -> list[Change]:
    return [
        Change(
            (desired.interface, "permissions", path),
            _show_permission(state.permissions.get(path)),
            _show_permission(one),
        )
        for path, one in desired_permissions(desired, state).items()
        if state.permissions.get(path) != one
    ]


def _plan_detach(desired: Desired, state: State) -> list[Change]:
    name = desired.interface
    changes = []
    if state.ours:
        hardware = state.link is not None and state.link.kind is None and state.ours.mode != "generic"
        changes.append(Change((name, "program"), str(state.ours), None, disrupts=hardware))
    elif state.moved and state.pinned_link:
        where = f"bpf_link {state.pinned_link.id} on an interface in {state.elsewhere}"
        if state.elsewhere in state.interfaces.values():
            where = f"bpf_link {state.pinned_link.id} on {state.elsewhere}"
        changes.append(Change((name, "program"), where, None, disrupts=True))
    if desired.pins in state.permissions:
        changes.append(Change((name, "pins"), desired.pins, None))
    if state.state_file is not None:
        changes.append(Change((name, "state file"), desired.state_files[0], None))
    changes += [Change((name, "policy", os.path.basename(path)), path, None) for path in state.policy]
    return changes + _plan_orphans(desired, state)


def program_name(desired: Desired, state: State) -> str:
    """Return the program's name in the object; "" where the request has to name one."""
    if desired.program:
        return desired.program
    running = state.ours.judge.name if state.ours else None
    return chosen(state.source or Source(), state.device, desired.mode, running) or ""


def stale_maps(desired: Desired, state: State) -> list[str]:
    """Return the pins of maps that the object has not."""
    current = {f"{desired.pins}/maps/{name}" for name in (state.source or Source()).maps}
    return [path for path in state.permissions if path.startswith(f"{desired.pins}/maps/") and path not in current]


def desired_permissions(desired: Desired, state: State) -> dict[str, tuple[int, int]]:
    """Return group id and mode of every pin and directory, by path."""
    modes = {desired.pin_root: DIRECTORY_MODE, desired.pins: DIRECTORY_MODE, f"{desired.pins}/maps": DIRECTORY_MODE}
    modes[f"{desired.pins}/prog"] = _PIN_MODE
    if BEFORE in desired.extensions:
        modes[f"{desired.pins}/{JUDGE_PIN}"] = _PIN_MODE
    if f"{desired.pins}/link" in state.permissions:
        modes[f"{desired.pins}/link"] = _PIN_MODE
    for name in (state.source or Source()).maps:
        modes[f"{desired.pins}/maps/{name}"] = _WRITTEN_MODE if name in _WRITTEN_BY_GROUP else _PIN_MODE
    return {path: (desired.pin_group, mode) for path, mode in modes.items()}


def state_file_body(desired: Desired, state: State) -> dict[str, Any]:
    """Return the body of the state file: what is requested, and of which hardware."""
    link = state.link
    if link is None:
        raise AssertionError("validate() lets no attachment through without an interface")
    return {
        "interface": desired.interface,
        "mac": link.permanent_mac or link.mac,
        "bus": link.bus,
        "bus_address": link.bus_address,
        "object": desired.object,
        "sha256": (state.source or Source()).sha256,
        "program": program_name(desired, state),
        "mode": desired.mode,
        "pin_root": desired.pin_root,
        "pin_group": desired.pin_group,
        "state_dir": desired.state_directory,
        **extensions.body(desired, state),
    }


def _show_permission(permission: tuple[int, int] | None) -> str | None:
    return permission and f"group {permission[0]}, mode {permission[1]:04o}"


def _show_layout(layout: MapLayout) -> str:
    return f"{layout.type}, key {layout.key_size} B, value {layout.value_size} B, {layout.max_entries} entries"
