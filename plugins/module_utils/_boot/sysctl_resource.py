# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The kernel's variables (sysctl), now and at the next boot, in one file of ours.

The file is in the form of sysctl.d(5), whose readers set it at boot. A comment in it saves each variable's original
value, from before our first write, which is restored when the variable is no longer requested.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .._core.converge import (
    ApplyFailed,
    Change,
    Findings,
    Impossible,
    Incomplete,
    Outcome,
    Refused,
    converge,
    ineffective,
)
from .._core.errors import reason
from .._core.state_store import StateFile
from .._core.system import Host
from . import sysctl_limits, sysctl_plan
from .sysctl_groups import COUNTERPARTS, broad_first, companions, to_write
from .sysctl_state import FILE, SysctlState, live_path, read_live, read_state

KIND = "sysctl"


class Sysctls:
    """The resource for ``converge``. Desired are values by name, as ``parse`` returns them.

    Args:
        desired: What is requested; reading needs the names in it.
    """

    def __init__(self, desired: Mapping[str, str]) -> None:
        self._desired = desired
        self.warnings: list[str] = []  # of what could not be restored

    def read(self, host: Host) -> SysctlState:
        """Read our file, those that are read after it, and the variables that are named or in our file."""
        return read_state(host, self._desired)

    def files(self, _state: SysctlState) -> Iterator[str]:
        """Yield what is written."""
        yield FILE

    def validate(self, desired: Mapping[str, str], state: SysctlState) -> None:
        """Raise with every reason at once."""
        headline = "sysctl: nothing was changed"
        Findings(list(sysctl_limits.limits(desired, state))).raise_if_any(Impossible, headline)
        Findings(list(sysctl_limits.refusals(desired, state))).raise_if_any(Refused, headline)

    def plan(self, desired: Mapping[str, str], state: SysctlState) -> list[Change]:
        """Return the live values to write, then what changes in the file."""
        return sysctl_plan.plan(desired, state)

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write the live values that are requested, all of them or none, restore others, then write the file.

        The original values are in the file before the first step.
        """
        state = self.read(host)
        live = [change for change in changes if change.path[0] == "live"]
        if self._desired and live:
            host.write_atomically(FILE, sysctl_plan.begun_text(self._desired, state))
        done: list[Change] = []
        for change in (one for one in live if one.path[1] in self._desired):
            try:
                host.write_attribute(live_path(change.path[1]), change.after)
            except OSError as error:
                left = _undo(host, done, state)
                if not left:
                    _restore_file(host, state)
                outcome = "the previous values are restored" if not left else f"not restored: {', '.join(left)}"
                raise ApplyFailed(f"{change.path[1]} = {change.after}: {_why(error)}; {outcome}") from error
            done.append(change)
        restored = {change.path[1]: change.after for change in live if change.path[1] not in self._desired}
        self._restore(host, restored, state)
        self._again(host)
        if self._desired:
            host.write_atomically(FILE, sysctl_plan.file_text(self._desired, state))
        else:
            host.remove(FILE)

    def _restore(self, host: Host, values: Mapping[str, str], state: SysctlState) -> None:
        """Restore what is no longer requested; what the kernel does not take back fails no run for ever."""
        along = {
            other: state.original[other]
            for name in values
            for other in companions(name)
            if other in state.original and other not in self._desired and other not in COUNTERPARTS
        }
        for name, value in {**values, **along}.items():
            why = ""
            try:
                if read_live(host, name) != value:
                    host.write_attribute(live_path(name), value)
            except OSError as error:
                why = f": {_why(error)}"
            now = read_live(host, name)
            if now != value:
                self.warnings.append(f"{name} stays {now}, and is not restored to {value}{why}; a reboot resets it")

    def _again(self, host: Host) -> None:
        """Write once more what a variable that is a switch for several has changed since."""
        for name in broad_first(self._desired):
            if read_live(host, name) != self._desired[name]:
                # What the kernel refuses or rounds now, reading back reports.
                with suppress(OSError):
                    host.write_attribute(live_path(name), self._desired[name])


class Saved(Sysctls):
    """The variables of our file, each for itself: one that cannot be set does not keep the others from it.

    What a file that is read later sets to another value is left to that file.
    """

    def __init__(self, desired: Mapping[str, str]) -> None:
        super().__init__(desired)
        self.failures: dict[str, str] = {}

    def validate(self, desired: Mapping[str, str], state: SysctlState) -> None:
        """Find what cannot be met, by the first words of its change's path."""
        for name in desired:
            reasons = list(sysctl_limits.limits({name: desired[name]}, state))
            if reasons and state.live[name] != desired[name]:
                self.failures[f"live {name}"] = "; ".join(reasons)

    def plan(self, desired: Mapping[str, str], state: SysctlState) -> list[Change]:
        """Return the live values to write."""
        return [
            Change(("live", name), state.live[name], desired[name])
            for name in broad_first(desired)
            if state.live[name] != desired[name] and f"live {name}" not in self.failures and name not in state.later
        ]

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write each value, and note what the kernel does not take."""
        for change in changes:
            name = change.path[1]
            try:
                host.write_attribute(live_path(name), change.after)
            except OSError as error:
                self.failures[f"live {name}"] = f"{name} = {change.after}: {_why(error)}"
        self._again(host)
        for change in self.plan(self._desired, self.read(host)):
            self.failures[f"live {change.path[1]}"] = ineffective(change)


def saved(host: Host) -> StateFile | None:
    """Return what our file requests as a state file; None where there is nothing."""
    held = read_state(host, ()).file
    return StateFile(KIND, KIND, {"variables": dict(held)}) if held else None


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the host's variables to our file; systemd's reader has set at boot what could be set then.

    A variable whose module is loaded later, or that was refused, is set here. Variables of an interface come with it,
    by udev, so nothing is done where only some interfaces are to be reapplied.

    Raises:
        Incomplete: Some variables could not be set.
    """
    if only is not None:
        return Outcome((), None, checked=check)
    desired = {str(name): str(value) for name, value in body["variables"].items()}
    resource = Saved(desired)
    outcome = converge(resource, desired, host, check=check)
    if resource.failures:
        done = [change for change in outcome.changes if " ".join(change.path) not in resource.failures]
        raise Incomplete(replace(outcome, changes=done), resource.failures)
    return outcome


def _undo(host: Host, done: Sequence[Change], state: SysctlState) -> list[str]:
    """Write back what was there before, and read whether it is; return what is not."""
    refused = {}
    for change in reversed(done):
        name, value = to_write(change.path[1], change.before, state.live)
        try:
            host.write_attribute(live_path(name), value)
        except OSError as error:
            refused[change.path[1]] = f"{change.path[1]} ({error.strerror})"
    touched = {name: None for change in done for name in (change.path[1], *companions(change.path[1]))}
    for name in touched:
        before, now = state.live.get(name), read_live(host, name)
        if before is not None and now != before and name not in refused:
            with suppress(OSError):  # changed along with another
                if (name, before) == to_write(name, before, state.live):
                    host.write_attribute(live_path(name), before)
            now = read_live(host, name)
            if now != before:
                refused[name] = f"{name} (is {now}, was {before})"
    return list(refused.values())


def _restore_file(host: Host, state: SysctlState) -> None:
    if state.text is None:
        host.remove(FILE)
    else:
        host.write_atomically(FILE, state.text.rstrip("\n") + "\n")


def _why(error: OSError) -> str:
    if error.errno in (errno.EINVAL, errno.ERANGE):
        return f"the kernel does not take this value ({error.strerror})"
    return reason(error)
