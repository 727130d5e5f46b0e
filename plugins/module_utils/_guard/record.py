# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Guards as they are on disk, what is reported of them, and the agent's acknowledgements."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from .._core import lock
from .._core.system import Host
from .._linux import linkstate
from .._linux.detached import Running, find_running
from . import sessions

DIRECTORY = "/var/lib/tripod/guard"
ARCHIVE = f"{DIRECTORY}/archive"
RUNTIME = "/run/tripod/guard"
FORMAT = 1
ARMED, REVERTING, REVERTED, FAILED = "armed", "reverting", "reverted", "failed"
# How subjects begin of changes that no playbook makes: no run confirms, reverts or reports them, but by their id.
APART = "policy-"
_ARCHIVED = 20  # reports
_LOCK_SECONDS = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restore:
    """The body of a state file that, reapplied, restores the state before.

    Attributes:
        kind: Which resource reapplies it.
        body: In that resource's own form, ready for JSON.
    """

    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """A guard as it is on disk.

    Attributes:
        id: Also the file's name.
        subject: What is being changed, such as ``nic``.
        reason: Why it is guarded, in words.
        created: Seconds since the epoch, for people.
        boot_id: The boot that it was armed in.
        deadline: CLOCK_BOOTTIME in seconds: setting the wall clock moves no deadline, and sleep counts.
        timeout: Seconds from arming to the deadline.
        session: The SSH connection that armed it; None for a local one.
        process: The module that makes the change; it is ended before its change is reverted.
        state_files: Content before, by path; None where there was none.
        restores: Reapplied in this order.
        links: Links, addresses and routes before.
        leftovers: Paths that are removed when the guard is over.
        state: armed, reverting, reverted or failed. A confirmed guard leaves no record.
        attempts: How often a revert was begun.
        report: What was restored, a line each.
        errors: What could not be restored in the last attempt.
        ended: When it was reverted or given up, in seconds since the epoch.
    """

    id: str
    subject: str
    reason: str
    created: float
    boot_id: str
    deadline: float
    timeout: float
    session: sessions.Ssh | None = None
    process: Running | None = None
    state_files: Mapping[str, str | None] = field(default_factory=dict)
    restores: Sequence[Restore] = ()
    links: linkstate.Snapshot = field(default_factory=linkstate.Snapshot)
    leftovers: Sequence[str] = ()
    state: str = ARMED
    attempts: int = 0
    report: Sequence[str] = ()
    errors: Sequence[str] = ()
    ended: float | None = None

    @property
    def open(self) -> bool:
        """Whether the agent still has to do with it."""
        return self.state in (ARMED, REVERTING)

    @property
    def waits(self) -> bool:
        """Whether it can still be confirmed."""
        return self.state == ARMED

    @property
    def apart(self) -> bool:
        """Whether runs of playbooks leave it alone."""
        return self.subject.startswith(APART)


def locked(host: Host) -> AbstractContextManager[None]:
    """Keep everybody else from the guards: a confirmation and a revert that meet must not both succeed."""
    return lock.alone(host, _LOCK_SECONDS, f"{RUNTIME}/lock")


def records(host: Host) -> list[Record]:
    """Return every guard on disk, oldest first."""
    found = [load(host, name) for name in record_names(host)]
    return sorted((one for one in found if one), key=lambda one: one.created)


def load(host: Host, identity: str) -> Record | None:
    """Return a guard; None where there is none that can be understood."""
    text = host.read(_path(identity))
    try:
        return None if text is None else _parse(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        _log.error("guard %s cannot be understood, so it reverts nothing and is set aside: %s", _path(identity), error)
        return None


def set_aside(host: Host, identity: str) -> None:
    """Move a guard that cannot be understood to the archive, so that it is reported once and not each second."""
    host.path(ARCHIVE).mkdir(parents=True, exist_ok=True)
    os.replace(host.path(_path(identity)), host.path(f"{ARCHIVE}/{identity}.torn"))


def record_names(host: Host) -> list[str]:
    """Return the name of every guard on disk."""
    return [name[: -len(".json")] for name in host.list(DIRECTORY) if name.endswith(".json") and name[0] != "."]


def store_record(host: Host, record: Record) -> None:
    """Write a guard; a reader sees the old one or the new one, never a part."""
    content = {"format": FORMAT, **asdict(record)}
    host.write_atomically(_path(record.id), json.dumps(content, indent=2) + "\n", 0o600)


def remove_record(host: Host, record: Record) -> None:
    """Remove a guard with everything that was saved for it."""
    host.remove(_path(record.id))
    forget_acknowledgement(host, record.id)
    remove_leftovers(host, record)


def archive_record(host: Host, record: Record) -> None:
    """Archive a guard that was reported, for people to read; the oldest of these are removed."""
    host.write_atomically(f"{ARCHIVE}/{record.id}.json", json.dumps(facts(record), indent=2) + "\n", 0o600)
    remove_record(host, record)
    archived = sorted(host.path(ARCHIVE).glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in archived[:-_ARCHIVED]:
        path.unlink()


def remove_leftovers(host: Host, record: Record) -> None:
    """Remove what was saved for a guard."""
    for name in record.leftovers:
        path = host.path(name)
        with suppress(OSError):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)


def facts(record: Record) -> dict[str, Any]:
    """Return what is reported of a guard to people and playbooks."""
    return {
        "id": record.id,
        "subject": record.subject,
        "reason": record.reason,
        "state": record.state,
        "created": _clock(record.created),
        "timeout": record.timeout,
        "remaining": round(max(0.0, record.deadline - boot_clock()), 1) if record.state == ARMED else 0.0,
        "ended": record.ended and _clock(record.ended),
        "report": list(record.report),
        "errors": list(record.errors),
        "summary": summary(record),
        "story": summary(record),  # its former name, which goes with release 3.0.0
    }


def summary(record: Record) -> str:
    """Return a sentence on what became of a guard."""
    if record.state == REVERTED:
        outcome = f"was reverted at {_clock(record.ended or 0)}: the host has its previous state"
    elif record.state == FAILED:
        outcome = f"was reverted only in part at {_clock(record.ended or 0)} ({'; '.join(record.errors)})"
    elif record.state == REVERTING:
        outcome = "is being reverted"
    else:
        outcome = f"is armed, {max(0.0, record.deadline - boot_clock()):.0f} s are left"
    report = f". {'; '.join(record.report)}" if record.report else ""
    return f"guard {record.id} of {record.subject} ({record.reason}) {outcome}{report}"


def acknowledge(host: Host, record: Record) -> None:
    """Let whoever armed a guard know that this process watches it."""
    own = find_running(host, os.getpid())
    if own and acknowledger(host, record.id) != own:
        host.write_atomically(_acknowledgement(record.id), json.dumps(asdict(own)), 0o600)


def acknowledger(host: Host, identity: str) -> Running | None:
    """Return the process that last acknowledged a guard, alive or not."""
    try:
        return Running(**json.loads(host.read(_acknowledgement(identity)) or ""))
    except (ValueError, TypeError):
        return None


def forget_acknowledgement(host: Host, identity: str) -> None:
    """Have a guard acknowledged anew."""
    host.remove(_acknowledgement(identity))


def boot_clock() -> float:
    """Return CLOCK_BOOTTIME in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _parse(content: Mapping[str, Any]) -> Record:
    held = {key: value for key, value in content.items() if key != "format"}
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']!r} is not {FORMAT}")
    if "documents" in held:  # armed by release 1.0.0
        held["state_files"] = held.pop("documents")
    session, process = held["session"], held["process"]
    return Record(
        **{
            **held,
            "session": session and sessions.Ssh(**session),
            "process": process and Running(**process),
            "restores": [Restore(**one) for one in held["restores"]],
            "links": linkstate.Snapshot.parse(held["links"]),
        }
    )


def _path(identity: str) -> str:
    return f"{DIRECTORY}/{identity}.json"


def _acknowledgement(identity: str) -> str:
    return f"{RUNTIME}/{identity}.ack"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
