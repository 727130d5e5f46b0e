# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What may be requested of drivers: options, and the version, firmware and XDP features that they must have."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core.versions import parse_version
from .._linux import netlink

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_VALUE = re.compile(r"[\w.,:/@+-]+", re.ASCII)


@dataclass(frozen=True)
class Driver:
    """What is requested of one driver.

    Attributes:
        name: Of its kernel module, with underscores.
        options: Module options by parameter.
        minimum_version: Of the driver; the kernel's for drivers without a version of their own.
        minimum_firmware: Of every NIC that it drives.
        xdp_features: What it must offer on every NIC that it drives, as the kernel's netdev family names them.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    minimum_version: str | None = None
    minimum_firmware: str | None = None
    xdp_features: Collection[str] = ()

    @classmethod
    def from_option(cls, option: Mapping[str, Any]) -> Driver:
        """Return what an entry of the ``drivers`` option requests."""
        return cls(
            name=plain_name(option["name"]),
            options={key: _module_value(value) for key, value in (option.get("options") or {}).items()},
            minimum_version=option.get("minimum_version"),
            minimum_firmware=option.get("minimum_firmware"),
            xdp_features=option.get("xdp_features") or (),
        )

    @property
    def line(self) -> str:
        """Its line of modprobe.d."""
        return f"options {self.name} " + " ".join(f"{key}={value}" for key, value in sorted(self.options.items()))


def plain_name(name: str) -> str:
    """Return a module's name as the kernel writes it; kmod takes a dash for an underscore."""
    return name.replace("-", "_")


def faults(desired: Sequence[Driver]) -> Iterator[str]:
    """Yield what is malformed in the request itself."""
    names = [driver.name for driver in desired]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is named twice: put all that is requested of it into one item"
    for driver in desired:
        if not _NAME.fullmatch(driver.name):
            yield f"{driver.name!r} is no name of a kernel module"
        for key, value in driver.options.items():
            if not (_NAME.fullmatch(key) and _VALUE.fullmatch(value)):
                yield f"{driver.name}: {key}={value!r} is no option: values are letters, digits and . , : / @ + - _"
        for what, version in (("version", driver.minimum_version), ("firmware", driver.minimum_firmware)):
            if version and parse_version(version) is None:
                yield f"{driver.name}: minimum {what} {version!r} is no version: give numbers and dots, such as 5.10"
        for feature in sorted(set(driver.xdp_features) - set(netlink.XDP_FEATURES)):
            yield f"{driver.name}: {feature!r} is no XDP feature: there are {', '.join(netlink.XDP_FEATURES)}"


def _module_value(value: object) -> str:
    """Return an option's value as a kernel module reads it; YAML makes a boolean of a bare ``Y``."""
    return ("1" if value else "0") if isinstance(value, bool) else str(value)
