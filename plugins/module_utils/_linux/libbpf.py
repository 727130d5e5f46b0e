# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""libbpf's stable C ABI, by ctypes.

libbpf.so.1 comes with iproute2, so a host needs no compiler, no bcc and no Python package. Structures handed to it
start with their size, so a newer libbpf accepts ours and reads what we do not know as zero.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from .._core.converge import Impossible

_PRINT_WARNING = 0

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
    "bpf_object__find_map_by_name": (_POINTER, (_POINTER, _TEXT)),
    "bpf_object__btf": (_POINTER, (_POINTER,)),
    "btf__raw_data": (_POINTER, (_POINTER, _POINTER)),
    "bpf_program__name": (_TEXT, (_POINTER,)),
    "bpf_program__type": (_INT, (_POINTER,)),
    "bpf_program__section_name": (_TEXT, (_POINTER,)),
    "bpf_program__fd": (_INT, (_POINTER,)),
    "bpf_program__set_autoload": (_INT, (_POINTER, ctypes.c_bool)),
    "bpf_map__name": (_TEXT, (_POINTER,)),
    "bpf_map__fd": (_INT, (_POINTER,)),
    "bpf_map__type": (_INT, (_POINTER,)),
    "bpf_map__key_size": (_UINT, (_POINTER,)),
    "bpf_map__value_size": (_UINT, (_POINTER,)),
    "bpf_map__max_entries": (_UINT, (_POINTER,)),
    "bpf_map__map_flags": (_UINT, (_POINTER,)),
    "bpf_map__btf_key_type_id": (_UINT, (_POINTER,)),
    "bpf_map__btf_value_type_id": (_UINT, (_POINTER,)),
    "bpf_map__is_internal": (ctypes.c_bool, (_POINTER,)),
    "bpf_map__reuse_fd": (_INT, (_POINTER, _INT)),
    "bpf_map__set_pin_path": (_INT, (_POINTER, _TEXT)),
    "bpf_map__initial_value": (_POINTER, (_POINTER, _POINTER)),
    "bpf_map__set_inner_map_fd": (_INT, (_POINTER, _INT)),
    "bpf_obj_pin": (_INT, (_INT, _TEXT)),
    "bpf_obj_get": (_INT, (_TEXT,)),
    "bpf_obj_get_info_by_fd": (_INT, (_INT, _POINTER, _POINTER)),
    "bpf_prog_load": (_INT, (_INT, _TEXT, _TEXT, _TEXT, ctypes.c_size_t, _POINTER)),
    "bpf_prog_test_run_opts": (_INT, (_INT, _POINTER)),
    "bpf_prog_get_fd_by_id": (_INT, (_UINT,)),
    "bpf_map_get_fd_by_id": (_INT, (_UINT,)),
    "bpf_btf_get_fd_by_id": (_INT, (_UINT,)),
    "bpf_link_get_fd_by_id": (_INT, (_UINT,)),
    "bpf_link_get_next_id": (_INT, (_UINT, _POINTER)),
    "bpf_link_create": (_INT, (_INT, _INT, _INT, _POINTER)),
    "bpf_link_update": (_INT, (_INT, _INT, _POINTER)),
    "bpf_link_detach": (_INT, (_INT,)),
    "bpf_map_create": (_INT, (_INT, _TEXT, _UINT, _UINT, _UINT, _POINTER)),
    "bpf_map_freeze": (_INT, (_INT,)),
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


def library() -> Any:
    """Return libbpf with its functions declared.

    Raises:
        Impossible: It cannot be used; the message names the remedy.
    """
    reason = missing_library()
    if reason:
        raise Impossible(reason)
    return _library()


def check(result: int) -> int:
    """Return what a function of libbpf returned, or raise the error that it stands for.

    Raises:
        OSError: The result is an error number, which libbpf returns negative.
    """
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


@contextmanager
def messages() -> Iterator[list[str]]:
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
    before = library().libbpf_set_print(ctypes.cast(callback, ctypes.c_void_p))
    try:
        yield said
    finally:
        library().libbpf_set_print(before)
