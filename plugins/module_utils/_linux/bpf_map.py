# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The entries of a BPF map: read, written and removed in batches, one by one where the kernel has none."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterator, Sequence

from .bpf import MapLayout
from .libbpf import check, library

_ENOTSUPP = 524  # the kernel's own number, which has leaked to user space; libc has no name for it
_NO_BATCH = {errno.EINVAL, errno.EOPNOTSUPP, _ENOTSUPP}


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
        result = library().bpf_map_lookup_batch(descriptor, start, token, keys, values, ctypes.byref(count), None)
        if result < 0 and result != -errno.ENOENT:
            check(result)
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
        result = library().bpf_map_get_next_key(descriptor, key, following)
        if result == -errno.ENOENT:
            return found
        check(result)
        key = ctypes.create_string_buffer(following.raw, layout.key_size)
        result = library().bpf_map_lookup_elem(descriptor, key, value)
        if result != -errno.ENOENT:  # deleted since it was listed
            check(result)
            found[key.raw] = value.raw


def update(descriptor: int, entries: Sequence[tuple[bytes, bytes]]) -> int:
    """Write entries; return how many were written, fewer where the map is full.

    Raises:
        OSError: The kernel refused for another reason than space.
    """
    keys, values = b"".join(key for key, _value in entries), b"".join(value for _key, value in entries)
    count = ctypes.c_uint32(len(entries))
    result = library().bpf_map_update_batch(descriptor, keys, values, ctypes.byref(count), None)
    if result == 0:
        return len(entries)
    done = _progress(result, count.value, len(entries))
    for key, value in entries[done:]:
        result = library().bpf_map_update_elem(descriptor, key, value, 0)
        if result in (-errno.ENOSPC, -errno.E2BIG):
            return done
        check(result)
        done += 1
    return done


def delete(descriptor: int, keys: Sequence[bytes]) -> None:
    """Remove entries; one that is already gone is no error."""
    count = ctypes.c_uint32(len(keys))
    result = library().bpf_map_delete_batch(descriptor, b"".join(keys), ctypes.byref(count), None)
    if result == 0:
        return
    for key in keys[_progress(result, count.value, len(keys)) :]:
        result = library().bpf_map_delete_elem(descriptor, key)
        if result != -errno.ENOENT:
            check(result)


def _progress(result: int, count: int, total: int) -> int:
    """Return how many entries a failed batch carried out; a kernel without batches leaves the count as it was."""
    return 0 if -result in _NO_BATCH and count == total else count


def _split(data: bytes, size: int, count: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, size * count, size))
