# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""From drivers' options to the lines of our file, and to the drivers that run with others. Functions of data only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._core.converge import Change
from .driver_request import Driver
from .driver_state import FILE, INITRAMFS, MARK, DriverState

_BOOLEANS = {"y": "Y", "1": "Y", "n": "N", "0": "N"}


def plan(desired: Sequence[Driver], state: DriverState) -> list[Change]:
    """Return the change of each driver's line, then every initramfs that lacks it."""
    text = file_text(desired)
    before, after = _lines(state.text), _lines(text)
    changes = [
        Change((FILE, name), before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    if not changes and state.text != text:
        changes.append(Change((FILE, "text"), None if state.text is None else "outdated", text and "current"))
    # Where only an emptied file is left to remove, every initramfs has the emptied one already.
    contents_change = bool(before or after) and bool(changes)
    for name, older in state.images.items():
        if older or contents_change:
            changes.append(Change((name, "module options"), "outdated", "current"))
    return changes


def outdated(changes: Sequence[Change]) -> list[str]:
    """Return the kernels whose initramfs is to be rebuilt."""
    return [change.path[0][len(INITRAMFS) :] for change in changes if change.path[1] == "module options"]


def warnings(changes: Sequence[Change], check: bool) -> list[str]:
    """Return, before it is done, what will keep an operator waiting."""
    releases = outdated(changes)
    if not check or not releases:
        return []
    return [
        f"the initramfs of {', '.join(releases)} would be rebuilt (update-initramfs), which takes up to minutes for "
        "each and shows nothing meanwhile"
    ]


def file_text(desired: Sequence[Driver]) -> str | None:
    """Return what our file is to hold, without its last newline; None where it is not needed."""
    lines = [driver.line for driver in sorted(desired, key=lambda driver: driver.name) if driver.options]
    return "\n".join([MARK, *lines]) if lines else None


def reload_reasons(desired: Sequence[Driver], state: DriverState, check: bool = False) -> dict[str, list[str]]:
    """Return, by driver, the options that are set and not in effect."""
    text_changes = check and state.text != file_text(desired)
    reasons: dict[str, list[str]] = {}
    for driver in desired:
        module = state.modules[driver.name]
        for parameter, value in sorted(driver.options.items() if module.loaded else ()):
            now = module.values.get(parameter)
            kind = (module.types or {}).get(parameter, "")
            if now is not None and not same_value(kind, now, value):
                words = f"{parameter} is {now}, {value} is set"
            elif now is None and (state.changed_since_boot or text_changes):
                words = f"{parameter} cannot be read back, and its file was written in this boot"
            else:
                continue
            reload = f"reload the driver (modprobe -r {driver.name} && modprobe {driver.name}), or reboot"
            reasons.setdefault(driver.name, []).append(f"{driver.name}: {words}: {reload}")
    return reasons


def same_value(kind: str, now: str, desired: str) -> bool:
    """Whether the kernel shows a value that was given in another notation (``Y`` for ``1``, ``16`` for ``0x10``)."""
    if kind.endswith("bool"):
        return _BOOLEANS.get(now.lower(), now) == _BOOLEANS.get(desired.lower(), desired)
    try:
        return [int(item, 0) for item in now.split(",")] == [int(item, 0) for item in desired.split(",")]
    except ValueError:
        return now == desired


def facts(desired: Sequence[Driver], state: DriverState, check: bool) -> dict[str, Any]:
    """Return what the module reports beside its changes."""
    reasons = reload_reasons(desired, state, check)
    return {
        "reload_required": sorted(reasons),
        "reboot_required": bool(reasons),
        "reboot_reasons": [reason for name in sorted(reasons) for reason in reasons[name]],
        "drivers": [
            {
                "name": driver.name,
                "loaded": state.modules[driver.name].loaded,
                "version": state.modules[driver.name].version,
                "parameters": dict(state.modules[driver.name].values),
            }
            for driver in desired
        ],
    }


def _lines(text: str | None) -> dict[str, str]:
    found = {}
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "options":
            found[words[1]] = " ".join(words[2:])
    return found
