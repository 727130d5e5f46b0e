# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Versions of drivers, firmware and kernels, compared number by number: 9.20 is newer than 9.3."""

from __future__ import annotations

import re

# The first version in a text such as "16.35.2000 (MT_0000000012)"; never a part of a hexadecimal number.
_VERSION = re.compile(r"(?<![\w.])v?(\d+(?:\.\d+)*)(?:-rc(\d+))?(?![\w.])")
_RELEASED = float("inf")

Version = tuple[tuple[int, ...], float]


def parse_version(text: str) -> Version | None:
    """Return the first version in a text, made to be compared; None where there is none.

    Zeros at the end do not count, and a release candidate comes before its release.
    """
    match = _VERSION.search(text)
    if match is None:
        return None
    numbers = [int(number) for number in match[1].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), float(match[2]) if match[2] else _RELEASED


def kernel_version(release: str) -> tuple[int, ...]:
    """Return the first two numbers of a kernel release."""
    return tuple(int(number) for number in re.findall(r"\d+", release)[:2])
