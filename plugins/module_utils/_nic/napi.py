# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""How the kernel polls a NIC's queues (NAPI): when it interrupts again, and who polls. One value for all queues."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Any

from .._core.converge import ApplyFailed
from .._core.errors import reason
from .._core.system import Host
from .._linux.topology import NETWORK

# Attributes of an interface in sysfs, by the names that the kernel's netlink family `netdev` has for them.
ATTRIBUTES = {
    "defer_hard_irqs": "napi_defer_hard_irqs",
    "gro_flush_timeout": "gro_flush_timeout",
    "threaded": "threaded",
}
# The kernel takes no more polls; a packet that comes after the last one would wait for as long as the timeout.
MOST = {"defer_hard_irqs": 2**31 - 1, "gro_flush_timeout": 10**9}


def read(host: Host, name: str) -> dict[str, int | bool]:
    """Return what the kernel shows: polls, nanoseconds, and whether threads poll; without what it lacks."""
    held = {key: host.read_int(f"{NETWORK}/{name}/{file}") for key, file in ATTRIBUTES.items()}
    return {key: bool(value) if key == "threaded" else value for key, value in held.items() if value is not None}


def write(host: Host, name: str, values: Mapping[str, int | bool]) -> None:
    """Set some of them.

    Raises:
        ApplyFailed: The kernel refused.
    """
    for key, value in values.items():
        try:
            host.write_attribute(f"{NETWORK}/{name}/{ATTRIBUTES[key]}", str(int(value)))
        except OSError as error:
            why = reason(error)
            if key == "threaded" and error.errno == errno.EOPNOTSUPP:
                why = "no queue of it is polled now: request up, and of a veth gro or an XDP program"
            raise ApplyFailed(f"{name} napi {key} {int(value)}: {why}") from error


def faults(requested: Mapping[str, Any], held: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the kernel lacks; ``held`` is what ``read`` returned, and is not empty."""
    for key in requested:
        if key not in held:
            yield f"napi.{key}: this kernel has no {ATTRIBUTES[key]} (Linux 5.12 or newer has all): leave it out"


def hints(requested: Mapping[str, Any], held: Mapping[str, Any]) -> Iterator[str]:
    """Yield what would have no effect."""
    after = {**held, **requested}
    if requested.get("defer_hard_irqs") and not after.get("gro_flush_timeout"):
        yield "napi.defer_hard_irqs defers nothing without gro_flush_timeout, which polls meanwhile: set it above 0 ns"
