# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Secrets as files: one value, one copy for each reader, never shown."""

from __future__ import annotations

import secrets
import stat
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._core import errors
from .._core.converge import ApplyFailed, Change, Findings, Invalid, Refused
from .._core.names import path_fault
from .._core.system import Host

MODE = 0o400
# Others may pass through to their own copy, and cannot list what else is there.
DIRECTORY_MODE = 0o711
WITH_FORMER, ALONE = "with_former", "alone"
LENGTH_RANGE = (16, 1024)
GIVEN_RANGE = (8, 4096)
MULTILINE_RANGE = (8, 65536)
ALPHABET = string.ascii_letters + string.digits + "-_"  # RFC 4648 section 5: safe in URLs and shells


@dataclass(frozen=True)
class Copy:
    """One file that holds a secret.

    Attributes:
        path: Absolute path on the host.
        owner: Numeric user id; the container's user has no name on the host.
        group: Numeric group id.
    """

    path: str
    owner: int = 0
    group: int = 0


@dataclass(frozen=True)
class Secret:
    """One value and its copies.

    Attributes:
        name: What messages call it.
        copies: Where it is stored; the first that exists holds the true value.
        length: Characters of a generated value.
        value: Given by the operator, replaces what is there; None to generate it once.
        multiline: The given value is a text of several lines, such as PEM.
        renew: Whether another value is generated now: "with_former" leaves the one before on a second line, "alone"
            does not; "" keeps what is there.
    """

    name: str
    copies: tuple[Copy, ...]
    length: int = 32
    value: str | None = field(default=None, repr=False)
    multiline: bool = False
    renew: str = ""


@dataclass(frozen=True)
class Found:
    """A file as read. ``value`` is None where it is absent or holds nothing."""

    value: str | None = field(default=None, repr=False)
    mode: int | None = None
    owner: int | None = None
    group: int | None = None
    written: int | None = None
    obstacle: str | None = None

    @property
    def exists(self) -> bool:
        """Whether the file is there."""
        return self.mode is not None


class SecretFiles:
    """The resource: a list of secrets, all validated before the first is written."""

    def __init__(self, desired: Sequence[Secret]) -> None:
        self.desired = desired
        self._renewed: set[str] = set()  # names of those that have their other value by now

    def read(self, host: Host) -> dict[str, Found]:
        """Return what is found at each copy's path."""
        return {copy.path: _find(host.path(copy.path)) for _secret, copy in self._copies()}

    def validate(self, desired: bool, state: dict[str, Found]) -> None:
        """Raise with every malformed option, or every path that is something else than a file."""
        wrong = Findings()
        names = [secret.name for secret in self.desired]
        paths = [copy.path for _secret, copy in self._copies()]
        for what, values in (("name", names), ("path", paths)):
            for value in sorted({value for value in values if values.count(value) > 1}):
                wrong.add(f"{what} {value} is given {values.count(value)} times; give each once")
        for secret in self.desired:
            for reason in _malformed(secret):
                wrong.add(f"{secret.name}: {reason}")
        wrong.raise_if_any(Invalid, "secrets")
        refusals = Findings()
        for path, found in state.items():
            if found.obstacle:
                refusals.add(f"{path} {found.obstacle}")
        refusals.raise_if_any(Refused, "secrets")

    def plan(self, desired: bool, state: dict[str, Found]) -> list[Change]:
        """Return the copies to write, to give another owner or mode, or to remove; values never appear."""
        if not desired:
            return [
                Change((copy.path, "value"), "present", None)
                for _secret, copy in self._copies()
                if state[copy.path].exists
            ]
        changes = []
        for secret in self.desired:
            truth = None if self._is_to_be_renewed(secret) else true_value(secret, state)
            for copy in secret.copies:
                changes += _plan_copy(copy, state[copy.path], truth)
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write each copy that has a change as a whole, or remove it."""
        touched = {change.path[0] for change in changes}
        removed = {change.path[0] for change in changes if change.after is None}
        state = self.read(host)
        for secret in self.desired:
            value = true_value(secret, state) or generate(secret.length)
            if self._is_to_be_renewed(secret):
                value = _renewed(secret, state)
                self._renewed.add(secret.name)
            for copy in secret.copies:
                if copy.path in touched:
                    try:
                        remove(host, copy.path) if copy.path in removed else write(host, copy, value)
                    except OSError as error:
                        raise ApplyFailed(f"{secret.name}: {copy.path}: {errors.reason(error)}") from error

    def _is_to_be_renewed(self, secret: Secret) -> bool:
        return bool(secret.renew) and secret.name not in self._renewed

    def _copies(self) -> Iterator[tuple[Secret, Copy]]:
        return ((secret, copy) for secret in self.desired for copy in secret.copies)


def copies_of(services: Sequence[Mapping[str, Any]], config_dir: str, name: str) -> list[dict[str, Any]]:
    """Return a file for each service, readable by its user alone, as the module takes them."""
    return [
        {"path": f"{config_dir}/secrets/{item['service']}/{name}", "owner": int(item["uid"]), "group": int(item["uid"])}
        for item in services
    ]


def true_value(secret: Secret, state: dict[str, Found]) -> str | None:
    """Return the value every copy must hold: the given one, or that of the first copy which has one."""
    if secret.value is not None:
        return secret.value
    return next((state[copy.path].value for copy in secret.copies if state[copy.path].value is not None), None)


def _renewed(secret: Secret, state: dict[str, Found]) -> str:
    """Return a new value, and on a second line the one before, of which no more than one is kept."""
    lines = [generate(secret.length), *(true_value(secret, state) or "").splitlines()[:1]]
    return "\n".join(lines if secret.renew == WITH_FORMER else lines[:1])


def generation(state: dict[str, Found]) -> str:
    """Return a text that differs after any copy was written again, and shows nothing of the values.

    A reader that was started under another generation has an old value in its memory.
    """
    return str(max((found.written for found in state.values() if found.written is not None), default=0))


def generate(length: int) -> str:
    """Return a random value of ``length`` characters, 6 bits of entropy each."""
    return "".join(secrets.choice(ALPHABET) for _unused in range(length))


def write(host: Host, copy: Copy, value: str) -> None:
    """Replace one copy so that no reader ever sees a part of it, or the right value under the wrong owner."""
    target = host.path(copy.path)
    for parent in reversed([parent for parent in target.parents if not parent.exists()]):
        parent.mkdir(mode=DIRECTORY_MODE)
        parent.chmod(DIRECTORY_MODE)  # mkdir's mode is cut by the umask
    host.write_bytes_atomically(copy.path, value.encode(), MODE, (copy.owner, copy.group))


def remove(host: Host, path: str) -> None:
    """Remove one copy, and the directories above it that are empty then and of the mode we make them with."""
    target = host.path(path)
    target.unlink(missing_ok=True)
    for parent in target.parents:
        if parent == host.root or stat.S_IMODE(parent.stat().st_mode) != DIRECTORY_MODE or any(parent.iterdir()):
            break
        parent.rmdir()


def _find(path: Path) -> Found:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return Found()
    except NotADirectoryError:
        return Found(obstacle="lies below something that is not a directory; choose another path")
    if stat.S_ISDIR(status.st_mode):
        return Found(
            obstacle="is a directory (a container engine makes one where a file to be mounted is missing); "
            "stop that container and remove the directory"
        )
    if not stat.S_ISREG(status.st_mode):
        return Found(obstacle="is neither absent nor a regular file; remove it or choose another path")
    text = path.read_bytes().decode("utf-8", errors="replace")
    return Found(text or None, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns)


def _plan_copy(copy: Copy, found: Found, truth: str | None) -> list[Change]:
    changes = []
    if found.value is None or found.value != truth:
        changes.append(Change((copy.path, "value"), "another" if found.exists else None, "present"))
    if found.mode != MODE:
        changes.append(Change((copy.path, "mode"), None if found.mode is None else f"{found.mode:04o}", f"{MODE:04o}"))
    if found.owner != copy.owner:
        changes.append(Change((copy.path, "owner"), found.owner, copy.owner))
    if found.group != copy.group:
        changes.append(Change((copy.path, "group"), found.group, copy.group))
    return changes


def _malformed(secret: Secret) -> Iterator[str]:
    low, high = LENGTH_RANGE
    if not low <= secret.length <= high:
        yield f"length {secret.length} is outside {low} to {high}"
    if not secret.copies:
        yield "no copy is named, so nobody could read it; name at least one path"
    for copy in secret.copies:
        if path_fault(copy.path):
            yield f"path {copy.path} is not absolute and plain"
        if copy.owner < 0 or copy.group < 0:
            yield f"{copy.path}: owner {copy.owner} and group {copy.group} must be numeric ids, 0 or more"
    if secret.value is None:
        return
    if secret.renew:
        yield "a value is given, so none can be generated anew: change the value, or leave out renew"
    low, high = MULTILINE_RANGE if secret.multiline else GIVEN_RANGE
    if not low <= len(secret.value) <= high:
        yield f"the given value has {len(secret.value)} characters, {low} to {high} are accepted"
    accepted = "\n" if secret.multiline else ""
    if any(ord(character) < 32 and character not in accepted for character in secret.value):
        yield "the given value holds a control character" + ("" if accepted else ", such as a newline at its end")
