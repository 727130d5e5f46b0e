"""A BPF object of one XDP program, made without a compiler: what an operator's mistake looks like."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_PROGBITS, _SYMTAB, _STRTAB = 1, 2, 3
_FUNCTION = 2
_BPF = 247  # EM_BPF
_GLOBAL_FUNCTION = 0x12
_LOAD_ADDRESS, _JUMP_IF_EQUAL = 0x18, 0x15
_INSTRUCTION = 8  # bytes
_PASS, _EXIT = struct.pack("<BBhi", 0xB7, 0, 0, 2), struct.pack("<BBhi", 0x95, 0, 0, 0)


def xdp_object(verdict: int, name: str = "drop_all") -> bytes:
    """Return an ELF file whose program gives every packet one verdict.

    Args:
        verdict: One of the kernel's ``enum xdp_action``; 1 drops.
        name: Of the program.

    Source: Documentation/bpf/standardization/instruction-set.rst in the Linux tree; elf(5).
    """
    move, leave = struct.pack("<BBhi", 0xB7, 0, 0, verdict), struct.pack("<BBhi", 0x95, 0, 0, 0)
    names = b"\0xdp\0license\0.symtab\0.strtab\0" + name.encode() + b"\0"
    program = move + leave
    symbols = bytes(_SYMBOL.size) + _SYMBOL.pack(names.index(name.encode()), _GLOBAL_FUNCTION, 0, 1, 0, len(program))
    # name, type, flags (alloc, execute), content, link, info, alignment, entry size
    sections = [
        (b"xdp", _PROGBITS, 6, program, 0, 0, 8, 0),
        (b"license", _PROGBITS, 2, b"GPL\0", 0, 0, 1, 0),
        (b".symtab", _SYMTAB, 0, symbols, 4, 1, 8, _SYMBOL.size),
        (b".strtab", _STRTAB, 0, names, 0, 0, 1, 0),
    ]
    offset = 64
    content = b""
    table = bytes(_SECTION.size)
    for title, kind, flags, data, link, info, alignment, size in sections:
        content += bytes(-len(content) % 8)
        place = offset + len(content)
        table += _SECTION.pack(
            names.index(title + b"\0"), kind, flags, 0, place, len(data), link, info, alignment, size
        )
        content += data
    content += bytes(-len(content) % 8)
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 1, _BPF, 1, 0, 0, offset + len(content), 0, 64, 0, 0, _SECTION.size, len(sections) + 1, 4
    )
    return header + content + table


def hollow(content: bytes) -> bytes:
    """Return an object of the same maps whose programs pass everything: the verifier has done with them at once.

    Each function leaves by its last exit before it did anything; what relocations speak of stays, and is dead.

    Args:
        content: An ELF file of 64 bits.
    """
    made = bytearray(content)
    for begin, size in _functions(content):
        place = begin
        while content[place] == _LOAD_ADDRESS or content[place + _INSTRUCTION] == _LOAD_ADDRESS:
            place += 2 * _INSTRUCTION if content[place] == _LOAD_ADDRESS else _INSTRUCTION
        leave = max(at for at in range(begin, begin + size, _INSTRUCTION) if content[at : at + _INSTRUCTION] == _EXIT)
        distance = (leave - place) // _INSTRUCTION - 2
        made[place : place + 2 * _INSTRUCTION] = _PASS + struct.pack("<BBhi", _JUMP_IF_EQUAL, 0, distance, 2)
    return bytes(made)


def _functions(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each function is in the file, and its size: a section can have several."""
    table, size, count = (*struct.unpack_from("<Q", content, 40), *struct.unpack_from("<HH", content, 58))
    sections = [_SECTION.unpack_from(content, table + number * size) for number in range(count)]
    for _name, kind, _flags, _address, offset, length, *_rest in sections:
        if kind != _SYMTAB:
            continue
        for _title, info, _other, section, value, extent in _SYMBOL.iter_unpack(content[offset : offset + length]):
            if info & 15 == _FUNCTION and extent:
                yield sections[section][4] + value, extent
