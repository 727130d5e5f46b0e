# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""BPF programs, maps and links in the kernel: opened, described, pinned, and links made and replaced."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .btf import Btf, unpack
from .libbpf import check, library

PROGRAM_TYPE_TRACEPOINT, PROGRAM_TYPE_XDP = 5, 6
LINK_TYPE_XDP = 6
_ATTACH_TYPE_XDP = 37
_F_REPLACE = 4
_XDP_FLAGS = {"generic": 2, "native": 4, "offload": 8}
CONSTANTS = ".rodata"
CONSTANTS_PIN = "rodata"  # a BPF file system takes no dot in a name
_VARIABLES = ".data."  # how a section begins whose variables libbpf makes a map of its own
_NAME_BYTES = 16
NAME_LIMIT = _NAME_BYTES - 1  # the kernel cuts names of programs and maps
_KINDS = {
    "anon_inode:bpf-prog": "program",
    "anon_inode:bpf-map": "map",
    "anon_inode:bpf-link": "link",
    "anon_inode:bpf_link": "link",
}
MAP_TYPES = [
    "unspec",
    "hash",
    "array",
    "prog_array",
    "perf_event_array",
    "percpu_hash",
    "percpu_array",
    "stack_trace",
    "cgroup_array",
    "lru_hash",
    "lru_percpu_hash",
    "lpm_trie",
    "array_of_maps",
    "hash_of_maps",
    "devmap",
    "sockmap",
    "cpumap",
    "xskmap",
    "sockhash",
    "cgroup_storage",
    "reuseport_sockarray",
    "percpu_cgroup_storage",
    "queue",
    "stack",
    "sk_storage",
    "devmap_hash",
    "struct_ops",
    "ringbuf",
    "inode_storage",
    "task_storage",
    "bloom_filter",
    "user_ringbuf",
    "cgrp_storage",
    "arena",
]


@dataclass(frozen=True)
class Program:
    """A loaded program.

    Attributes:
        tag: Hash of its instructions; says nothing about its maps.
    """

    id: int
    name: str
    tag: str
    type: int
    map_ids: tuple[int, ...]


@dataclass(frozen=True)
class MapLayout:
    """What must be equal for a program to use an existing map; sizes in bytes.

    Attributes:
        key, value: What the bytes mean, as ``Btf.describe`` says it; None where the map does not say.
    """

    type: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    key: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class Map:
    """A map in the kernel.

    Attributes:
        letters: How many letters of what its pin is called the kernel can have kept: fewer of variables, as the begin
            of their section's name counts.
    """

    id: int
    name: str
    layout: MapLayout
    letters: int = NAME_LIMIT


@dataclass(frozen=True)
class XdpLink:
    """A bpf_link that holds an XDP program; index is 0 once its interface is gone or it is detached."""

    id: int
    program_id: int
    index: int


class _ProgramInfo(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", ctypes.c_uint32),
        ("xlated_prog_len", ctypes.c_uint32),
        ("jited_prog_insns", ctypes.c_uint64),
        ("xlated_prog_insns", ctypes.c_uint64),
        ("load_time", ctypes.c_uint64),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * _NAME_BYTES),
    ]


class _MapInfo(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("name", ctypes.c_char * _NAME_BYTES),
        ("ifindex", ctypes.c_uint32),
        ("btf_vmlinux_value_type_id", ctypes.c_uint32),
        ("netns_dev", ctypes.c_uint64),
        ("netns_ino", ctypes.c_uint64),
        ("btf_id", ctypes.c_uint32),
        ("btf_key_type_id", ctypes.c_uint32),
        ("btf_value_type_id", ctypes.c_uint32),
        ("btf_vmlinux_id", ctypes.c_uint32),
    ]


class _BtfInfo(ctypes.Structure):
    _fields_ = [
        ("btf", ctypes.c_uint64),
        ("btf_size", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("name", ctypes.c_uint64),
        ("name_len", ctypes.c_uint32),
        ("kernel_btf", ctypes.c_uint32),
    ]


class _LinkInfo(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),  # the union behind starts at a multiple of 8
        ("ifindex", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 44),
    ]


class _LinkCreateOptions(ctypes.Structure):
    _fields_ = [("sz", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("padding", ctypes.c_uint32)]


class _LinkUpdateOptions(ctypes.Structure):
    _fields_ = [("sz", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("old_prog_fd", ctypes.c_uint32)]


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def pinned(path: str) -> Any:
    """Open what is pinned at a path; a context manager for its descriptor.

    Raises:
        OSError: Nothing is pinned there, or it may not be opened.
    """
    return _closing(check(library().bpf_obj_get(os.fsencode(path))))


def kind(descriptor: int) -> str:
    """Return what a descriptor is of: ``program``, ``map``, ``link``; "" for anything else.

    The kernel describes each kind in another structure and does not say in which, so this is asked first of what others
    may have pinned.
    """
    return _KINDS.get(os.readlink(f"/proc/self/fd/{descriptor}"), "")


def program_by_id(number: int) -> Any:
    """Open a loaded program; a context manager for its descriptor."""
    return _closing(check(library().bpf_prog_get_fd_by_id(number)))


def map_by_id(number: int) -> Any:
    """Open a map; a context manager for its descriptor."""
    return _closing(check(library().bpf_map_get_fd_by_id(number)))


def link_by_id(number: int) -> Any:
    """Open a bpf_link; a context manager for its descriptor."""
    return _closing(check(library().bpf_link_get_fd_by_id(number)))


def refusal(program_type: int) -> OSError | None:
    """Return why the kernel lets us load no program of a type, not even one that does nothing; None where it does."""
    return_zero = bytes([0xB7, *[0] * 7]) + bytes([0x95, *[0] * 7])  # r0 = 0; exit
    try:
        os.close(check(library().bpf_prog_load(program_type, b"probe", b"GPL", return_zero, 2, None)))
    except OSError as error:
        return error
    return None


def pin(descriptor: int, path: str) -> None:
    """Keep a program, map or link alive under a path of a BPF file system."""
    check(library().bpf_obj_pin(descriptor, os.fsencode(path)))


def _info(descriptor: int, info: Any) -> Any:
    length = ctypes.c_uint32(ctypes.sizeof(info))
    check(library().bpf_obj_get_info_by_fd(descriptor, ctypes.byref(info), ctypes.byref(length)))
    return info


def program_info(descriptor: int) -> Program:
    """Describe a loaded program."""
    count = _info(descriptor, _ProgramInfo()).nr_map_ids
    ids = (ctypes.c_uint32 * max(count, 1))()
    info = _info(descriptor, _ProgramInfo(nr_map_ids=count, map_ids=ctypes.addressof(ids) if count else 0))
    return Program(info.id, info.name.decode(), bytes(info.tag).hex(), info.type, tuple(ids[: info.nr_map_ids]))


def map_info(descriptor: int, meanings: bool = True) -> Map:
    """Describe a map.

    Args:
        descriptor: Of the map.
        meanings: Also what its bytes mean, which the kernel tells only those with SYS_ADMIN.
    """
    info = _info(descriptor, _MapInfo())
    types = _types(info.btf_id) if info.btf_id and meanings else None
    layout = MapLayout(
        map_type(info.type),
        info.key_size,
        info.value_size,
        info.max_entries,
        info.map_flags,
        meaning(types, info.btf_key_type_id),
        meaning(types, info.btf_value_type_id),
    )
    name = info.name.decode()
    return Map(info.id, name, layout, NAME_LIMIT - len(_VARIABLES) if name.startswith(_VARIABLES) else NAME_LIMIT)


def pin_name(name: str) -> str | None:
    """Return what a map's pin is called, by libbpf's name of the map; None where variables are no map of their own.

    Variables of a section ``.data.NAME`` are the map NAME, which lives on as others do; programs reach them without a
    look-up.
    """
    if name.endswith(CONSTANTS):
        return CONSTANTS_PIN
    name = name[len(_VARIABLES) :] if name.startswith(_VARIABLES) else name
    return None if "." in name else name


def constant(descriptor: int, name: str) -> dict[str, int] | None:
    """Return the numbers of a constant of a loaded program that is a struct, by field.

    Args:
        descriptor: The map of the program's constants.
        name: Of the constant.

    Returns:
        The numbers; None where the map does not say that it holds such a constant.
    """
    info = _info(descriptor, _MapInfo())
    types = _types(info.btf_id) if info.btf_id else None
    if types is None or types.name(info.btf_value_type_id) != CONSTANTS:
        return None
    place = types.variables(CONSTANTS).get(name)
    if place is None:
        return None
    value = ctypes.create_string_buffer(info.value_size)
    check(library().bpf_map_lookup_elem(descriptor, bytes(4), value))
    return unpack(value.raw[place.offset : place.offset + place.size], types.fields(place.type))


def meaning(types: Btf | None, number: int) -> str | None:
    """Return a type's layout as text; None where there is no such type, or it cannot be understood."""
    if types is None or not number:
        return None
    try:
        return types.describe(number)
    except ValueError:
        return None


@lru_cache(maxsize=64)  # all maps of an object share one, and numbers are not used twice
def _types(number: int) -> Btf | None:
    try:
        with _closing(check(library().bpf_btf_get_fd_by_id(number))) as descriptor:
            size = _info(descriptor, _BtfInfo()).btf_size
            raw = ctypes.create_string_buffer(size)
            _info(descriptor, _BtfInfo(btf=ctypes.addressof(raw), btf_size=size))
    except FileNotFoundError:  # gone since the map was described
        return None
    try:
        return Btf(raw.raw)
    except ValueError:
        return None


def xdp_link_info(descriptor: int) -> XdpLink | None:
    """Describe a bpf_link, or return None where it holds no XDP program."""
    info = _info(descriptor, _LinkInfo())
    return XdpLink(info.id, info.prog_id, info.ifindex) if info.type == LINK_TYPE_XDP else None


def xdp_links() -> list[XdpLink]:
    """Return all bpf_links of XDP on this machine, those of other network namespaces included."""
    found = []
    number = ctypes.c_uint32(0)
    while library().bpf_link_get_next_id(number.value, ctypes.byref(number)) == 0:
        try:
            with link_by_id(number.value) as descriptor:
                info = xdp_link_info(descriptor)
        except FileNotFoundError:  # gone since it was listed
            continue
        if info:
            found.append(info)
    return found


def create_xdp_link(program: int, index: int, mode: str) -> int:
    """Attach a program to an interface by a new bpf_link and return its descriptor; it is detached with the last one.

    Raises:
        OSError: The kernel or the driver refused; a link gives no words.
    """
    options = _LinkCreateOptions(ctypes.sizeof(_LinkCreateOptions), _XDP_FLAGS[mode], 0)
    return check(library().bpf_link_create(program, index, _ATTACH_TYPE_XDP, ctypes.byref(options)))


def update_link(link: int, new: int, old: int) -> None:
    """Replace a link's program in one step; no packet passes without one.

    Raises:
        OSError: EPERM where the link holds another program than ``old``.
    """
    options = _LinkUpdateOptions(ctypes.sizeof(_LinkUpdateOptions), _F_REPLACE, old)
    check(library().bpf_link_update(link, new, ctypes.byref(options)))


def detach_link(link: int) -> None:
    """Detach a link's program at once, whoever else holds the link."""
    check(library().bpf_link_detach(link))


def map_type(number: int) -> str:
    """Return a map type's name; its number where it is newer than this list."""
    return MAP_TYPES[number] if number < len(MAP_TYPES) else str(number)
