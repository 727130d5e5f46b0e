# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a NIC's driver says of itself, by the ethtool ioctl. None is "not supported", which is not 0."""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

# linux/sockios.h and linux/ethtool.h
_SIOCETHTOOL = 0x8946
_GDRVINFO, _GRINGPARAM, _GCHANNELS = 0x03, 0x10, 0x3C
_DRIVER_INFO = struct.Struct("=I32s32s32s32s32s12s5I")
_RINGS = struct.Struct("=9I")
_CHANNELS = struct.Struct("=9I")
_REQUEST = struct.Struct("16sP16x")  # struct ifreq: name, and a pointer to the command
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV)


@dataclass(frozen=True)
class Count:
    """How many there are, and how many there can be."""

    current: int
    maximum: int


@dataclass(frozen=True)
class Nic:
    """A driver's answers.

    Attributes:
        driver, version, firmware: As the driver names them.
        bus: Address on its bus, such as ``0000:81:00.0``.
        rings: Descriptors by ``rx``, ``rx_mini``, ``rx_jumbo`` and ``tx``; without those the hardware lacks.
        channels: Queues by ``rx``, ``tx``, ``other`` and ``combined``; without those the driver lacks.
    """

    driver: str | None = None
    version: str | None = None
    firmware: str | None = None
    bus: str | None = None
    rings: Mapping[str, Count] | None = None
    channels: Mapping[str, Count] | None = None


def describe(name: str) -> Nic:
    """Ask the driver of an interface of this network namespace.

    Raises:
        OSError: The kernel refused for another reason than that the driver does not support a question.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
        info = _ask(door, name, _GDRVINFO, _DRIVER_INFO)
        rings = _ask(door, name, _GRINGPARAM, _RINGS)
        channels = _ask(door, name, _GCHANNELS, _CHANNELS)
    driver, version, firmware, bus = (_text(info[at]) for at in range(1, 5)) if info else (None,) * 4
    return Nic(
        driver,
        version,
        firmware,
        bus,
        rings=_counts(("rx", "rx_mini", "rx_jumbo", "tx"), rings),
        channels=_counts(("rx", "tx", "other", "combined"), channels),
    )


def _ask(door: socket.socket, name: str, command: int, layout: struct.Struct) -> tuple | None:
    buffer = array.array("B", struct.pack("=I", command).ljust(layout.size, b"\0"))
    address, _length = buffer.buffer_info()
    try:
        fcntl.ioctl(door, _SIOCETHTOOL, _REQUEST.pack(name.encode(), address))
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise
    return layout.unpack(buffer)


def _counts(names: tuple[str, ...], answer: tuple | None) -> dict[str, Count] | None:
    if answer is None:
        return None
    maxima, current = answer[1:5], answer[5:9]
    counts = {name: Count(now, most) for name, now, most in zip(names, current, maxima) if most}
    return counts or None


def _text(raw: bytes) -> str | None:
    text = raw.split(b"\0", 1)[0].decode(errors="replace").strip()
    return text if text and text != "N/A" else None
