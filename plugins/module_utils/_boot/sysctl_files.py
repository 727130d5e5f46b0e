# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The files that set kernel variables at boot, in the order in which this host's reader takes them.

With systemd that is systemd-sysctl, see sysctl.d(5). It does not read /etc/sysctl.conf: Debian 12 and Ubuntu link to it
from /etc/sysctl.d/99-sysctl.conf, and Debian 13 does not. Without systemd it is ``sysctl --system`` of procps, which
takes that file last.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress

from .._core.system import Host
from .._linux.systemd import in_charge
from .sysctl_request import canonical, folded

# The first of these that has a file of some name hides the others' file of that name.
_DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
_OF_PROCPS = "/etc/sysctl.conf"
_LINE = re.compile(r"^\s*-?\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*$")
_LEFT_OUT = re.compile(r"^\s*-\s*([^#;=\s]+)\s*$")


def read_after(host: Host, ours: str) -> list[str]:
    """Return the files that this host's reader takes after ours, in order."""
    own = ours.rpartition("/")[2]
    files = {name: f"{folder}/{name}" for folder in reversed(_DIRECTORIES) for name in host.list(folder)}
    after = [files[name] for name in sorted(files) if name > own and name.endswith(".conf")]
    return after if in_charge(host) else [*after, _OF_PROCPS]


def settings(text: str) -> Iterator[tuple[str, str]]:
    """Yield the variables of a file's text with their values."""
    for line in text.splitlines():
        if found := _LINE.match(line):
            yield canonical(found[1]), folded(found[2])


def later(host: Host, ours: str, names: frozenset[str]) -> dict[str, tuple[str, str | None]]:
    """Return what is set after our file: by name, the file and its value; None where that file says to leave it out."""
    found: dict[str, tuple[str, str | None]] = {}
    for path in read_after(host, ours):
        text = ""
        with suppress(OSError, ValueError):  # A directory, or no text: the reader passes it over too.
            text = host.read(path) or ""
        shown = _shown(host, path)
        for name, value in settings(text):
            if name in names:
                found[name] = (shown, value)
        if in_charge(host):
            left_out = (one[1] for one in map(_LEFT_OUT.match, text.splitlines()) if one)
            found.update({name: (shown, None) for name in map(canonical, left_out) if name in names})
    return found


def _shown(host: Host, path: str) -> str:
    """Return a file as an operator finds it: by its own name, and by that of what it links to."""
    try:
        target = os.readlink(host.path(path))
    except OSError:
        return path
    return f"{os.path.normpath(os.path.join(os.path.dirname(path), target))} (by {path})"
