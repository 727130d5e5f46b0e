"""Process 1 of a newcomer's namespaces: waits for the network, runs the commands, buries the dead.

``python3 -m tools.newcomer_init [--leaves] -- command ... [-- command ...]``

It runs until its standard input ends or the commands have. With it, the kernel ends whatever still runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

GO = b"go\n"
# After being told to end, for the tests' own cleaning up.
GRACE_SECONDS = 300
SECONDS_TO_END = 15


def run(command: Sequence[str], ended: threading.Event) -> int:
    """Run a command, taking note of every other process that ends meanwhile; return its status."""
    print(f"\nnewcomer# {' '.join(command)}", flush=True)
    started = time.monotonic()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    status: int | None = None
    told = 0.0
    while status is None:
        pid, result = os.waitpid(-1, os.WNOHANG)
        if pid == child.pid:
            status = os.waitstatus_to_exitcode(result)
        elif pid == 0 and ended.wait(0.2):
            if not told:
                print("newcomer: told to end", flush=True)
                os.killpg(child.pid, signal.SIGTERM)
                told = time.monotonic()
            elif time.monotonic() - told > GRACE_SECONDS:
                return 1
            time.sleep(0.2)
    print(f"newcomer: status {status} after {time.monotonic() - started:.0f} s", flush=True)
    return status


def others() -> list[str]:
    """Return every process but this one, as its number and command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            name, _bracket, rest = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        # No command line is no sign of an end: for a moment of its exec a living process has none either.
        if rest.split()[0] not in ("Z", "X"):
            found.append(f"{entry.name} {words or name.partition('(')[2]}")
    return found


def _wait_for_others() -> list[str]:
    deadline = time.monotonic() + SECONDS_TO_END
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        remaining = others()
        if not remaining or time.monotonic() > deadline:
            return remaining
        time.sleep(0.2)


def _watch(ended: threading.Event) -> None:
    # Not by sys.stdin, whose lock a reader holds: Python would abort at this process's end.
    while os.read(sys.stdin.fileno(), 1):
        pass
    ended.set()


def main() -> int:
    """Run from the command line."""
    words = sys.argv[1:]
    leaves = words[0] == "--leaves"
    commands: list[list[str]] = []
    for word in words[leaves:]:
        if word == "--":
            commands.append([])
        else:
            commands[-1].append(word)
    if os.read(sys.stdin.fileno(), len(GO)) != GO:
        return 1
    ended = threading.Event()
    threading.Thread(target=_watch, args=(ended,), daemon=True).start()
    status = 0
    for command in commands:
        if not status and not ended.is_set():
            status = run(command, ended)
    remaining = [] if leaves else _wait_for_others()
    for line in remaining:
        print(f"newcomer: still runs, and should have been stopped: {line}", flush=True)
    return status or int(bool(remaining) or ended.is_set())


if __name__ == "__main__":
    sys.exit(main())
