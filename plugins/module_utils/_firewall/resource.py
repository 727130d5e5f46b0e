# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A table of our own in the kernel's packet filter: what reaches our networks, and what they reach.

It is replaced as a whole in one transaction, so that no packet meets half of it, and no table of others is touched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, Findings, Impossible, Outcome, Refused, converge
from .._core.system import Host
from .._linux import nftables
from . import limits, ruleset
from . import plan as planner
from .request import STATE_FILE, Request, parse
from .state import FirewallState, read_state

# In place of the name of an interface, where only some are to be reapplied; none has a slash in its name.
SUBJECT = "/firewall"


class Firewall:
    """The resource: the table and its state file.

    Args:
        request: What is requested; None for no table.
        directory: Where state files are.
    """

    def __init__(self, request: Request | None, directory: str = state_store.DIRECTORY) -> None:
        self._request, self._directory = request, directory

    def read(self, host: Host) -> FirewallState:
        """Return the table as it is."""
        return read_state(host, self._directory)

    def validate(self, desired: Request | None, state: FirewallState) -> None:
        """Raise with every reason why not."""
        for kind, found in ((Impossible, limits.impossible), (Refused, limits.refusals)):
            findings = Findings()
            for reason in found(desired, state):
                findings.add(reason)
            findings.raise_if_any(kind, "firewall: nothing was changed")

    def plan(self, desired: Request | None, state: FirewallState) -> list[Change]:
        """Return what changes in the table, then the state file."""
        return planner.plan(desired, state)

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Replace the table, or remove it, then do likewise with the state file."""
        if any(change.path[0] == planner.PLACE for change in changes):
            self._replace()
        if self._request is None:
            state_store.discard(host, STATE_FILE, self._directory)
        else:
            state_store.store(host, planner.state_file(self._request), self._directory)

    def _replace(self) -> None:
        try:
            nftables.commit(ruleset.commands(ruleset.chains(self._request) if self._request else None))
        except nftables.NftError as error:
            raise ApplyFailed(f"the transaction was refused, and no table was changed: {error.strerror}") from error


class Saved(Firewall):
    """The table of a state file; the file stays as it is."""

    def plan(self, desired: Request | None, state: FirewallState) -> list[Change]:
        """Return what changes in the table."""
        return planner.table_changes(desired, state) if desired else []

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Replace the table."""
        self._replace()


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the table back to what a state file requests; nothing is done where only interfaces are to be."""
    if only is not None and SUBJECT not in only:
        return Outcome((), None, checked=check)
    request = parse(body)
    return converge(Saved(request), request, host, check=check)
