# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What the agent's long-running commands share: one instance each, and an end on request."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .._core.converge import Refused


@contextmanager
def single_instance(path: str, version: str, mode: int = 0o644) -> Iterator[None]:
    """Hold the pid file, locked, while the body runs.

    Args:
        path: The pid file; its directory is made. It names the process and the version that it runs.
        version: Digest of the sources.
        mode: Permission bits of a pid file that is made.

    Raises:
        Refused: Another process holds it.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode), "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = (file.read().split() or ["unknown"])[0]
            raise Refused(
                f"another one holds {path} (process {holder}): end that one first, or give another --pid-file"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()} {version}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def end_on_request() -> None:
    """Leave by SystemExit on SIGTERM and SIGINT, so that what is held is released."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
