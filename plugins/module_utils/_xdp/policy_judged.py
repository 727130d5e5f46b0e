# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The interfaces that a policy judges at this moment, and how a change of the policy alone is taken back on them.

Such a change moves no interface. So what takes it back moves none either: one that went to another policy meanwhile
stays there, and one that came has what is taken back, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, CoreError, Outcome
from .._core.system import Host
from .._guard.record import Restore
from .._linux import netlink
from . import policy_documents, policy_resource
from .identity import identify
from .policy_in_force import MAPS

KIND = "policy_judged"  # of what a guard reapplies; no state file has it


def takers(host: Host, policy: str, directory: str = state_store.DIRECTORY) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what is requested of the interfaces that can get a change now, and a warning for each of the others."""
    found, warnings = [], []
    for one in policy_documents.interfaces(host, policy, directory):
        words = _hindrance(host, one)
        if words:
            warnings.append(words)
        else:
            found.append(one)
    return found, warnings


def _hindrance(host: Host, one: Mapping[str, Any]) -> str | None:
    name = one["interface"]
    if netlink.link(name) is None:
        return f"{name} is absent: it gets the policy when it appears"
    if identify(host, name, one["pin_root"]).unproven(MAPS):
        return f"{name} has no program of this release: it gets the policy when one is attached"
    return None


def restore(policy: str, directory: str, changed: Sequence[str]) -> Restore:
    """Return what a guard reapplies once it has restored a policy's documents.

    Args:
        policy: Its name.
        directory: Of the state files.
        changed: The interfaces that get the change.
    """
    return Restore(KIND, {"policy": policy, "state_dir": directory, "changed": list(changed)})


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring a policy, as its documents are now, to every interface that names it now.

    Raises:
        ApplyFailed: It could not be brought to some; the others have it.
    """
    changes: list[Change] = []
    failures = []
    for one in policy_documents.interfaces(host, body["policy"], body["state_dir"]):
        # One that got the change has to get what was before, or it is told that it could not.
        if one["interface"] not in body["changed"] and _hindrance(host, one):
            continue
        try:
            changes += policy_resource.reapply(one, host, check, only).changes
        except (CoreError, OSError) as error:
            failures.append(f"{one['interface']}: {error}")
    if failures:
        raise ApplyFailed("; ".join(failures))
    return Outcome(changes, None, checked=check)
