"""Child processes: logged, with the right to become root asked for once, and failures put into words."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .console import Failure, say
from .paths import CACHE, LOGS, ROOT, environment

# Part of a tool's output -> what it means and the way out. The first that matches is shown.
_MEANINGS = (
    (("No space left on device",), "the disk is full: free some space there and run the command again"),
    (
        ("Temporary failure in name resolution", "Temporary failure resolving", "NewConnectionError"),
        "the package index cannot be reached: check the network, or set PIP_INDEX_URL to a mirror, then run again",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        "a proxy re-signs TLS: point PIP_CERT (and SSL_CERT_FILE) at its CA bundle, then run again",
    ),
    (
        ("No matching distribution found",),
        "the package index answers but lacks a pinned version: check PIP_INDEX_URL or the mirror's age",
    ),
    (("Could not get lock", "Unable to acquire the dpkg"), "another apt is running: wait for it, then run again"),
    (("sudo: a password is required",), "sudo asks for a password and there is no terminal: run it as root"),
)


class CommandFailed(Failure):
    """A command ended with another status than 0.

    Attributes:
        output: All that it printed.
    """

    def __init__(self, text: str, output: str) -> None:
        super().__init__(text)
        self.output = output


class Stopped(Failure):
    """The command was ended from outside."""


def logged(
    name: str,
    command: Sequence[str | Path],
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    append: bool = False,
    lines: int = 12,
) -> str:
    """Run a command with its output in a log file, and return the output.

    Args:
        name: The log's name, for ``.cache/logs/<name>.log``.
        command: Program and arguments; never a shell line.
        cwd: Where it runs.
        env: Its environment; the tools' own if not given.
        append: Keep what the log holds from earlier commands of the same step.
        lines: How much of the output's end an error shows.

    Raises:
        CommandFailed: It ended with another status than 0.
        Failure: It could not start.
    """
    words = [str(word) for word in command]
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}.log"
    with log.open("ab" if append else "wb") as sink:
        started = sink.tell()
        status = _run(words, cwd, environment() if env is None else env, sink)
    output = log.read_bytes()[started:].decode(encoding="utf-8", errors="replace")
    if status:
        shown = f"{Path(words[0]).name} {' '.join(words[1:3])}".strip()
        raise CommandFailed(f"{name}: '{shown} ...' ended with status {status}: {_meaning(output, log, lines)}", output)
    return output


def _run(words: Sequence[str], cwd: Path, env: Mapping[str, str], sink: IO[bytes]) -> int:
    child = None
    try:
        with _children_lock:
            if _stopping.is_set():
                raise Stopped(f"{words[0]} was not started any more")
            try:
                # A session of its own, so that its descendants can be ended with it, by its number.
                child = subprocess.Popen(
                    words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
                )
            except OSError as error:
                raise Failure(f"cannot run {words[0]}: {error.strerror}") from error
            _children.add(child)
        return child.wait()
    except BaseException:
        if child is not None:  # this process is told to end, of which no signal tells another session
            told = _tell_to_end(child)
            child.wait()
            _await(told)
        raise
    finally:
        if child is not None:
            with _children_lock:
                _children.discard(child)


_SECONDS_TO_END = 30
_children: set[subprocess.Popen[bytes]] = set()
_children_lock = threading.Lock()
_stopping = threading.Event()


def stop_children() -> None:
    """End every command that still runs, with all that it started, and let no other start until ``allow_children``."""
    with _children_lock:
        _stopping.set()
        told = {one for child in _children for one in _tell_to_end(child)}
    _await(told)


@dataclass(frozen=True)
class _Process:
    """One of this boot: its number is given to another once it has ended, its start is not."""

    pid: int
    start: str
    parent: int = field(compare=False)  # another one, once that has ended


def _tell_to_end(child: subprocess.Popen[bytes]) -> set[_Process]:
    """Send SIGTERM to a command and to all that descends from it; return those.

    Ansible gives each of its workers a session of its own, so that a signal to the command's does not reach what a
    module has started: a bootstrap of Debian, which has file systems mounted and is to unmount them.
    """
    running = _processes()
    told, found = {one for one in running if one.pid == child.pid}, set[_Process]()
    while told:
        found |= told
        numbers = {one.pid for one in told}
        told = {one for one in running if one.parent in numbers} - found
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGTERM)
    for one in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(one.pid) != child.pid:
                os.kill(one.pid, signal.SIGTERM)
    return found


def _await(told: set[_Process]) -> None:
    """Wait for processes that have been told to end; what does not is left, and said."""
    deadline = time.monotonic() + _SECONDS_TO_END
    while (left := told & set(_processes())) and time.monotonic() < deadline:
        time.sleep(0.1)
    if left:
        say(f"still running after {_SECONDS_TO_END} s: {', '.join(str(one.pid) for one in left)}")


def _processes() -> list[_Process]:
    """Return all that runs on this machine and is no zombie."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # Behind the name, which may hold anything: proc_pid_stat(5).
            state, parent, *more = stat.read_text(errors="replace").rpartition(")")[2].split()
            if state not in "ZX":
                found.append(_Process(int(stat.parent.name), more[17], int(parent)))
    return found


def allow_children() -> None:
    """Let commands start again, for what cleans up."""
    _stopping.clear()


def _meaning(output: str, log: Path, lines: int) -> str:
    place = f"the whole output is in {log.relative_to(ROOT)}"
    tail = output.strip().splitlines()[-lines:]
    for marks, words in _MEANINGS:
        if any(mark in line for mark in marks for line in tail):
            return f"{words} ({place})"
    return "\n".join([f"{place}, its end is:", *("    " + line for line in tail)])


def as_root() -> list[str]:
    """Return the words before a command that needs root: none for root, else sudo.

    Raises:
        Failure: Not root, and sudo is missing.
    """
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        raise Failure("this needs root, and sudo is not installed: run it as root, or install sudo first")
    return ["sudo"]


def sudo_needs_password() -> bool:
    """Whether becoming root would ask for a password."""
    return bool(as_root()) and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode != 0


def apt_install(packages: Sequence[str], why: str) -> None:
    """Install Debian packages that are missing, saying so; do nothing where all are there.

    Raises:
        Failure: This is no Debian-like system, or apt failed.
    """
    missing = [package for package in packages if not _is_installed(package)]
    if not missing:
        return
    names = " ".join(missing)
    if shutil.which("apt-get") is None:
        raise Failure(f"{why} needs {names}, and there is no apt-get here: install their like by hand, then run again")
    say(f"    installing by apt-get, for {why}: {names}")
    if sudo_needs_password():
        if not sys.stdin.isatty():
            raise Failure(f"sudo asks for a password and there is no terminal: run as root: apt-get install {names}")
        subprocess.run(["sudo", "--validate"], check=False)
    apt = [*as_root(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120"]
    logged("apt-update", [*apt, "update"])
    logged("apt-install", [*apt, "install", "--yes", "--no-install-recommends", *missing])


def _is_installed(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}", package]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"
    except FileNotFoundError:
        return False


def require_space(bytes_needed: int, why: str) -> None:
    """Fail where the checkout's file system has less room than a step needs."""
    CACHE.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(CACHE).free
    if free < bytes_needed:
        raise Failure(
            f"{why} needs {bytes_needed / 2**30:.1f} GiB below {ROOT}, {free / 2**30:.1f} GiB are free: "
            "free some space, or clone to a larger file system"
        )
