"""Captures of every form are read, and what is none, or half of one, is refused with the place."""

from __future__ import annotations

import io
import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._samples import capture, pcapng

from . import made

FRAMES = [bytes(range(60)), b"\xff" * 1514, b"\1" * 61]


def pcap(frames: list[bytes], order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1, cut: int = 1 << 16) -> bytes:
    header = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, cut, link)
    records = (struct.pack(f"{order}IIII", 7, 8, len(one[:cut]), len(one)) + one[:cut] for one in frames)
    return header + b"".join(records)


def block(kind: int, body: bytes, order: str) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str = "<", link: int = 1, cut: int = 0) -> bytes:
    return block(1, struct.pack(f"{order}HHI", link, 0, cut), order)


def packet(frame: bytes, order: str = "<", number: int = 0) -> bytes:
    return block(6, struct.pack(f"{order}IIIII", number, 0, 0, len(frame), len(frame)) + frame, order)


def old_packet(frame: bytes, order: str = "<") -> bytes:
    return block(2, struct.pack(f"{order}HHIIII", 0, 0, 0, 0, len(frame), len(frame)) + frame, order)


def simple_packet(frame: bytes, order: str = "<", cut: int = 1 << 16) -> bytes:
    return block(3, struct.pack(f"{order}I", len(frame)) + frame[:cut], order)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_pcap_of_either_order_and_clock(order, magic):
    assert capture.frames(pcap(FRAMES, order, magic)) == FRAMES
    assert capture.frames(pcap([], order, magic)) == []
    # The upper half says that frames end with 4 bytes of a check sequence.
    assert capture.frames(pcap(FRAMES, order, magic, link=0x24000001)) == FRAMES


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_of_either_order_with_all_kinds_of_packets_and_sections(order):
    other = ">" if order == "<" else "<"
    statistics = block(5, bytes(12), order)
    kinds = packet(FRAMES[0], order) + statistics + old_packet(FRAMES[1], order) + simple_packet(FRAMES[2], order)
    again = section(other) + interface(other) + packet(FRAMES[0], other)
    content = section(order) + interface(order) + kinds + again
    assert capture.frames(content) == [*FRAMES, FRAMES[0]]


def test_what_was_not_captured_is_zeros():
    whole = [b"\7" * 100]
    assert capture.frames(pcap(whole, cut=40)) == [b"\7" * 40 + bytes(60)]
    content = section() + interface(cut=40) + simple_packet(whole[0], cut=40)
    assert capture.frames(content) == [b"\7" * 40 + bytes(60)]


def test_samples_are_read_as_they_were_written():
    file = io.BytesIO()
    writer = pcapng.Writer(file, "tripod-host")
    samples = [made.sample(frame=one[:128], length=len(one)) for one in FRAMES]
    for one in samples:
        writer.write(one)
    writer.lost(samples[0].interface, 1, 5)
    assert capture.frames(file.getvalue()) == [one[:128].ljust(len(one), b"\0") for one in FRAMES]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it begins with nothing, which neither pcap nor pcapng does"),
        (b"GIF89a", "it begins with 47 49 46 38"),
        (pcap(FRAMES, link=113), "of link type 113, and only Ethernet"),
        (section() + interface(link=101) + packet(FRAMES[0]), "of link type 101, and only Ethernet"),
        (section() + packet(FRAMES[0]), "interface 0, which the file does not describe"),
        (section() + interface() + packet(FRAMES[0], number=1), "interface 1, which the file does not describe"),
        (section()[:8] + b"\0" * 20, "has no order of bytes"),
        (section() + b"\1\0\0\0\x0d\0\0\0" + bytes(20), "says that it has 13 bytes"),
        (section() + interface()[:-4] + b"\x14\0\0\1", "20 bytes at its begin, 16777236 at its end"),
        (section() + interface() + block(6, bytes(8), "<"), "too short for its kind"),
        (section() + interface() + block(3, struct.pack("<I", 1 << 30), "<"), "cut off"),
        (pcap([])[:24] + struct.pack("<IIII", 0, 0, 60, 20) + bytes(60), "60 of 20 bytes were captured"),
    ],
)
def test_what_is_no_capture_is_refused(content, words):
    with pytest.raises(Invalid, match=words):
        capture.frames(content)


@pytest.mark.parametrize(
    ("content", "shorter"),
    [
        (pcap(FRAMES[:1]), {len(pcap([]))}),
        (section() + interface() + packet(FRAMES[0]), {len(section()), len(section() + interface())}),
    ],
    ids=["pcap", "pcapng"],
)
def test_one_that_was_cut_off_anywhere_is_refused_or_is_a_shorter_one(content, shorter):
    for size in range(4, len(content)):
        if size in shorter:
            assert capture.frames(content[:size]) == []
        else:
            with pytest.raises(Invalid, match="cut off"):
                capture.frames(content[:size])
