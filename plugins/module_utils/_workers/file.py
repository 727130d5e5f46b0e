# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The file that go-backend reads its workers from: whole or not at all, and readable to its group alone."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core.converge import ApplyFailed, Change, Findings, Impossible
from .._core.errors import reason
from .._core.names import refuse_symlinks
from .._core.system import Host
from . import limits
from .request import Worker, render
from .site import Reader, Site

_MODE, _DIRECTORY_MODE = 0o640, 0o755


@dataclass(frozen=True)
class FileState:
    """The file as it is, and the host that the workers are for.

    Attributes:
        text: None where there is no file.
        mode, group: Its permissions and its numeric group; None where there is no file.
    """

    site: Site = field(default_factory=Site)
    text: str | None = None
    mode: int | None = None
    group: int | None = None


@dataclass(frozen=True)
class WorkersFile:
    """The resource for ``converge``. Desired is the workers, the same as here; where there are none, no file.

    Attributes:
        path: The file.
        group: Numeric group that may read it.
        workers: What it is to hold.
        reader: Reads the host.
        check: Whether nothing is changed, so that what an earlier step would have brought may be missing.
    """

    path: str
    group: int
    workers: Sequence[Worker]
    reader: Reader
    check: bool = False

    def read(self, host: Host) -> FileState:
        """Return the file, and what the host can give."""
        site = self.reader.read(host)
        file = host.path(self.path)
        if not file.exists():
            return FileState(site)
        text, status = file.read_text(encoding="utf-8", errors="replace"), file.stat()
        return FileState(site, text, stat.S_IMODE(status.st_mode), status.st_gid)

    def files(self, _state: FileState) -> Iterator[str]:
        """Yield what is written."""
        yield self.path

    def validate(self, desired: Sequence[Worker], state: FileState) -> None:
        """Raise with everything that the host cannot do; in check mode an earlier step may still bring it."""
        if not self.check:
            Findings(list(limits.faults(desired, state.site))).raise_if_any(Impossible, "nothing was changed")

    def plan(self, desired: Sequence[Worker], state: FileState) -> list[Change]:
        """Return what differs, worker by worker, and the file's permissions."""
        held, bodies = _bodies(state.text), {worker.name: worker.to_body() for worker in desired}
        changes = [
            Change(("worker", name), held.get(name), bodies.get(name))
            for name in sorted({*held, *bodies})
            if held.get(name) != bodies.get(name)
        ]
        if not desired:
            return changes or ([Change((self.path, "file"), "present", None)] if state.text is not None else [])
        if not changes and state.text != render(desired):
            changes.append(Change((self.path, "text"), "other", "as it is written here"))
        if state.mode not in (None, _MODE):
            changes.append(Change((self.path, "mode"), f"{state.mode:04o}", f"{_MODE:04o}"))
        if state.group not in (None, self.group):
            changes.append(Change((self.path, "group"), state.group, self.group))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write the file in one step, or remove it."""
        refuse_symlinks(host, self.path)
        try:
            if self.workers:
                os.makedirs(host.path(self.path).parent, _DIRECTORY_MODE, exist_ok=True)
                host.write_bytes_atomically(self.path, render(self.workers).encode(), _MODE, (0, self.group))
            else:
                host.remove(self.path)
        except OSError as error:
            raise ApplyFailed(f"{self.path}: {reason(error)}") from error


def _bodies(text: str | None) -> dict[str, Any]:
    """Return the workers of a file by name; none of one that is not understood, which is written anew."""
    try:
        held = json.loads(text or "{}")
        return {one["name"]: one for one in held.get("workers", ()) if isinstance(one, Mapping)}
    except (ValueError, AttributeError, TypeError, KeyError):
        return {}
