# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A BPF ELF object: opened, described, and one program of it loaded with its maps."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable

from .._core.converge import ApplyFailed, Invalid
from .bpf import PROGRAM_TYPE_XDP, MapLayout, map_type, meaning
from .btf import Btf
from .elf import first_entries
from .libbpf import check, library, messages

_FRAGMENTS = b"xdp.frags"  # the section's name is how libbpf, too, knows it
_NO_COMMON_LRU = 1 << 1


def _entries(kind: str, requested: int, flags: int) -> int:
    """Return how many entries the kernel gives a map: those of a list for each CPU are as many on all of them.

    Source: htab_map_alloc() in kernel/bpf/hashtab.c.
    """
    if kind in ("lru_hash", "lru_percpu_hash") and flags & _NO_COMMON_LRU:
        cpus = max(1, int(library().libbpf_num_possible_cpus()))
        return -(-requested // cpus) * cpus
    return requested


class _OpenOptions(ctypes.Structure):
    _fields_ = [("sz", ctypes.c_size_t), ("object_name", ctypes.c_char_p)]


class BpfObject:
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
        with messages() as said:
            self._object = library().bpf_object__open_mem(content, len(content), ctypes.byref(options))
        if not self._object:
            raise Invalid(f"{name} is not a BPF object that libbpf can open: {_summary(said) or 'no reason given'}")
        self._programs = {library().bpf_program__name(one).decode(): one for one in self._walk("program")}
        self._maps = {
            library().bpf_map__name(one).decode(): one
            for one in self._walk("map")
            if not library().bpf_map__is_internal(one)
        }
        try:
            self._entries = first_entries(content)
        except ValueError as error:
            library().bpf_object__close(self._object)
            raise Invalid(f"{name} is not a BPF object that can be read: {error}") from error

    def __enter__(self) -> BpfObject:
        return self

    def __exit__(self, *_unused: object) -> None:
        library().bpf_object__close(self._object)

    def _walk(self, kind: str) -> Iterator[int]:
        step: Callable[[int, int | None], int | None] = getattr(library(), f"bpf_object__next_{kind}")
        one = step(self._object, None)
        while one:
            yield one
            one = step(self._object, one)

    def xdp_programs(self) -> list[str]:
        """Return the names of its XDP programs."""
        return [name for name, one in self._programs.items() if library().bpf_program__type(one) == PROGRAM_TYPE_XDP]

    def takes_fragments(self) -> list[str]:
        """Return the names of its XDP programs that take packets in several buffers (``xdp.frags``)."""
        section = library().bpf_program__section_name
        return [name for name in self.xdp_programs() if section(self._programs[name]).startswith(_FRAGMENTS)]

    def program_arrays(self) -> list[str]:
        """Return the names of its maps that the object itself fills with programs, for tail calls."""
        return sorted(self._entries)

    def maps(self) -> dict[str, MapLayout]:
        """Return the layout of its maps by name, as the kernel makes them, without those for global data."""
        types = self._types()
        return {
            name: MapLayout(
                kind := map_type(library().bpf_map__type(one)),
                library().bpf_map__key_size(one),
                library().bpf_map__value_size(one),
                _entries(kind, library().bpf_map__max_entries(one), flags := library().bpf_map__map_flags(one)),
                flags,
                meaning(types, library().bpf_map__btf_key_type_id(one)),
                meaning(types, library().bpf_map__btf_value_type_id(one)),
            )
            for name, one in self._maps.items()
        }

    def _types(self) -> Btf | None:
        held = library().bpf_object__btf(self._object)
        size = ctypes.c_uint32()
        raw = held and library().btf__raw_data(held, ctypes.byref(size))
        try:
            return Btf(ctypes.string_at(raw, size.value)) if raw else None
        except ValueError:
            return None

    def load(self, program: str, reused: Mapping[str, int]) -> None:
        """Verify and load one program with its maps.

        Args:
            program: Its name; other programs of the object are left out, but for those that its maps name.
            reused: Descriptors of existing maps, by map name, to be used in place of new ones.

        Raises:
            ApplyFailed: The verifier or the kernel refused; the message ends with the last words, and the fact
                ``verifier_log`` holds all of them.
        """
        with messages() as said:
            needed = {program}.union(*self._entries.values())
            for name, one in self._programs.items():
                check(library().bpf_program__set_autoload(one, name in needed))
            for name, one in self._maps.items():
                # Pins are made by the caller, all or none; libbpf would make them one by one.
                check(library().bpf_map__set_pin_path(one, None))
                if name in reused:
                    check(library().bpf_map__reuse_fd(one, reused[name]))
            result = library().bpf_object__load(self._object)
        if result < 0:
            reason = f"{os.strerror(-result)}; {_summary(said)}"
            raise ApplyFailed(
                f"the kernel does not accept program {program} of {self._name}: {reason}",
                verifier_log="".join(said),
            )

    def program(self, name: str) -> int:
        """Return the descriptor of a loaded program; the object closes it."""
        return check(library().bpf_program__fd(self._programs[name]))

    def map(self, name: str) -> int:
        """Return the descriptor of a loaded map; the object closes it."""
        return check(library().bpf_map__fd(self._maps[name]))


def _summary(said: Sequence[str]) -> str:
    """Return the last lines that carry a reason; the verifier's reason stands just before its statistics."""
    lines = [line.strip() for line in "".join(said).splitlines()]
    noise = ("processed ", "-- END", "verification time", "stack depth", "mark_precise")
    lines = [line for line in lines if line and not any(word in line for word in noise)]
    return " | ".join(lines[-4:])
