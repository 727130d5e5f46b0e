# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""How a guard ends: confirmed by the operator, or reverted, and then reported to the next run."""

from __future__ import annotations

from .._core.converge import Invalid, Refused
from .._core.system import Host
from .._linux.detached import find_running
from . import sessions
from .record import (
    ARMED,
    REVERTING,
    Record,
    acknowledge,
    archive_record,
    boot_clock,
    facts,
    load,
    locked,
    record_names,
    records,
    remove_record,
    set_aside,
    summary,
)
from .revert import Reappliers, revert_record


def expire(host: Host, reappliers: Reappliers, now: float | None = None) -> list[Record]:
    """Acknowledge what is armed, and revert what nobody confirmed in time or before a reboot.

    The agent calls it about once a second, and first of all at boot.

    Args:
        host: The machine.
        reappliers: How each kind of state file is reapplied.
        now: CLOCK_BOOTTIME in seconds.

    Returns:
        The guards that were reverted, or given up, by this call.
    """
    ended = []
    for name in record_names(host):
        with locked(host):
            record = load(host, name)
            if record is None and name in record_names(host):
                set_aside(host, name)
            if record is None or not record.open:
                continue
            why = _due(host, record, boot_clock() if now is None else now)
            if not why:
                acknowledge(host, record)
                continue
            record = revert_record(host, record, reappliers, why)
        if not record.open:
            ended.append(record)
    return ended


def confirm(
    host: Host, identity: str | None = None, check: bool = False, session: sessions.Session | None = None
) -> list[Record]:
    """End guards: the operator is still there.

    Args:
        host: The machine.
        identity: Which one; by default all but those apart.
        check: Only say whether it could be done.
        session: Whose confirmation it is; by default this process's.

    Returns:
        The guards that are over.

    Raises:
        Invalid: There is no such guard.
        Refused: It was reverted already, or the confirmation comes over the connection that armed it, which proves
            nothing: an established connection can outlive the way back in.
    """
    with locked(host):
        chosen = _chosen(host, identity)
        late = [one for one in chosen if one.state != ARMED]
        if late:
            raise Refused("; ".join(summary(one) for one in late), guards=[facts(one) for one in late])
        session = session or sessions.current(host)
        same = [one for one in chosen if one.session is not None and one.session == session.ssh]
        if same:
            raise Refused(
                f"guard {', '.join(one.id for one in same)} is confirmed over the very connection that armed it "
                f"({same[0].session}), which does not prove that a new one can be made: reset the connection "
                "('meta: reset_connection') and confirm again"
            )
        for one in () if check else chosen:
            remove_record(host, one)
        return chosen


def revert(host: Host, reappliers: Reappliers, identity: str | None = None, check: bool = False) -> list[Record]:
    """Restore now what guards hold, without waiting for their deadlines.

    Args:
        host: The machine.
        reappliers: How each kind of state file is reapplied.
        identity: Which one; by default all but those apart.
        check: Only return those that would be reverted.

    Raises:
        Invalid: There is no such guard.
    """
    with locked(host):
        chosen = [one for one in _chosen(host, identity) if one.open]
        return chosen if check else [revert_record(host, one, reappliers, "a revert was requested") for one in chosen]


def report(host: Host, reappliers: Reappliers, check: bool = False) -> list[Record]:
    """Begin a run with a clean table: revert what a crashed run left armed, and archive the reports.

    Args:
        host: The machine.
        reappliers: How each kind of state file is reapplied.
        check: Only return those concerned.

    Returns:
        Every guard that was reverted, or given up, since the last run, but for those apart; each is reported once.

    Raises:
        Refused: The run that armed a guard is still at work.
    """
    with locked(host):
        found = [one for one in records(host) if not one.apart]
        for one in found:
            if one.state == ARMED and one.process and find_running(host, one.process.pid) == one.process:
                raise Refused(
                    f"guard {one.id} was armed by process {one.process.pid}, which is still at work: another run is "
                    f"changing this host; wait for it, at most {max(0, one.deadline - boot_clock()):.0f} s"
                )
        if check:
            return found
        ended = [
            revert_record(host, one, reappliers, "the next run found it armed: its own run never confirmed")
            if one.open
            else one
            for one in found
        ]
        for one in ended:
            if not one.open:
                archive_record(host, one)
        return ended


def _chosen(host: Host, identity: str | None) -> list[Record]:
    if identity is None:
        return [one for one in records(host) if not one.apart]
    found = load(host, identity) if identity in record_names(host) else None
    if found is None:
        known = ", ".join(one.id for one in records(host)) or "none"
        raise Invalid(f"there is no guard {identity} on this host (confirmed already?); there are {known}")
    return [found]


def _due(host: Host, record: Record, now: float) -> str | None:
    if record.boot_id != host.boot_id:
        return "the host rebooted before it was confirmed"
    if record.state == REVERTING and record.attempts == 0:
        return "resumed"
    if now >= record.deadline:
        return f"nobody confirmed within {record.timeout:g} s"
    return None
