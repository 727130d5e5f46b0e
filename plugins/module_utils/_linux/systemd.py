# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""systemd, where it is in charge of the host, by its own commands."""

from __future__ import annotations

import os
import subprocess

from .._core import commands
from .._core.converge import ApplyFailed
from .._core.system import Host

_TIMEOUT = 120.0  # seconds; systemctl waits for the job


def in_charge(host: Host) -> bool:
    """Whether systemd is process 1, by the test of sd_booted(3)."""
    return host.exists("/run/systemd/system")


def systemctl(*words: str, timeout: float = _TIMEOUT) -> str:
    """Run systemctl and return what it prints.

    Args:
        words: Command and arguments.
        timeout: Seconds.

    Raises:
        ApplyFailed: It failed, in its words, or took too long.
    """
    done = _run("systemctl", *words, timeout=timeout)
    if done.returncode:
        raise ApplyFailed(f"systemctl {' '.join(words)} failed with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def journal_tail(unit: str, lines: int = 20) -> str:
    """Return the last lines that a unit wrote.

    Raises:
        ApplyFailed: The journal cannot be read.
    """
    command = ("journalctl", "--unit", unit, f"--lines={lines}", "--no-pager", "--output=cat")
    return _run(*command, timeout=_TIMEOUT).stdout


def _run(*command: str, timeout: float) -> subprocess.CompletedProcess[str]:
    try:
        return commands.run(command, {**os.environ, "LC_ALL": "C"}, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplyFailed(f"{' '.join(command)}: {error}") from error
