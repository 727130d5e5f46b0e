"""What user space takes samples, taps and counters to be like is what the program's headers say."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._samples import control, hits, sample

HEADERS = Path(__file__).resolve().parents[5] / "files" / "bpf"
FILLER = re.compile("reserved|unused|unknown")
SIZES = {"__u8": 1, "__u16": 2, "__u32": 4, "__u64": 8}


def header(name: str) -> str:
    return re.sub(r"/\*.*?\*/", "", (HEADERS / name).read_text(encoding="utf-8"), flags=re.DOTALL)


def constant(name: str) -> int:
    [found] = re.findall(rf"#define {name} (\d+)\b", header("tripod_sample.h"))
    return int(found)


def fields(text: str, name: str) -> list[tuple[str, int, int]]:
    """Return the name, the offset and the size of each field of a struct of numbers."""
    [body] = re.findall(rf"struct {name} \{{(.*?)\n\}};", text, flags=re.DOTALL)
    found, place = [], 0
    for kind, names in re.findall(r"(__u\d+) ([^;]+);", body):
        for word in names.split(","):
            field, _bracket, count = word.strip().rstrip("]").partition("[")
            number = int(count) if count.isdigit() else constant(count) if count else 1
            assert place % SIZES[kind] == 0, "the compiler would leave a gap"
            found.append((field, place, SIZES[kind] * number))
            place += SIZES[kind] * number
    return found


def laid_out(kind: type[ctypes.Structure]) -> list[tuple[str, int, int]]:
    return [(name, getattr(kind, name).offset, getattr(kind, name).size) for name, *_type in kind._fields_]


def test_reasons_are_numbered_as_in_the_program():
    [body] = re.findall(r"enum tripod_reason \{(.*?)\};", header("tripod_xdp.h"), flags=re.DOTALL)
    assert [one.lower() for one in re.findall(r"REASON_(\w+)", body)] == list(sample.REASONS)
    assert "=" not in body
    assert set(sample.DROP_REASONS) < set(sample.REASONS)


def test_a_record_is_a_struct_sample():
    found = fields(header("tripod_sample.h"), "sample")
    [*_rest, (last, place, size)] = found
    assert (last, place, size) == ("packet", sample.SIZE - sample.CAPTURED, sample.CAPTURED)
    assert [name for name, _place, _size in found if name not in ("reserved", "packet")] == [
        *("time", "interface", "length", "captured", "slot", "would_slot", "queue"),
        *("verdict", "reason", "would", "would_reason", "taps"),
    ]
    assert [size for _name, _place, size in found[:-2]] == [8, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(("name", "kind"), [("tap", control._Tap), ("control", control._Control)])
def test_control_is_laid_out_as_in_the_program(name, kind):
    here = [one for one in laid_out(kind) if not FILLER.match(one[0])]
    there = [one for one in fields(header("tripod_sample.h"), name) if not FILLER.match(one[0])]
    assert [one for one in here if one[0] != "taps"] == there
    assert constant("SAMPLE_TAPS") == 2
    if name == "control":
        [*_rest, (_name, place, size)] = fields(header("tripod_sample.h"), name)
        assert here[-1] == ("taps", place + size, 2 * ctypes.sizeof(control._Tap))


def test_a_hit_is_a_struct_hit():
    found = fields(header("tripod_xdp.h"), "hit")
    assert [name for name, _place, _size in found] == [
        *("packets", "bytes", "observed_packets", "observed_bytes", "last"),
    ]
    assert found[-1][1] + found[-1][2] == hits._HIT.size
