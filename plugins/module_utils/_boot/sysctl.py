# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The kernel's variables (sysctl), now and at the next boot, in one file of ours.

The file is in the form of sysctl.d(5), whose readers set it at boot. A comment in it remembers each variable's value
from before our first write, which is put back when the variable is no longer asked for.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core.converge import ApplyFailed, Change, Findings, Impossible, Invalid, Refused
from .._core.system import Host

FILE = "/etc/sysctl.d/60-tripod.conf"
_LIVE = "/proc/sys"
_MARK = "# Written by tripod.baremetal.sysctl, which overwrites and removes it."
# The first of these that has a file of some name hides the others' file of that name.
_DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
# procps' own reader takes it last of all; systemd's does not read it.
_LAST = "/etc/sysctl.conf"
_NAME = re.compile(r"[A-Za-z0-9_][\w.:@/-]*", re.ASCII)
_LINE = re.compile(r"^\s*-?\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*$")
_BEFORE = re.compile(r"^# before: (\S+) = (.*)$")
_ELSEWHERE = {"vm.nr_hugepages": "hugepages", "vm.nr_hugepages_mempolicy": "hugepages"}


@dataclass(frozen=True)
class SysctlState:
    """The variables as they are.

    Attributes:
        live: Values of the running kernel by name, blanks folded; None where there is no such variable.
        fixed: Names of those that can only be read.
        file: Values in our file; None where there is no file.
        before: Values from before our first write.
        foreign: Whether a file of our file's name is somebody else's.
        later: By name, the file that is read after ours and its other value.
    """

    live: Mapping[str, str | None] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    file: Mapping[str, str] | None = None
    before: Mapping[str, str] = field(default_factory=dict)
    foreign: bool = False
    later: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def parse(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as the kernel shows them, by their names with dots.

    Raises:
        Invalid: A name or a value is none, with all reasons.
    """
    findings = Findings()
    parsed: dict[str, str] = {}
    for requested, value in values.items():
        name = canonical(str(requested))
        if not _NAME.fullmatch(name) or ".." in name or name.endswith("."):
            findings.add(f"{requested!r} is no name of a kernel variable, such as net.core.somaxconn")
        elif name in parsed:
            findings.add(f"{name} is asked for twice: give it one value")
        elif isinstance(value, (dict, list)) or value is None or not str(value).strip() or "\n" in str(value):
            findings.add(f"{name}: {value!r} is no value; give a number or one line of text, fields parted by blanks")
        else:
            parsed[name] = str(int(value)) if isinstance(value, bool) else _folded(str(value))
    findings.raise_if_any(Invalid, "sysctl: nothing was changed")
    return parsed


def canonical(name: str) -> str:
    """Return a name with dots between its parts; a dot within a part, as of a VLAN's name, is then a slash.

    Source: sysctl.d(5): where the first separator is a slash, slashes separate and dots are left as they are.
    """
    first = re.search(r"[./]", name)
    return name.translate(_SWAP) if first and first[0] == "/" else name


_SWAP = str.maketrans("./", "/.")


class Sysctls:
    """The resource for ``converge``. Desired are values by name, as ``parse`` returns them.

    Args:
        desired: What is asked; reading needs to know of which variables.
    """

    def __init__(self, desired: Mapping[str, str]) -> None:
        self._desired = desired

    def read(self, host: Host) -> SysctlState:
        """Read our file, those that are read after it, and the variables in question."""
        text = host.read(FILE)
        foreign = text is not None and not text.startswith(_MARK)
        ours = text if text is not None and not foreign else None
        held = dict(_settings(ours)) if ours is not None else None
        names = sorted({*self._desired, *(held or ())})
        return SysctlState(
            live={name: _live(host, name) for name in names},
            fixed=frozenset(name for name in names if _is_fixed(host, name)),
            file=held,
            before=dict(_saved(ours or "")),
            foreign=foreign,
            later=dict(_later(host, names)),
        )

    def validate(self, desired: Mapping[str, str], state: SysctlState) -> None:
        """Raise with every reason at once."""
        headline = "sysctl: nothing was changed"
        Findings(list(_limits(desired, state))).raise_if_any(Impossible, headline)
        Findings(list(_refusals(desired, state))).raise_if_any(Refused, headline)

    def plan(self, desired: Mapping[str, str], state: SysctlState) -> list[Change]:
        """Return the live values to write, then what changes in the file."""
        held = state.file or {}
        changes = [
            Change(("live", name), state.live[name], value)
            for name, value in desired.items()
            if state.live[name] != value
        ]
        changes += [
            Change(("live", name), state.live[name], state.before[name])
            for name in held
            # What somebody set to another value since is theirs.
            if name not in desired and name in state.before and state.live.get(name) == held[name] != state.before[name]
        ]
        names = [*desired, *(name for name in held if name not in desired)]
        changes += [
            Change((FILE, name), held.get(name), desired.get(name))
            for name in names
            if held.get(name) != desired.get(name)
        ]
        if state.file is not None and not state.file and not desired:
            changes.append(Change((FILE,), "without variables", None))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write the live values, all of them or none, then the file."""
        state = self.read(host)
        done: list[Change] = []
        for change in (one for one in changes if one.path[0] == "live"):
            try:
                host.write_attribute(_path(change.path[1]), change.after)
            except OSError as error:
                left = _put_back(host, done)
                outcome = "the values before are back" if not left else f"not put back: {', '.join(left)}"
                raise ApplyFailed(f"{change.path[1]} = {change.after}: {_why(error)}; {outcome}") from error
            done.append(change)
        if self._desired:
            host.write_atomically(FILE, _render(self._desired, _before(self._desired, state)))
        else:
            host.remove(FILE)


def warnings(state: SysctlState, desired: Mapping[str, str]) -> list[str]:
    """Return what an operator should know: values that will not outlive the next boot."""
    return [
        f"{file}, which is read after {FILE}, sets {name} to {value}, so the next boot ends with that: remove it there"
        for name, (file, value) in state.later.items()
        if name in desired and value != desired[name]
    ]


def _folded(text: str) -> str:
    return " ".join(text.split())


def _path(name: str) -> str:
    return f"{_LIVE}/{name.translate(_SWAP)}"


def _live(host: Host, name: str) -> str | None:
    try:
        text = host.read(_path(name))
    except OSError:  # A directory, or one that can only be written, such as vm.compact_memory.
        return None
    return None if text is None else _folded(text)


def _is_fixed(host: Host, name: str) -> bool:
    path = host.path(_path(name))
    return path.is_file() and not path.stat().st_mode & 0o200


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if found := _LINE.match(line):
            yield canonical(found[1]), _folded(found[2])


def _saved(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if found := _BEFORE.match(line):
            yield found[1], found[2]


def _later(host: Host, names: Sequence[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    own = FILE.rpartition("/")[2]
    files = {name: f"{folder}/{name}" for folder in reversed(_DIRECTORIES) for name in host.list(folder)}
    after = [files[name] for name in sorted(files) if name > own and name.endswith(".conf")]
    for path in [*after, _LAST]:
        for name, value in _settings(host.read(path) or ""):
            if name in names:
                yield name, (path, value)


def _limits(desired: Mapping[str, str], state: SysctlState) -> Iterator[str]:
    for name in desired:
        if name in _ELSEWHERE:
            yield f"{name} is for the module {_ELSEWHERE[name]}, which knows of nodes: ask for it there"
        elif state.live[name] is None:
            yield f"{name}: this kernel has no such variable that can be read; check the name, or load its module first"
        elif name in state.fixed:
            yield f"{name} is {state.live[name]} and can only be read, {desired[name]} is wanted: leave it out"


def _refusals(desired: Mapping[str, str], state: SysctlState) -> Iterator[str]:
    if state.foreign and desired:
        yield f"{FILE} is not ours: move it to another name"


def _before(desired: Mapping[str, str], state: SysctlState) -> dict[str, str]:
    """Return what is remembered: the first value seen of everything that is asked for."""
    return {name: state.before.get(name, state.live[name] or "") for name in desired}


def _render(desired: Mapping[str, str], before: Mapping[str, str]) -> str:
    lines = [_MARK]
    for name, value in desired.items():
        lines += [f"# before: {name} = {before[name]}", f"{name} = {value}"]
    return "\n".join(lines) + "\n"


def _put_back(host: Host, done: Sequence[Change]) -> list[str]:
    left = []
    for change in reversed(done):
        try:
            host.write_attribute(_path(change.path[1]), change.before)
        except OSError as error:
            left.append(f"{change.path[1]} ({error.strerror})")
    return left


def _why(error: OSError) -> str:
    if error.errno in (errno.EINVAL, errno.ERANGE):
        return f"the kernel does not take this value ({error.strerror})"
    return f"{error.strerror}; run as root" if error.errno in (errno.EACCES, errno.EPERM) else str(error.strerror)
