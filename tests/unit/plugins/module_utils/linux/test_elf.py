"""Which programs an object puts into its own maps."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.elf import first_entries


def elf(order: str = "<", relocation_type: int = 9) -> bytes:
    """An ELF file with two maps, of which the second has a program in its slot 1."""
    texts = b"\0.maps\0.rel.maps\0.symtab\0.strtab\0jumps\0others\0second\0"

    def at(name: bytes) -> int:
        return texts.index(b"\0" + name + b"\0") + 1

    symbol, relocation = struct.Struct(order + "IBBHQQ"), struct.Struct(order + "QQ")
    symbols = (
        symbol.pack(0, 0, 0, 0, 0, 0)
        + symbol.pack(at(b"others"), 17, 0, 1, 0, 32)
        + symbol.pack(at(b"jumps"), 17, 0, 1, 32, 48)
        + symbol.pack(at(b"second"), 18, 0, 5, 0, 16)
    )
    contents = [b"", bytes(80), relocation.pack(32 + 40, 3 << 32 | 2), symbols, texts]
    headers, body, place = b"", b"", 64
    kinds = [(0, 0, 0, 0), (at(b".maps"), 1, 0, 0), (at(b".rel.maps"), relocation_type, 3, 1)]
    kinds += [(at(b".symtab"), 2, 4, 1), (at(b".strtab"), 3, 0, 0)]
    for (name, kind, link, info), content in zip(kinds, contents, strict=True):
        headers += struct.pack(order + "IIQQQQIIQQ", name, kind, 0, 0, place, len(content), link, info, 1, 0)
        body, place = body + content, place + len(content)
    identification = b"\x7fELF\x02" + (b"\x01" if order == "<" else b"\x02") + b"\x01" + bytes(9)
    header = struct.pack(order + "HHIQQQIHHHHHH", 1, 247, 1, 0, 0, place, 0, 64, 0, 0, 64, len(kinds), 4)
    return identification + header + body + headers


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_map_and_its_program(order):
    assert first_entries(elf(order)) == {"jumps": {"second"}}


def test_an_object_without_static_entries():
    assert first_entries(elf(relocation_type=1)) == {}


@pytest.mark.parametrize("content", [b"", b"\x7fELF\x01" + bytes(80), elf()[:80], elf()[:-40]])
def test_what_is_no_elf_or_cut_is_an_error(content):
    with pytest.raises(ValueError, match=r"ELF"):
        first_entries(content)
