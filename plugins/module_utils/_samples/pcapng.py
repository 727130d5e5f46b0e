# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Samples as a pcapng file, with verdict, reason and rule as each packet's comment.

Written here, as what hosts have packaged either writes no comments (libpcap) or is a capture tool of its own.

Source: draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import BinaryIO

from .sample import CAPTURED, VERDICTS, Sample, in_words

SECTION, INTERFACE, _STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
MAGIC, _VERSION, _UNKNOWN_LENGTH = 0x1A2B3C4D, (1, 0), -1
ETHERNET = 1
_COMMENT, _APPLICATION = 1, 4
_IF_NAME, _IF_RESOLUTION = 2, 9
_FLAGS, _QUEUE, _VERDICT = 2, 6, 7
_LOST = 7  # isb_osdrop
_NANOSECONDS = bytes((9,))
_INBOUND = struct.pack("<I", 1)
_XDP = b"\2"  # whose verdict follows


class Writer:
    """Writes samples; a NIC becomes an interface of the file when its first sample comes.

    Args:
        file: Where it is written to, from here on; whoever gave it closes it.
        application: Name of the program that writes it.
    """

    def __init__(self, file: BinaryIO, application: str) -> None:
        self._file = file
        self._interfaces: dict[str, int] = {}
        body = struct.pack("<IHHq", MAGIC, *_VERSION, _UNKNOWN_LENGTH)
        self._block(SECTION, body, [(_APPLICATION, application.encode())])

    def write(self, sample: Sample) -> None:
        """Add a sample."""
        body = struct.pack(
            "<IIIII", self._number(sample.interface), *_time(sample.time), len(sample.frame), sample.length
        )
        options = [(_COMMENT, in_words(sample).encode()), (_FLAGS, _INBOUND), (_QUEUE, struct.pack("<I", sample.queue))]
        if sample.verdict in VERDICTS:
            options.append((_VERDICT, _XDP + struct.pack("<Q", VERDICTS.index(sample.verdict))))
        self._block(PACKET, body + _padded(sample.frame), options)

    def lost(self, interface: str, time: int, samples: int) -> None:
        """Say how many samples of a NIC did not come; once, in the end.

        Args:
            interface: Its name.
            time: Now, Unix time in nanoseconds.
            samples: Found no room, or were overwritten before they were read.
        """
        body = struct.pack("<III", self._number(interface), *_time(time))
        self._block(_STATISTICS, body, [(_LOST, struct.pack("<Q", samples))])

    def _number(self, interface: str) -> int:
        if interface not in self._interfaces:
            self._interfaces[interface] = len(self._interfaces)
            options = [(_IF_NAME, interface.encode()), (_IF_RESOLUTION, _NANOSECONDS)]
            self._block(INTERFACE, struct.pack("<HHI", ETHERNET, 0, CAPTURED), options)
        return self._interfaces[interface]

    def _block(self, kind: int, body: bytes, options: Sequence[tuple[int, bytes]]) -> None:
        for number, value in options:
            body += struct.pack("<HH", number, len(value)) + _padded(value)
        body += struct.pack("<HH", 0, 0)
        length = 12 + len(body)
        self._file.write(struct.pack("<II", kind, length) + body + struct.pack("<I", length))


def _time(nanoseconds: int) -> tuple[int, int]:
    return nanoseconds >> 32 & 0xFFFFFFFF, nanoseconds & 0xFFFFFFFF


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
