# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Keys that are ours in a JSON file that is not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._core.converge import Change, Invalid
from .._core.system import Host


@dataclass(frozen=True)
class JsonContent:
    """The file as it is.

    Attributes:
        values: The object in it; None where there is no file.
        written: When it was last written, in seconds since the epoch; None where there is no file.
    """

    values: Mapping[str, Any] | None
    written: float | None


@dataclass(frozen=True)
class JsonFile:
    """Resource: merge an object into a JSON file, key by key, and leave every other key as it is.

    Objects are merged at every depth; lists and scalars are replaced.
    """

    path: str

    def read(self, host: Host) -> JsonContent:
        """Return the file's object and age.

        Raises:
            Invalid: The file is there but holds no JSON object.
        """
        text = host.read(self.path)
        if text is None:
            return JsonContent(None, None)
        try:
            values = json.loads(text) if text.strip() else {}
        except ValueError as error:
            raise Invalid(f"{self.path} is not valid JSON ({error}); mend or remove it, nothing was changed") from error
        if not isinstance(values, dict):
            raise Invalid(
                f"{self.path} holds a {type(values).__name__}, not an object; mend or remove it, nothing was changed"
            )
        return JsonContent(values, host.path(self.path).stat().st_mtime)

    def validate(self, desired: Mapping[str, Any], state: JsonContent) -> None:
        """Accept any object: the file's reader knows its own keys."""

    def plan(self, desired: Mapping[str, Any], state: JsonContent) -> list[Change]:
        """Return one change per leaf that differs."""
        return list(_differences((), desired, state.values or {}))

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write the merged object in one step."""
        merged = dict(self.read(host).values or {})
        for change in changes:
            _set(merged, change.path, change.after)
        host.write_atomically(self.path, json.dumps(merged, indent=2) + "\n")


def _differences(path: tuple[str, ...], desired: Mapping[str, Any], have: Mapping[str, Any]) -> Iterator[Change]:
    for key, value in desired.items():
        current = have.get(key)
        if isinstance(value, Mapping) and isinstance(current, Mapping):
            yield from _differences((*path, key), value, current)
        elif key not in have or current != value:
            yield Change((*path, key), current, value)


def _set(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        inner = tree.get(name)
        tree[name] = dict(inner) if isinstance(inner, Mapping) else {}
        tree = tree[name]
    tree[path[-1]] = value


def restart_reason(path: str, file: JsonContent, started: float | None) -> str:
    """Return why the file's reader must restart to see it, or an empty string.

    Args:
        path: The file.
        file: The file as it is.
        started: When its reader started, in seconds since the epoch; None where it does not run.
    """
    if file.written is None or started is None or file.written <= started:
        return ""
    return f"{path} is {file.written - started:.0f} s newer than the running daemon that reads it"
