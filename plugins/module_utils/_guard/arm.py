# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Commit-confirm: what can cut the operator off is reverted by the host itself unless it is confirmed in time.

A guard is the record of a rollback timer on disk. The module that is about to change something writes it and goes on
only when the agent on the host has acknowledged it; from then on the agent alone holds the clock, by
``outcome.expire``.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .._core import state_store
from .._core.converge import Findings, Invalid, Refused
from .._core.names import interface_fault
from .._core.system import Host
from .._linux import linkstate, netlink
from .._linux.detached import Running, find_running, wait
from . import sessions
from .record import (
    ARMED,
    Record,
    Restore,
    acknowledger,
    boot_clock,
    forget_acknowledgement,
    locked,
    records,
    remove_record,
    store_record,
)

MODES = ("auto", "always", "never")
TIMEOUT = 60.0  # seconds to confirm in
# Of modules whose changes can cut the host off; documented in the fragment tripod.baremetal.guard.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "guard": {"type": "str", "choices": list(MODES), "default": "auto"},
    "guard_timeout": {"type": "float", "default": TIMEOUT},
}
_SHORTEST, _LONGEST = 5.0, 3600.0
_ACKNOWLEDGE_SECONDS = 5.0
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,39}")


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
        restores: What to reapply to restore the state before.
        mode: ``always``; ``auto`` arms where an interface carries the session, itself or below a bond, a bridge or a
            VLAN that does; ``never``.
        timeout: Seconds in which the change has to be confirmed.
        state_files: Paths of the state files that the change writes; by default those of the restores' kinds.
        leftovers: Paths to remove when the guard is over.

    Returns:
        The guard; None where none is needed.

    Raises:
        Refused: No agent runs that could revert.
    """
    if mode == "never":
        return None
    reason = "requested"
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
    """Arm a guard, or extend the one that is armed for the subject: its first snapshot stays.

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
            f"{subject}: no tripod-host watches this host, so nobody could revert it: apply the host_agent role "
            "first, or set guard: never; nothing was changed"
        )
    return Guard(record.id, subject, reason, timeout, round(record.deadline - boot_clock(), 1))


def arm_host(
    host: Host, interfaces: Collection[str] = (), timeout: float = TIMEOUT, subject: str = "operator"
) -> Guard:
    """Arm a guard for whatever the operator is about to do: every state file, and the links named, are restored.

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
        "requested",
        [Restore(one.kind, one.body) for one in state_files],
        [state_store.path(one.name) for one in state_files],
        session=session.ssh,
    )


def check_request(interfaces: Collection[str], timeout: float, subject: str) -> None:
    """Raise Invalid where an interface does not exist, or subject or timeout is out of range."""
    table = {one.name for one in netlink.links()} if interfaces else set()
    findings = Findings()
    for name in sorted(set(interfaces) - table):
        fault = interface_fault(name)
        words = f"{name!r} {fault}" if fault else f"{name} does not exist"
        findings.add(f"interface {words}; there are {', '.join(sorted(table))}")
    if not _NAME.fullmatch(subject):
        findings.add(f"subject {subject!r} is not 1 to 40 letters, digits, dots, dashes or underscores")
    if not _SHORTEST <= timeout <= _LONGEST:
        findings.add(f"a timeout of {timeout:g} s is not within {_SHORTEST:g} to {_LONGEST:g} s")
    findings.raise_if_any(Invalid, "no guard was armed")


def _extended(before: Record, fresh: Record) -> Record:
    """Return one guard for both changes: what came last is restored first, and the first snapshot has the last word."""
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
