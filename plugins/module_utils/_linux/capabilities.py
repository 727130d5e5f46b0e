# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which capabilities this process lacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .._core.system import Host

# Bits of linux/capability.h
BITS: Mapping[str, int] = {"CHOWN": 0, "NET_ADMIN": 12, "SYS_ADMIN": 21}


def missing(host: Host, needed: Collection[str]) -> list[str]:
    """Return those of the capabilities that this process does not have; none where that cannot be read."""
    status = host.read("/proc/self/status") or ""
    held = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), -1)
    return [name for name in needed if not held >> BITS[name] & 1]
