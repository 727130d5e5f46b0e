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
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from ._rxnfc import (
    FlowRule,
    FlowRules,
    Rss,
    canonical,
    delete_flow_rule,
    insert_flow_rule,
    set_hash_fields,
    set_rss,
)

__all__ = [
    "Count",
    "Feature",
    "FlowRule",
    "FlowRules",
    "Nic",
    "Rss",
    "Settings",
    "canonical",
    "delete_flow_rule",
    "describe",
    "insert_flow_rule",
    "read_settings",
    "set_channels",
    "set_coalesce",
    "set_features",
    "set_hash_fields",
    "set_pause",
    "set_private_flags",
    "set_rings",
    "set_rss",
]

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


@dataclass(frozen=True)
class Feature:
    """An offload.

    Attributes:
        active: Whether it is on.
        wanted: Whether it would be on if nothing forbade it (another feature off, an XDP program attached).
        changeable: False for what ethtool(8) shows as [fixed].
    """

    active: bool
    wanted: bool
    changeable: bool


@dataclass(frozen=True)
class Settings:
    """All that a driver lets one set. None, or a key that is missing: not supported, which is not 0.

    Attributes:
        driver, version, firmware: As the driver names them.
        bus: Address on its bus, such as ``0000:81:00.0``.
        rings: Descriptors by rx, rx_mini, rx_jumbo and tx, and bytes of tx_push_buf_len and hds_thresh.
        ring_options: rx_buf_len and cqe_size in bytes; tcp_data_split, tx_push and rx_push as booleans. The kernel
            does not tell whether a driver that answers False knows tx_push or rx_push.
        channels: Queues by rx, tx, other and combined.
        coalesce: By the words of ``ethtool -C``: rx_usecs, rx_frames, adaptive_rx, rx_frame_low, ...
        features: By the words of ``ethtool -k``'s kernel names: rx-gro-hw, rx-lro, tx-checksum-ipv4, ...
        pause: autoneg, rx and tx.
        private_flags: By the driver's own words.
        rss: Indirection table, key and function.
        hash_fields: ethtool(8)'s letters by flow type; a type that is not hashed has "".
        flow_rules: The classifier.
    """

    driver: Optional[str] = None
    version: Optional[str] = None
    firmware: Optional[str] = None
    bus: Optional[str] = None
    rings: Optional[Mapping[str, Count]] = None
    ring_options: Optional[Mapping[str, Union[int, bool]]] = None
    channels: Optional[Mapping[str, Count]] = None
    coalesce: Optional[Mapping[str, Union[int, bool]]] = None
    features: Mapping[str, Feature] = field(default_factory=dict)
    pause: Optional[Mapping[str, bool]] = None
    private_flags: Optional[Mapping[str, bool]] = None
    rss: Optional[Rss] = None
    hash_fields: Mapping[str, str] = field(default_factory=dict)
    flow_rules: Optional[FlowRules] = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready data from which ``from_json`` makes an equal object."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        """Return the settings that ``to_json`` wrote."""
        raise NotImplementedError


def read_settings(name: str) -> Settings:
    """Ask the driver of an interface of this network namespace for all it says.

    Raises:
        NetlinkError: There is no such interface, or the kernel refused for another reason than that the driver does
            not support a question.
    """
    raise NotImplementedError


def set_rings(name: str, values: Mapping[str, Union[int, bool]]) -> None:
    """Set rings and ring options by the keys of ``Settings.rings`` and ``ring_options``, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused, in its words.
    """
    raise NotImplementedError


def set_channels(name: str, counts: Mapping[str, int]) -> None:
    """Set numbers of queues by the keys of ``Settings.channels``, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused, in its words.
    """
    raise NotImplementedError


def set_coalesce(name: str, values: Mapping[str, Union[int, bool]]) -> None:
    """Set interrupt coalescing by the keys of ``Settings.coalesce``, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused, in its words.
    """
    raise NotImplementedError


def set_features(name: str, wanted: Mapping[str, bool]) -> None:
    """Turn features on and off, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused in its words, or left a feature as it was.
    """
    raise NotImplementedError


def set_pause(name: str, values: Mapping[str, bool]) -> None:
    """Set flow control by the keys of ``Settings.pause``, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused, in its words.
    """
    raise NotImplementedError


def set_private_flags(name: str, flags: Mapping[str, bool]) -> None:
    """Turn a driver's private flags on and off, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused, in its words.
    """
    raise NotImplementedError


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
