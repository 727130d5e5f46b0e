# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The TLS front: an nginx of our own, beside whatever the distribution's service and its sites do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from .._core import commands
from .._core.converge import ApplyFailed, Change, Impossible, Invalid
from .._core.system import Host
from .._linux.detached import Running, find_process, log_tail, search_path, start, wait
from .._linux.systemd import in_charge, journal_tail, systemctl
from .nginx_config import PID_FILE, RUN_DIRECTORY, STATE_SOCKET, Build
from .nginx_digest import digest_of, stamped

PROGRAM = "/usr/sbin/nginx"
# Until it has read its configuration it would write to the log of the distribution's service.
BEGIN = (PROGRAM, "-e", "stderr")
COMMAND = "nginx"
NAME = "tripod-nginx"
UNIT_FILE = f"/etc/systemd/system/{NAME}.service"
BOOT_LINK = f"/etc/systemd/system/multi-user.target.wants/{NAME}.service"
LOG = f"/var/log/{NAME}.log"
# The secret is in it.
MODE = 0o400
_TEST_SECONDS = 30.0

_UNIT = """\
[Unit]
Description=TLS front of the web interface and the REST API
Documentation=man:nginx(8)
After=network-online.target nss-lookup.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStartPre={program} -e stderr -t -q -c {config}
ExecStart={program} -e stderr -c {config} -g "daemon off;"
ExecReload={program} -e stderr -t -q -c {config}
ExecReload=/bin/kill -HUP $MAINPID
# Requests in hand are answered.
KillSignal=SIGQUIT
KillMode=mixed
TimeoutStopSec=20
# An address may come up later than this does.
Restart=always
RestartSec=2
RuntimeDirectory={name}

ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=true
PrivateDevices=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
NoNewPrivileges=true
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_KILL CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
MemoryDenyWriteExecute=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0022
MemoryMax=512M
TasksMax=256

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class FrontState:
    """The front as found.

    Attributes:
        config: Its configuration; None where there is none.
        current: The digest of what is to be its configuration, with the files that it names as they are now.
        serves: The digest of the configuration that it serves with; empty where it does not run, or does not say.
        process: Its first process.
        replaced: Whether its program was replaced by an upgrade since it was started.
        unit: Its unit of systemd; None where there is none, or no systemd.
        enabled: Whether it is started at boot.
        systemd: Whether systemd is in charge.
        logged: Whether it has a log of its own.
    """

    config: str | None
    current: str
    serves: str
    process: Running | None
    replaced: bool
    unit: str | None
    enabled: bool
    systemd: bool
    logged: bool


# What is to be the configuration, by what nginx was built with and whether there is a journal.
Configure = Callable[[Build, bool], str]


class NginxFront:
    """The resource.

    Args:
        config: Its configuration's path.
        configure: Returns what is to be in it; None where what is in it stays, but is to be served as it and its files
            are now. A front that is not there is none to renew then.
        seconds: How long it may take to serve, or to end.
    """

    def __init__(self, config: str, configure: Configure | None = None, seconds: float = 20.0) -> None:
        self.config = config
        self._candidate = f"{config}.next"
        self._configure = configure
        self._seconds = seconds
        self._text = ""

    def files(self, _state: FrontState) -> Iterable[str]:
        """Yield what is written."""
        yield from (self.config, UNIT_FILE)

    def read(self, host: Host) -> FrontState:
        """Look at the files and the process, and ask nginx with which configuration it serves."""
        config = host.read(self.config)
        process = find_process(host, PID_FILE, COMMAND)
        systemd = in_charge(host)
        text = self._desired_text(host, config, systemd)
        self._text = stamped(text, lambda path: _content(host, path)) if text else ""
        link = host.link(f"/proc/{process.pid}/exe") if process else None
        return FrontState(
            config=None if config is None else f"{config.rstrip()}\n",
            current=digest_of(self._text),
            serves=_ask() if process else "",
            process=process,
            replaced=(link or "").endswith(" (deleted)"),
            unit=host.read(UNIT_FILE) if systemd else None,
            enabled=host.link(BOOT_LINK) is not None,
            systemd=systemd,
            logged=host.exists(LOG),
        )

    def validate(self, desired: bool, state: FrontState) -> None:
        """Raise where there is nothing to serve with."""
        if not self.config.startswith("/"):
            raise Invalid(f"config {self.config} is not an absolute path")

    def plan(self, desired: bool, state: FrontState) -> list[Change]:
        """Return what is to be written, and whether it is to be started, read again or ended."""
        if not desired:
            return self._removal(state)
        if not self._text:
            return []
        changes = []
        if state.config is None or state.config.rstrip() != self._text.rstrip():
            before = None if state.config is None else digest_of(state.config) or "another"
            changes.append(Change(("configuration",), before, state.current))
        if state.systemd and (state.unit or "").rstrip() != self._unit().rstrip():
            changes.append(Change(("unit",), None if state.unit is None else "another", "present"))
        if state.systemd and not state.enabled:
            changes.append(Change(("at boot",), "not started", "started"))
        if not state.process:
            changes.append(Change(("process",), None, "running"))
        elif state.replaced:
            changes.append(Change(("process",), "of a program that was replaced", "running", disrupts=True))
        elif state.serves != state.current:
            changes.append(Change(("serves",), state.serves or None, state.current))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Try the configuration before it takes the former's place, and have it served; else the former stays."""
        what = {change.path[0]: change for change in changes}
        if any(change.after is None for change in changes):
            self._remove(host)
            return
        host.path(RUN_DIRECTORY).mkdir(mode=0o755, exist_ok=True)
        former = host.read(self.config)
        if "configuration" in what:
            self._put(host)
        systemd = in_charge(host)
        if "unit" in what:
            host.write_atomically(UNIT_FILE, self._unit())
            systemctl("daemon-reload")
        if "at boot" in what:
            systemctl("enable", "--quiet", NAME)
        earlier: set[int] = set()
        try:
            if "process" in what:
                self._start(host, systemd, replaced=what["process"].disrupts)
            else:
                self._test(host, self.config)
                earlier = self._reload(host)
            self._await(host, systemd, earlier)
        except ApplyFailed:
            if former is not None and "configuration" in what:
                host.write_atomically(self.config, f"{former.rstrip()}\n", MODE)
            raise

    def _desired_text(self, host: Host, config: str | None, systemd: bool) -> str:
        if self._configure is None:
            return f"{config.rstrip()}\n" if config else ""
        if not host.exists(PROGRAM):
            raise Impossible(f"{PROGRAM} is not there (Debian package nginx)")
        return self._configure(build(), systemd)

    def _unit(self) -> str:
        return _UNIT.format(program=PROGRAM, config=self.config, name=NAME)

    def _put(self, host: Host) -> None:
        host.path(self.config).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        host.write_atomically(self._candidate, self._text, MODE)
        try:
            self._test(host, self._candidate)
            host.write_atomically(self.config, self._text, MODE)
        finally:
            host.remove(self._candidate)

    def _test(self, host: Host, config: str) -> None:
        done = _run(*BEGIN, "-t", "-q", "-c", str(host.path(config)))
        if done.returncode:
            raise ApplyFailed(f"nginx does not take the configuration, and the former goes on: {done.stderr.strip()}")

    def _start(self, host: Host, systemd: bool, replaced: bool) -> None:
        if systemd:
            systemctl("restart", NAME)
            return
        if replaced:
            self._end(host)
        # One that was killed left them, and another cannot listen beside them.
        for process in _orphans(host):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        wait(lambda: not _orphans(host), self._seconds)
        host.remove(STATE_SOCKET)
        child, begin = start(host, [*BEGIN, "-c", str(host.path(self.config))], LOG)
        # It goes into the background once it listens. One that takes longer is waited for below.
        wait(lambda: child.poll() is not None, self._seconds)
        if child.poll():
            raise ApplyFailed(f"nginx ended with status {child.returncode}. {log_tail(host, LOG, begin)}")

    def _reload(self, host: Host) -> set[int]:
        """Have it read its configuration, and return the processes that serve with the former one until told."""
        process = find_process(host, PID_FILE, COMMAND)
        if not process:
            return set()
        earlier = serving(host, process.pid)
        os.kill(process.pid, signal.SIGHUP)
        return earlier

    def _await(self, host: Host, systemd: bool, earlier: set[int]) -> None:
        def serves() -> bool:
            process = find_process(host, PID_FILE, COMMAND)
            # Whoever still takes connections beside the new ones would answer the next question as before.
            return process is not None and not earlier & serving(host, process.pid) and _ask() == digest_of(self._text)

        if not wait(serves, self._seconds):
            said = journal_tail(NAME) if systemd else log_tail(host, LOG)
            raise ApplyFailed(
                f"nginx does not serve the configuration within {self._seconds:g} s; an address or a port may be "
                f"another's. The former goes on where it ran. {said}"
            )

    def _removal(self, state: FrontState) -> list[Change]:
        found = {
            "process": state.process is not None,
            "at boot": state.enabled,
            "unit": state.unit is not None,
            "configuration": state.config is not None,
            "log": state.logged,
        }
        return [Change((name,), "present", None, disrupts=name == "process") for name, there in found.items() if there]

    def _remove(self, host: Host) -> None:
        if in_charge(host) and host.exists(UNIT_FILE):
            systemctl("disable", "--now", "--quiet", NAME)
            host.remove(UNIT_FILE)
            systemctl("daemon-reload")
        self._end(host)
        for path in (self.config, self._candidate, LOG, STATE_SOCKET, PID_FILE):
            host.remove(path)
        for directory in (f"{RUN_DIRECTORY}/{name}" for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi")):
            _rmdir(host, directory)
        _rmdir(host, RUN_DIRECTORY)
        _rmdir(host, os.path.dirname(self.config))

    def _end(self, host: Host) -> None:
        process = find_process(host, PID_FILE, COMMAND)
        if not process:
            return
        os.kill(process.pid, signal.SIGQUIT)
        if not wait(lambda: find_process(host, PID_FILE, COMMAND) != process, self._seconds):
            # Streams that never end keep it; they have had their time.
            os.kill(process.pid, signal.SIGTERM)
            if not wait(lambda: find_process(host, PID_FILE, COMMAND) != process, self._seconds):
                raise ApplyFailed(f"nginx (process {process.pid}) still runs {self._seconds:g} s after SIGTERM")


def build() -> Build:
    """Return what nginx says it was built with."""
    done = _run(PROGRAM, "-V")
    return Build.parse(done.stderr + done.stdout)


def _ask() -> str:
    """Return the digest of the configuration that is served now, empty where nobody says."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as line:
        line.settimeout(2.0)
        line.connect(STATE_SOCKET)
        line.sendall(b"GET / HTTP/1.0\r\n\r\n")
        pieces = []
        while piece := line.recv(4096):
            pieces.append(piece)
        return b"".join(pieces).rpartition(b"\r\n")[2].decode("ascii", "replace")
    return ""


def serving(host: Host, first: int) -> set[int]:
    """Return the processes that take connections.

    Args:
        host: Where.
        first: The one that began them.
    """
    children = (host.read(f"/proc/{first}/task/{first}/children") or "").split()
    ends = "shutting down"
    return {int(one) for one in children if ends not in (host.read(f"/proc/{one}/cmdline") or ends)}


def _orphans(host: Host) -> list[int]:
    """Return the processes that listen where only the front does; one whose first process was killed goes on."""
    lines = [line.split() for line in (host.read("/proc/net/unix") or "").splitlines()]
    sockets = {f"socket:[{words[6]}]" for words in lines if words[7:] == [STATE_SOCKET]}
    found = []
    for name in filter(str.isdigit, host.list("/proc") if sockets else ()):
        try:
            if host.read(f"/proc/{name}/comm") != COMMAND:
                continue
            links = {host.link(f"/proc/{name}/fd/{one}") for one in host.list(f"/proc/{name}/fd")}
        except PermissionError:
            continue
        if sockets & links:
            found.append(int(name))
    return found


def _content(host: Host, path: str) -> bytes | None:
    try:
        return host.path(path).read_bytes()
    except FileNotFoundError:
        return None


def _rmdir(host: Host, path: str) -> None:
    with suppress(OSError):  # somebody else's things are in it, or it is gone
        host.path(path).rmdir()


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": search_path(), "LC_ALL": "C"}
    try:
        return commands.run(command, environment, timeout=_TEST_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplyFailed(f"{' '.join(command)}: {error}") from error
