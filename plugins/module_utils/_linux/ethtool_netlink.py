# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""NIC settings by the ethtool family of generic netlink (kernel 5.7 or newer).

It refuses in words, names the parameter it refuses, and says which coalescing parameters a driver has.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Union

from .._core.converge import ApplyFailed, Impossible
from .netlink_socket import (
    GENERIC,
    NetlinkError,
    Socket,
    attribute,
    attributes,
    generic,
    generic_attributes,
    located_attributes,
    nest,
    read_int,
    read_text,
    text,
    u8,
    u32,
)

Value = Union[int, bool]

# linux/ethtool_netlink.h; numbers newer than a host's kernel are refused by it as unknown attributes.
_HEADER, _HEADER_DEV_NAME = 1, 2
_BITSET_NOMASK, _BITSET_BITS, _BITS_BIT, _BIT_NAME, _BIT_VALUE = 1, 3, 1, 2, 3
_FEATURES_GET, _FEATURES_SET = 11, 12
_FEATURES_HW, _FEATURES_WANTED, _FEATURES_ACTIVE, _FEATURES_NOCHANGE = 2, 3, 4, 5
_PRIVFLAGS_GET, _PRIVFLAGS_SET, _PRIVFLAGS_FLAGS = 13, 14, 2
# Answers of the kernel, or of a driver that looks no further, to a question that the driver has no answer for.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL)
_TCP_DATA_SPLIT = {1: False, 2: True}  # 0 is unknown


@dataclass(frozen=True)
class _Parameter:
    """How one key travels.

    Attributes:
        number: Its attribute.
        maximum: The attribute of its limit, where it has one.
        decode, encode: Between the attribute's bytes and the value.
    """

    number: int
    maximum: int | None = None
    decode: Callable[[bytes], Value | None] = read_int
    encode: Callable[[Any], bytes] = u32


def _flag(number: int) -> _Parameter:
    return _Parameter(number, decode=lambda value: bool(read_int(value)), encode=lambda value: u8(bool(value)))


@dataclass(frozen=True)
class Group:
    """Parameters that one pair of requests reads and sets.

    Attributes:
        word: What an error calls them.
        get, set: The numbers of the requests.
        parameters: By the name that an operator knows them by.
    """

    word: str
    get: int
    set: int
    parameters: Mapping[str, _Parameter]


RINGS = Group(
    "ring",
    15,
    16,
    {
        "rx": _Parameter(6, 2),
        "rx_mini": _Parameter(7, 3),
        "rx_jumbo": _Parameter(8, 4),
        "tx": _Parameter(9, 5),
        "rx_buf_len": _Parameter(10),
        "tcp_data_split": _Parameter(
            11, decode=lambda value: _TCP_DATA_SPLIT.get(read_int(value)), encode=lambda value: u8(2 if value else 1)
        ),
        "cqe_size": _Parameter(12),
        "tx_push": _flag(13),
        "rx_push": _flag(14),
        "tx_push_buf_len": _Parameter(15, 16),
        "hds_thresh": _Parameter(17, 18),
    },
)
CHANNELS = Group(
    "channels",
    17,
    18,
    {"rx": _Parameter(6, 2), "tx": _Parameter(7, 3), "other": _Parameter(8, 4), "combined": _Parameter(9, 5)},
)
COALESCE = Group(
    "coalesce",
    19,
    20,
    {
        "rx_usecs": _Parameter(2),
        "rx_frames": _Parameter(3),
        "rx_usecs_irq": _Parameter(4),
        "rx_frames_irq": _Parameter(5),
        "tx_usecs": _Parameter(6),
        "tx_frames": _Parameter(7),
        "tx_usecs_irq": _Parameter(8),
        "tx_frames_irq": _Parameter(9),
        "stats_block_usecs": _Parameter(10),
        "adaptive_rx": _flag(11),
        "adaptive_tx": _flag(12),
        "pkt_rate_low": _Parameter(13),
        "rx_usecs_low": _Parameter(14),
        "rx_frames_low": _Parameter(15),
        "tx_usecs_low": _Parameter(16),
        "tx_frames_low": _Parameter(17),
        "pkt_rate_high": _Parameter(18),
        "rx_usecs_high": _Parameter(19),
        "rx_frames_high": _Parameter(20),
        "tx_usecs_high": _Parameter(21),
        "tx_frames_high": _Parameter(22),
        "sample_interval": _Parameter(23),
        "cqe_mode_tx": _flag(24),
        "cqe_mode_rx": _flag(25),
        "tx_aggr_max_bytes": _Parameter(26),
        "tx_aggr_max_frames": _Parameter(27),
        "tx_aggr_time_usecs": _Parameter(28),
    },
)
PAUSE = Group("pause", 21, 22, {"autoneg": _flag(2), "rx": _flag(3), "tx": _flag(4)})


@dataclass(frozen=True)
class Count:
    """How many there are, and how many there can be."""

    current: int
    maximum: int


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


class Ethtool:
    """A conversation with the driver of one interface of this network namespace.

    Raises:
        Impossible: The kernel has no such family.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._socket = Socket(GENERIC)
        try:
            family = self._socket.family("ethtool")
        except BaseException:
            self._socket.__exit__()
            raise
        if family is None:
            self._socket.__exit__()
            raise Impossible(
                f"{name}: the kernel reports no NIC settings by netlink: it must be Linux 5.7 or newer, built with "
                "CONFIG_ETHTOOL_NETLINK"
            )
        self._family = family
        self._header = nest(_HEADER, attribute(_HEADER_DEV_NAME, text(name)))

    def __enter__(self) -> Ethtool:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._socket.__exit__()

    def counts(self, group: Group) -> dict[str, Count] | None:
        """Return the parameters that have a maximum, without those whose maximum is 0: the driver lacks them."""
        answer = self._read(group.get, group.word)
        return None if answer is None else decode_counts(group, answer)

    def values(self, group: Group) -> dict[str, Value] | None:
        """Return the parameters without a maximum that the driver has."""
        answer = self._read(group.get, group.word)
        return None if answer is None else decode_values(group, answer)

    def features(self) -> dict[str, Feature]:
        """Return all features that the kernel knows."""
        return decode_features(self._read(_FEATURES_GET, "features") or b"")

    def private_flags(self) -> dict[str, bool] | None:
        """Return the driver's private flags."""
        answer = self._read(_PRIVFLAGS_GET, "private flags")
        return None if answer is None else decode_private_flags(answer)

    def set(self, group: Group, values: Mapping[str, Value]) -> None:
        """Set parameters in one request.

        Raises:
            ApplyFailed: The kernel or the driver refused, in its words.
        """
        request = generic(group.set, self._header + encode_values(group, values))
        try:
            self._socket.request(self._family, request)
        except NetlinkError as error:
            raise self._refusal(group.word, _blamed(request, error, group, values), error) from error

    def set_features(self, wanted: Mapping[str, bool]) -> None:
        """Turn features on and off in one request.

        Raises:
            ApplyFailed: The kernel or the driver refused in its words, or a feature stayed as it was.
        """
        answer = self._set_bits(_FEATURES_SET, _FEATURES_WANTED, "feature", wanted)
        # The reply names what differs from the request: the kernel takes a wish that it cannot grant.
        stayed = [
            name for name in decode_bits(dict(generic_attributes(answer)).get(_FEATURES_WANTED, b"")) if name in wanted
        ]
        if stayed:
            listed = ", ".join(f"{name} stays {_on(not wanted[name])}" for name in sorted(stayed))
            raise ApplyFailed(
                f"{self._name}: feature {listed}: the driver does not let it change, or another setting (a feature it "
                "depends on, an attached XDP program) holds it"
            )

    def set_private_flags(self, flags: Mapping[str, bool]) -> None:
        """Turn private flags on and off in one request.

        Raises:
            ApplyFailed: The kernel or the driver refused, in its words.
        """
        self._set_bits(_PRIVFLAGS_SET, _PRIVFLAGS_FLAGS, "private flag", flags)

    def _set_bits(self, command: int, kind: int, word: str, bits: Mapping[str, bool]) -> bytes:
        try:
            return self._socket.request(self._family, generic(command, self._header + encode_bits(kind, bits)))
        except NetlinkError as error:
            raise self._refusal(word, bits, error) from error

    def _read(self, command: int, word: str) -> bytes | None:
        try:
            return self._socket.request(self._family, generic(command, self._header))
        except NetlinkError as error:
            if error.errno in _UNSUPPORTED:
                return None
            raise unreadable(self._name, word, error) from error

    def _refusal(self, word: str, blamed: Mapping[str, object], error: NetlinkError) -> ApplyFailed:
        listed = ", ".join(f"{key} {_on(value) if isinstance(value, bool) else value}" for key, value in blamed.items())
        return ApplyFailed(f"{self._name}: {word} {listed}: {error}", errno=error.name)


def decode_counts(group: Group, answer: bytes) -> dict[str, Count] | None:
    """Return what of an answer has a maximum other than 0."""
    found = dict(generic_attributes(answer))
    counts = {}
    for key, parameter in group.parameters.items():
        most = read_int(found.get(parameter.maximum or 0, b""))
        if most:
            counts[key] = Count(read_int(found.get(parameter.number, b"")), most)
    return counts or None


def decode_values(group: Group, answer: bytes) -> dict[str, Value] | None:
    """Return what of an answer has no maximum."""
    found = dict(generic_attributes(answer))
    decoded = {
        key: parameter.decode(found[parameter.number])
        for key, parameter in group.parameters.items()
        if parameter.maximum is None and parameter.number in found
    }
    return {key: value for key, value in decoded.items() if value is not None} or None


def encode_values(group: Group, values: Mapping[str, Value]) -> bytes:
    """Return the attributes of values."""
    parameters = group.parameters
    return b"".join(attribute(parameters[key].number, parameters[key].encode(value)) for key, value in values.items())


def decode_features(answer: bytes) -> dict[str, Feature]:
    """Return the features of an answer."""
    found = dict(generic_attributes(answer))
    changeable, wanted, active, pinned = (
        decode_bits(found.get(kind, b""))
        for kind in (_FEATURES_HW, _FEATURES_WANTED, _FEATURES_ACTIVE, _FEATURES_NOCHANGE)
    )
    return {
        name: Feature(active.get(name, False), wanted.get(name, False), bit and not pinned.get(name, False))
        for name, bit in changeable.items()
        if name  # a bit that the kernel keeps to itself
    }


def decode_private_flags(answer: bytes) -> dict[str, bool]:
    """Return the private flags of an answer."""
    return decode_bits(dict(generic_attributes(answer)).get(_PRIVFLAGS_FLAGS, b""))


def decode_bits(bitset: bytes) -> dict[str, bool]:
    """Return the bits that a bitset lists. One without a mask lists only those that are set."""
    parts = dict(attributes(bitset))
    bits = {}
    for kind, content in attributes(parts.get(_BITSET_BITS, b"")):
        if kind == _BITS_BIT:
            bit = dict(attributes(content))
            bits[read_text(bit[_BIT_NAME])] = _BIT_VALUE in bit or _BITSET_NOMASK in parts
    return bits


def encode_bits(kind: int, bits: Mapping[str, bool]) -> bytes:
    """Return a bitset that changes the named bits only."""
    listed = b"".join(
        nest(_BITS_BIT, attribute(_BIT_NAME, text(name)) + (attribute(_BIT_VALUE, b"") if bit else b""))
        for name, bit in bits.items()
    )
    return nest(kind, nest(_BITSET_BITS, listed))


def unreadable(name: str, word: str, error: NetlinkError) -> Impossible:
    """Return the error of a question that got no answer."""
    return Impossible(f"{name}: reading its {word}: {error}", errno=error.name)


def _blamed(request: bytes, error: NetlinkError, group: Group, values: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return the one value that the kernel points at, or all where it points at none."""
    for kind, start, _content in located_attributes(request, len(generic(0))):
        if start == error.offset:
            return {key: value for key, value in values.items() if group.parameters[key].number == kind} or values
    return values


def _on(bit: bool) -> str:
    return "on" if bit else "off"
