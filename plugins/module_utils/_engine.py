# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A Docker Engine started and stopped by hand, where no service manager does it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ._core import ApplyFailed, Change, Impossible, Invalid, Refused
from ._host import Host

DEFAULT_SOCKET = "/run/docker.sock"
DEFAULT_PID_FILE = "/run/docker.pid"
COMMAND = "dockerd"
LOG_TAIL = 20  # lines that an error shows
PING_TIMEOUT = 5.0  # seconds
POLL = 0.1  # seconds
# Where administrators' programs are; a non-login shell's PATH may lack them, and dockerd needs iptables.
ADMIN_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Running:
    """The process that the pid file names.

    Attributes:
        pid: Its id.
        started: When, in clock ticks since boot.
    """

    pid: int
    started: int


@dataclass(frozen=True)
class EngineState:
    """An engine as found.

    Attributes:
        answers: Whether something answers on the socket as an engine.
        process: The dockerd that the pid file names, if it lives.
        service_manager: ``systemd`` where it runs as process 1, else ``none``.
    """

    answers: bool
    process: Running | None
    service_manager: str


@dataclass(frozen=True)
class Daemon:
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
class Wanted:
    """What is asked.

    Attributes:
        running: Whether an engine is to answer.
        started_after: A process that started earlier is to be replaced (clock ticks since boot).
    """

    running: bool = True
    started_after: int | None = None


class DockerEngine:
    """The subject: the engine behind one socket."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def read(self, host: Host) -> EngineState:
        """Ask the socket, and look up the process that the pid file names."""
        return EngineState(
            answers=answers(self.daemon.socket),
            process=_process(host, self.daemon.pid_file),
            service_manager="systemd" if host.exists("/run/systemd/system") else "none",
        )

    def validate(self, desired: Wanted, state: EngineState) -> None:
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
                "which process to end cannot be told; give its pid_file, or end it where it was started"
            )
        if desired.running and not shutil.which(COMMAND, path=_search_path()):
            raise Impossible(f"{COMMAND} is not installed (Debian package docker.io)")

    def plan(self, desired: Wanted, state: EngineState) -> list[Change]:
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
            process = _process(host, self.daemon.pid_file)
            if change.after in (False, "restarted") and process:
                self._stop(host, process)
                process = None
            if change.after in (True, "restarted"):
                self._await_starting(process) if process else self._start(host)

    def _stop(self, host: Host, process: Running) -> None:
        os.kill(process.pid, signal.SIGTERM)
        gone = _wait(lambda: _process(host, self.daemon.pid_file) != process, self.daemon.timeout)
        if not gone:
            raise ApplyFailed(
                f"{COMMAND} (process {process.pid}) still runs {self.daemon.timeout:g} s after SIGTERM; it is stopping "
                f"containers: wait and run again, or give a longer timeout. {self._log_tail(0)}"
            )

    def _start(self, host: Host) -> None:
        log = host.path(self.daemon.log)
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            begin = output.tell()
            # A session of its own and no descriptor of ours: it outlives this process, and the connection can close.
            child = subprocess.Popen(
                self.daemon.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={**os.environ, "PATH": _search_path()},
                start_new_session=True,
                umask=0o022,
            )
        _wait(lambda: child.poll() is not None or answers(self.daemon.socket), self.daemon.timeout)
        if child.poll() is not None:
            raise ApplyFailed(f"{COMMAND} ended with status {child.returncode}. {self._log_tail(begin)}")
        if not answers(self.daemon.socket):
            self._silent(child.pid, begin)

    def _await_starting(self, process: Running) -> None:
        if not _wait(lambda: answers(self.daemon.socket), self.daemon.timeout):
            self._silent(process.pid, 0)

    def _silent(self, pid: int, begin: int) -> NoReturn:
        raise ApplyFailed(
            f"{COMMAND} (process {pid}) runs, but does not answer on {self.daemon.socket} within "
            f"{self.daemon.timeout:g} s. {self._log_tail(begin)}"
        )

    def _log_tail(self, begin: int) -> str:
        try:
            with open(self.daemon.log, encoding="utf-8", errors="replace") as file:
                file.seek(begin)
                lines = file.read().splitlines()[-LOG_TAIL:]
        except OSError as error:
            return f"Its log {self.daemon.log} cannot be read: {error.strerror}"
        return f"The last lines of {self.daemon.log}:\n" + ("\n".join(lines) or "(none)")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PING_TIMEOUT)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def answers(path: str) -> bool:
    """Whether an engine says that it is well on a Unix socket."""
    connection = _UnixConnection(path)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def list_containers(path: str, label: str) -> list[dict[str, Any]]:
    """Return the running containers with a label as the engine lists them; none where no engine answers.

    Args:
        path: Unix socket of the engine.
        label: ``key=value``.

    Source: Docker Engine API, ``GET /containers/json``.
    """
    query = urllib.parse.urlencode({"filters": json.dumps({"label": [label]})})
    connection = _UnixConnection(path)
    try:
        connection.request("GET", f"/containers/json?{query}")
        answer = connection.getresponse()
        containers: list[dict[str, Any]] = json.loads(answer.read()) if answer.status == http.HTTPStatus.OK else []
        return containers
    except (OSError, http.client.HTTPException):
        return []
    finally:
        connection.close()


def now_ticks() -> int:
    """Return the clock that process start times are given in, in ticks since boot."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def facts(state: EngineState) -> dict[str, Any]:
    """Return what a module reports of an engine."""
    return {
        "running": state.answers,
        "pid": state.process.pid if state.process else None,
        "service_manager": state.service_manager,
    }


def _process(host: Host, pid_file: str) -> Running | None:
    text = (host.read(pid_file) or "").strip()
    # A pid file survives its process, and the number may be another program's by now.
    if not text.isdigit() or host.read(f"/proc/{text}/comm") != COMMAND:
        return None
    fields = (host.read(f"/proc/{text}/stat") or "").rpartition(")")[2].split()
    if not fields or fields[0] == "Z":
        return None
    return Running(int(text), int(fields[19]))  # field 22 of proc(5), counted from field 3


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while not done():
        if time.monotonic() > limit:
            return False
        time.sleep(POLL)
    return True


def _search_path() -> str:
    return f"{os.environ.get('PATH', '/usr/bin:/bin')}:{ADMIN_PATH}"
