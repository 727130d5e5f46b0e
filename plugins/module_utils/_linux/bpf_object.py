# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A BPF ELF object: opened, described, and one program of it loaded with its maps."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Callable

from .._core.converge import ApplyFailed, Invalid
from .bpf import CONSTANTS, CONSTANTS_PIN, PROGRAM_TYPE_XDP, MapLayout, map_type, meaning, pin_name
from .btf import Btf, Place
from .elf import first_entries
from .libbpf import check, library, messages

_FRAGMENTS = b"xdp.frags"  # the section's name is how libbpf, too, knows it
_NO_COMMON_LRU = 1 << 1
_REPORT = "Verification failed: "


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
        maps = [(library().bpf_map__name(one).decode(), one) for one in self._walk("map")]
        # A map that is declared as one comes before variables that would have its name.
        maps.sort(key=lambda one: library().bpf_map__is_internal(one[1]), reverse=True)
        self._maps = {pin: one for name, one in maps if (pin := pin_name(name))}
        self._constants = library().bpf_object__find_map_by_name(self._object, CONSTANTS.encode())
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

    def own_maps(self) -> list[str]:
        """Return the names of its maps that are full when it is loaded: with programs for tail calls, and constants."""
        return sorted({*self._entries, *([CONSTANTS_PIN] if self._constants else [])})

    def maps(self) -> dict[str, MapLayout]:
        """Return the layout of its maps by the names of their pins, as the kernel makes them."""
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

    def constants(self) -> dict[str, Place]:
        """Return where the constants that may be set before loading are, by name."""
        types = self._types()
        return types.variables(CONSTANTS) if types and self._constants else {}

    def fields(self, constant: str) -> dict[str, Place]:
        """Return the fields of a constant that is a struct, by name; none where there is no such constant."""
        types, place = self._types(), self.constants().get(constant)
        return types.fields(place.type) if types and place else {}

    def value_fields(self, name: str) -> dict[str, Place]:
        """Return the fields of a map's values, by name; none where they are no struct, or it is not known."""
        types, number = self._types(), library().bpf_map__btf_value_type_id(self._maps[name])
        return types.fields(number) if types and number else {}

    def struct_fields(self, name: str) -> dict[str, Place]:
        """Return the fields of a struct that the object knows, by name; none where there is no such struct."""
        types = self._types()
        number = types.number("struct", name) if types else None
        return types.fields(number) if types and number is not None else {}

    def enumerators(self, name: str) -> dict[str, int]:
        """Return the values of an enum that the object knows, by name; none where there is no such enum."""
        types = self._types()
        number = types.number("enum", name) if types else None
        return types.enumerators(number) if types and number is not None else {}

    def set_constants(self, values: Mapping[str, bytes]) -> None:
        """Set constants, which the verifier knows; to be called before ``load``.

        Raises:
            KeyError: The object has no constant of a name.
            ValueError: A value has another size than its constant.
        """
        places = self.constants()
        for name, value in values.items():
            if len(value) != places[name].size:
                raise ValueError(f"constant {name} has {places[name].size} bytes, {len(value)} were given")
            begin = library().bpf_map__initial_value(self._constants, ctypes.byref(ctypes.c_size_t()))
            ctypes.memmove(begin + places[name].offset, value, len(value))

    def set_template(self, name: str, inner: int) -> None:
        """Have a map of maps made for maps like this one; to be called before ``load``.

        Args:
            name: Of the outer map.
            inner: Descriptor of a map.
        """
        # Not by the size of the inner map that the object describes, which libbpf's interface does not promise to take.
        check(library().bpf_map__set_inner_map_fd(self._maps[name], inner))

    def load(self, program: str, reused: Mapping[str, int], beside: Collection[str] = ()) -> None:
        """Verify and load one program with its maps.

        Args:
            program: Its name; other programs of the object are left out, but for those that its maps name.
            reused: Descriptors of existing maps, by map name, to be used in place of new ones.
            beside: Names of further programs to load.

        Raises:
            ApplyFailed: The verifier or the kernel refused; the message ends with the last words, and the fact
                ``verifier_log`` holds all of them.
        """
        with messages() as said:
            needed = {program, *beside}.union(*self._entries.values())
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
    report = next((place for place, line in enumerate(lines) if line.startswith(_REPORT)), None)
    if report is not None:
        # Linux 7.3 explains itself behind its reason: why, where, by which way, and what may be done.
        why = lines[report + 2 : report + 3] if lines[report + 1 : report + 2] == ["Reason:"] else []
        return " | ".join([*lines[max(report - 1, 0) : report + 1], *why])
    return " | ".join(lines[-4:])
