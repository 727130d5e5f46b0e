# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Who runs the agent's services: systemd, or nobody, where each is a process detached from its starter."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from .._core.converge import ApplyFailed
from .._core.system import Host
from .._linux.detached import Running, find_process, find_running, log_tail, start, started_with, wait
from .._linux.systemd import in_charge, journal_tail, systemctl
from .units import Service

TIMEOUT = 60.0  # seconds to start, or to end; a busy emulated machine takes half of it to read the sources


@dataclass(frozen=True)
class ServiceState:
    """A service as found.

    Attributes:
        process: Its process, if it lives.
        runs: What that process was started with: the agent's version, a space, its arguments.
        enabled: Whether it starts at boot; None where nothing could start it.
        reload: Whether systemd knows an older unit than the one on disk.
    """

    process: Running | None = None
    runs: str | None = None
    enabled: bool | None = None
    reload: bool = False


class Manager(Protocol):
    """Starts and ends services."""

    name: str

    def read(self, host: Host, services: Sequence[Service]) -> Mapping[str, ServiceState]:
        """Return the state by name."""

    def reload(self) -> None:
        """Take note of units that were written or removed."""

    def enable(self, services: Collection[str], enabled: bool) -> None:
        """Have services started at boot, or no longer."""

    def restart(self, host: Host, service: Service) -> None:
        """Start a service, after ending the one that runs, and wait until it is up."""

    def stop(self, host: Host, service: Service) -> None:
        """End a service and wait until it is gone."""


def manager(host: Host, path: str) -> Manager:
    """Return who runs services on this host; ``path`` is the agent's."""
    return Systemd(path) if in_charge(host) else Detached(path)


def _process(host: Host, service: Service, path: str) -> tuple[Running | None, str | None]:
    process = find_process(host, service.pid_file, os.path.basename(path)) if service.stays else None
    if process is None:
        return None, None
    version = (host.read(service.pid_file) or "").split()[1:]
    command = (host.read(f"/proc/{process.pid}/cmdline") or "").rstrip("\0").split("\0")
    arguments = command[command.index(path) + 1 :] if path in command else command
    return process, " ".join([*version, *arguments])


def _ended(host: Host, process: Running) -> bool:
    return find_running(host, process.pid) != process


class Systemd:
    """The service manager, by its own command."""

    name = "systemd"

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, host: Host, services: Sequence[Service]) -> Mapping[str, ServiceState]:
        """Return the state by name."""
        properties = "--property=UnitFileState,NeedDaemonReload"
        shown = systemctl("show", properties, *(f"{one.name}.service" for one in services)).split("\n\n")
        found = {}
        for service, block in zip(services, shown):
            values = dict(line.partition("=")[::2] for line in block.splitlines())
            process, runs = _process(host, service, self._path)
            enabled = values.get("UnitFileState") == "enabled"
            found[service.name] = ServiceState(process, runs, enabled, values.get("NeedDaemonReload") == "yes")
        return found

    def reload(self) -> None:
        """Take note of units that were written or removed."""
        systemctl("daemon-reload")

    def enable(self, services: Collection[str], enabled: bool) -> None:
        """Have services started at boot, or no longer."""
        if services:
            systemctl("enable" if enabled else "disable", "--quiet", *(f"{one}.service" for one in services))

    def restart(self, host: Host, service: Service) -> None:
        """Start a service, after ending the one that runs, and wait until it is up."""
        systemctl("restart", f"{service.name}.service")
        if not wait(lambda: _process(host, service, self._path)[0] is not None, TIMEOUT):
            said = journal_tail(service.name)
            raise ApplyFailed(f"{service.name} does not stay up. The last lines of its journal:\n{said}")

    def stop(self, host: Host, service: Service) -> None:
        """End a service and wait until it is gone."""
        systemctl("stop", f"{service.name}.service")


class Detached:
    """Nobody: what is started here runs until it is ended here, or the host goes down."""

    name = "none"

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, host: Host, services: Sequence[Service]) -> Mapping[str, ServiceState]:
        """Return the state by name."""
        return {one.name: ServiceState(*self._process(host, one)) for one in services}

    def _process(self, host: Host, service: Service) -> tuple[Running | None, str | None]:
        found = _process(host, service, self._path)
        unnoted = self._all(host, service) if found[0] is None else []
        # Who started it was killed, and it has not noted itself yet: whose sources it runs is not known.
        return (unnoted[0], "not known") if unnoted else found

    def _all(self, host: Host, service: Service) -> list[Running]:
        """Return every process of a service; a pid file names one that has got so far."""
        noted = _process(host, service, self._path)[0]
        started = started_with(host, [self._path, *service.words]) if service.stays else []
        return [*([noted] if noted else []), *(one for one in started if one != noted)]

    def reload(self) -> None:
        """Take note of nothing: there are no units."""

    def enable(self, services: Collection[str], enabled: bool) -> None:
        """Do nothing: nothing is started at boot."""

    def restart(self, host: Host, service: Service) -> None:
        """Start a service, after ending the one that runs, and wait until it is up."""
        self.stop(host, service)
        child, begin = start(host, [self._path, *service.arguments], service.log)
        wait(lambda: child.poll() is not None or _process(host, service, self._path)[0] is not None, TIMEOUT)
        if _process(host, service, self._path)[0] is None:
            how = "has not noted its process" if child.poll() is None else f"ended with status {child.returncode}"
            raise ApplyFailed(f"{self._path} {' '.join(service.words)} {how}. {log_tail(host, service.log, begin)}")

    def stop(self, host: Host, service: Service) -> None:
        """End a service and wait until it is gone."""
        for process in self._all(host, service):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            if not wait(partial(_ended, host, process), TIMEOUT):
                raise ApplyFailed(
                    f"{service.name} (process {process.pid}) still runs {TIMEOUT:g} s after SIGTERM. "
                    f"{log_tail(host, service.log)}"
                )
