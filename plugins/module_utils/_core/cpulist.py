# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Sets of CPUs in the two notations of the kernel: lists such as ``0-3,8`` and masks such as ``ff,00000000``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .converge import Invalid

MASK_BITS = 32  # one comma-separated group of a mask
_RANGE = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+)(?::(?P<used>\d+)/(?P<group>\d+))?)?")
_GROUP = re.compile(r"[0-9a-f]{1,8}", re.IGNORECASE)


def parse_cpulist(text: str) -> set[int]:
    """Return the CPUs of a list such as ``0-3,8`` or ``0-31:2/8`` (the first 2 of each 8); empty for an empty text.

    Raises:
        Invalid: The text is no list; the message names the part that is not.

    Source: Documentation/admin-guide/kernel-parameters.rst in the Linux tree, "cpu lists".
    """
    cpus: set[int] = set()
    if not text.strip():
        return cpus
    for part in text.strip().split(","):
        match = _RANGE.fullmatch(part)
        if not match:
            raise Invalid(f"'{part}' in '{text}' is no CPU or range of CPUs, such as 4 or 0-3")
        first = int(match["first"])
        last = int(match["last"] or first)
        used, group = int(match["used"] or 1), int(match["group"] or 1)
        if last < first:
            raise Invalid(f"'{part}' in '{text}' ends before it starts")
        if not 1 <= used <= group:
            raise Invalid(f"'{part}' in '{text}' takes {used} of each {group} CPUs")
        cpus.update(cpu for cpu in range(first, last + 1) if (cpu - first) % group < used)
    return cpus


def parse_flagged_cpulist(text: str) -> frozenset[int] | None:
    """Return the CPUs of a boot argument's list, before which flags may stand: ``managed_irq,domain,2-3``.

    Returns:
        None where what is behind the flags is no list.
    """
    words = text.split(",")
    while words and words[0].replace("_", "").isalpha():
        words = words[1:]
    try:
        return frozenset(parse_cpulist(",".join(words)))
    except Invalid:
        return None


def format_cpulist(cpus: Iterable[int]) -> str:
    """Return CPUs as the kernel prints them: sorted, in ranges, empty for none."""
    parts: list[str] = []
    first = last = -1
    for cpu in [*sorted(set(cpus)), None]:
        if cpu is not None and cpu == last + 1 and last >= 0:
            last = cpu
            continue
        if last >= 0:
            parts.append(str(first) if first == last else f"{first}-{last}")
        if cpu is not None:
            first = last = cpu
    return ",".join(parts)


def parse_mask(text: str) -> set[int]:
    """Return the CPUs of a hexadecimal mask such as ``ff`` or ``1,00000000``.

    Raises:
        Invalid: The text is no mask.
    """
    groups = text.strip().split(",")
    if not all(_GROUP.fullmatch(group) for group in groups):
        raise Invalid(f"'{text}' is no CPU mask: groups of up to 8 hexadecimal digits, separated by commas")
    number = 0
    for group in groups:
        number = number << MASK_BITS | int(group, 16)
    return {bit for bit in range(number.bit_length()) if number >> bit & 1}


def format_mask(cpus: Iterable[int]) -> str:
    """Return CPUs as a hexadecimal mask in comma-separated groups of 32 bits, ``0`` for none."""
    number = sum(1 << cpu for cpu in set(cpus))
    groups = [f"{number & (1 << MASK_BITS) - 1:08x}"]
    while number >> MASK_BITS:
        number >>= MASK_BITS
        groups.append(f"{number & (1 << MASK_BITS) - 1:08x}")
    first, *rest = reversed(groups)
    return ",".join([first.lstrip("0") or "0", *rest])
