# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The container keeper as a process of its own, where no service manager runs it."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from ._core import ApplyFailed, Change, Impossible, Refused
from ._detached import Running, find_process, log_tail, start, wait
from ._host import Host

TIMEOUT = 20.0  # seconds to start, or to end


@dataclass(frozen=True)
class AgentState:
    """The keeper as found.

    Attributes:
        process: The process that the pid file names, if it lives.
        installed: Whether the archive is there.
        outdated: Whether the archive is newer than the process that runs.
        service_manager: ``systemd`` where it runs as process 1, else ``none``.
    """

    process: Running | None
    installed: bool
    outdated: bool
    service_manager: str


@dataclass(frozen=True)
class AgentProcess:
    """The subject: the keeper behind one pid file. What is desired is whether it runs.

    Attributes:
        path: The agent's archive.
        pid_file: Where it notes its process.
        log: Where its output is appended.
        arguments: Its command and options.
    """

    path: str
    pid_file: str
    log: str
    arguments: tuple[str, ...] = ()

    def read(self, host: Host) -> AgentState:
        """Look up the process, and compare the archive's time stamp with its pid file's."""
        process = self._find(host)
        archive = host.path(self.path)
        installed = archive.is_file()
        # Both are written under the same clock, even where that was set wrong at boot.
        outdated = bool(
            process and installed and archive.stat().st_mtime_ns > host.path(self.pid_file).stat().st_mtime_ns
        )
        return AgentState(process, installed, outdated, "systemd" if host.exists("/run/systemd/system") else "none")

    def validate(self, desired: bool, state: AgentState) -> None:
        """Raise where systemd is in charge, or there is nothing to start."""
        if not self.plan(desired, state):
            return
        if state.service_manager == "systemd":
            raise Refused(
                "systemd runs on this host and owns the keeper; use ansible.builtin.systemd_service with name "
                "tripod-keep"
            )
        if desired and not state.installed:
            raise Impossible(f"{self.path} is not there: ship the agent's archive first")

    def plan(self, desired: bool, state: AgentState) -> list[Change]:
        """Return the process to end or to start."""
        if desired and state.process and state.outdated:
            return [Change(("keeper", "process"), state.process.pid, "restarted")]
        running = state.process is not None
        return [] if running == desired else [Change(("keeper", "running"), running, desired)]

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """End and start the process, waiting each time until it is true."""
        for change in changes:
            process = self._find(host)
            if process:
                self._stop(host, process)
            if change.after:
                self._start(host)

    def _find(self, host: Host) -> Running | None:
        return find_process(host, self.pid_file, os.path.basename(self.path))

    def _stop(self, host: Host, process: Running) -> None:
        os.kill(process.pid, signal.SIGTERM)
        if not wait(lambda: self._find(host) != process, TIMEOUT):
            raise ApplyFailed(
                f"the keeper (process {process.pid}) still runs {TIMEOUT:g} s after SIGTERM. {log_tail(host, self.log)}"
            )

    def _start(self, host: Host) -> None:
        child, begin = start(host, [str(host.path(self.path)), *self.arguments], self.log)
        wait(lambda: child.poll() is not None or self._find(host) is not None, TIMEOUT)
        if self._find(host) is None:
            how = "has not noted its process" if child.poll() is None else f"ended with status {child.returncode}"
            raise ApplyFailed(f"{self.path} {how}. {log_tail(host, self.log, begin)}")
