# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The import files of the MarchProxy gateway in a directory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .._core.converge import ApplyFailed, Change, Findings, Invalid, Refused
from .._core.errors import reason
from .._core.system import Host
from .model import Gateway
from .render import FILES, render
from .validate import faults


class ImportFiles:
    """The resource: the three import files in one directory; other files there are left alone.

    What is desired is a document of the shape of ``import-config.json``; or None, for no files.
    """

    def __init__(self, directory: str, local_names: bool = False) -> None:
        self.directory, self.local_names = directory, local_names

    def read(self, host: Host) -> dict[str, str | None]:
        """Return the text of each file, or None."""
        return {name: _text(host, self._path(name)) for name in FILES}

    def validate(self, desired: Mapping[str, Any] | None, state: Mapping[str, str | None]) -> None:
        """Raise with every field that is out of its limits, by index and name."""
        wrong = Findings()
        if not os.path.isabs(self.directory):
            wrong.add(f"directory {self.directory} is not absolute")
        if desired is not None:
            for fault in faults(desired, self.local_names):
                wrong.add(fault)
        wrong.raise_if_any(Invalid, "MarchProxy files")

    def plan(self, desired: Mapping[str, Any] | None, state: Mapping[str, str | None]) -> list[Change]:
        """Return the files whose text differs; None requests none of them."""
        texts: Mapping[str, str | None] = dict.fromkeys(FILES) if desired is None else render(Gateway.of(desired))
        return [Change((self._path(name),), state[name], text) for name, text in texts.items() if text != state[name]]

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Replace or remove each file as a whole."""
        for change in changes:
            (path,) = change.path
            try:
                host.remove(path) if change.after is None else host.write_atomically(path, change.after)
            except OSError as error:
                raise ApplyFailed(f"{path}: {reason(error)}") from error

    def _path(self, name: str) -> str:
        return f"{self.directory}/{name}"


def _text(host: Host, path: str) -> str | None:
    # Host.read() drops the last newline, and these files are compared to the byte.
    try:
        return host.path(path).read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"{path} cannot be read: {reason(error)}; remove it or choose another directory") from error
