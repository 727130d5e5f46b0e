# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The system's refusals in words: what was refused where, and the way out."""

from __future__ import annotations

import errno
import os

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_KERNELS = ("/sys/", "/proc/")  # nothing there is on a disk


def in_words(error: Exception) -> str:
    """Return what the system refused, where, and the remedy; of an error that is ours, what it says."""
    if not isinstance(error, OSError):
        return str(error)
    place = _place(error)
    return f"{place}: {reason(error)}" if place else reason(error)


def reason(error: OSError) -> str:
    """Return the same without the path, for whoever names it himself."""
    # A netlink error says in its text what the kernel said; the others' text has the number.
    said = error.strerror if error.strerror and type(error).__str__ is OSError.__str__ else str(error)
    remedy = _remedy(error.errno, _place(error))
    return f"{said}: {remedy}" if remedy else said


def _place(error: OSError) -> str:
    return os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""


def _remedy(number: int | None, place: str) -> str:
    # Of interrupts, rings and programs the kernel says the same, and means no disk.
    if number in _FULL and place and not place.startswith(_KERNELS):
        return f"its file system is full: free some space ('df {os.path.dirname(place)}' shows it)"
    if number == errno.EROFS and place:
        if place.startswith(_KERNELS):
            return "it is mounted read-only here, as in a container: run on the host, or where it can be written"
        return "its file system is mounted read-only: mount it writable ('mount -o remount,rw')"
    if number in _FORBIDDEN:
        if os.geteuid() != 0:
            return "run as root (become: true)"
        return "root is refused too: look for a missing capability, a security module, an immutable file or a mount"
    return ""
