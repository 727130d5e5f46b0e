# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""From boot arguments to the text of our file, to the next boot and to reasons for it. Functions of data only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._core.converge import Change
from .._linux import grub
from .kernel_args_repeated import adds_up
from .kernel_args_request import plain
from .kernel_args_state import DROP_IN, BootState, DropIn, parse_drop_in, render_drop_in

# The kernel takes the first amount for a size and ignores others, so ours, which come last, would have no effect.
FIRST_WINS = ("hugepagesz", "hugepages", "default_hugepagesz")
# Of these it keeps the first list of CPUs, see housekeeping_setup() of kernel/sched/isolation.c.
FIRST_LIST_WINS = ("isolcpus", "nohz_full")


def plan(desired: Sequence[str], state: BootState) -> list[Change]:
    """Return the change of our file and that of the entry that boots next."""
    changes = []
    held, text = state.drop_in, file_text(plain(desired), state)
    if (held.text if held else None) != text:
        before, after = _summary(held), _summary(parse_drop_in(text))
        changes.append(Change((DROP_IN, "arguments"), "outdated" if before == after else before, after))
    if _stale(plain(desired), state):
        line = " ".join(predicted(desired, state))
        changes.append(Change((grub.CONFIG, "linux"), " ".join(state.pending), line))
    return changes


def predicted(desired: Sequence[str], state: BootState) -> tuple[str, ...]:
    """Return the arguments that the next boot has once the plan is carried out."""
    others = _others(state)
    # Ubuntu ends the line with a variable of GRUB's own, behind everything that the defaults set.
    end = next((place for place, token in enumerate(others) if token.startswith("$")), len(others))
    return (*others[:end], *plain(desired), *others[end:])


def reboot_reasons(desired: Sequence[str], state: BootState) -> list[str]:
    """Return why a reboot is required, from the running kernel's arguments."""
    ours = plain(desired)
    reasons = []
    missing = [token for token in ours if token not in state.running]
    if missing:
        reasons.append(f"boot arguments {' '.join(missing)} are set for the next boot and not in effect")
    elif not contains_run(state.running, ours):
        reasons.append(f"boot arguments {' '.join(ours)} are in effect in another order")
    removed = _still_running(ours, state)
    if removed:
        reasons.append(f"boot arguments {' '.join(removed)} were removed and are still in effect")
    return reasons


def conflicts(desired: Sequence[str], state: BootState) -> list[str]:
    """Return the arguments that others set to another value; what comes last is for most keys what counts."""
    ours = dict(token.partition("=")[::2] for token in plain(desired))
    last = {one.token for one in state.foreign if one.last}
    found = []
    for token, where in others_arguments(state):
        key = token.partition("=")[0]
        if key not in ours or token in plain(desired) or adds_up(key) or key in (*FIRST_WINS, *FIRST_LIST_WINS):
            continue
        mine = f"{key}={ours[key]}" if ours[key] else key
        if token in last:
            found.append(f"{where} sets {token}, which comes after {mine}: remove it there")
        else:
            found.append(f"{where} sets {token}, which {mine} comes after")
    return found


def facts(desired: Sequence[str], state: BootState, check: bool) -> dict[str, Any]:
    """Return what the module reports beside its changes; in check mode, as it would be."""
    reasons = reboot_reasons(desired, state)
    return {
        "pending": list(predicted(desired, state) if check else state.pending),
        "running": list(state.running),
        "entry": state.entry,
        "conflicts": conflicts(desired, state),
        "reboot_required": bool(reasons),
        "reboot_reasons": reasons,
        "boot_id": state.boot_id,
    }


def contains_run(tokens: Sequence[str], run: Sequence[str]) -> bool:
    """Whether a list holds another one as an unbroken run."""
    return any(tuple(tokens[place : place + len(run)]) == tuple(run) for place in range(len(tokens) - len(run) + 1))


def others_arguments(state: BootState) -> list[tuple[str, str]]:
    """Return every argument that is not ours, and where it is set."""
    found = {one.token: f"{one.file} line {one.line}" for one in state.foreign}
    return [*found.items(), *((token, grub.CONFIG) for token in _others(state) if token not in found)]


def gone(desired: Sequence[str], state: BootState) -> tuple[str, ...]:
    """Return what was ours, is no longer requested, and nobody else sets."""
    kept = {*desired, *(one.token for one in state.foreign)}
    return tuple(dict.fromkeys(token for token in state.formerly_ours if token not in kept))


def file_text(desired: Sequence[str], state: BootState) -> str | None:
    """Return what our file is to hold, without its last newline; None where it is not needed."""
    retired = _still_running(desired, state)
    held = state.drop_in
    if not desired and not retired:
        return None
    # A comment on arguments that have gone since harms nobody, and dropping it would be a change after every boot.
    if held and desired and held.arguments == tuple(desired) and set(retired) <= set(held.retired):
        retired = held.retired
    return render_drop_in(desired, retired)


def _summary(drop_in: DropIn | None) -> str | None:
    if drop_in is None:
        return None
    retired = f" (removed, until a boot without them: {' '.join(drop_in.retired)})" if drop_in.retired else ""
    return " ".join(drop_in.arguments) + retired


def _still_running(desired: Sequence[str], state: BootState) -> tuple[str, ...]:
    return tuple(token for token in gone(desired, state) if token in state.running)


def _stale(desired: Sequence[str], state: BootState) -> bool:
    """Whether the entry that boots next lacks what is ours, or still has what was."""
    return not contains_run(state.pending, desired) or any(token in state.pending for token in gone(desired, state))


def _others(state: BootState) -> tuple[str, ...]:
    """Return the next boot's arguments without ours."""
    ours = list(state.formerly_ours)
    kept: list[str] = []
    for token in reversed(state.pending):
        if token in ours:
            ours.remove(token)
        else:
            kept.append(token)
    return tuple(reversed(kept))
