# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which program of an object an interface gets, where the request names none; a pure function."""

from __future__ import annotations

from .._linux.bpf import NAME_LIMIT
from .called import JUDGE
from .drivers import Device, obstacles
from .state import Source

_IN_PIECES = "_frags"  # the same program for packets in several buffers, which cost it a little more


def chosen(source: Source, device: Device, mode: str, running: str | None) -> str | None:
    """Return the name of the program.

    The one that is there in an object with one; ours where the object has it, and its variant for packets in several
    buffers where the MTU takes that. One that runs and can stay does.

    Args:
        source: The object.
        device: The NIC.
        mode: How it is to be attached.
        running: Name of our program that runs, as the kernel cuts it.

    Returns:
        The name; None where the request has to name one.
    """
    if len(source.programs) == 1:
        return source.programs[0]
    variants = [one for one in (JUDGE, f"{JUDGE}{_IN_PIECES}") if source.takes_policy and one in source.programs]
    possible = [one for one in variants if not list(obstacles(device, mode, one in source.fragments))]
    kept = [one for one in possible if one[:NAME_LIMIT] == running]
    return next(iter([*kept, *possible, *variants]), None)
