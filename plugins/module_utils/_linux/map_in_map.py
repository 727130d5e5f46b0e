# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A map of one other map, whose one value is exchanged whole: a program reads the old value or the new, never both.

The value is written while nobody can see it. The kernel returns from the exchange when no program reads the old one any
more, whose memory goes back at once, as it is one piece.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from . import bpf
from .libbpf import check, library

_ARRAY = bpf.MAP_TYPES.index("array")
_MMAPABLE = 1 << 10
_KEY = struct.pack("=I", 0)


class _CreateOptions(ctypes.Structure):
    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("btf_fd", ctypes.c_uint32),
        ("btf_key_type_id", ctypes.c_uint32),
        ("btf_value_type_id", ctypes.c_uint32),
        ("btf_vmlinux_value_type_id", ctypes.c_uint32),
        ("inner_map_fd", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
    ]


@contextmanager
def made(name: str, size: int, content: bytes | bytearray = b"") -> Iterator[int]:
    """Make a map of one value that nobody can write any more; gives its descriptor.

    Args:
        name: As the kernel shows it, cut to what it takes.
        size: Of the value (bytes).
        content: How it begins; what follows is zero.

    Raises:
        OSError: The kernel refused, or has not the memory.
    """
    options = _CreateOptions(sz=ctypes.sizeof(_CreateOptions), map_flags=_MMAPABLE)
    short = name[: bpf.NAME_LIMIT].encode()
    descriptor = check(library().bpf_map_create(_ARRAY, short, len(_KEY), size, 1, ctypes.byref(options)))
    try:
        with mmap.mmap(descriptor, size) as memory:
            memory[: len(content)] = content
        check(library().bpf_map_freeze(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def exchange(outer: int, inner: int) -> None:
    """Make a map the one that an outer map holds; on return no program reads the one before any more.

    Raises:
        OSError: EINVAL where its value has another size than the outer map is for.
    """
    check(library().bpf_map_update_elem(outer, _KEY, struct.pack("=I", inner), 0))


def held(outer: int) -> int | None:
    """Return the number of the map that an outer map holds; None where it holds none."""
    number = ctypes.create_string_buffer(4)
    result = library().bpf_map_lookup_elem(outer, _KEY, number)
    if result < 0:
        return None
    return int(struct.unpack("=I", number.raw)[0])


def begin(inner: int, size: int) -> bytes:
    """Return how the value of a map begins.

    Args:
        inner: Descriptor of the map, which is one of ``made``.
        size: Bytes wanted; fewer come where the value is smaller.
    """
    length = min(size, bpf.map_info(inner).layout.value_size)
    with mmap.mmap(inner, length, mmap.MAP_SHARED, mmap.PROT_READ) as memory:
        return memory[:length]
