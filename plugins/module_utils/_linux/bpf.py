# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""BPF objects, programs, maps and links through libbpf's stable C ABI.

libbpf.so.1 comes with iproute2, so a host needs no compiler, no bcc and no Python package. Structures handed to it
start with their size, so a newer libbpf accepts ours and reads what we do not know as zero.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Callable

from .._core.converge import ApplyFailed, Impossible, Invalid

PROGRAM_TYPE_TRACEPOINT, PROGRAM_TYPE_XDP = 5, 6
LINK_TYPE_XDP = 6
_ATTACH_TYPE_XDP = 37
_F_REPLACE = 4
_XDP_FLAGS = {"generic": 2, "native": 4, "offload": 8}
_ENOTSUPP = 524  # the kernel's own number, which has leaked to user space; libc has no name for it
_NO_BATCH = {errno.EINVAL, errno.EOPNOTSUPP, _ENOTSUPP}
_NAME_BYTES = 16
NAME_LIMIT = _NAME_BYTES - 1  # the kernel cuts names of programs and maps
_PRINT_WARNING = 0
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
    """What must be equal for a program to use an existing map; sizes in bytes."""

    type: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int


@dataclass(frozen=True)
class Map:
    """A map in the kernel."""

    id: int
    name: str
    layout: MapLayout


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


class _OpenOptions(ctypes.Structure):
    _fields_ = [("sz", ctypes.c_size_t), ("object_name", ctypes.c_char_p)]


class _LinkCreateOptions(ctypes.Structure):
    _fields_ = [("sz", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("padding", ctypes.c_uint32)]


class _LinkUpdateOptions(ctypes.Structure):
    _fields_ = [("sz", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("old_prog_fd", ctypes.c_uint32)]


# A va_list reaches a callee as one pointer on x86-64 (an array) and on arm64 (a large struct, by reference) alike.
_PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

_POINTER, _INT, _UINT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_char_p
_SIGNATURES: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "libbpf_set_print": (_POINTER, (_POINTER,)),
    "bpf_object__open_mem": (_POINTER, (_TEXT, ctypes.c_size_t, _POINTER)),
    "bpf_object__load": (_INT, (_POINTER,)),
    "bpf_object__close": (None, (_POINTER,)),
    "bpf_object__next_program": (_POINTER, (_POINTER, _POINTER)),
    "bpf_object__next_map": (_POINTER, (_POINTER, _POINTER)),
    "bpf_program__name": (_TEXT, (_POINTER,)),
    "bpf_program__type": (_INT, (_POINTER,)),
    "bpf_program__fd": (_INT, (_POINTER,)),
    "bpf_program__set_autoload": (_INT, (_POINTER, ctypes.c_bool)),
    "bpf_map__name": (_TEXT, (_POINTER,)),
    "bpf_map__fd": (_INT, (_POINTER,)),
    "bpf_map__type": (_INT, (_POINTER,)),
    "bpf_map__key_size": (_UINT, (_POINTER,)),
    "bpf_map__value_size": (_UINT, (_POINTER,)),
    "bpf_map__max_entries": (_UINT, (_POINTER,)),
    "bpf_map__map_flags": (_UINT, (_POINTER,)),
    "bpf_map__is_internal": (ctypes.c_bool, (_POINTER,)),
    "bpf_map__reuse_fd": (_INT, (_POINTER, _INT)),
    "bpf_map__set_pin_path": (_INT, (_POINTER, _TEXT)),
    "bpf_obj_pin": (_INT, (_INT, _TEXT)),
    "bpf_obj_get": (_INT, (_TEXT,)),
    "bpf_obj_get_info_by_fd": (_INT, (_INT, _POINTER, _POINTER)),
    "bpf_prog_load": (_INT, (_INT, _TEXT, _TEXT, _TEXT, ctypes.c_size_t, _POINTER)),
    "bpf_prog_get_fd_by_id": (_INT, (_UINT,)),
    "bpf_map_get_fd_by_id": (_INT, (_UINT,)),
    "bpf_link_get_fd_by_id": (_INT, (_UINT,)),
    "bpf_link_get_next_id": (_INT, (_UINT, _POINTER)),
    "bpf_link_create": (_INT, (_INT, _INT, _INT, _POINTER)),
    "bpf_link_update": (_INT, (_INT, _INT, _POINTER)),
    "bpf_link_detach": (_INT, (_INT,)),
    "bpf_map_update_elem": (_INT, (_INT, _POINTER, _POINTER, ctypes.c_uint64)),
    "bpf_map_lookup_elem": (_INT, (_INT, _POINTER, _POINTER)),
    "bpf_map_delete_elem": (_INT, (_INT, _POINTER)),
    "bpf_map_get_next_key": (_INT, (_INT, _POINTER, _POINTER)),
    "bpf_map_update_batch": (_INT, (_INT, _POINTER, _POINTER, _POINTER, _POINTER)),
    "bpf_map_delete_batch": (_INT, (_INT, _POINTER, _POINTER, _POINTER)),
    "bpf_map_lookup_batch": (_INT, (_INT, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER)),
}


@cache
def _library() -> Any:
    library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def missing_library() -> str | None:
    """Return why libbpf cannot be used, with the remedy, or None where it can."""
    try:
        _library()
    except (OSError, AttributeError) as error:
        return f"libbpf.so.1 is not usable ({error}): install the package libbpf1 (Debian) or libbpf (Fedora, RHEL)"
    return None


def _lib() -> Any:
    reason = missing_library()
    if reason:
        raise Impossible(reason)
    return _library()


def _check(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


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
    return _closing(_check(_lib().bpf_obj_get(os.fsencode(path))))


def program_by_id(number: int) -> Any:
    """Open a loaded program; a context manager for its descriptor."""
    return _closing(_check(_lib().bpf_prog_get_fd_by_id(number)))


def map_by_id(number: int) -> Any:
    """Open a map; a context manager for its descriptor."""
    return _closing(_check(_lib().bpf_map_get_fd_by_id(number)))


def link_by_id(number: int) -> Any:
    """Open a bpf_link; a context manager for its descriptor."""
    return _closing(_check(_lib().bpf_link_get_fd_by_id(number)))


def refusal(program_type: int) -> OSError | None:
    """Return why the kernel lets us load no program of a type, not even one that does nothing; None where it does."""
    return_zero = bytes([0xB7, *[0] * 7]) + bytes([0x95, *[0] * 7])  # r0 = 0; exit
    try:
        os.close(_check(_lib().bpf_prog_load(program_type, b"probe", b"GPL", return_zero, 2, None)))
    except OSError as error:
        return error
    return None


def pin(descriptor: int, path: str) -> None:
    """Keep a program, map or link alive under a path of a BPF file system."""
    _check(_lib().bpf_obj_pin(descriptor, os.fsencode(path)))


def _info(descriptor: int, info: Any) -> Any:
    length = ctypes.c_uint32(ctypes.sizeof(info))
    _check(_lib().bpf_obj_get_info_by_fd(descriptor, ctypes.byref(info), ctypes.byref(length)))
    return info


def program_info(descriptor: int) -> Program:
    """Describe a loaded program."""
    count = _info(descriptor, _ProgramInfo()).nr_map_ids
    ids = (ctypes.c_uint32 * max(count, 1))()
    info = _info(descriptor, _ProgramInfo(nr_map_ids=count, map_ids=ctypes.addressof(ids) if count else 0))
    return Program(info.id, info.name.decode(), bytes(info.tag).hex(), info.type, tuple(ids[: info.nr_map_ids]))


def map_info(descriptor: int) -> Map:
    """Describe a map."""
    info = _info(descriptor, _MapInfo())
    layout = MapLayout(_map_type(info.type), info.key_size, info.value_size, info.max_entries, info.map_flags)
    return Map(info.id, info.name.decode(), layout)


def xdp_link_info(descriptor: int) -> XdpLink | None:
    """Describe a bpf_link, or return None where it holds no XDP program."""
    info = _info(descriptor, _LinkInfo())
    return XdpLink(info.id, info.prog_id, info.ifindex) if info.type == LINK_TYPE_XDP else None


def xdp_links() -> list[XdpLink]:
    """Return all bpf_links of XDP on this machine, those of other network namespaces included."""
    found = []
    number = ctypes.c_uint32(0)
    while _lib().bpf_link_get_next_id(number.value, ctypes.byref(number)) == 0:
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
    return _check(_lib().bpf_link_create(program, index, _ATTACH_TYPE_XDP, ctypes.byref(options)))


def update_link(link: int, new: int, old: int) -> None:
    """Replace a link's program in one step; no packet passes without one.

    Raises:
        OSError: EPERM where the link holds another program than ``old``.
    """
    options = _LinkUpdateOptions(ctypes.sizeof(_LinkUpdateOptions), _F_REPLACE, old)
    _check(_lib().bpf_link_update(link, new, ctypes.byref(options)))


def detach_link(link: int) -> None:
    """Detach a link's program at once, whoever else holds the link."""
    _check(_lib().bpf_link_detach(link))


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect what libbpf says, the verifier's log included, in place of its printing to standard error."""
    said: list[str] = []
    libc = ctypes.CDLL(None)
    libc.vsnprintf.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p)

    def listen(level: int, text: bytes, arguments: int) -> int:
        if level == _PRINT_WARNING:
            # One call carries the whole verifier log; it is read once, as reading uses up the arguments.
            buffer = ctypes.create_string_buffer(1 << 20)
            libc.vsnprintf(buffer, len(buffer), text, arguments)
            said.append(buffer.value.decode(errors="replace"))
        return 0

    callback = _PRINT(listen)
    before = _lib().libbpf_set_print(ctypes.cast(callback, ctypes.c_void_p))
    try:
        yield said
    finally:
        _lib().libbpf_set_print(before)


class Object:
    """A BPF ELF object, opened from memory so that the bytes loaded are the bytes whose digest was taken.

    Args:
        content: The ELF file.
        name: Named in errors, and by libbpf in the names of internal maps.

    Raises:
        Invalid: libbpf cannot read it; the message holds libbpf's words.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self._name = name
        self._content = content  # libbpf reads from it until it is closed
        options = _OpenOptions(ctypes.sizeof(_OpenOptions), os.path.basename(name).split(".")[0].encode())
        with _heard() as said:
            self._object = _lib().bpf_object__open_mem(content, len(content), ctypes.byref(options))
        if not self._object:
            raise Invalid(f"{name} is not a BPF object that libbpf can open: {_summary(said) or 'no reason given'}")
        self._programs = {_lib().bpf_program__name(one).decode(): one for one in self._walk("program")}
        self._maps = {
            _lib().bpf_map__name(one).decode(): one for one in self._walk("map") if not _lib().bpf_map__is_internal(one)
        }

    def __enter__(self) -> Object:
        return self

    def __exit__(self, *_unused: object) -> None:
        _lib().bpf_object__close(self._object)

    def _walk(self, kind: str) -> Iterator[int]:
        step: Callable[[int, int | None], int | None] = getattr(_lib(), f"bpf_object__next_{kind}")
        one = step(self._object, None)
        while one:
            yield one
            one = step(self._object, one)

    def xdp_programs(self) -> list[str]:
        """Return the names of its XDP programs."""
        return [name for name, one in self._programs.items() if _lib().bpf_program__type(one) == PROGRAM_TYPE_XDP]

    def maps(self) -> dict[str, MapLayout]:
        """Return the layout of its maps by name, without those the compiler makes for global data."""
        return {
            name: MapLayout(
                _map_type(_lib().bpf_map__type(one)),
                _lib().bpf_map__key_size(one),
                _lib().bpf_map__value_size(one),
                _lib().bpf_map__max_entries(one),
                _lib().bpf_map__map_flags(one),
            )
            for name, one in self._maps.items()
        }

    def load(self, program: str, reused: Mapping[str, int]) -> None:
        """Verify and load one program with its maps.

        Args:
            program: Its name; other programs of the object are left out.
            reused: Descriptors of existing maps, by map name, to be used in place of new ones.

        Raises:
            ApplyFailed: The verifier or the kernel refused; the message ends with the last words, and the fact
                ``verifier_log`` holds all of them.
        """
        with _heard() as said:
            for name, one in self._programs.items():
                _check(_lib().bpf_program__set_autoload(one, name == program))
            for name, one in self._maps.items():
                # Pins are made by the caller, all or none; libbpf would make them one by one.
                _check(_lib().bpf_map__set_pin_path(one, None))
                if name in reused:
                    _check(_lib().bpf_map__reuse_fd(one, reused[name]))
            result = _lib().bpf_object__load(self._object)
        if result < 0:
            reason = f"{os.strerror(-result)}; {_summary(said)}"
            raise ApplyFailed(
                f"the kernel does not accept program {program} of {self._name}: {reason}",
                verifier_log="".join(said),
            )

    def program(self, name: str) -> int:
        """Return the descriptor of a loaded program; the object closes it."""
        return _check(_lib().bpf_program__fd(self._programs[name]))

    def map(self, name: str) -> int:
        """Return the descriptor of a loaded map; the object closes it."""
        return _check(_lib().bpf_map__fd(self._maps[name]))


def _map_type(number: int) -> str:
    return MAP_TYPES[number] if number < len(MAP_TYPES) else str(number)


def _summary(said: Sequence[str]) -> str:
    """Return the last lines that carry a reason; the verifier's reason stands just before its statistics."""
    lines = [line.strip() for line in "".join(said).splitlines()]
    noise = ("processed ", "-- END", "verification time", "stack depth", "mark_precise")
    lines = [line for line in lines if line and not any(word in line for word in noise)]
    return " | ".join(lines[-4:])


def items(descriptor: int, layout: MapLayout) -> dict[bytes, bytes]:
    """Return all entries of a map that is not per-CPU."""
    try:
        return _items_by_batch(descriptor, layout)
    except OSError as error:
        if error.errno not in _NO_BATCH:
            raise
    return _items_one_by_one(descriptor, layout)


def _items_by_batch(descriptor: int, layout: MapLayout) -> dict[bytes, bytes]:
    size = min(layout.max_entries, 4096)
    keys = ctypes.create_string_buffer(size * layout.key_size)
    values = ctypes.create_string_buffer(size * layout.value_size)
    token = ctypes.create_string_buffer(max(layout.key_size, 8))
    found: dict[bytes, bytes] = {}
    start = None
    while True:
        count = ctypes.c_uint32(size)
        result = _lib().bpf_map_lookup_batch(descriptor, start, token, keys, values, ctypes.byref(count), None)
        if result < 0 and result != -errno.ENOENT:
            _check(result)
        found.update(
            zip(
                _split(keys.raw, layout.key_size, count.value),
                _split(values.raw, layout.value_size, count.value),
            )
        )
        if result < 0:  # ENOENT: the end, after `count` last entries
            return found
        start = token


def _items_one_by_one(descriptor: int, layout: MapLayout) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    key = None
    following = ctypes.create_string_buffer(layout.key_size)
    value = ctypes.create_string_buffer(layout.value_size)
    while True:
        result = _lib().bpf_map_get_next_key(descriptor, key, following)
        if result == -errno.ENOENT:
            return found
        _check(result)
        key = ctypes.create_string_buffer(following.raw, layout.key_size)
        result = _lib().bpf_map_lookup_elem(descriptor, key, value)
        if result != -errno.ENOENT:  # deleted since it was listed
            _check(result)
            found[key.raw] = value.raw


def update(descriptor: int, entries: Sequence[tuple[bytes, bytes]]) -> int:
    """Write entries; return how many were written, fewer where the map is full.

    Raises:
        OSError: The kernel refused for another reason than space.
    """
    keys, values = b"".join(key for key, _value in entries), b"".join(value for _key, value in entries)
    count = ctypes.c_uint32(len(entries))
    result = _lib().bpf_map_update_batch(descriptor, keys, values, ctypes.byref(count), None)
    if result == 0:
        return len(entries)
    done = _progress(result, count.value, len(entries))
    for key, value in entries[done:]:
        result = _lib().bpf_map_update_elem(descriptor, key, value, 0)
        if result in (-errno.ENOSPC, -errno.E2BIG):
            return done
        _check(result)
        done += 1
    return done


def delete(descriptor: int, keys: Sequence[bytes]) -> None:
    """Remove entries; one that is already gone is no error."""
    count = ctypes.c_uint32(len(keys))
    result = _lib().bpf_map_delete_batch(descriptor, b"".join(keys), ctypes.byref(count), None)
    if result == 0:
        return
    for key in keys[_progress(result, count.value, len(keys)) :]:
        result = _lib().bpf_map_delete_elem(descriptor, key)
        if result != -errno.ENOENT:
            _check(result)


def _progress(result: int, count: int, total: int) -> int:
    """Return how many entries a failed batch carried out; a kernel without batches leaves the count as it was."""
    return 0 if -result in _NO_BATCH and count == total else count


def _split(data: bytes, size: int, count: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, size * count, size))
