# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What libbpf does not tell of a BPF object: which maps name programs as their first entries."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MAGIC = b"\x7fELF\x02"  # 64 bits, as every BPF object is
_LITTLE = 1
_HEADER = "HHIQQQIHHHHHH"  # behind the 16 bytes of identification
_SECTION = "IIQQQQIIQQ"
_SYMBOL = "IBBHQQ"
_REL = 9
_OBJECT, _FUNC = 1, 2
_MAPS = ".maps"


@dataclass(frozen=True)
class _Section:
    name: str
    type: int
    link: int
    info: int
    content: bytes


@dataclass(frozen=True)
class _Symbol:
    name: str
    type: int
    section: int
    value: int
    size: int


def first_entries(content: bytes) -> dict[str, set[str]]:
    """Return which programs are static entries of which maps (``.values`` of a PROG_ARRAY), by the map's name.

    The compiler leaves such an entry as a relocation in the section of the maps, which names the program.

    Raises:
        ValueError: It is no ELF file of 64 bits, or a damaged one.
    """
    try:
        return _first_entries(content)
    except (struct.error, IndexError) as error:
        raise ValueError(f"the ELF file is damaged: {error}") from error


def _first_entries(content: bytes) -> dict[str, set[str]]:
    if not content.startswith(_MAGIC):
        raise ValueError("this is no ELF file of 64 bits")
    order = "<" if content[5] == _LITTLE else ">"
    sections = _sections(content, order)
    found: dict[str, set[str]] = {}
    for one in sections:
        if one.type != _REL or sections[one.info].name != _MAPS:
            continue
        symbols = list(_symbols(sections[one.link], sections, order))
        maps = [symbol for symbol in symbols if symbol.type == _OBJECT and symbol.section == one.info]
        for place, info in struct.iter_unpack(f"{order}QQ", one.content):
            target = symbols[info >> 32]
            if target.type == _FUNC:
                for holder in maps:
                    if holder.value <= place < holder.value + holder.size:
                        found.setdefault(holder.name, set()).add(target.name)
    return found


def _sections(content: bytes, order: str) -> list[_Section]:
    header = struct.unpack_from(order + _HEADER, content, 16)
    table, size, count, names = header[5], header[10], header[11], header[12]
    raw = [struct.unpack_from(order + _SECTION, content, table + number * size) for number in range(count)]
    texts = content[raw[names][4] : raw[names][4] + raw[names][5]]
    return [
        _Section(_text(texts, name), kind, link, info, content[offset : offset + length])
        for name, kind, _flags, _address, offset, length, link, info, _align, _entry in raw
    ]


def _symbols(table: _Section, sections: list[_Section], order: str) -> Iterator[_Symbol]:
    names = sections[table.link].content
    for name, info, _other, section, value, size in struct.iter_unpack(order + _SYMBOL, table.content):
        yield _Symbol(_text(names, name), info & 15, section, value, size)


def _text(table: bytes, offset: int) -> str:
    return table[offset : table.index(b"\0", offset)].decode(errors="replace")
