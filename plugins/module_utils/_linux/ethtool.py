# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Every setting of a NIC, by the transport that serves it. None is "not supported", which is not 0.

Rings, channels, coalescing, features, pause and private flags go by generic netlink (kernel 5.7 or newer), which
refuses in words and says which coalescing parameters a driver has; RSS and flow rules by ioctl (``rxnfc``).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from .._core.converge import Impossible
from .ethtool_ioctl import call
from .ethtool_netlink import CHANNELS, COALESCE, PAUSE, RINGS, Count, Ethtool, Feature, Value, unreadable
from .netlink_socket import NetlinkError
from .rxnfc import (
    FlowRule,
    FlowRules,
    Rss,
    canonical,
    delete_flow_rule,
    insert_flow_rule,
    read_flow_rules,
    read_hash_fields,
    read_rss,
    set_hash_fields,
    set_rss,
)

__all__ = [
    "Count",
    "Feature",
    "FlowRule",
    "FlowRules",
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

Answer = TypeVar("Answer")

# linux/ethtool.h
_GDRVINFO = 0x03
_DRIVER_INFO = struct.Struct("=I32s32s32s32s32s12s5I")
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL)


@dataclass(frozen=True)
class Settings:
    """All that a driver lets one set. None, or a key that is missing: not supported, which is not 0.

    Attributes:
        driver, version, firmware: As the driver names them.
        bus: Address on its bus, such as ``0000:81:00.0``.
        rings: Descriptors by rx, rx_mini, rx_jumbo and tx, and bytes of tx_push_buf_len and hds_thresh.
        ring_options: rx_buf_len and cqe_size in bytes; tcp_data_split, tx_push and rx_push as booleans. The kernel
            does not say whether a driver that answers False knows tx_push or rx_push.
        channels: Queues by rx, tx, other and combined.
        coalesce: By the words of ``ethtool -C``: rx_usecs, rx_frames, adaptive_rx, rx_frames_low, ...
        features: By the kernel's names, which ``ethtool -k`` shows for all but the oldest: rx-gro-hw, rx-lro,
            rx-ntuple-filter, tx-checksum-ipv4, ...
        pause: autoneg, rx and tx.
        private_flags: By the driver's own words.
        rss: Indirection table, key and function.
        hash_fields: ethtool(8)'s letters by flow type; a type that is not hashed has "".
        flow_rules: The classifier.
    """

    driver: str | None = None
    version: str | None = None
    firmware: str | None = None
    bus: str | None = None
    rings: Mapping[str, Count] | None = None
    ring_options: Mapping[str, Value] | None = None
    channels: Mapping[str, Count] | None = None
    coalesce: Mapping[str, Value] | None = None
    features: Mapping[str, Feature] = field(default_factory=dict)
    pause: Mapping[str, bool] | None = None
    private_flags: Mapping[str, bool] | None = None
    rss: Rss | None = None
    hash_fields: Mapping[str, str] = field(default_factory=dict)
    flow_rules: FlowRules | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready data from which ``from_json`` makes an equal object."""
        data = asdict(self)
        if self.rss:
            data["rss"].update(
                key=self.rss.key.hex(":"), table=list(self.rss.table), functions=list(self.rss.functions)
            )
        if self.flow_rules:
            data["flow_rules"]["rules"] = list(data["flow_rules"]["rules"])
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        """Return the settings that ``to_json`` wrote; what is left out of the data is not supported."""
        parts = dict(data)
        for key in ("rings", "channels"):
            if parts.get(key) is not None:
                parts[key] = {name: Count(**count) for name, count in parts[key].items()}
        parts["features"] = {name: Feature(**feature) for name, feature in parts.get("features", {}).items()}
        if parts.get("rss"):
            rss = parts["rss"]
            hash_key = bytes.fromhex(rss.get("key", "").replace(":", ""))
            sequences = {name: tuple(rss.get(name, ())) for name in ("table", "functions")}
            parts["rss"] = Rss(**{**rss, **sequences, "key": hash_key})
        if parts.get("flow_rules"):
            rules = tuple(FlowRule(**rule) for rule in parts["flow_rules"].get("rules", ()))
            parts["flow_rules"] = FlowRules(**{**parts["flow_rules"], "rules": rules})
        return cls(**parts)


def read_settings(name: str) -> Settings:
    """Query the driver of an interface of this network namespace for all its settings.

    Raises:
        Impossible: There is no such interface, the kernel is too old, or it refused for another reason than that the
            driver does not support a question.
    """
    with Ethtool(name) as ethtool:
        rss = _query(name, "RSS", read_rss)
        pause = ethtool.values(PAUSE)
        return replace(
            _driver(name),
            rings=ethtool.counts(RINGS),
            ring_options=ethtool.values(RINGS),
            channels=ethtool.counts(CHANNELS),
            coalesce=ethtool.values(COALESCE),
            features=ethtool.features(),
            pause={key: bool(value) for key, value in pause.items()} if pause else None,
            private_flags=ethtool.private_flags(),
            rss=rss,
            # Drivers answer with no fields at all where there is no RSS to have them.
            hash_fields=(_query(name, "hash fields", read_hash_fields) or {}) if rss else {},
            flow_rules=_query(name, "flow rules", read_flow_rules),
        )


def describe(name: str) -> Settings:
    """Query a driver for its name, rings and channels only; an interface that is gone says nothing.

    Raises:
        Impossible: The kernel is too old, or refused for another reason than that there is no answer.
    """
    try:
        with Ethtool(name) as ethtool:
            return replace(_driver(name), rings=ethtool.counts(RINGS), channels=ethtool.counts(CHANNELS))
    except Impossible as error:
        if error.facts.get("errno") == "ENODEV":
            return Settings()
        raise


def set_rings(name: str, values: Mapping[str, Value]) -> None:
    """Set rings and ring options by the keys of ``Settings.rings`` and ``ring_options``, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused, in its words.
    """
    with Ethtool(name) as ethtool:
        ethtool.set(RINGS, values)


def set_channels(name: str, counts: Mapping[str, int]) -> None:
    """Set numbers of queues by the keys of ``Settings.channels``, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused, in its words.
    """
    with Ethtool(name) as ethtool:
        ethtool.set(CHANNELS, counts)


def set_coalesce(name: str, values: Mapping[str, Value]) -> None:
    """Set interrupt coalescing by the keys of ``Settings.coalesce``, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused, in its words.
    """
    with Ethtool(name) as ethtool:
        ethtool.set(COALESCE, values)


def set_features(name: str, wanted: Mapping[str, bool]) -> None:
    """Turn features on and off, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused in its words, or left a feature as it was.
    """
    with Ethtool(name) as ethtool:
        ethtool.set_features(wanted)


def set_pause(name: str, values: Mapping[str, bool]) -> None:
    """Set flow control by the keys of ``Settings.pause``, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused, in its words.
    """
    with Ethtool(name) as ethtool:
        ethtool.set(PAUSE, values)


def set_private_flags(name: str, flags: Mapping[str, bool]) -> None:
    """Turn a driver's private flags on and off, in one request.

    Raises:
        ApplyFailed: The kernel or the driver refused, in its words.
    """
    with Ethtool(name) as ethtool:
        ethtool.set_private_flags(flags)


def _query(name: str, word: str, question: Callable[[str], Answer]) -> Answer | None:
    try:
        return question(name)
    except NetlinkError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise unreadable(name, word, error) from error


def _driver(name: str) -> Settings:
    """Return what the driver calls itself."""
    answer = _query(name, "driver", lambda nic: call(nic, struct.pack("=I", _GDRVINFO).ljust(_DRIVER_INFO.size, b"\0")))
    if answer is None:
        return Settings()
    _command, driver, version, firmware, bus, *_rest = _DRIVER_INFO.unpack(answer)
    return Settings(_text(driver), _text(version), _text(firmware), _text(bus))


def _text(raw: bytes) -> str | None:
    text = raw.split(b"\0", 1)[0].decode(errors="replace").strip()
    return text if text and text != "N/A" else None
