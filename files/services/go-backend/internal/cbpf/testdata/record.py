"""Record what libpcap makes of expressions, for the test that compares it with what is made of them here.

Usage: python record.py < expressions.txt > libpcap.json

It needs libpcap (package libpcap0.8 of Debian), which tcpdump compiles its expressions by.
"""

from __future__ import annotations

import ctypes
import json
import sys

ETHERNET, LENGTH, NO_MASK = 1, 262144, 0xFFFFFFFF


class Instruction(ctypes.Structure):
    """One of the machine's (struct bpf_insn)."""

    _fields_ = [("code", ctypes.c_ushort), ("true", ctypes.c_ubyte), ("false", ctypes.c_ubyte), ("k", ctypes.c_uint32)]


class Program(ctypes.Structure):
    """Some instructions (struct bpf_program)."""

    _fields_ = [("length", ctypes.c_uint), ("instructions", ctypes.POINTER(Instruction))]


def main() -> None:
    pcap = ctypes.CDLL("libpcap.so.0.8")
    pcap.pcap_open_dead.restype = ctypes.c_void_p
    pcap.pcap_geterr.restype = ctypes.c_char_p
    pcap.pcap_lib_version.restype = ctypes.c_char_p
    handle = ctypes.c_void_p(pcap.pcap_open_dead(ETHERNET, LENGTH))
    recorded = {}
    for line in sys.stdin:
        expression, both = line.strip(), []
        # An optimized program reads a frame in another order, and so decides otherwise on some that end early.
        for optimize in (0, 1):
            program = Program()
            if pcap.pcap_compile(handle, ctypes.byref(program), expression.encode(), optimize, NO_MASK):
                both = pcap.pcap_geterr(handle).decode()
                break
            taken = program.instructions[: program.length]
            both.append([[one.code, one.true, one.false, one.k] for one in taken])
        recorded[expression] = both
    json.dump({"version": pcap.pcap_lib_version().decode(), "programs": recorded}, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
