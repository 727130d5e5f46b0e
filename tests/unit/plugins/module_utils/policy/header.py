"""Types and constants of files/bpf/tripod_policy.h, read from its text, so that no compiler reads what it wrote."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[5]
TEXT = re.sub(r"/\*.*?\*/", "", (ROOT / "files/bpf/tripod_policy.h").read_text(encoding="utf-8"), flags=re.DOTALL)
_TYPES: dict[str, Any] = {
    "__u8": ctypes.c_uint8,
    "__u16": ctypes.c_uint16,
    "__u32": ctypes.c_uint32,
    "__u64": ctypes.c_uint64,
    "__be32": ctypes.c_uint8 * 4,
    "__be64": ctypes.c_uint8 * 8,
}


def _constants() -> dict[str, int]:
    names: dict[str, int] = {}
    for name, value in re.findall(r"^#define (\w+) (.+)$", TEXT, re.MULTILINE):
        names[name] = _value(value, names)
    for body in re.findall(r"enum \w+ \{(.*?)\};", TEXT, re.DOTALL):
        number = -1
        for member in filter(None, (one.strip() for one in body.split(","))):
            name, equals, value = member.partition("=")
            number = _value(value, names) if equals else number + 1
            names[name.strip()] = number
    return names


def _value(text: str, names: dict[str, int]) -> int:
    """Return what a constant expression of numbers, names and operators is."""
    python = re.sub(r"~0ull\b", str((1 << 64) - 1), text)
    python = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", python)
    number = eval(python, {"__builtins__": {}}, dict(names))  # of our own header
    return number & 0xFFFF_FFFF_FFFF_FFFF


def _structs() -> dict[str, Any]:
    types = dict(_TYPES)
    for name, body in re.findall(r"^struct (\w+) \{(.*?)^\};", TEXT, re.DOTALL | re.MULTILINE):
        fields = []
        for kind, members in re.findall(r"(?:struct )?(\w+) ([^;]+);", body):
            for member in members.split(","):
                label, *counts = re.findall(r"[^\[\]]+", member.strip())
                type_ = types[kind]
                for count in reversed(counts):
                    type_ = type_ * _value(count, CONSTANTS)
                fields.append((label, type_))
        types[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
    return types


CONSTANTS = _constants()
STRUCTS = _structs()
