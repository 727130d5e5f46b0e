# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Kernel modules of drivers: their options, and what version, firmware and XDP features they must have.

Options go into one file of ours below ``/etc/modprobe.d``. initramfs-tools copies that directory into the initramfs,
and a driver that is loaded from there gets the copy's options; so an initramfs that is older than our file is rebuilt,
whether or not the driver is in it today. A driver is never reloaded here: that takes its links down, and when to do so
is the operator's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .._core.converge import Change, CoreError, Findings, Impossible, Invalid, Refused, brief, half_way
from .._core.system import Host
from . import driver_limits, driver_plan
from .driver_request import Driver, faults
from .driver_state import FILE, MARK, DriverState, read_state
from .driver_tools import DriverTools


class Drivers:
    """The resource for ``converge``.

    Args:
        desired: What is requested; reading needs the names in it.
        tools: What describes modules and NICs, and rebuilds an initramfs.
    """

    def __init__(self, desired: Sequence[Driver], tools: DriverTools) -> None:
        self._desired = desired
        self._tools = tools

    def read(self, host: Host) -> DriverState:
        """Read our file, the modules that are named, and the NICs where something is required of them."""
        return read_state(host, self._desired, self._tools)

    def files(self, _state: DriverState) -> Iterator[str]:
        """Yield what is written."""
        yield FILE

    def validate(self, desired: Sequence[Driver], state: DriverState) -> None:
        """Raise with every reason at once."""
        headline = "drivers: nothing was changed"
        Findings(list(faults(desired))).raise_if_any(Invalid, headline)
        Findings(list(driver_limits.limits(desired, state))).raise_if_any(Impossible, headline)
        Findings(list(driver_limits.refusals(desired, state))).raise_if_any(Refused, headline)

    def plan(self, desired: Sequence[Driver], state: DriverState) -> list[Change]:
        """Return the change of each driver's line, then every initramfs that lacks it."""
        return driver_plan.plan(desired, state)

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write our file, rebuild what lacks it, and only then remove a file that is no longer needed."""
        text = driver_plan.file_text(self._desired)
        if any(change.path[0] == FILE for change in changes):
            # Its time says which initramfs is older; without a file nothing would.
            host.write_atomically(FILE, (text or MARK) + "\n")
        releases = driver_plan.outdated(changes)
        if releases:
            try:
                self._tools.update_initramfs(releases)
            except (CoreError, OSError) as error:
                written = [brief(change) for change in changes if change.path[0] == FILE]
                raise half_way(error, written, nothing="every initramfs is as that left it") from error
        if text is None:
            host.remove(FILE)
