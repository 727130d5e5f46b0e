# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""How a guard is reverted: state files, links and settings are restored, one fault not keeping the rest from it."""

from __future__ import annotations

import logging
import os
import signal
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from .._core import lock, state_store
from .._core.converge import CoreError, Invalid, Outcome, Refused, described
from .._core.system import Host
from .._linux import linkstate
from .._linux.detached import Running, find_running, wait
from .record import FAILED, REVERTED, REVERTING, Record, Restore, boot_clock, remove_leftovers, store_record, summary

_PATIENCE = 5.0  # that a revert has with somebody else who changes this host
_END_SECONDS = 3.0  # that a process gets to end by itself
_ATTEMPTS, _ATTEMPT_SECONDS = 5, 3.0

# How each kind of state file is reapplied: body, host -> outcome.
Reappliers = Mapping[str, Callable[[Mapping[str, Any], Host], Outcome]]

_log = logging.getLogger(__name__)


def revert_record(host: Host, record: Record, reappliers: Reappliers, why: str) -> Record:
    """Restore everything; what fails is noted, tried again by ``expire``, and keeps nothing else back."""
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
    done.run("state files", lambda: _restore_files(host, record.state_files))
    if record.boot_id != host.boot_id:
        # The kernel has forgotten the change, its addresses come from whoever gave them, and the state files hold
        # the rest of what it should know.
        for one in _requests(host, record.state_files):
            done.run(one.kind, partial(_reapply, host, reappliers, one))
        return
    # A link that is down comes back before what takes its time; what fails here is restored, or reported, at the end.
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
            # A fault in one resource must not leave the operator locked out by another.
            _log.exception("%s", what)
            self.errors.append(f"{what}: {type(error).__name__}: {error}")


def _reapply(host: Host, reappliers: Reappliers, restore: Restore) -> list[str]:
    if restore.kind not in reappliers:
        raise Invalid(f"this agent does not know how to restore {restore.kind}: install it anew")
    return described(reappliers[restore.kind](restore.body, host).changes)


def _restore_files(host: Host, state_files: Mapping[str, str | None]) -> list[str]:
    lines = []
    for path, text in state_files.items():
        if host.read(path) == text:
            continue
        if text is None:
            host.remove(path)
        else:
            host.write_atomically(path, f"{text}\n", _mode(host, path))
        lines.append(f"{path} is {'removed' if text is None else 'as before'}")
    return lines


def _mode(host: Host, path: str) -> int:
    """Return the mode that a file is restored with: its own, and where it is gone, one that gives no secret away."""
    try:
        return stat.S_IMODE(host.path(path).stat().st_mode)
    except FileNotFoundError:
        return 0o600


def _requests(host: Host, state_files: Mapping[str, str | None]) -> list[Restore]:
    """Return what the restored state files request."""
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
