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
from .sysctl_files import later, settings
from .sysctl_groups import companions
from .sysctl_request import folded, swapped

FILE = "/etc/sysctl.d/60-tripod.conf"
_LIVE = "/proc/sys"
MARK = "# Written by tripod.baremetal.sysctl, which overwrites and removes it."
# Interfaces' names may have dots, and may be those of interfaces that are yet to come.
_OF_INTERFACE = re.compile(r"(net\.(?:ipv4|ipv6|mpls)\.(?:conf|neigh))\.([^/]+\.[^/]+)\.(\w+)")
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
        later: By name, the file that is read after ours and its other value; None where it takes the variable out.
        slash_forms: Of names that are of no variable, those that are once a dot is taken for one within a part.
    """

    live: Mapping[str, str | None] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    file: Mapping[str, str] | None = None
    original: Mapping[str, str] = field(default_factory=dict)
    foreign: bool = False
    later: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    begun: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None
    slash_forms: Mapping[str, str] = field(default_factory=dict)


def read_state(host: Host, names: Iterable[str]) -> SysctlState:
    """Read our file, those that are read after it, and the variables that are named or in our file."""
    text = host.read(FILE)
    foreign = text is not None and not text.startswith(MARK)
    ours = text if text is not None and not foreign else None
    held = dict(settings(ours)) if ours is not None else None
    begun = dict(_commented(_BEGUN, ours or ""))
    named = {*names, *(held or ()), *begun}
    concerned = sorted(named.union(*map(companions, named)))
    live = {name: read_live(host, name) for name in concerned}
    forms = ((name, _slash_form(host, name)) for name in concerned if live[name] is None)
    return SysctlState(
        live=live,
        fixed=frozenset(name for name in concerned if _is_fixed(host, name)),
        file=held,
        original=dict(_commented(_ORIGINAL, ours or "")),
        foreign=foreign,
        later=later(host, FILE, frozenset(concerned)),
        slash_forms={name: form for name, form in forms if form},
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


def _commented(form: re.Pattern[str], text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if found := form.match(line):
            yield found[1], found[2]


def _slash_form(host: Host, name: str) -> str | None:
    """Return how to write the name of a variable that has a part with dots, as a VLAN's; None where none is meant."""
    if "/" in name:
        return None
    found = _walk(host, _LIVE, name.split("."))
    if found == live_path(name):
        return None  # One that can only be written.
    if found:
        return found[len(_LIVE) + 1 :]
    by_form = _OF_INTERFACE.fullmatch(name)
    return "/".join((by_form[1].replace(".", "/"), by_form[2], by_form[3])) if by_form else None


def _walk(host: Host, folder: str, parts: Sequence[str]) -> str | None:
    if not parts:
        return folder if host.path(folder).is_file() else None
    for count in range(1, len(parts) + 1):
        path = f"{folder}/{'.'.join(parts[:count])}"
        if host.exists(path) and (found := _walk(host, path, parts[count:])):
            return found
    return None
