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
from collections.abc import Mapping, Sequence

from .._core.converge import ApplyFailed, Change, Findings, Impossible, Refused
from .._core.system import Host
from . import sysctl_limits, sysctl_plan
from .sysctl_state import FILE, SysctlState, live_path, read_state


class Sysctls:
    """The resource for ``converge``. Desired are values by name, as ``parse`` returns them.

    Args:
        desired: What is requested; reading needs the names in it.
    """

    def __init__(self, desired: Mapping[str, str]) -> None:
        self._desired = desired

    def read(self, host: Host) -> SysctlState:
        """Read our file, those that are read after it, and the variables that are named or in our file."""
        return read_state(host, self._desired)

    def validate(self, desired: Mapping[str, str], state: SysctlState) -> None:
        """Raise with every reason at once."""
        headline = "sysctl: nothing was changed"
        Findings(list(sysctl_limits.limits(desired, state))).raise_if_any(Impossible, headline)
        Findings(list(sysctl_limits.refusals(desired, state))).raise_if_any(Refused, headline)

    def plan(self, desired: Mapping[str, str], state: SysctlState) -> list[Change]:
        """Return the live values to write, then what changes in the file."""
        return sysctl_plan.plan(desired, state)

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write the live values, all of them or none, then the file."""
        state = self.read(host)
        done: list[Change] = []
        for change in (one for one in changes if one.path[0] == "live"):
            try:
                host.write_attribute(live_path(change.path[1]), change.after)
            except OSError as error:
                left = _restore(host, done)
                outcome = "the previous values are restored" if not left else f"not restored: {', '.join(left)}"
                raise ApplyFailed(f"{change.path[1]} = {change.after}: {_why(error)}; {outcome}") from error
            done.append(change)
        if self._desired:
            host.write_atomically(FILE, sysctl_plan.file_text(self._desired, state))
        else:
            host.remove(FILE)


def _restore(host: Host, done: Sequence[Change]) -> list[str]:
    left = []
    for change in reversed(done):
        try:
            host.write_attribute(live_path(change.path[1]), change.before)
        except OSError as error:
            left.append(f"{change.path[1]} ({error.strerror})")
    return left


def _why(error: OSError) -> str:
    if error.errno in (errno.EINVAL, errno.ERANGE):
        return f"the kernel does not take this value ({error.strerror})"
    return f"{error.strerror}; run as root" if error.errno in (errno.EACCES, errno.EPERM) else str(error.strerror)
