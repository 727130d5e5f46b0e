# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A Docker Engine started and stopped by hand, where no service manager does it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from .._core.converge import ApplyFailed, Change, Impossible, Invalid, Refused
from .._core.names import absolute_path
from .._core.system import Host
from .._linux.detached import Running, find_process, log_tail, search_path, start, wait
from .._linux.systemd import in_charge
from .engine_socket import DEFAULT_SOCKET, answers

DEFAULT_PID_FILE = "/run/docker.pid"
COMMAND = "dockerd"


@dataclass(frozen=True)
class DaemonState:
    """A daemon and its engine as found.

    Attributes:
        answers: Whether something answers on the socket as an engine.
        process: The dockerd that the pid file names, if it lives.
        service_manager: ``systemd`` where it runs as process 1, else ``none``.
    """

    answers: bool
    process: Running | None
    service_manager: str


@dataclass(frozen=True)
class DaemonOptions:
    """How the engine is started, and how long anything may take.

    Attributes:
        socket: Unix socket it answers on.
        pid_file: Where it notes its process.
        log: Where its output is appended.
        arguments: Further arguments of dockerd.
        timeout: Seconds to wait for it to answer, or to end.
    """

    socket: str = DEFAULT_SOCKET
    pid_file: str = DEFAULT_PID_FILE
    log: str = "/var/log/dockerd.log"
    arguments: tuple[str, ...] = ()
    timeout: float = 60.0

    def __post_init__(self) -> None:
        """Refuse paths that are relative, or another way to write one.

        Raises:
            Invalid: The message says which, and why.
        """
        for option in ("socket", "pid_file", "log"):
            absolute_path(getattr(self, option), option)

    @property
    def command(self) -> list[str]:
        """The command line.

        What equals dockerd's default is left out: a flag beside the same key in daemon.json is fatal to dockerd.
        """
        command = [COMMAND]
        if self.socket != DEFAULT_SOCKET:
            command += ["--host", f"unix://{self.socket}"]
        if self.pid_file != DEFAULT_PID_FILE:
            command += ["--pidfile", self.pid_file]
        return command + list(self.arguments)


@dataclass(frozen=True)
class Desired:
    """What is requested.

    Attributes:
        running: Whether an engine is to answer.
        started_after: A process that started earlier is to be replaced (clock ticks since boot).
    """

    running: bool = True
    started_after: int | None = None


class DockerDaemon:
    """The resource: the daemon behind one socket."""

    def __init__(self, daemon: DaemonOptions) -> None:
        self.daemon = daemon

    def read(self, host: Host) -> DaemonState:
        """Query the socket, and find the process that the pid file names."""
        return DaemonState(
            answers=answers(self.daemon.socket),
            process=find_process(host, self.daemon.pid_file, COMMAND),
            service_manager="systemd" if in_charge(host) else "none",
        )

    def validate(self, desired: Desired, state: DaemonState) -> None:
        """Raise where somebody else is in charge, or there is nothing to start."""
        if self.daemon.timeout <= 0:
            raise Invalid(f"timeout {self.daemon.timeout} must be more than 0 seconds")
        if not self.plan(desired, state):
            return
        if state.service_manager == "systemd":
            raise Refused(
                "systemd runs on this host and owns the engine; use ansible.builtin.systemd_service with name docker"
            )
        if state.answers and not state.process:
            raise Refused(
                f"an engine answers on {self.daemon.socket}, but {self.daemon.pid_file} names no living {COMMAND}, so "
                "which process to end is unknown; give its pid_file, or end it where it was started"
            )
        if desired.running and not shutil.which(COMMAND, path=search_path()):
            raise Impossible(f"{COMMAND} is not installed (Debian package docker.io)")

    def plan(self, desired: Desired, state: DaemonState) -> list[Change]:
        """Return the processes to end and to start."""
        running = state.answers or state.process is not None
        pid = state.process.pid if state.process else None
        if not desired.running:
            return [Change(("engine", "running"), True, False, disrupts=True)] if running else []
        after = desired.started_after
        old = after is not None and running and not (state.process and state.process.started >= after)
        if old:
            return [
                Change(("engine", "process"), pid, "restarted", disrupts=True),
            ]
        return [] if state.answers else [Change(("engine", "running"), False, True)]

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """End and start dockerd, waiting each time until it is true."""
        for change in changes:
            process = find_process(host, self.daemon.pid_file, COMMAND)
            if change.after in (False, "restarted") and process:
                self._stop(host, process)
                process = None
            if change.after in (True, "restarted"):
                self._await_starting(host, process) if process else self._start(host)

    def _stop(self, host: Host, process: Running) -> None:
        os.kill(process.pid, signal.SIGTERM)
        gone = wait(lambda: find_process(host, self.daemon.pid_file, COMMAND) != process, self.daemon.timeout)
        if not gone:
            raise ApplyFailed(
                f"{COMMAND} (process {process.pid}) still runs {self.daemon.timeout:g} s after SIGTERM; it is stopping "
                f"containers: wait and run again, or give a longer timeout. {log_tail(host, self.daemon.log)}"
            )

    def _start(self, host: Host) -> None:
        # dockerd does not start while an old pid file names any process, be it another program that got the number.
        host.remove(self.daemon.pid_file)
        child, begin = start(host, self.daemon.command, self.daemon.log)
        wait(lambda: child.poll() is not None or answers(self.daemon.socket), self.daemon.timeout)
        if child.poll() is not None:
            raise ApplyFailed(
                f"{COMMAND} ended with status {child.returncode}. {log_tail(host, self.daemon.log, begin)}"
            )
        if not answers(self.daemon.socket):
            self._silent(host, child.pid, begin)

    def _await_starting(self, host: Host, process: Running) -> None:
        if not wait(lambda: answers(self.daemon.socket), self.daemon.timeout):
            self._silent(host, process.pid, 0)

    def _silent(self, host: Host, pid: int, begin: int) -> NoReturn:
        raise ApplyFailed(
            f"{COMMAND} (process {pid}) runs, but does not answer on {self.daemon.socket} within "
            f"{self.daemon.timeout:g} s. {log_tail(host, self.daemon.log, begin)}"
        )


def facts(state: DaemonState) -> dict[str, Any]:
    """Return what a module reports of a daemon."""
    return {
        "running": state.answers,
        "pid": state.process.pid if state.process else None,
        "service_manager": state.service_manager,
    }
