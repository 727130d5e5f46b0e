# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What runs on an interface, what is pinned for it, and whether the one is the other.

A pin is a name, and a name can come to stand for something else: the link under it was detached, another map was pinned
in its place, the interface moved to another network namespace. Whoever reads or writes a pin asks here first, so that
modules, agent, drift check and preflight give one answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .._core.converge import Impossible
from .._core.names import refuse_symlinks
from .._core.system import Host
from .._linux import bpf, netlink
from .._linux.bpf import Map, Program, XdpLink
from .._linux.netlink import Link
from .bpffs import on_bpffs
from .called import OURS, called, maps_of, may_mean
from .request import pin_directory

LINK, PROGRAM, JUDGE_PIN, MAPS = "link", "prog", "judge", "maps"
HALF = "~"  # a replacement that a killed run did not finish ends with it
_KIND_WORDS = {"program": "program", "map": "map", "link": "bpf_link"}
_DESCRIBE: Mapping[str, Callable[[int], Program | Map | XdpLink | None]] = {
    "program": bpf.program_info,
    "map": bpf.map_info,
    "link": bpf.xdp_link_info,
}


@dataclass(frozen=True)
class Pin:
    """What is pinned under a name.

    Attributes:
        kind: ``program``, ``map``, ``link``, or "" for something that is none of ours.
        object: Its description; None for a link that is not XDP's.
    """

    kind: str
    object: Program | Map | XdpLink | None = None

    def __str__(self) -> str:
        return f"{_KIND_WORDS.get(self.kind, 'an object')} {self.object.id if self.object else 'of another kind'}"


@dataclass(frozen=True)
class Attachment:
    """A program on the interface.

    Attributes:
        link_id: The bpf_link that holds it; None where it was attached by netlink, or where that cannot be told.
        ours: Whether our pins hold it.
        rivals: Several bpf_links that can be the holder, as they speak of one index and one program; all but one are
            in other network namespaces.
        calls: Programs that ours calls, by slot.
    """

    mode: str
    program: Program
    link_id: int | None = None
    ours: bool = False
    rivals: tuple[int, ...] = ()
    calls: Mapping[str, Program] = field(default_factory=dict)

    @property
    def judge(self) -> Program:
        """The program that judges: the attached one, or what that calls where somebody else's comes before."""
        return self.calls.get(OURS, self.program)

    def __str__(self) -> str:
        if self.rivals:
            holder = f"one of the bpf_links {', '.join(map(str, self.rivals))}"
        else:
            holder = "netlink" if self.link_id is None else f"bpf_link {self.link_id}"
        return f"{self.program.name} (id {self.program.id}, {self.mode}, by {holder})"


@dataclass(frozen=True)
class Identity:
    """What runs, and what is pinned.

    Attributes:
        interface: Its name.
        directory: Where its pins are.
        link: The interface; None where there is none of that name.
        attachments: Programs on it, ours and others'.
        pins: By name below the directory, such as ``maps/policy``.
        strange: Names below the directory that are none of ours.
        in_use: Maps of our program that runs, as the kernel names them; without those for its variables.
        elsewhere: Where the pinned link is attached, if not here: an interface's name, or "another network namespace".
    """

    interface: str
    directory: str
    link: Link | None = None
    attachments: Sequence[Attachment] = ()
    pins: Mapping[str, Pin] = field(default_factory=dict)
    strange: Sequence[str] = ()
    in_use: Sequence[Map] = ()
    elsewhere: str | None = None

    @property
    def ours(self) -> Attachment | None:
        """Our attachment."""
        return next((one for one in self.attachments if one.ours), None)

    @property
    def pinned_link(self) -> XdpLink | None:
        """The link that is pinned."""
        held = self.pins.get(LINK, Pin("")).object
        return held if isinstance(held, XdpLink) else None

    @property
    def pinned_program(self) -> Program | None:
        """The program that is pinned."""
        held = self.pins.get(PROGRAM, Pin("")).object
        return held if isinstance(held, Program) else None

    @property
    def pinned_maps(self) -> dict[str, Map]:
        """Maps that are pinned, by the name of their pin."""
        return {
            name[len(MAPS) + 1 :]: pin.object
            for name, pin in self.pins.items()
            if name.startswith(f"{MAPS}/") and isinstance(pin.object, Map) and not name.endswith(HALF)
        }

    def strays(self) -> dict[str, tuple[str | None, str | None]]:
        """Return the pins that are not what runs, by name: what is there, and what runs; None for nothing."""
        ours = self.ours
        if ours is None:
            return {}
        found: dict[str, tuple[str | None, str | None]] = {}
        held = self.pinned_link
        if ours.link_id is None and not ours.rivals and LINK in self.pins:
            found[LINK] = (str(self.pins[LINK]), None)
        elif ours.link_id is not None and (held is None or held.id != ours.link_id):
            found[LINK] = (str(self.pins[LINK]) if LINK in self.pins else None, f"bpf_link {ours.link_id}")
        program = self.pinned_program
        if PROGRAM in self.pins and (program is None or program.id != ours.program.id):
            found[PROGRAM] = (str(self.pins[PROGRAM]), f"program {ours.program.id}")
        judge, needed = self.pins.get(JUDGE_PIN), ours.judge.id if ours.judge != ours.program else None
        pinned = judge.object.id if judge and judge.object else None
        if pinned != needed or (judge and judge.kind != "program"):
            found[JUDGE_PIN] = (str(judge) if judge else None, None if needed is None else f"program {needed}")
        for name, pin in self.pins.items():
            used = self._used(name)
            if used and (pin.object is None or pin.object.id not in {one.id for one in used}):
                found[name] = (str(pin), f"map {used[0].id}")
        return found

    def _used(self, name: str) -> list[Map]:
        """Return the maps of the program that runs which a pin's name can mean; the kernel cuts their names."""
        if not name.startswith(f"{MAPS}/") or name.endswith(HALF):
            return []
        return [one for one in self.in_use if may_mean(name[len(MAPS) + 1 :], one)]

    def unproven(self, maps: Collection[str]) -> str | None:
        """Return why the pins of these maps are not those of the program that runs; None where they are."""
        if self.link is None:
            return f"interface {self.interface} does not exist, so that nothing in {self.directory} is in force"
        for name in maps:
            path, pin = f"{self.directory}/{MAPS}/{name}", self.pins.get(f"{MAPS}/{name}")
            if pin is None:
                return (
                    f"{path} does not exist: attach the program to {self.interface} with xdp_program first, or correct "
                    "pin_root"
                )
            if self.ours is None:
                runs = ", ".join(map(str, self.attachments)) or "no program"
                return (
                    f"{path} is {pin}, and its program does not run: {runs} is attached to {self.interface}; attach "
                    "the program with xdp_program first"
                )
            used = self._used(f"{MAPS}/{name}")
            if pin.object is None or pin.object.id not in {one.id for one in used}:
                runs = f"uses map {used[0].id}" if used else f"has no map {name}"
                return (
                    f"{path} is {pin}, and {self.ours.program.name} (id {self.ours.program.id}), attached to "
                    f"{self.interface}, {runs}: run xdp_program first, which pins what runs"
                )
        return None

    def require(self, maps: Collection[str]) -> None:
        """Raise where the pins of these maps are not those of the program that runs."""
        reason = self.unproven(maps)
        if reason:
            raise Impossible(reason)


def identify(host: Host, interface: str, pin_root: str) -> Identity:
    """Read what runs on an interface and what is pinned for it.

    Raises:
        Invalid: The pin root leads through a symbolic link.
        OSError: The kernel refused.
    """
    refuse_symlinks(host, pin_root, "pin_root")
    table = netlink.links()
    link = next((one for one in table if one.name == interface), None)
    directory = pin_directory(pin_root, interface)
    # Elsewhere there are no pins, whatever a directory of that name holds.
    pins, strange = read_pins(directory) if on_bpffs(host, pin_root) else ({}, [])
    found = Identity(interface, directory, link, pins=pins, strange=strange)
    found = replace(found, attachments=_attachments(link, pins))
    return replace(found, in_use=_maps_in_use(found.ours), elsewhere=_elsewhere(found, table))


def read_pins(directory: str) -> tuple[dict[str, Pin], list[str]]:
    """Return what is pinned in an interface's directory, by name, and the names of what is none of ours."""
    pins: dict[str, Pin] = {}
    strange = []
    for name in _names(directory):
        if name != MAPS and name.rstrip(HALF) not in (LINK, PROGRAM, JUDGE_PIN):
            strange.append(name)
        elif name != MAPS:
            pins[name] = _read_pin(f"{directory}/{name}")
    for name in _names(f"{directory}/{MAPS}"):
        if os.path.isdir(f"{directory}/{MAPS}/{name}"):
            strange.append(f"{MAPS}/{name}")
        else:
            pins[f"{MAPS}/{name}"] = _read_pin(f"{directory}/{MAPS}/{name}")
    return pins, strange


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read_pin(path: str) -> Pin:
    if os.path.isdir(path):
        return Pin("")
    with bpf.pinned(path) as descriptor:
        return _describe(descriptor)


def _describe(descriptor: int) -> Pin:
    kind = bpf.kind(descriptor)
    return Pin(kind, _DESCRIBE[kind](descriptor) if kind else None)


def is_pinned(descriptor: int, path: str) -> bool:
    """Whether a path is a pin of this very program, map or link."""
    if not os.path.exists(path):
        return False
    there, own = _read_pin(path), _describe(descriptor)
    return there.object is not None and there == own


def _attachments(link: Link | None, pins: Mapping[str, Pin]) -> list[Attachment]:
    if link is None or link.xdp.mode is None:
        return []
    links = {pin.object.id for name, pin in pins.items() if name.startswith(LINK) and isinstance(pin.object, XdpLink)}
    programs = {
        pin.object.id for name, pin in pins.items() if name.startswith(PROGRAM) and isinstance(pin.object, Program)
    }
    found = []
    for mode, number in link.xdp.programs.items():
        with bpf.program_by_id(number) as descriptor:
            program = bpf.program_info(descriptor)
            holders = link_holders(link, mode, number, descriptor)
        known = [one for one in holders if one in links] or holders
        ours = number in programs or any(one in links for one in holders)
        found.append(
            Attachment(
                mode,
                program,
                known[0] if len(known) == 1 else None,
                ours,
                tuple(known) if len(known) > 1 else (),
                called(program) if ours else {},
            )
        )
    return found


def link_holders(link: Link, mode: str, number: int, program: int) -> list[int]:
    """Return the bpf_links that can hold a program on an interface; none where it was attached by netlink.

    Args:
        link: The interface.
        mode: How the program is attached.
        number: The program's id.
        program: Its descriptor.
    """
    # An index means something in one network namespace only, and the kernel lists the links of all of them.
    named = [one.id for one in bpf.xdp_links() if (one.index, one.program_id) == (link.index, number)]
    return named if named and netlink.held_by_link(link.index, program, mode) else []


def _maps_in_use(ours: Attachment | None) -> list[Map]:
    return list(maps_of(ours.program)) if ours else []


def _elsewhere(found: Identity, table: Sequence[Link]) -> str | None:
    held, ours = found.pinned_link, found.ours
    if held is None or held.index == 0 or (ours and held.id in (ours.link_id, *ours.rivals)):
        return None
    if ours and _pinned_beside(found.directory, held.id):
        return None  # it stays where it is, whatever becomes of this pin
    there = next((one for one in table if one.index == held.index), None)
    if there:
        for mode, number in there.xdp.programs.items():
            if number == held.program_id:
                with bpf.program_by_id(number) as descriptor:
                    if held.id in link_holders(there, mode, number, descriptor):
                        return there.name
    return "another network namespace"


def _pinned_beside(directory: str, number: int) -> bool:
    """Whether another interface's pins hold a bpf_link too."""
    root = os.path.dirname(directory)
    for name in _names(root):
        path = f"{root}/{name}/{LINK}"
        if f"{root}/{name}" != directory and os.path.exists(path):
            pin = _read_pin(path)
            if isinstance(pin.object, XdpLink) and pin.object.id == number:
                return True
    return False
