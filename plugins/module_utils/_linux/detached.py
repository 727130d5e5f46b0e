# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A process that outlives the connection that started it, known by its pid file."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .._core.system import Host

LOG_TAIL = 20  # lines that an error shows
POLL = 0.1  # seconds
COMM_LENGTH = 15  # characters of a name that the kernel keeps (TASK_COMM_LEN - 1)
# Where administrators' programs are; a non-login shell's PATH may lack them.
ADMIN_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Running:
    """A process, known beyond the reuse of its number.

    Attributes:
        pid: Its id.
        started: When, in clock ticks since boot.
    """

    pid: int
    started: int


def find_process(host: Host, pid_file: str, command: str) -> Running | None:
    """Return the living process that a pid file names, or None.

    Args:
        host: The machine.
        pid_file: The file; its first word is the process id.
        command: The program's base name, as a pid file survives its process and the number may be another's by now.
    """
    text = next(iter((host.read(pid_file) or "").split()), "")
    if not text.isdigit() or host.read(f"/proc/{text}/comm") != command[:COMM_LENGTH]:
        return None
    return find_running(host, int(text))


def started_with(host: Host, words: Sequence[str]) -> list[Running]:
    """Return the living processes of this mount namespace whose command line holds these words, one after the other.

    Elsewhere, in a container say, the same path is another program.
    """
    found = []
    for name in host.list("/proc"):
        line = (host.read(f"/proc/{name}/cmdline") or "").split("\0") if name.isdigit() else []
        if _in_a_row(words, line) and int(name) != os.getpid():
            process = find_running(host, int(name)) if _is_here(host, name) else None
            found += [process] if process else []
    return found


def _in_a_row(words: Sequence[str], line: Sequence[str]) -> bool:
    return any(list(line[place : place + len(words)]) == list(words) for place in range(len(line)))


def _is_here(host: Host, process: str) -> bool:
    try:
        there, here = (os.stat(host.path(f"/proc/{one}/ns/mnt")) for one in (process, "self"))
    except OSError:
        return False
    return os.path.samestat(there, here)


def find_running(host: Host, pid: int) -> Running | None:
    """Return the living process of that number, or None."""
    fields = (host.read(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    if not fields or fields[0] == "Z":
        return None
    return Running(pid, int(fields[19]))  # field 22 of proc(5), counted from field 3


def start(host: Host, command: Sequence[str], log: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a program detached from this process and its connection.

    Args:
        host: The machine.
        command: Program and arguments.
        log: File that its output is appended to; its directory is made.

    Returns:
        The process, and where its output begins in the log (bytes).
    """
    path = host.path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as output:
        begin = output.tell()
        # A session of its own and no descriptor of ours: it outlives this process, and the connection can close.
        # Ansible's run_command would wait for it.
        child = subprocess.Popen(  # pylint: disable=ansible-bad-function
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={**os.environ, "PATH": search_path()},
            start_new_session=True,
            umask=0o022,
        )
    return child, begin


def wait(done: Callable[[], bool], seconds: float) -> bool:
    """Check again and again until it is true, or the time is over; return whether it became true."""
    limit = time.monotonic() + seconds
    while not done():
        if time.monotonic() > limit:
            return False
        time.sleep(POLL)
    return True


def log_tail(host: Host, log: str, begin: int = 0) -> str:
    """Return a sentence with the last lines of a log.

    Args:
        host: The machine.
        log: The file.
        begin: Where to start (bytes), so that earlier runs are not quoted.
    """
    try:
        with open(host.path(log), encoding="utf-8", errors="replace") as file:
            file.seek(begin)
            lines = file.read().splitlines()[-LOG_TAIL:]
    except OSError as error:
        return f"Its log {log} cannot be read: {error.strerror}"
    return f"The last lines of {log}:\n" + ("\n".join(lines) or "(none)")


def search_path() -> str:
    """Return this process's PATH with the administrators' directories."""
    return f"{os.environ.get('PATH', '/usr/bin:/bin')}:{ADMIN_PATH}"


def now_ticks() -> int:
    """Return the clock that process start times are given in, in ticks since boot."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
