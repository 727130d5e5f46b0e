# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Kernel variables as a host has them: live, in our file, and in the files that are read after it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._core.system import Host
from .sysctl_groups import companions
from .sysctl_request import canonical, folded, swapped

FILE = "/etc/sysctl.d/60-tripod.conf"
_LIVE = "/proc/sys"
MARK = "# Written by tripod.baremetal.sysctl, which overwrites and removes it."
# The first of these that has a file of some name hides the others' file of that name.
_DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
# procps' own reader takes it last of all; systemd's does not read it.
_LAST = "/etc/sysctl.conf"
_LINE = re.compile(r"^\s*-?\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*$")
_ORIGINAL = re.compile(r"^# before: (\S+) = (.*)$")
_BEGUN = re.compile(r"^# begun: (\S+) = (.*)$")


@dataclass(frozen=True)
class SysctlState:
    """The kernel's variables as they are.

    Attributes:
        live: Values of the running kernel by name, blanks folded; None where there is no such variable.
        fixed: Names of those that can only be read.
        file: Values in our file; None where there is no file.
        original: Values from before our first write, as far as they are saved.
        begun: Values that a run began to write and did not come to save.
        text: What our file holds; None where there is none of ours.
        foreign: Whether a file of our file's name is somebody else's.
        later: By name, the file that is read after ours and its other value.
    """

    live: Mapping[str, str | None] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    file: Mapping[str, str] | None = None
    original: Mapping[str, str] = field(default_factory=dict)
    foreign: bool = False
    later: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    begun: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None


def read_state(host: Host, names: Iterable[str]) -> SysctlState:
    """Read our file, those that are read after it, and the variables that are named or in our file."""
    text = host.read(FILE)
    foreign = text is not None and not text.startswith(MARK)
    ours = text if text is not None and not foreign else None
    held = dict(_settings(ours)) if ours is not None else None
    begun = dict(_commented(_BEGUN, ours or ""))
    named = {*names, *(held or ()), *begun}
    concerned = sorted(named.union(*map(companions, named)))
    return SysctlState(
        live={name: read_live(host, name) for name in concerned},
        fixed=frozenset(name for name in concerned if _is_fixed(host, name)),
        file=held,
        original=dict(_commented(_ORIGINAL, ours or "")),
        foreign=foreign,
        later=dict(_later(host, concerned)),
        begun=begun,
        text=ours,
    )


def live_path(name: str) -> str:
    """Return the file that shows a variable, and sets it."""
    return f"{_LIVE}/{swapped(name)}"


def read_live(host: Host, name: str) -> str | None:
    """Return a variable's value, blanks folded; None where there is none that can be read."""
    try:
        text = host.read(live_path(name))
    except OSError:  # A directory, or one that can only be written, such as vm.compact_memory.
        return None
    return None if text is None else folded(text)


def _is_fixed(host: Host, name: str) -> bool:
    path = host.path(live_path(name))
    return path.is_file() and not path.stat().st_mode & 0o200


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if found := _LINE.match(line):
            yield canonical(found[1]), folded(found[2])


def _commented(form: re.Pattern[str], text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if found := form.match(line):
            yield found[1], found[2]


def _later(host: Host, names: Sequence[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    own = FILE.rpartition("/")[2]
    files = {name: f"{folder}/{name}" for folder in reversed(_DIRECTORIES) for name in host.list(folder)}
    after = [files[name] for name in sorted(files) if name > own and name.endswith(".conf")]
    for path in [*after, _LAST]:
        for name, value in _settings(host.read(path) or ""):
            if name in names:
                yield name, (path, value)
