"""BTF as compilers write it: layouts as text, and what is damaged."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.btf import Btf, pack, unpack

INT, PTR, ARRAY, STRUCT, UNION, ENUM, TYPEDEF, CONST, VAR, DATASEC, ENUM64 = 1, 2, 3, 4, 5, 6, 8, 10, 14, 15, 19


class Types:
    """Writes BTF, type by type."""

    def __init__(self) -> None:
        self.strings, self.body, self.count = b"\0", b"", 0

    def name(self, text: str) -> int:
        if not text:
            return 0
        self.strings += text.encode() + b"\0"
        return len(self.strings) - len(text) - 1

    def add(self, kind: int, name: str, size: int, rest: bytes = b"", count: int = 0, flag: bool = False) -> int:
        info = kind << 24 | count | flag << 31
        self.body += struct.pack("III", self.name(name), info, size) + rest
        self.count += 1
        return self.count

    def integer(self, name: str, size: int, encoding: int = 0) -> int:
        return self.add(INT, name, size, struct.pack("I", encoding << 24 | size * 8))

    def members(self, *members: tuple[str, int, int]) -> bytes:
        return b"".join(struct.pack("III", self.name(name), kind, offset) for name, kind, offset in members)

    @property
    def raw(self) -> bytes:
        lengths = (0, len(self.body), len(self.body), len(self.strings))
        return struct.pack("HBBIIIII", 0xEB9F, 1, 0, 24, *lengths) + self.body + self.strings


def test_a_struct_is_described_by_names_offsets_and_types():
    types = Types()
    byte = types.integer("unsigned char", 1)
    short = types.add(TYPEDEF, "__u8", byte)
    word = types.integer("unsigned int", 4)
    address = types.add(TYPEDEF, "__be32", word)
    array = types.add(ARRAY, "", 0, struct.pack("III", short, word, 16))
    rule = types.add(STRUCT, "rule", 24, types.members(("action", short, 0), ("source", address, 32)), 2)
    union = types.add(UNION, "", 16, types.members(("v6", array, 0), ("v4", address, 0)), 2)
    outer = types.add(STRUCT, "outer", 40, types.members(("rule", rule, 0), ("at", union, 192)), 2)
    constant = types.add(CONST, "", outer)
    found = Btf(types.raw)
    assert found.describe(rule) == "struct rule(24){action@0 u8; source@32 __be32:u32}"
    expected = (
        "struct outer(40){rule@0 struct rule(24){action@0 u8; source@32 __be32:u32}; "
        "at@192 union (16){v6@0 u8[16]; v4@0 __be32:u32}}"
    )
    assert found.describe(outer) == expected == found.describe(constant)


def test_numbers_enumerations_pointers_and_bit_fields():
    types = Types()
    signed = types.integer("int", 4, 1)
    boolean = types.integer("_Bool", 1, 4)
    four = types.add(
        ENUM, "four", 4, b"".join(struct.pack("Ii", types.name(n), v) for n, v in (("A", 0), ("B", -1))), 2
    )
    eight = types.add(ENUM64, "eight", 8, struct.pack("III", types.name("BIG"), 1, 1), 1)
    bits = types.add(STRUCT, "bits", 4, types.members(("low", signed, 3 << 24), ("high", signed, 5 << 24 | 3)), 2, True)
    pointer = types.add(PTR, "", bits)
    found = Btf(types.raw)
    assert [found.describe(number) for number in (signed, boolean, four, eight, bits, pointer)] == [
        "s32",
        "bool8",
        "enum four(4){A=0, B=-1}",
        f"enum eight(8){{BIG={1 | 1 << 32}}}",
        "struct bits(4){low@0:3 s32; high@3:5 s32}",
        "pointer to bits",
    ]


def test_what_is_damaged_is_an_error_and_nothing_else():
    types = Types()
    loop = types.add(CONST, "", 1)
    types.add(STRUCT, "s", 4, types.members(("self", 2, 0)), 1)
    found = Btf(types.raw)
    for number in (loop, 2, 9):
        with pytest.raises(ValueError, match="BTF"):
            found.describe(number)
    for raw in (b"", b"\x7fELF" + bytes(40), types.raw[:30], types.raw[:-3]):
        with pytest.raises(ValueError, match="BTF"):
            Btf(raw)


def constants() -> tuple[Types, int]:
    """A section with a struct of two numbers, one of them in an array, and an enum; and the struct's number."""
    types = Types()
    number, byte = types.integer("unsigned int", 4), types.integer("unsigned char", 1)
    row = types.add(ARRAY, "", 0, struct.pack("III", byte, number, 3))
    held = types.add(STRUCT, "bounds", 8, types.members(("size", number, 0), ("rest", row, 32)), count=2)
    kind = types.add(CONST, "", types.add(TYPEDEF, "bounds_t", held))
    variable = types.add(VAR, "bounds", kind, struct.pack("I", 1))
    types.add(DATASEC, ".rodata", 12, struct.pack("III", variable, 4, 8), count=1)
    values = struct.pack("Ii", types.name("REASON_NO"), 0) + struct.pack("Ii", types.name("REASON_YES"), 5)
    types.add(ENUM, "reason", 4, values, count=2)
    return types, held


def test_variables_of_a_section_and_the_fields_of_what_they_hold():
    types, held = constants()
    btf = Btf(types.raw)
    place = btf.variables(".rodata")["bounds"]
    assert (place.offset, place.size) == (4, 8)
    fields = btf.fields(place.type)
    assert {name: (one.offset, one.size) for name, one in fields.items()} == {"size": (0, 4), "rest": (4, 3)}
    assert btf.number("struct", "bounds") == held
    assert btf.number("enum", "bounds") is None
    assert btf.variables(".data") == {}
    assert btf.fields(btf.number("enum", "reason")) == {}


def test_a_section_of_one_variable_is_described_as_what_it_holds():
    types, held = constants()
    section = types.count - 1
    btf = Btf(types.raw)
    assert btf.describe(section) == btf.describe(held)


def test_a_section_of_several_variables_is_described_by_their_names_places_and_types():
    types = Types()
    number = types.integer("unsigned int", 4)
    first, second = (types.add(VAR, name, number, struct.pack("I", 1)) for name in ("first", "second"))
    places = struct.pack("IIIIII", first, 0, 4, second, 4, 4)
    section = types.add(DATASEC, ".data.both", 8, places, count=2)
    assert Btf(types.raw).describe(section) == "section {first@0 u32; second@32 u32}"


def test_numbers_of_a_struct_there_and_back():
    types, held = constants()
    fields = Btf(types.raw).fields(held)
    content = pack({"size": 77, "rest": 0x030201, "unknown": 9}, fields, 8)
    assert len(content) == 8
    assert unpack(content, fields) == {"size": 77, "rest": 0x030201}
    with pytest.raises(KeyError):
        pack({"size": 77}, fields, 8)


def test_an_enum_by_its_name():
    btf = Btf(constants()[0].raw)
    assert btf.enumerators(btf.number("enum", "reason")) == {"REASON_NO": 0, "REASON_YES": 5}


def test_a_type_that_is_not_there_is_an_error():
    btf = Btf(constants()[0].raw)
    for ask in (btf.fields, btf.name, btf.enumerators):
        with pytest.raises(ValueError, match="BTF has no type 99"):
            ask(99)
