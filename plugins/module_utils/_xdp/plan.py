# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What is asked of an interface's XDP program, what there is, and the steps from one to the other: pure functions."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._core import state_store
from .._core.converge import Change, Findings, Impossible, Invalid, Refused
from .._linux import bpf
from .._linux.bpf import Map, MapLayout, Program, XdpLink
from .._linux.netlink import Link
from .limits import Device
from .limits import obstacles as device_obstacles

KIND = "xdp"
PIN_ROOT = "/sys/fs/bpf/tripod"
STATE_DIRECTORY = state_store.DIRECTORY
MODES = ("native", "generic", "offload")
DIRECTORY_MODE = 0o750
_MAP_MODE, _OBJECT_MODE = 0o660, 0o640
_SHA256 = re.compile(r"[0-9a-f]{64}")


def pin_directory(pin_root: str, interface: str) -> str:
    """Return where an interface's pins are; a BPF file system takes no dot in a name, and an interface no colon."""
    return f"{pin_root}/{interface.replace('.', ':')}"


def policy_state_file(interface: str) -> str:
    """Return the name of the document that holds the entries of an interface's maps."""
    return f"xdp_map-{interface}"


@dataclass(frozen=True)
class Desired:
    """What is asked of an interface.

    Attributes:
        present: Whether the program is to be attached.
        object: Path of the BPF ELF object.
        sha256: What its digest must be; None accepts any.
        program: Name of the program; None where the object has one XDP program only.
        pin_group: Group id that may read the pins and write the maps.
        recreate_maps: Whether maps of another layout are made anew, losing their entries.
        replace_foreign: Whether another owner's program is detached.
    """

    interface: str
    present: bool = True
    object: str = ""
    sha256: str | None = None
    program: str | None = None
    mode: str = "native"
    pin_root: str = PIN_ROOT
    pin_group: int = 0
    recreate_maps: bool = False
    replace_foreign: bool = False
    state_directory: str = STATE_DIRECTORY

    @property
    def pins(self) -> str:
        """Directory of this interface's pins."""
        return pin_directory(self.pin_root, self.interface)

    @property
    def state_file(self) -> str:
        """Name of the state document."""
        return f"xdp-{self.interface}"

    @property
    def policy(self) -> str:
        """Name of the document that holds the entries of the maps, which go with them."""
        return policy_state_file(self.interface)

    @property
    def state_files(self) -> list[str]:
        """Paths of both documents."""
        return [state_store.path(name, self.state_directory) for name in (self.state_file, self.policy)]


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
        state_file: Body of the state document; empty for one that cannot be understood.
        policy: Whether a document holds entries for our maps.
        source: The object file; None where none is asked for.
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
        """Digest of the object behind our attachment; None where the document does not speak of that program."""
        if self.state_file is None or self.ours is None:
            return None
        loaded = self.state_file.get("loaded") or {}
        return self.state_file.get("sha256") if loaded.get("id") == self.ours.program.id else None


def validate(desired: Desired, state: State) -> None:
    """Raise with every reason at once, each with its remedy."""
    headline = f"{desired.interface}: nothing was changed"
    if not desired.present:
        if (state.link and state.link.xdp.mode) or state.state_file:
            Findings(list(state.obstacles)).raise_if_any(Impossible, headline)
        return
    faults = _faults(desired, state)
    # One that runs already proves that it can.
    runs = state.ours is not None and state.ours.mode == desired.mode
    limits = [*state.obstacles, *([] if runs else map(str, device_obstacles(state.device, desired.mode)))]
    refusals = _foreign_holds(desired, state)
    if not faults and not limits and not desired.recreate_maps and _reloads(desired, state):
        refusals += _lost_maps(desired, state)
    kind = Invalid if faults else Impossible if limits else Refused
    Findings([*faults, *limits, *refusals]).raise_if_any(kind, headline)


def plan(desired: Desired, state: State) -> list[Change]:
    """Return the steps to the wanted attachment."""
    return _plan_attach(desired, state) if desired.present else _plan_detach(desired, state)


def touches_traffic(changes: Sequence[Change]) -> bool:
    """Whether a plan touches more than permissions and documents."""
    return any(change.path[1] not in ("permissions", "state file", "policy") for change in changes)


def facts(state: State) -> dict[str, Any]:
    """Return what a module tells of our attachment; empty values where there is none."""
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


def _faults(desired: Desired, state: State) -> list[str]:
    """Return what is wrong with the request itself."""
    faults = []
    source = state.source or Source()
    if state.link is None:
        known = ", ".join(state.interfaces.values()) or "none"
        faults.append(f"interface {desired.interface} does not exist; there are {known}")
    if desired.sha256 is not None and not _SHA256.fullmatch(desired.sha256):
        faults.append(f"sha256 {desired.sha256!r} is not 64 lower-case hexadecimal digits")
    elif desired.sha256 is not None and source.sha256 and desired.sha256 != source.sha256:
        faults.append(
            f"object {desired.object} has SHA-256 {source.sha256}, {desired.sha256} is expected: "
            "copy the right object, or correct sha256"
        )
    if source.error:
        faults.append(source.error)
    elif state.source and desired.program is None and len(source.programs) != 1:
        faults.append(f"object {desired.object} holds {_listing(source.programs)}: name one with 'program'")
    elif state.source and desired.program is not None and desired.program not in source.programs:
        held = _listing(source.programs)
        faults.append(f"object {desired.object} has no XDP program {desired.program}; it holds {held}")
    return faults


def _listing(programs: Sequence[str]) -> str:
    return "no XDP program" if not programs else "the XDP programs " + ", ".join(programs)


def _lost_maps(desired: Desired, state: State) -> list[str]:
    """Return the pinned maps whose entries the new object would lose."""
    source = state.source or Source()
    lost = []
    for name, requested in source.maps.items():
        if name not in state.maps or fits(state.maps[name].layout, requested):
            continue
        pinned = state.maps[name].layout
        differences = ", ".join(
            f"{attribute} {getattr(pinned, attribute)} -> {getattr(requested, attribute)}"
            for attribute in ("type", "key_size", "value_size", "max_entries", "flags")
            if getattr(pinned, attribute) != getattr(requested, attribute)
        )
        lost.append(
            f"map {name} does not fit the pinned one ({differences}), whose entries would be lost: "
            "save them and set 'incompatible_maps: recreate', or keep the layout"
        )
    return lost


def fits(pinned: MapLayout, requested: MapLayout) -> bool:
    """Whether a pinned map can serve a program that asks for this one."""
    # Entries asked as 0 are counted by libbpf when it loads (per CPU, per page).
    return pinned == (replace(requested, max_entries=pinned.max_entries) if requested.max_entries == 0 else requested)


def _foreign_holds(desired: Desired, state: State) -> list[str]:
    """Return what is not ours and in the way."""
    link, held = state.link, state.pinned_link
    if link is None:
        return []
    holds = []
    if held and held.index not in (0, link.index) and held.index in state.interfaces:
        holds.append(
            f"the pins in {desired.pins} hold interface {state.interfaces[held.index]} (renamed?): "
            f"remove {desired.pins} first, which detaches it there"
        )
    for one in () if desired.replace_foreign else state.foreign:
        if one.program.name == "xdp_dispatcher":
            way = f"'xdp-loader unload {link.name} --all'"
        elif one.link_id is not None:
            way = f"its owner's tool, or 'bpftool link detach id {one.link_id}'"
        else:
            way = f"'ip link set dev {link.name} {_IP_WORDS[one.mode]} off'"
        holds.append(f"{one} is attached and not ours: detach it with {way}, or set 'replace_foreign: true'")
    return holds


_IP_WORDS = {"native": "xdpdrv", "generic": "xdpgeneric", "offload": "xdpoffload"}


def program_name(desired: Desired, state: State) -> str:
    """Return the program's name in the object."""
    return desired.program or (state.source or Source()).programs[0]


def _reloads(desired: Desired, state: State) -> bool:
    return touches_traffic(_plan_attach(desired, state))


def _plan_attach(desired: Desired, state: State) -> list[Change]:
    name = desired.interface
    ours, source, link = state.ours, state.source or Source(), state.link
    hardware = link is not None and link.kind is None and desired.mode != "generic"
    changes = [Change((name, "foreign", one.mode), str(one), None, disrupts=True) for one in state.foreign]
    if ours is None:
        changes.append(Change((name, "mode"), None, desired.mode, disrupts=hardware))
    elif ours.mode != desired.mode:
        changes.append(Change((name, "mode"), ours.mode, desired.mode, disrupts=True))
    if ours is None or state.loaded_sha256 != source.sha256:
        before = None if ours is None else state.loaded_sha256 or f"unknown, program tag {ours.program.tag}"
        changes.append(Change((name, "object"), before, source.sha256))
    program = program_name(desired, state)
    if ours is None or ours.program.name != program[: bpf.NAME_LIMIT]:
        changes.append(Change((name, "program"), ours.program.name if ours else None, program))
    if ours and f"{desired.pins}/prog" not in state.permissions:
        changes.append(Change((name, "pins", "prog"), None, "pinned"))
    changes += _plan_maps(desired, state, reloads=bool(changes))
    if not changes:
        changes += _plan_permissions(desired, state)
        held = {key: value for key, value in (state.state_file or {}).items() if key != "loaded"}
        requested = request(desired, state)
        if held != requested:
            changes.append(Change((name, "state file"), held or None, requested))
    return changes


def _plan_maps(desired: Desired, state: State, reloads: bool) -> list[Change]:
    name = desired.interface
    source = state.source or Source()
    changes = []
    for one, layout in source.maps.items():
        if one not in state.maps:
            changes.append(Change((name, "maps", one), None, _show_layout(layout)))
        elif reloads and not fits(state.maps[one].layout, layout):
            changes.append(Change((name, "maps", one), _show_layout(state.maps[one].layout), _show_layout(layout)))
        elif f"{desired.pins}/maps/{one}" not in state.permissions:
            changes.append(Change((name, "pins", f"maps/{one}"), None, "pinned"))
    for path in stale_maps(desired, state):
        changes.append(Change((name, "maps", os.path.basename(path)), "pinned", None))
    return changes


def _plan_permissions(desired: Desired, state: State) -> list[Change]:
    return [
        Change(
            (desired.interface, "permissions", path),
            _show_permission(state.permissions.get(path)),
            _show_permission(one),
        )
        for path, one in desired_permissions(desired, state).items()
        if state.permissions.get(path) != one
    ]


def _plan_detach(desired: Desired, state: State) -> list[Change]:
    name = desired.interface
    changes = []
    if state.ours:
        hardware = state.link is not None and state.link.kind is None and state.ours.mode != "generic"
        changes.append(Change((name, "program"), str(state.ours), None, disrupts=hardware))
    if desired.pins in state.permissions:
        changes.append(Change((name, "pins"), desired.pins, None))
    if state.state_file is not None:
        changes.append(Change((name, "state file"), desired.state_files[0], None))
    if state.policy:
        changes.append(Change((name, "policy"), desired.state_files[1], None))
    return changes


def stale_maps(desired: Desired, state: State) -> list[str]:
    """Return the pins of maps that the object has not."""
    kept = {f"{desired.pins}/maps/{name}" for name in (state.source or Source()).maps}
    return [path for path in state.permissions if path.startswith(f"{desired.pins}/maps/") and path not in kept]


def desired_permissions(desired: Desired, state: State) -> dict[str, tuple[int, int]]:
    """Return group id and mode of every pin and directory, by path."""
    modes = {desired.pin_root: DIRECTORY_MODE, desired.pins: DIRECTORY_MODE, f"{desired.pins}/maps": DIRECTORY_MODE}
    modes[f"{desired.pins}/prog"] = _OBJECT_MODE
    if f"{desired.pins}/link" in state.permissions:
        modes[f"{desired.pins}/link"] = _OBJECT_MODE
    for name in (state.source or Source()).maps:
        modes[f"{desired.pins}/maps/{name}"] = _MAP_MODE
    return {path: (desired.pin_group, mode) for path, mode in modes.items()}


def _show_permission(permission: tuple[int, int] | None) -> str | None:
    return permission and f"group {permission[0]}, mode {permission[1]:04o}"


def _show_layout(layout: MapLayout) -> str:
    return f"{layout.type}, key {layout.key_size} B, value {layout.value_size} B, {layout.max_entries} entries"


def request(desired: Desired, state: State) -> dict[str, Any]:
    """Return the body of the document: what was asked, and of which hardware."""
    link = state.link
    if link is None:
        raise AssertionError("validate() lets no attachment through without an interface")
    return {
        "interface": desired.interface,
        "mac": link.permanent_mac or link.mac,
        "bus": link.bus,
        "bus_address": link.bus_address,
        "object": desired.object,
        "sha256": (state.source or Source()).sha256,
        "program": program_name(desired, state),
        "mode": desired.mode,
        "pin_root": desired.pin_root,
        "pin_group": desired.pin_group,
        "state_dir": desired.state_directory,
    }
