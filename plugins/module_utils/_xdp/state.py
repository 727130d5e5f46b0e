# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""An interface, its XDP programs, our pins and the object file, as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._linux.bpf import Map, MapLayout, Program, XdpLink
from .._linux.netlink import Link
from .drivers import Device


@dataclass(frozen=True)
class Source:
    """The object file as libbpf reads it.

    Attributes:
        error: Why it cannot be used; the rest is empty then.
    """

    sha256: str = ""
    programs: Sequence[str] = ()
    maps: Mapping[str, MapLayout] = field(default_factory=dict)
    content: bytes = b""
    error: str | None = None


@dataclass(frozen=True)
class Attachment:
    """A program on the interface.

    Attributes:
        link_id: The bpf_link that holds it; None where it was attached by netlink.
        ours: Whether our pins hold it.
    """

    mode: str
    program: Program
    link_id: int | None = None
    ours: bool = False

    def __str__(self) -> str:
        holder = "netlink" if self.link_id is None else f"bpf_link {self.link_id}"
        return f"{self.program.name} (id {self.program.id}, {self.mode}, by {holder})"


@dataclass(frozen=True)
class State:
    """An interface, our pins and the object file as they are.

    Attributes:
        link: The interface; None where there is none of that name.
        interfaces: Names of all interfaces, by index.
        attachments: Programs on it, ours and others'.
        pinned_link: The bpf_link under our pin.
        maps: Our maps by name: pinned, or in use by our program though their pin is gone.
        permissions: Group id and mode of every pin and directory, by path.
        state_file: Body of the state file; empty for one that cannot be understood.
        policy: Whether a state file holds entries for our maps.
        source: The object file; None where none is requested.
        device: What decides whether the interface runs a program.
        obstacles: What keeps this host from XDP at all, each with its remedy.
    """

    link: Link | None
    interfaces: Mapping[int, str] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    pinned_link: XdpLink | None = None
    maps: Mapping[str, Map] = field(default_factory=dict)
    permissions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    state_file: Mapping[str, Any] | None = None
    policy: bool = False
    source: Source | None = None
    device: Device = field(default_factory=lambda: Device(""))
    obstacles: Sequence[str] = ()

    @property
    def ours(self) -> Attachment | None:
        """Our attachment."""
        return next((one for one in self.attachments if one.ours), None)

    @property
    def foreign(self) -> list[Attachment]:
        """Attachments of others."""
        return [one for one in self.attachments if not one.ours]

    @property
    def loaded_sha256(self) -> str | None:
        """Digest of the object behind our attachment; None where the state file does not speak of that program."""
        if self.state_file is None or self.ours is None:
            return None
        loaded = self.state_file.get("loaded") or {}
        return self.state_file.get("sha256") if loaded.get("id") == self.ours.program.id else None


def facts(state: State) -> dict[str, Any]:
    """Return what a module reports of our attachment; empty values where there is none."""
    ours = state.ours
    if ours is None:
        return {"mode": None, "program": None, "maps": [], "sha256": None}
    return {
        "mode": ours.mode,
        "program": {"id": ours.program.id, "name": ours.program.name, "tag": ours.program.tag},
        "maps": [
            {
                "name": name,
                "id": one.id,
                "type": one.layout.type,
                "key_size": one.layout.key_size,
                "value_size": one.layout.value_size,
                "max_entries": one.layout.max_entries,
            }
            for name, one in sorted(state.maps.items())
        ],
        "sha256": state.loaded_sha256,
    }
