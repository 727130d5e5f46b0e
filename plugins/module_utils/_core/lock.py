# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""One at a time: all modules that change this host, and the agent that looks after it.

A ring change bounces the link. Without the lock the agent would see it come up again and, before the module has
stored its state file, restore what the old one requests. And of two that make a grub.cfg at once, one would find the
other's in its place.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .converge import Refused
from .system import Host

PATH = "/run/tripod/lock"
# Of whoever attaches or detaches an XDP program. A NIC without its program lets packets through, so what attaches one
# again does not wait for a module that, say, writes initramfs images for minutes.
ATTACHING = "/run/tripod/attach.lock"
PATIENCE = 60.0  # seconds; a plan with several link bounces takes half of it
_POLL = 0.1
_module_holds: set[Path] = set()  # a module is one thread
_descriptors: set[int] = set()


@contextmanager
def attempt(host: Host, path: str = PATH) -> Iterator[bool]:
    """Hold the lock while the body runs, if it is free; yield whether it was.

    It ends with the process that holds it, however that ends.
    """
    place = host.path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        _descriptors.add(file.fileno())
        try:
            yield True
        finally:
            _descriptors.discard(file.fileno())


def descriptors() -> tuple[int, ...]:
    """Return the locks that this process holds, for a program that changes the host for it.

    Where the process is killed its program goes on: grub-mkconfig, update-initramfs. With the lock in its hands the
    next run waits for it, instead of writing the same files at the same time.
    """
    return tuple(sorted(_descriptors))


@contextmanager
def alone(host: Host, patience: float = PATIENCE, path: str = PATH) -> Iterator[None]:
    """Hold the lock while the body runs.

    Args:
        host: The machine.
        patience: Seconds to wait for whoever holds it.
        path: The lock.

    Raises:
        Refused: Somebody else held it all the time.
    """
    limit = time.monotonic() + patience
    while True:
        with attempt(host, path) as held:
            if held:
                yield
                return
        if time.monotonic() > limit:
            holder = (host.read(path) or "").strip() or "unknown"
            raise Refused(
                f"process {holder} has been changing this host for {patience:g} s (it holds {path}): wait until it "
                "ends, or end it, and run again; nothing was changed"
            )
        time.sleep(_POLL)


@contextmanager
def changing(host: Host, check: bool) -> Iterator[Host]:
    """Hold the lock while a module changes the host; reading, which ``check`` says, needs none.

    A module holds it once, whichever of its functions begins.
    """
    place = host.path(PATH)
    if check or place in _module_holds:
        yield host
        return
    with alone(host, PATIENCE):
        _module_holds.add(place)
        try:
            yield host
        finally:
            _module_holds.discard(place)
