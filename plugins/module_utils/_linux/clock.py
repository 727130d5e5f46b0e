# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The kernel's tick, which jiffies count."""

from __future__ import annotations

import time

_MONOTONIC_COARSE = 6  # linux/time.h; the time module has no name for it


def hz() -> int:
    """Return the ticks of this kernel in a second, its CONFIG_HZ.

    The coarse clocks advance by a tick, and say so. A configuration file can be another kernel's, or absent.

    Source: posix_get_coarse_res() in kernel/time/posix-timers.c.
    """
    return round(1 / time.clock_getres(_MONOTONIC_COARSE))
