# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What the bytes of a map's keys and values mean, read from BTF, the type information that kernel and objects carry."""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass

_MAGIC = 0xEB9F
_HEADER = struct.Struct("HBBIIIII")  # magic, version, flags, header length; offset and length of types, of strings
_TYPE = struct.Struct("III")  # name, info, size or type
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _FWD, _TYPEDEF, _VOLATILE, _CONST, _RESTRICT = range(1, 12)
_FUNC_PROTO, _VAR, _DATASEC, _FLOAT, _DECL_TAG, _TYPE_TAG, _ENUM64 = 13, 14, 15, 16, 17, 18, 19
_TRANSPARENT = (_VOLATILE, _CONST, _RESTRICT, _TYPE_TAG)
# Bytes behind a type, by kind: so many once, so many for each of its elements.
_ONCE = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}
_EACH = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}
_SIGNED, _BOOL = 1, 4
_SIZED = (_INT, _STRUCT, _UNION, _ENUM, _FLOAT, _ENUM64)
_DEEPEST = 32  # the kernel's own limit for nesting


@dataclass(frozen=True)
class _Type:
    kind: int
    name: str
    size: int  # or the number of the type that it refers to
    count: int
    flag: bool
    rest: bytes


@dataclass(frozen=True)
class Place:
    """Where a variable is in its section, or a field in its struct; bytes.

    Attributes:
        type: Its type's number.
    """

    offset: int
    size: int
    type: int


class Btf:
    """The types of an object, or of what was loaded from one.

    Args:
        raw: BTF as the kernel returns it, and as it is in an object's ``.BTF`` section.

    Raises:
        ValueError: It is no BTF.

    Source: Documentation/bpf/btf.rst in the Linux tree.
    """

    def __init__(self, raw: bytes) -> None:
        try:
            magic, _version, _flags, start, types, types_length, strings, strings_length = _HEADER.unpack_from(raw)
            if magic != _MAGIC:
                raise ValueError("this is no BTF, or one of the other byte order")
            self._strings = raw[start + strings : start + strings + strings_length]
            self._types = self._parse(raw[start + types : start + types + types_length])
        except struct.error as error:
            raise ValueError(f"BTF is damaged: {error}") from error

    def _name(self, offset: int) -> str:
        end = self._strings.find(b"\0", offset)
        if end < 0:
            raise ValueError(f"BTF has no string at {offset}")
        return self._strings[offset:end].decode(errors="replace")

    def _parse(self, body: bytes) -> list[_Type]:
        found = [_Type(0, "void", 0, 0, False, b"")]
        place = 0
        while place < len(body):
            name, info, size = _TYPE.unpack_from(body, place)
            place += _TYPE.size
            kind, count = info >> 24 & 0x1F, info & 0xFFFF
            length = _ONCE.get(kind, 0) + _EACH.get(kind, 0) * count
            found.append(_Type(kind, self._name(name), size, count, bool(info >> 31), body[place : place + length]))
            place += length
        return found

    def variables(self, section: str) -> dict[str, Place]:
        """Return the variables of a section such as ``.rodata``, by name; none where there is no such section.

        Raises:
            ValueError: The section names what is no variable.
        """
        found = {}
        for one in self._types:
            if one.kind == _DATASEC and one.name == section:
                for variable, offset, size in _TYPE.iter_unpack(one.rest):
                    held = self._type(variable)
                    found[held.name] = Place(offset, size, held.size)
        return found

    def fields(self, number: int) -> dict[str, Place]:
        """Return the fields of a struct, by name; none of any other type.

        Raises:
            ValueError: There is no such type, or one of the fields has no size.
        """
        one = self._plain(number)
        if one.kind != _STRUCT:
            return {}
        return {
            self._name(name): Place((offset & 0xFFFFFF if one.flag else offset) // 8, self._size(kind), kind)
            for name, kind, offset in _TYPE.iter_unpack(one.rest)
        }

    def number(self, kind: str, name: str) -> int | None:
        """Return the number of a type by its name; None where there is none.

        Args:
            kind: ``struct`` or ``enum``.
            name: Of the type.
        """
        kinds = {"struct": (_STRUCT,), "enum": (_ENUM, _ENUM64)}[kind]
        return next((at for at, one in enumerate(self._types) if one.kind in kinds and one.name == name), None)

    def enumerators(self, number: int) -> dict[str, int]:
        """Return the names of an enum's values."""
        return {self._name(name): value for name, value in _values(self._plain(number))}

    def name(self, number: int) -> str:
        """Return the name of a type, or of a section.

        Raises:
            ValueError: There is no such type.
        """
        return self._type(number).name

    def _type(self, number: int) -> _Type:
        try:
            return self._types[number]
        except IndexError:
            raise ValueError(f"BTF has no type {number}") from None

    def _plain(self, number: int) -> _Type:
        """Return a type without the names and qualifiers around it."""
        one = self._type(number)
        for _step in range(_DEEPEST):
            if one.kind not in (*_TRANSPARENT, _TYPEDEF):
                return one
            one = self._type(one.size)
        raise ValueError(f"BTF nests types deeper than {_DEEPEST}")

    def _size(self, number: int) -> int:
        one = self._plain(number)
        if one.kind == _ARRAY:
            element, _index, length = struct.unpack("III", one.rest)
            return self._size(element) * int(length)
        if one.kind not in _SIZED:
            raise ValueError(f"{one.name or 'a type'} of kind {one.kind} has no size in BTF")
        return one.size

    def describe(self, number: int) -> str:
        """Return a type's layout as text: names, offsets (bits) and types of what is in it, and its size in bytes.

        Two types of one text can stand for each other. Names of typedefs are left out, as ``__u8`` and ``uint8_t`` mean
        the same, but for those that say in which order a number's bytes are.

        Raises:
            ValueError: There is no such type.
        """
        try:
            return self._describe(number, 0)
        except (struct.error, IndexError) as error:
            raise ValueError(f"BTF has no type {number}: {error}") from error

    def _describe(self, number: int, depth: int) -> str:
        if depth > _DEEPEST:
            raise ValueError(f"BTF nests types deeper than {_DEEPEST}")
        one = self._types[number]
        if one.kind in _TRANSPARENT:
            return self._describe(one.size, depth + 1)
        if one.kind == _TYPEDEF:
            order = f"{one.name}:" if one.name.startswith(("__be", "__le")) else ""
            return order + self._describe(one.size, depth + 1)
        if one.kind == _INT:
            [encoding] = struct.unpack("I", one.rest)
            sign = "bool" if encoding >> 24 & _BOOL else "s" if encoding >> 24 & _SIGNED else "u"
            return f"{sign}{encoding & 0xFF}"
        if one.kind == _FLOAT:
            return f"f{one.size * 8}"
        if one.kind == _PTR:
            return f"pointer to {self._types[one.size].name}"
        if one.kind == _ARRAY:
            element, _index, length = struct.unpack("III", one.rest)
            return f"{self._describe(element, depth + 1)}[{length}]"
        if one.kind in (_STRUCT, _UNION):
            return self._compound(one, depth)
        if one.kind in (_ENUM, _ENUM64):
            return self._enum(one)
        if one.kind == _DATASEC:
            return self._section(one, depth)
        return f"{one.name} of kind {one.kind}"

    def _section(self, one: _Type, depth: int) -> str:
        """Describe the value of a map of variables; of one alone it is that one's."""
        variables = [
            (self._types[number].name, offset, self._describe(self._types[number].size, depth + 1))
            for number, offset, _size in _TYPE.iter_unpack(one.rest)
        ]
        if len(variables) == 1:
            return variables[0][2]
        return f"section {{{'; '.join(f'{name}@{offset * 8} {kind}' for name, offset, kind in variables)}}}"

    def _compound(self, one: _Type, depth: int) -> str:
        members = []
        for name, kind, offset in _TYPE.iter_unpack(one.rest):
            # A bit field has its width in the upper byte, where any member of the type is one.
            width = f":{offset >> 24}" if one.flag and offset >> 24 else ""
            place = offset & 0xFFFFFF if one.flag else offset
            members.append(f"{self._name(name)}@{place}{width} {self._describe(kind, depth + 1)}")
        word = "struct" if one.kind == _STRUCT else "union"
        return f"{word} {one.name}({one.size}){{{'; '.join(members)}}}"

    def _enum(self, one: _Type) -> str:
        members = ", ".join(f"{self._name(name)}={value}" for name, value in _values(one))
        return f"enum {one.name}({one.size}){{{members}}}"


def _values(one: _Type) -> list[tuple[int, int]]:
    """Return the values of an enum, each with where its name is."""
    if one.kind == _ENUM:
        return list(struct.iter_unpack("Ii", one.rest))
    return [(name, low | high << 32) for name, low, high in struct.iter_unpack("III", one.rest)]


def unpack(content: bytes, fields: Mapping[str, Place]) -> dict[str, int]:
    """Return the numbers in a struct, by the names of its fields; they are without sign, in the host's order."""
    return {
        name: int.from_bytes(content[one.offset : one.offset + one.size], sys.byteorder) for name, one in fields.items()
    }


def pack(values: Mapping[str, int], fields: Mapping[str, Place], size: int) -> bytes:
    """Return a struct of numbers.

    Raises:
        KeyError: A field has no value; what has no field is left out.
    """
    content = bytearray(size)
    for name, one in fields.items():
        content[one.offset : one.offset + one.size] = values[name].to_bytes(one.size, sys.byteorder)
    return bytes(content)
