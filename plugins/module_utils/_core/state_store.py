# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What is requested of a host, saved on it: one JSON state file for each resource, reapplied after boot and link-up."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .converge import Change
from .system import Host

DIRECTORY = "/etc/tripod/host.d"
FORMAT = 1


@dataclass(frozen=True)
class StateFile:
    """What is requested of one resource.

    Attributes:
        name: File name without its suffix; unique on the host.
        kind: Which resource reapplies it, such as ``nic``.
        body: The request in the resource's own form, ready for JSON.
    """

    name: str
    kind: str
    body: Mapping[str, Any]


def path(name: str, directory: str = DIRECTORY) -> str:
    """Return the path of a state file."""
    return f"{directory}/{name}.json"


def load(host: Host, name: str, directory: str = DIRECTORY) -> StateFile | None:
    """Return a state file; None where there is none, or none that can be understood.

    A file that is not ours to understand (torn, or of another format) is planned anew and overwritten, as it differs
    from every state file.
    """
    text = host.read(path(name, directory))
    found = None if text is None else parse(text)
    return found and StateFile(name, *found)


def parse(text: str) -> tuple[str, dict[str, Any]] | None:
    """Return kind and body of a state file's text; None where it cannot be understood."""
    try:
        held = json.loads(text)
    except ValueError:
        return None
    if not isinstance(held, dict) or held.get("format") != FORMAT or not isinstance(held.get("kind"), str):
        return None
    return held["kind"], {key: value for key, value in held.items() if key not in ("format", "kind")}


def load_all(host: Host, directory: str = DIRECTORY) -> list[StateFile]:
    """Return every state file that can be understood, by name."""
    names = [name[: -len(".json")] for name in host.list(directory) if name.endswith(".json")]
    return [found for name in names if (found := load(host, name, directory))]


def plan(held: StateFile | None, desired: StateFile) -> list[Change]:
    """Return the change of a state file, if it differs; the last step of a resource's plan."""
    if held == desired:
        return []
    return [Change(("state file", desired.name), held and dict(held.body), dict(desired.body))]


def store(host: Host, state_file: StateFile, directory: str = DIRECTORY, mode: int = 0o644) -> None:
    """Write a state file; a reader sees the old one or the new one, never a part."""
    content = {"format": FORMAT, "kind": state_file.kind, **state_file.body}
    host.write_atomically(path(state_file.name, directory), json.dumps(content, indent=2) + "\n", mode)


def discard(host: Host, name: str, directory: str = DIRECTORY) -> None:
    """Remove a state file if it is there."""
    host.remove(path(name, directory))


def clear(host: Host, directory: str = DIRECTORY) -> None:
    """Remove what processes left that were killed before they could write a state file."""
    for left in host.leftovers(directory):
        if ".json." in os.path.basename(left):
            host.path(left).unlink(missing_ok=True)
