"""A BPF object of one XDP program, made without a compiler: what an operator's mistake looks like."""

from __future__ import annotations

import struct

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_PROGBITS, _SYMTAB, _STRTAB = 1, 2, 3
_BPF = 247  # EM_BPF
_GLOBAL_FUNCTION = 0x12
_EXECUTE = 4
_LOAD_ADDRESS, _CALL, _PSEUDO_CALL = 0x18, 0x85, 1
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
    """Return an object of the same maps whose program passes everything: the verifier has done with it at once.

    Loads of map addresses and calls of subprograms stay, as relocations speak of them.

    Args:
        content: An ELF file of 64 bits.
    """
    made = bytearray(content)
    table, size, count = (*struct.unpack_from("<Q", content, 40), *struct.unpack_from("<HH", content, 58))
    for number in range(count):
        _name, kind, flags, _address, offset, length, *_rest = _SECTION.unpack_from(content, table + number * size)
        if (kind, flags & _EXECUTE) != (_PROGBITS, _EXECUTE) or not length:
            continue
        place, end = offset, offset + length - len(_EXIT)
        while place < end:
            opcode, registers = content[place : place + 2]
            if opcode == _LOAD_ADDRESS:
                place += 2 * len(_PASS)
                continue
            if (opcode, registers >> 4) != (_CALL, _PSEUDO_CALL):
                made[place : place + len(_PASS)] = _PASS
            place += len(_PASS)
        made[end : end + len(_EXIT)] = _EXIT
    return bytes(made)
