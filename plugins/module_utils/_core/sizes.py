# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Amounts of memory, as the kernel's arguments and as people write them."""

from __future__ import annotations

import re

from .converge import Invalid

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def parse_size(text: str | int) -> int:
    """Return bytes from ``2M``, ``1G``, ``1024M``, ``1 GiB`` or a number of bytes.

    Raises:
        Invalid: The text is no size.
    """
    match = _SIZE.fullmatch(str(text).strip())
    if match is None:
        raise Invalid(f"{text!r} is no size: give bytes, or a number with K, M, G or T, such as 2M")
    return int(match[1]) * _UNITS[match[2].upper()]


def size_token(size: int) -> str:
    """Return the shortest form that the kernel reads on its command line: ``2M``, ``1G``."""
    for unit in ("T", "G", "M", "K"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def human_size(size: float) -> str:
    """Return a size for a message: ``1 GiB``, ``1.9 GiB``, ``512 B``."""
    for unit in ("T", "G", "M", "K"):
        if abs(size) >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.1f}".replace(".0", "") + f" {unit}iB"
    return f"{size:.0f} B"
