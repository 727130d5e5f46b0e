# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Commit-confirm: what can cut the operator off is put back by the host itself unless it is confirmed in time.

A guard is one record on disk. The module that is about to change something writes it and goes on only when the agent
on the host has acknowledged it; from then on the agent alone holds the clock. ``expire`` is what the agent calls.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from .._core import lock, state_store
from .._core.converge import CoreError, Findings, Invalid, Outcome, Refused, describe
from .._core.system import Host
from .._linux import linkstate, netlink
from .._linux.detached import Running, find_running, wait
from . import sessions
from .record import (
    ARMED,
    FAILED,
    REVERTED,
    REVERTING,
    RUNTIME,
    Record,
    Restore,
    acknowledge,
    acknowledger,
    archive_record,
    boot_clock,
    facts,
    forget_acknowledgement,
    load,
    record_names,
    records,
    remove_leftovers,
    remove_record,
    set_aside,
    store_record,
    summary,
)

__all__ = [
    "MODES",
    "OPTIONS",
    "TIMEOUT",
    "Guard",
    "Reappliers",
    "Record",
    "Restore",
    "arm",
    "arm_host",
    "check_request",
    "confirm",
    "expire",
    "facts",
    "load",
    "protect",
    "records",
    "report",
    "revert",
    "summary",
]

MODES = ("auto", "always", "never")
TIMEOUT = 60.0  # seconds to confirm in
# Of modules whose changes can cut the host off; documented in the fragment tripod.baremetal.guard.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "guard": {"type": "str", "choices": list(MODES), "default": "auto"},
    "guard_timeout": {"type": "float", "default": TIMEOUT},
}
_SHORTEST, _LONGEST = 5.0, 3600.0
_ACKNOWLEDGE_SECONDS = 5.0
_LOCK_SECONDS = 30.0
_PATIENCE = 5.0  # that a revert has with somebody else who changes this host
_END_SECONDS = 3.0  # that a process gets to end by itself
_ATTEMPTS, _ATTEMPT_SECONDS = 5, 3.0
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,39}")

# How each kind of document is brought to the host: body, host -> outcome.
Reappliers = Mapping[str, Callable[[Mapping[str, Any], Host], Outcome]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Guard:
    """An armed guard, for the one who armed it.

    Attributes:
        remaining: Seconds until the host reverts.
    """

    id: str
    subject: str
    reason: str
    timeout: float
    remaining: float

    @property
    def facts(self) -> dict[str, Any]:
        """What a module returns as ``guard``."""
        return {"armed": True, **asdict(self)}


def protect(
    host: Host,
    subject: str,
    interfaces: Collection[str],
    restores: Sequence[Restore],
    mode: str,
    timeout: float,
    state_files: Collection[str] | None = None,
    leftovers: Sequence[str] = (),
) -> Guard | None:
    """Arm a guard where the change can cut the operator off, and wait for the agent's acknowledgement.

    Args:
        host: The machine.
        subject: What is being changed, such as ``nic``.
        interfaces: Interfaces that the change touches.
        restores: What to replay to get the state before back.
        mode: ``always``; ``auto`` arms where an interface carries the session, itself or below a bond, a bridge or a
            VLAN that does; ``never``.
        timeout: Seconds in which the change has to be confirmed.
        state_files: Paths of the documents that the change writes; by default those of the restores' kinds.
        leftovers: Paths to remove when the guard is over.

    Returns:
        The guard; None where none is needed.

    Raises:
        Refused: No agent runs that could revert.
    """
    if mode == "never":
        return None
    reason = "asked for"
    session = sessions.current(host)
    if mode == "auto":
        carried = sorted(set(interfaces) & sessions.carriers(host, session))
        if not carried:
            return None
        reason = f"{', '.join(carried)} {'carries' if len(carried) == 1 else 'carry'} the connection{session.origin}"
    process = find_running(host, os.getpid())
    return arm(host, subject, interfaces, timeout, reason, restores, state_files, leftovers, session.ssh, process)


def arm(
    host: Host,
    subject: str,
    interfaces: Collection[str],
    timeout: float,
    reason: str,
    restores: Sequence[Restore] = (),
    state_files: Collection[str] | None = None,
    leftovers: Sequence[str] = (),
    session: sessions.Ssh | None = None,
    process: Running | None = None,
) -> Guard:
    """Arm a guard, or extend the one that is armed for the subject, which keeps its first snapshot.

    Raises:
        Invalid: Subject or timeout is out of range.
        Refused: No agent runs that could revert.
    """
    check_request((), timeout, subject)
    with locked(host):
        before = next((one for one in records(host) if one.subject == subject and one.state == ARMED), None)
        fresh = Record(
            id=f"{subject}-{secrets.token_hex(4)}",
            subject=subject,
            reason=reason,
            created=time.time(),
            boot_id=host.boot_id,
            deadline=boot_clock() + timeout,
            timeout=timeout,
            session=session,
            process=process,
            state_files=_contents(host, subject, restores, state_files),
            restores=list(restores),
            links=linkstate.take(interfaces),
            leftovers=list(leftovers),
        )
        record = _extended(before, fresh) if before else fresh
        forget_acknowledgement(host, record.id)
        store_record(host, record)
    if not _acknowledged(host, record):
        with locked(host):
            if before:
                store_record(host, before)
            else:
                remove_record(host, record)
        raise Refused(
            f"{subject}: no tripod-host watches this host, so nobody could put it back: apply the host_agent role "
            "first, or set guard: never; nothing was changed"
        )
    return Guard(record.id, subject, reason, timeout, round(record.deadline - boot_clock(), 1))


def arm_host(
    host: Host, interfaces: Collection[str] = (), timeout: float = TIMEOUT, subject: str = "operator"
) -> Guard:
    """Arm a guard for whatever the operator is about to do: every document, and the links named, come back.

    Args:
        host: The machine.
        interfaces: By default those that carry the session.
        timeout: Seconds in which it has to be confirmed.
        subject: Its name; another guard of the same name is extended.

    Raises:
        Invalid: An interface does not exist, or subject or timeout is out of range.
        Refused: No agent runs that could revert.
    """
    check_request(interfaces, timeout, subject)
    session = sessions.current(host)
    state_files = state_store.load_all(host)
    return arm(
        host,
        subject,
        interfaces or sessions.carriers(host, session),
        timeout,
        "asked for",
        [Restore(one.kind, one.body) for one in state_files],
        [state_store.path(one.name) for one in state_files],
        session=session.ssh,
    )


def check_request(interfaces: Collection[str], timeout: float, subject: str) -> None:
    """Raise Invalid where an interface does not exist, or subject or timeout is out of range."""
    table = {one.name for one in netlink.links()} if interfaces else set()
    findings = Findings()
    for name in sorted(set(interfaces) - table):
        findings.add(f"interface {name} does not exist; there are {', '.join(sorted(table))}")
    if not _NAME.fullmatch(subject):
        findings.add(f"subject {subject!r} is not 1 to 40 letters, digits, dots, dashes or underscores")
    if not _SHORTEST <= timeout <= _LONGEST:
        findings.add(f"a timeout of {timeout:g} s is not within {_SHORTEST:g} to {_LONGEST:g} s")
    findings.raise_if_any(Invalid, "no guard was armed")


def expire(host: Host, reappliers: Reappliers, now: float | None = None) -> list[Record]:
    """Acknowledge what is armed, and revert what nobody confirmed in time or before a reboot.

    The agent calls it about once a second, and first of all at boot.

    Args:
        host: The machine.
        reappliers: How each kind of document is brought to the host.
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
            record = _revert(host, record, reappliers, why)
        if not record.open:
            ended.append(record)
    return ended


def confirm(host: Host, identity: str | None = None, check: bool = False) -> list[Record]:
    """End guards: the operator is still there.

    Args:
        host: The machine.
        identity: Which one; all of them by default.
        check: Only say whether it could be done.

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
        session = sessions.current(host)
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
    """Put back now what guards hold, without waiting for their deadlines.

    Args:
        host: The machine.
        reappliers: How each kind of document is brought to the host.
        identity: Which one; all of them by default.
        check: Only return those that would be reverted.

    Raises:
        Invalid: There is no such guard.
    """
    with locked(host):
        chosen = [one for one in _chosen(host, identity) if one.open]
        return chosen if check else [_revert(host, one, reappliers, "a revert was asked for") for one in chosen]


def report(host: Host, reappliers: Reappliers, check: bool = False) -> list[Record]:
    """Begin a run with a clean table: revert what a crashed run left armed, and put the reports away.

    Args:
        host: The machine.
        reappliers: How each kind of document is brought to the host.
        check: Only return those concerned.

    Returns:
        Every guard that was reverted, or given up, since the last run; each is told once.

    Raises:
        Refused: The run that armed a guard is still at work.
    """
    with locked(host):
        found = records(host)
        for one in found:
            if one.state == ARMED and one.process and find_running(host, one.process.pid) == one.process:
                raise Refused(
                    f"guard {one.id} was armed by process {one.process.pid}, which is still at work: another run is "
                    f"changing this host; wait for it, at most {max(0, one.deadline - boot_clock()):.0f} s"
                )
        if check:
            return found
        ended = [
            _revert(host, one, reappliers, "the next run found it armed: its own run never confirmed")
            if one.open
            else one
            for one in found
        ]
        for one in ended:
            if not one.open:
                archive_record(host, one)
        return ended


def locked(host: Host) -> AbstractContextManager[None]:
    """Keep everybody else from the guards: a confirmation and a revert that meet must not both succeed."""
    return lock.alone(host, _LOCK_SECONDS, f"{RUNTIME}/lock")


def _chosen(host: Host, identity: str | None) -> list[Record]:
    if identity is None:
        return records(host)
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


def _revert(host: Host, record: Record, reappliers: Reappliers, why: str) -> Record:
    """Put everything back; what fails is noted, tried again by ``expire``, and keeps nothing else from coming back."""
    record = replace(
        record, state=REVERTING, attempts=record.attempts + 1, report=list(dict.fromkeys([*record.report, why]))
    )
    store_record(host, record)
    _log.warning("reverting guard %s: %s", record.id, why)
    done = _Steps()
    done.run("process", lambda: _end(host, record.process))
    with ExitStack() as held:
        try:
            held.enter_context(lock.alone(host, _PATIENCE))
        except Refused as error:
            _log.warning("%s: the revert does not wait for it", error)
        _restore(host, record, reappliers, done)
    record = replace(record, report=[*record.report, *done.lines], errors=done.errors)
    if done.errors and record.attempts < _ATTEMPTS:
        record = replace(record, deadline=boot_clock() + _ATTEMPT_SECONDS)
    else:
        record = replace(record, state=FAILED if done.errors else REVERTED, ended=time.time())
        remove_leftovers(host, record)
    store_record(host, record)
    if record.open:
        _log.warning("%s", summary(record))
    return record


def _restore(host: Host, record: Record, reappliers: Reappliers, done: _Steps) -> None:
    done.run("state files", lambda: _put_back(host, record.state_files))
    if record.boot_id != host.boot_id:
        # The kernel has forgotten the change, its addresses come from whoever gave them, and the documents tell the
        # rest of what it should know.
        for one in _written(host, record.state_files):
            done.run(one.kind, partial(_reapply, host, reappliers, one))
        return
    # A link that is down comes back before what takes its time; what fails here is settled, or told, at the end.
    early = _Steps()
    early.run("links", lambda: linkstate.put_back(record.links))
    done.lines += early.lines
    for one in record.restores:
        done.run(one.kind, partial(_reapply, host, reappliers, one))
    done.run("links", lambda: linkstate.put_back(record.links))


class _Steps:
    """Runs steps one by one, whatever becomes of each."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []

    def run(self, what: str, step: Callable[[], Sequence[str]]) -> None:
        """Run a step and note its lines, or its error."""
        try:
            self.lines += step()
        except (CoreError, OSError) as error:
            self.errors.append(f"{what}: {error}")
        except Exception as error:
            # A fault in one subject must not leave the operator locked out by another.
            _log.exception("%s", what)
            self.errors.append(f"{what}: {type(error).__name__}: {error}")


def _reapply(host: Host, reappliers: Reappliers, restore: Restore) -> list[str]:
    if restore.kind not in reappliers:
        raise Invalid(f"this agent does not know how to restore {restore.kind}: install it anew")
    return [describe(change) for change in reappliers[restore.kind](restore.body, host).changes]


def _put_back(host: Host, state_files: Mapping[str, str | None]) -> list[str]:
    lines = []
    for path, text in state_files.items():
        if host.read(path) == text:
            continue
        if text is None:
            host.remove(path)
        else:
            host.write_atomically(path, f"{text}\n")
        lines.append(f"{path} is {'removed' if text is None else 'as before'}")
    return lines


def _written(host: Host, state_files: Mapping[str, str | None]) -> list[Restore]:
    """Return what the documents put back ask for."""
    found = []
    for path, text in state_files.items():
        directory, _slash, name = path.rpartition("/")
        state_file = text is not None and state_store.load(host, name[: -len(".json")], directory)
        if state_file:
            found.append(Restore(state_file.kind, state_file.body))
    return found


def _end(host: Host, process: Running | None) -> list[str]:
    """End the module that still makes the change: its next step would undo ours."""
    if process is None or process.pid == os.getpid() or find_running(host, process.pid) != process:
        return []
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
        if wait(lambda: find_running(host, process.pid) != process, _END_SECONDS):
            return [f"process {process.pid}, which was still at work, is ended"]
    raise OSError(f"process {process.pid} does not end")


def _extended(before: Record, fresh: Record) -> Record:
    """Return one guard for both changes: what came last is put back first, and the first snapshot has the last word."""
    return replace(
        fresh,
        id=before.id,
        created=before.created,
        state_files={**fresh.state_files, **before.state_files},
        restores=[*fresh.restores, *before.restores],
        links=before.links.joined(fresh.links),
        leftovers=list(dict.fromkeys([*before.leftovers, *fresh.leftovers])),
    )


def _contents(
    host: Host, subject: str, restores: Sequence[Restore], paths: Collection[str] | None
) -> dict[str, str | None]:
    if paths is None:
        kinds = {one.kind for one in restores}
        names = {one.name for one in state_store.load_all(host) if one.kind in kinds} | (kinds and {subject})
        paths = [state_store.path(name) for name in names]
    return {path: host.read(path) for path in sorted(paths)}


def _acknowledged(host: Host, record: Record) -> bool:
    def held() -> bool:
        holder = acknowledger(host, record.id)
        return holder is not None and find_running(host, holder.pid) == holder

    return wait(held, _ACKNOWLEDGE_SECONDS)
