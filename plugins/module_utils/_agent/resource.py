# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The agent on a host: its archive, its command, its units, and what of it runs."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._core.converge import Change, Findings, Impossible, Invalid, Refused, describe
from .._core.names import path_fault
from .._core.state_store import DIRECTORY
from .._core.system import Host
from .._guard.record import records, summary
from . import cli
from .export_request import Export
from .services import ServiceState, manager
from .supervisor import LABEL
from .units import Service, services, unit_text
from .zipapp import build, digest, sources, version

ARCHIVE = f"/usr/local/lib/tripod/{cli.PROGRAM}"
COMMAND = f"/usr/local/sbin/{cli.PROGRAM}"
PYTHON = "/usr/bin/python3"
UNITS = "/etc/systemd/system"
RUN, LOG = "/run", "/var/log"
_ARCHIVE_MODE = 0o755
_OWN = "tripod"  # a directory of this name is the agent's alone
# systemd, a first line and a person read these: nothing in them is quoted.
_PLAIN = re.compile(r"[A-Za-z0-9_.,:=@/+-]+")


@dataclass(frozen=True)
class Request:
    """What is requested.

    Attributes:
        present: Whether the agent is to be there.
        path: Its archive.
        command: Link by which people find it.
        python: Interpreter that runs it.
        label: Of the containers to supervise, as ``key=value``.
        state_dir: Directory of the state files.
        run_directory, log_directory: Where services note their processes and, without systemd, write their logs.
        exported: What is exported of policies.
        policy_uid: Who may change policies beside root; None for nobody.
    """

    present: bool = True
    path: str = ARCHIVE
    command: str = COMMAND
    python: str = PYTHON
    label: str = LABEL
    state_dir: str = DIRECTORY
    run_directory: str = RUN
    log_directory: str = LOG
    exported: Export = field(default_factory=Export)
    policy_uid: int | None = None

    @property
    def paths(self) -> dict[str, str]:
        """Its paths, by the name of the option."""
        return {
            "path": self.path,
            "command": self.command,
            "python": self.python,
            "state_dir": self.state_dir,
            "run_dir": self.run_directory,
            "log_dir": self.log_directory,
        }

    @property
    def services(self) -> list[Service]:
        """The agent's services, in the order they are started."""
        directories = self.state_dir, self.run_directory, self.log_directory
        return services(self.label, *directories, self.exported, self.policy_uid)


@dataclass(frozen=True)
class State:
    """The agent as found.

    Attributes:
        manager: Who runs services: ``systemd``, or ``none``.
        version: Of the desired archive.
        desired: Its digest.
        archive: Digest of the archive that is there.
        mode: Its permission bits.
        link: Where the command leads to; "" where it is no link.
        units: Text of the units that are there, by path.
        services: By name.
        files: Logs and runtime directories that are there.
        leftovers: What a run left that was killed before it could put something in its place.
        faults: What on the host does not let the agent run.
        guards: A summary of each guard that only the agent could still revert.
    """

    manager: str
    version: str
    desired: str
    archive: str | None = None
    mode: int | None = None
    link: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, ServiceState] = field(default_factory=dict)
    files: Sequence[str] = ()
    leftovers: Sequence[str] = ()
    faults: Sequence[str] = ()
    guards: Sequence[str] = ()


class HostAgent:
    """The resource for ``converge``.

    Args:
        request: What is requested; reading needs the paths in it.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._members = sources()
        self._content = build(self._members, request.python)

    def read(self, host: Host) -> State:
        """Read files, links and services."""
        request = self._request
        place, link = host.path(request.path), host.path(request.command)
        found = manager(host, request.path)
        units = {path: host.read(path) for path in map(_unit_path, request.services)}
        files = [path for one in request.services for path in (one.runtime, one.log) if path]
        return State(
            manager=found.name,
            version=version(self._members),
            desired=digest(self._content),
            archive=digest(place.read_bytes()) if place.is_file() else None,
            mode=stat.S_IMODE(place.stat().st_mode) if place.is_file() else None,
            link=os.readlink(link) if link.is_symlink() else "" if link.exists() else None,
            units={path: f"{text}\n" for path, text in units.items() if text is not None},
            services=found.read(host, request.services),
            files=[path for path in files if host.exists(path)],
            leftovers=_leftovers(host, request),
            faults=_faults(host, request),
            guards=[summary(one) for one in records(host) if one.open],
        )

    def validate(self, desired: Request, state: State) -> None:
        """Raise where the request cannot be written into a unit, or the host cannot do it."""
        findings = Findings()
        for name, value in (
            ("label", desired.label),
            *desired.paths.items(),
        ):
            if not _PLAIN.fullmatch(value):
                findings.add(f"{name} {value!r} holds a character other than letters, digits and _.,:=@/+-")
        for name, value in desired.paths.items():
            fault = path_fault(value)
            if fault and _PLAIN.fullmatch(value):  # a character that is none of these is reported above
                findings.add(f"{name} {value!r} {fault}")
        if state.manager == "systemd" and desired.run_directory != RUN:
            findings.add(f"run_dir {desired.run_directory}: systemd makes the agent's directories in {RUN}")
        for fault in desired.exported.faults():
            findings.add(fault)
        findings.raise_if_any(Invalid, "nothing was changed")
        if desired.present:
            Findings(list(state.faults)).raise_if_any(Impossible, "nothing was changed")
        elif state.guards:
            raise Refused(
                f"nothing was changed: {'; '.join(state.guards)}; without the agent nobody would: confirm it or revert "
                "it first (change_guard, or 'tripod-host guard revert')"
            )

    def plan(self, desired: Request, state: State) -> list[Change]:
        """Return the steps in their order: files before what runs from them; for removal the other way."""
        return _plan_present(desired, state) if desired.present else _plan_absent(desired, state)

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Carry out the steps."""
        if self._request.present:
            self._install(host, changes)
        else:
            self._remove(host, changes)

    def _install(self, host: Host, changes: Sequence[Change]) -> None:
        request = self._request
        runner = manager(host, request.path)
        _clear(host, changes)
        if _touched(changes, request.path, "sha256") or _touched(changes, request.path, "mode"):
            host.write_bytes_atomically(request.path, self._content, _ARCHIVE_MODE)
        if _touched(changes, request.command):
            _point(host, request.command, request.path)
        for service in request.services:
            if _touched(changes, _unit_path(service), "unit"):
                host.write_atomically(_unit_path(service), unit_text(service, request.path))
        if any(one.path[-1] in ("unit", "loaded") for one in changes):
            runner.reload()
        runner.enable([one.path[0] for one in changes if one.path[-1] == "enabled"], True)
        for service in request.services:
            if _touched(changes, service.name, "process"):
                runner.restart(host, service)

    def _remove(self, host: Host, changes: Sequence[Change]) -> None:
        request = self._request
        runner = manager(host, request.path)
        runner.enable([one.path[0] for one in changes if one.path[-1] == "enabled"], False)
        for service in reversed(request.services):
            if _touched(changes, service.name, "process") or _touched(changes, _unit_path(service)):
                runner.stop(host, service)
            host.remove(_unit_path(service))
        if any(one.path[-1] in ("unit", "loaded") for one in changes):
            runner.reload()
        _clear(host, changes)
        for path in (request.command, request.path):
            if _touched(changes, path):
                host.remove(path)
        directory = host.path(request.path).parent
        if directory.name == _OWN and directory.is_dir() and not os.listdir(directory):
            directory.rmdir()


def describe_change(change: Change) -> str:
    """Return one line for a change; a unit's text is for the diff."""
    if change.path[-1] != "unit":
        return describe(change)
    what = "removed" if change.after is None else "written" if change.before is None else "rewritten"
    return f"{change.path[0]}: {what}"


def _plan_present(desired: Request, state: State) -> list[Change]:
    changes = [Change((path, "exists"), True, None) for path in state.leftovers]
    if state.archive != state.desired:
        changes.append(Change((desired.path, "sha256"), state.archive, state.desired))
    if state.mode != _ARCHIVE_MODE:
        before = None if state.mode is None else f"{state.mode:04o}"
        changes.append(Change((desired.path, "mode"), before, f"{_ARCHIVE_MODE:04o}"))
    if state.link != desired.path:
        changes.append(Change((desired.command, "link"), state.link, desired.path))
    units, runs = [], []
    for service in desired.services:
        found = state.services[service.name]
        path, text = _unit_path(service), unit_text(service, desired.path)
        rewritten = False
        if state.manager == "systemd":
            rewritten = state.units.get(path) != text
            if rewritten:
                units.append(Change((path, "unit"), state.units.get(path), text))
            elif found.reload:
                units.append(Change((path, "loaded"), "another", "this"))
            if not found.enabled:
                units.append(Change((service.name, "enabled"), False, True))
        expected = " ".join((state.version, *service.arguments))
        if service.stays and (rewritten or found.runs != expected):
            runs.append(Change((service.name, "process"), found.runs, expected))
    return [*changes, *units, *runs]


def _plan_absent(desired: Request, state: State) -> list[Change]:
    changes = []
    for service in reversed(desired.services):
        found = state.services[service.name]
        if found.enabled:
            changes.append(Change((service.name, "enabled"), True, False))
        if found.process:
            changes.append(Change((service.name, "process"), found.runs, None))
    changes += [Change((path, "unit"), text, None) for path, text in state.units.items()]
    for service in desired.services:
        if state.services[service.name].reload and _unit_path(service) not in state.units:
            changes.append(Change((_unit_path(service), "loaded"), "another", None))
    changes += [Change((path, "exists"), True, None) for path in (*state.files, *state.leftovers)]
    if state.link == desired.path:
        changes.append(Change((desired.command, "link"), state.link, None))
    if state.archive:
        changes.append(Change((desired.path, "sha256"), state.archive, None))
    return changes


def _unit_path(service: Service) -> str:
    return f"{UNITS}/{service.name}.service"


def _faults(host: Host, request: Request) -> list[str]:
    found = []
    if not os.access(host.path(request.python), os.X_OK):
        found.append(f"python {request.python} is not there: install python3, or name the interpreter that is")
    command = host.path(request.command)
    if command.exists() and not command.is_symlink():
        found.append(f"command {request.command} is not a link and not ours: remove it, or give another path")
    return found


def _leftovers(host: Host, request: Request) -> list[str]:
    """Return what a run left that was killed: files about to take a place, and a directory for an archive to come."""
    places = [request.path, *map(_unit_path, request.services)]
    found = [left for path in places for left in host.leftovers(*path.rsplit("/", 1))]
    link = _new_link(request.command)
    if host.path(link).is_symlink():
        found.append(link)
    directory = request.path.rpartition("/")[0]
    files = {f"{directory}/{name}" for name in host.list(directory)}
    own = os.path.basename(directory) == _OWN and host.exists(directory)
    return [*found, *([directory] if own and not request.present and files <= {*found} else [])]


def _new_link(command: str) -> str:
    directory, _slash, name = command.rpartition("/")
    return f"{directory}/.{name}.new"


def _clear(host: Host, changes: Sequence[Change]) -> None:
    """Remove what is only a trace."""
    for path in (one.path[0] for one in changes if one.path[-1] == "exists"):
        place = host.path(path)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _point(host: Host, link: str, target: str) -> None:
    place = host.path(link)
    place.parent.mkdir(parents=True, exist_ok=True)
    new = host.path(_new_link(link))
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(place)


def _touched(changes: Sequence[Change], *path: str) -> bool:
    return any(one.path[: len(path)] == path for one in changes)
