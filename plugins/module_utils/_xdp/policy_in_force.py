# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The compiled policy that a program judges by: read, made, and put in the place of another.

A program reads a policy at offsets that are its constants, the bounds. A policy for other bounds needs a program that
is loaded anew, with an outer map of its own.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from .._core.converge import ApplyFailed
from .._linux import bpf, bpf_map, btf, map_in_map
from .._linux.bpf import Map
from .._linux.bpf_object import BpfObject
from .._linux.libbpf import library
from .._policy.compiler import Compiled
from .._policy.layout import HEADER, header_digest

POLICY, HITS, CONSTANTS = "policy", "hits", bpf.CONSTANTS_PIN
MAPS = (POLICY, HITS, CONSTANTS)
_BOUNDS, _HZ = "bounds", "hz"


@dataclass(frozen=True)
class InForce:
    """What a loaded program judges by.

    Attributes:
        bounds: ``struct policy_bounds`` of the program.
        digest: Of what the policy was compiled from; None where it is of another ABI, or there is none.
    """

    bounds: Mapping[str, int]
    digest: bytes | None = None


def read_in_force(maps: Mapping[str, Map]) -> InForce | None:
    """Return what a program judges by; None where it is none that takes a policy.

    Args:
        maps: The program's, by name.
    """
    if POLICY not in maps or CONSTANTS not in maps:
        return None
    with bpf.map_by_id(maps[CONSTANTS].id) as constants:
        bounds = bpf.constant(constants, _BOUNDS)
    if bounds is None:
        return None
    with bpf.map_by_id(maps[POLICY].id) as outer:
        return InForce(bounds, digest_of(outer))


def digest_of(outer: int) -> bytes | None:
    """Return the digest of the policy in an outer map; None where it is of another ABI, or there is none."""
    inner = map_in_map.held(outer)
    if inner is None:
        return None
    try:
        with bpf.map_by_id(inner) as descriptor:
            return header_digest(map_in_map.begin(descriptor, HEADER.size))
    except FileNotFoundError:  # exchanged since it was looked up
        return None


def takes_policy(opened: BpfObject) -> bool:
    """Whether an object's program judges by a compiled policy."""
    return POLICY in opened.maps() and bool(opened.fields(_BOUNDS))


def equip(opened: BpfObject, compiled: Compiled, hz: int, inner: int) -> None:
    """Prepare an object for a policy, before it is loaded.

    Args:
        opened: The object.
        compiled: The policy.
        hz: Ticks of the kernel in a second.
        inner: Descriptor of a map with the policy.

    Raises:
        ApplyFailed: The object's bounds are not those that the compiler knows.
    """
    fields, places = opened.fields(_BOUNDS), opened.constants()
    if fields.keys() != compiled.bounds.keys():
        unknown = ", ".join(sorted(fields.keys() ^ compiled.bounds.keys()))
        raise ApplyFailed(
            f"the object is of another release than this compiler of policies (bounds {unknown}): take both from one"
        )
    values = {_BOUNDS: btf.pack(compiled.bounds, fields, places[_BOUNDS].size)}
    if _HZ in places:
        values[_HZ] = hz.to_bytes(places[_HZ].size, sys.byteorder)
    opened.set_constants(values)
    opened.set_template(POLICY, inner)


@contextmanager
def made(compiled: Compiled) -> Iterator[int]:
    """Make the map that holds a policy; gives its descriptor."""
    with map_in_map.made(POLICY, compiled.bounds["size"], compiled.data) as inner:
        yield inner


def put(outer: int, hits: int, inner: int, slots: Iterable[int]) -> None:
    """Put a policy in the place of another; no packet sees half of one, and on return none is judged by the former.

    Args:
        outer: Descriptor of the map ``policy``.
        hits: Descriptor of the counters.
        inner: Descriptor of a map that was made for the policy.
        slots: What parts get that had none or another. They are zero before they are counted in, whatever a part that
            had one before left there.

    Raises:
        OSError: The kernel refused.
    """
    _clear(hits, slots)
    map_in_map.exchange(outer, inner)


def _clear(hits: int, slots: Iterable[int]) -> None:
    layout = bpf.map_info(hits).layout
    cpus = int(library().libbpf_num_possible_cpus())
    nothing = ctypes.create_string_buffer(-(-layout.value_size // 8) * 8 * cpus).raw
    bpf_map.update(hits, [(struct.pack("=I", slot), nothing) for slot in slots])


def new_slots(before: Mapping[str, int], after: Mapping[str, int]) -> Collection[int]:
    """Return the slots that parts get which had none, or another."""
    return sorted(slot for part, slot in after.items() if before.get(part) != slot)
