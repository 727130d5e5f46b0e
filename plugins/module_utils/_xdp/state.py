# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""An interface, its XDP programs, our pins and the object file, as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._linux.bpf import Map, MapLayout, Program, XdpLink
from .._linux.netlink import Link
from .drivers import Device
from .identity import HALF, MAPS, Attachment, Pin
from .request import Desired

__all__ = ["Attachment", "Source", "State", "facts"]


@dataclass(frozen=True)
class Source:
    """The object file as libbpf reads it.

    Attributes:
        error: Why it cannot be used; the rest is empty then.
        fragments: Its programs that take packets in several buffers (``xdp.frags``).
        takes_policy: Whether its program judges by a compiled policy.
        own_maps: Its maps that it fills itself, with programs for tail calls and with constants.
    """

    sha256: str = ""
    programs: Sequence[str] = ()
    maps: Mapping[str, MapLayout] = field(default_factory=dict)
    content: bytes = b""
    error: str | None = None
    fragments: Sequence[str] = ()
    own_maps: Sequence[str] = ()
    takes_policy: bool = False


@dataclass(frozen=True)
class State:
    """An interface, our pins and the object file as they are.

    Attributes:
        link: The interface; None where there is none of that name.
        interfaces: Names of all interfaces, by index.
        attachments: Programs on it, ours and others'.
        pinned_link: The bpf_link under our pin.
        elsewhere: Where that is attached, if not here: an interface's name, or "another network namespace".
        maps: Our maps by name: in use by our program that runs, or by the one that ran last, or else pinned.
        strays: Pins that are not what runs, by name below our directory: what is there, and what runs.
        pins: What is pinned there, by the same names.
        strange: Names there that are none of ours.
        pin_root: Where our pins are, if not where they are requested: the state file says so.
        other_pins: A second directory with pins for this interface.
        orphans: Directories of saved pins that no guard speaks of.
        permissions: Group id and mode of every pin and directory, by path.
        state_file: Body of the state file; empty for one that cannot be understood.
        policy: Paths of the state files that say how the interface is judged, and go with it.
        source: The object file, with the maps of others' programs; None where none is requested.
        extensions: Object files of others' programs, by slot.
        device: What decides whether the interface runs a program.
        obstacles: What keeps this host from XDP at all, each with its remedy.
    """

    link: Link | None
    interfaces: Mapping[int, str] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    pinned_link: XdpLink | None = None
    elsewhere: str | None = None
    maps: Mapping[str, Map] = field(default_factory=dict)
    strays: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    pins: Mapping[str, Pin] = field(default_factory=dict)
    strange: Sequence[str] = ()
    pin_root: str | None = None
    other_pins: str | None = None
    orphans: Sequence[str] = ()
    permissions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    state_file: Mapping[str, Any] | None = None
    policy: Sequence[str] = ()
    source: Source | None = None
    extensions: Mapping[str, Source] = field(default_factory=dict)
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
    def halves(self) -> list[str]:
        """Names of replacements of link and program that a killed run left; those of maps are stale maps."""
        return [name for name in self.pins if name.endswith(HALF) and not name.startswith(f"{MAPS}/")]

    @property
    def moved(self) -> bool:
        """Whether our link took its program to another interface's name, or to another network namespace."""
        held, pinned = self.pinned_link, self.pins.get("prog", Pin("")).object
        loaded = (self.state_file or {}).get("loaded") or {}
        return (
            self.elsewhere is not None
            and held is not None
            and held.program_id in (loaded.get("id"), pinned.id if pinned else None)
        )

    def in_force(self, desired: Desired) -> Desired:
        """Return what is requested with the place of the pins that are there."""
        return replace(desired, pin_root=self.pin_root) if self.pin_root else desired

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
        return {"mode": None, "program": None, "maps": [], "sha256": None, "extensions": {}}
    return {
        "mode": ours.mode,
        "program": _described(ours.program),
        "extensions": {slot: _described(one) for slot, one in sorted(ours.calls.items())},
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


def _described(program: Program) -> dict[str, Any]:
    return {"id": program.id, "name": program.name, "tag": program.tag}
