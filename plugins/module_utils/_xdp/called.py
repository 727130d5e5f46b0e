# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which programs of others the program of an interface calls: what its array of programs holds."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace

from .._linux import bpf, bpf_map
from .._linux.bpf import Map, Program
from .._linux.libbpf import library

EXTENSIONS = "extensions"  # the array
BEFORE, OURS, AFTER = "before", "ours", "after"
SLOTS = (BEFORE, OURS, AFTER)  # as ``enum tripod_extension`` numbers them
OTHERS = (BEFORE, AFTER)
PROGRAMS = "prog_array"
JUDGE, ENTRY = "tripod_xdp", "tripod_entry"
_MARK = ":"  # in the name of a pin: whose map it is; no map has one in its name


def entry_of(judge: str) -> str:
    """Return the name of the program that is attached where somebody else's comes before the one that judges."""
    return f"{ENTRY}{judge[len(JUDGE) :]}"


def theirs(slot: str, name: str) -> str:
    """Return the name of the pin of a map of somebody else's program."""
    return f"{slot}{_MARK}{name}"


def owner_of(pin: str) -> tuple[str, str]:
    """Return whose map a pin's name speaks of, "" for ours, and the map's own name."""
    slot, _mark, name = pin.rpartition(_MARK)
    return slot, name


def may_mean(pin: str, used: Map) -> bool:
    """Whether a pin can be that of a map from ``maps_of``, by as much of its name as the kernel has kept."""
    slot, name = owner_of(pin)
    cut = name[: used.letters]
    return used.name == (theirs(slot, cut) if slot else cut)


def called(program: Program) -> dict[str, Program]:
    """Return the programs that one of ours calls, by the slot that they are in.

    Nothing calls what lies in front of a program that is attached itself.
    """
    if not program.name.startswith((JUDGE, ENTRY)):
        return {}
    for number in program.map_ids:
        with bpf.map_by_id(number) as array:
            found = bpf.map_info(array, meanings=False)
            if (found.name, found.layout.type, found.layout.max_entries) == (EXTENSIONS, PROGRAMS, len(SLOTS)):
                held = dict(_held(array))
                return held if program.name.startswith(ENTRY) else {one: held[one] for one in (AFTER,) if one in held}
    return {}


def numbers(array: int) -> dict[str, int]:
    """Return the numbers of the programs in an array, by the slot that they are in."""
    found = {}
    for place, slot in enumerate(SLOTS):
        number = ctypes.c_uint32()
        if library().bpf_map_lookup_elem(array, struct.pack("=I", place), ctypes.byref(number)) == 0:
            found[slot] = number.value
    return found


def _held(array: int) -> Iterator[tuple[str, Program]]:
    for slot, number in numbers(array).items():
        with bpf.program_by_id(number) as descriptor:
            yield slot, bpf.program_info(descriptor)


def maps_of(program: Program) -> Iterator[Map]:
    """Yield the maps of a program and of what it calls, by the names of their pins; without those for variables."""
    calls = called(program)
    own = list(_maps(calls.get(OURS, program)))
    yield from own
    for slot in OTHERS:
        for used in _maps(calls[slot]) if slot in calls else ():
            if used.id not in {one.id for one in own}:
                yield replace(used, name=theirs(slot, used.name))


def _maps(program: Program) -> Iterator[Map]:
    for number in program.map_ids:
        with bpf.map_by_id(number) as descriptor:
            used = bpf.map_info(descriptor)
        if name := bpf.pin_name(used.name):
            yield replace(used, name=name)


def fill(array: int, programs: Mapping[str, int]) -> None:
    """Put programs into an array.

    Args:
        array: Its descriptor.
        programs: Their descriptors, by slot.

    Raises:
        OSError: EINVAL where one is of another kind than those that the array is for.
    """
    bpf_map.update(
        array, [(struct.pack("=I", SLOTS.index(slot)), struct.pack("=I", one)) for slot, one in programs.items()]
    )
