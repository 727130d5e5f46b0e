# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The frames of a capture, pcap or pcapng, as tcpdump and Wireshark write them.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .._core.converge import Invalid
from .pcapng import ETHERNET, INTERFACE, MAGIC, PACKET, SECTION

_SIMPLE_PACKET, _OLD_PACKET = 3, 2
# Order of bytes, by how a file begins; its times are in microseconds, or nanoseconds.
_PCAP = {struct.pack(f"{order}I", magic): order for magic in (0xA1B2C3D4, 0xA1B23C4D) for order in "<>"}
_PCAP_HEADER, _RECORD_HEADER, _BLOCK_HEADER, _BLOCK_LEAST = 24, 16, 8, 12
_LINK_TYPE = 0xFFFF  # what is above says how long frame check sequences are
_LONGEST = 256 * 1024  # bytes; what tcpdump captures of a packet


def frames(content: bytes) -> list[bytes]:
    """Return the frames of a capture, from their Ethernet headers on; what was not captured of one is zeros.

    Args:
        content: Of the file.

    Raises:
        Invalid: It is no capture, is cut off, or of something else than Ethernet.
    """
    order = _PCAP.get(content[:4])
    if order:
        return list(_pcap(content, order))
    if content[:4] == struct.pack("<I", SECTION):
        return list(_pcapng(content))
    begin = content[:4].hex(" ") or "nothing"
    raise Invalid(f"it begins with {begin}, which neither pcap nor pcapng does: write it by 'tcpdump -w FILE'")


def _pcap(content: bytes, order: str) -> Iterator[bytes]:
    if len(content) < _PCAP_HEADER:
        raise _cut(0, len(content), _PCAP_HEADER)
    _ethernet(struct.unpack_from(f"{order}I", content, 20)[0])
    place = _PCAP_HEADER
    while place < len(content):
        if len(content) - place < _RECORD_HEADER:
            raise _cut(place, len(content) - place, _RECORD_HEADER)
        captured, length = struct.unpack_from(f"{order}8xII", content, place)
        place += _RECORD_HEADER
        yield _frame(content, place, len(content), captured, length)
        place += captured


def _pcapng(content: bytes) -> Iterator[bytes]:
    interfaces: list[tuple[int, int]] = []
    for kind, begin, end, order in _blocks(content):
        if kind == SECTION:
            interfaces = []
        elif kind == INTERFACE:
            _least(begin, end, 8)
            interfaces.append(struct.unpack_from(f"{order}HxxI", content, begin))
        elif kind in (PACKET, _OLD_PACKET):
            _least(begin, end, 20)
            number, captured, length = struct.unpack_from(
                f"{order}{'I8x' if kind == PACKET else 'H10x'}II", content, begin
            )
            _known(interfaces, number, begin)
            yield _frame(content, begin + 20, end, captured, length)
        elif kind == _SIMPLE_PACKET:
            _least(begin, end, 4)
            _known(interfaces, 0, begin)
            [length] = struct.unpack_from(f"{order}I", content, begin)
            yield _frame(content, begin + 4, end, min(length, interfaces[0][1] or length), length)


def _blocks(content: bytes) -> Iterator[tuple[int, int, int, str]]:
    """Yield the kind of each block, where its body begins and ends, and its order of bytes."""
    place, order = 0, "<"
    while place < len(content):
        left = len(content) - place
        if left < _BLOCK_LEAST:
            raise _cut(place, left, _BLOCK_LEAST)
        if content[place : place + 4] == struct.pack("<I", SECTION):
            order = _order(content, place)
        kind, size = struct.unpack_from(f"{order}II", content, place)
        if size < _BLOCK_LEAST or size % 4:
            raise Invalid(f"the block at byte {place} says that it has {size} bytes: the file is damaged")
        if size > left:
            raise _cut(place, left, size)
        [again] = struct.unpack_from(f"{order}I", content, place + size - 4)
        if again != size:
            raise Invalid(f"the block at byte {place} has {size} bytes at its begin, {again} at its end: it is damaged")
        yield kind, place + _BLOCK_HEADER, place + size - 4, order
        place += size


def _order(content: bytes, place: int) -> str:
    magic = content[place + 8 : place + 12]
    for order in "<>":
        if magic == struct.pack(f"{order}I", MAGIC):
            return order
    raise Invalid(f"the section at byte {place} has no order of bytes ({magic.hex(' ')}): it is damaged")


def _least(begin: int, end: int, size: int) -> None:
    if end - begin < size:
        raise Invalid(f"the block at byte {begin - _BLOCK_HEADER} is too short for its kind: it is damaged")


def _known(interfaces: list[tuple[int, int]], number: int, begin: int) -> None:
    if number >= len(interfaces):
        place = begin - _BLOCK_HEADER
        raise Invalid(f"the packet at byte {place} is of interface {number}, which the file does not describe")
    _ethernet(interfaces[number][0])


def _ethernet(link_type: int) -> None:
    if link_type & _LINK_TYPE != ETHERNET:
        raise Invalid(
            f"it is of link type {link_type & _LINK_TYPE}, and only Ethernet ({ETHERNET}) can be judged: capture on a "
            "NIC, and not on 'any' or a tunnel"
        )


def _frame(content: bytes, begin: int, end: int, captured: int, length: int) -> bytes:
    if captured > end - begin:
        raise _cut(begin, end - begin, captured)
    if length > _LONGEST or captured > length:
        raise Invalid(f"the packet at byte {begin} says that {captured} of {length} bytes were captured: it is damaged")
    return content[begin : begin + captured].ljust(length, b"\0")


def _cut(place: int, left: int, needed: int) -> Invalid:
    return Invalid(f"it is cut off: at byte {place} there are {left} bytes, {needed} are needed; copy it again")
