"""bcrypt in a process of its own, behind everything else that wants a CPU.

As a thread it would yield at the wrong moment: one that the kernel puts aside while it holds the interpreter's lock
keeps all others of its process waiting. The child is this file as a program, and ends when its input does.

It takes what others leave of a CPU (SCHED_IDLE, sched(7)): whoever wakes up runs at once, where beside a process that
is only nice it waits for the end of that one's turn, which is some milliseconds. Where others leave nothing a sign-in
would never end, so another child that is only nice works in its place for a while.
"""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
import time
from contextlib import suppress

import bcrypt

NICE = 5
LATE_SECONDS = 1.5  # for what takes a quarter of one where there is a CPU
PRESSED_SECONDS = 30.0


class Hasher:
    """A child that works for one thread; started when there is work, and again where it was killed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._pressed = 0.0  # until when (monotonic seconds) the child is one that is only nice
        atexit.register(self.close)

    def hash(self, password: bytes, rounds: int) -> str:
        """Return the hash of a password of at most 72 bytes."""
        return self._ask(f"hash {password.hex()} {rounds}")

    def check(self, password: bytes, stored: str) -> bool:
        """Tell whether a hash is a password's."""
        return self._ask(f"check {password.hex()} {stored}") == "True"

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]

    def _ask(self, question: str) -> str:
        if self._pressed and time.monotonic() > self._pressed:
            self._pressed = 0.0
            self.close()
        for _ in range(3):
            answer = self._answer(question)
            if answer is None:
                self._pressed = time.monotonic() + PRESSED_SECONDS
            elif answer.endswith(b"\n"):
                return answer.decode().strip()
            # It was late, or killed by whoever was out of memory.
            self.close()
        raise RuntimeError("the process that hashes passwords ends without an answer")

    def _answer(self, question: str) -> bytes | None:
        """Return a line, what there is of one where the child has ended, or None where it is late."""
        if self._child is None:
            # Nothing of the environment, which names the secrets' files, and nothing of the caller's folder.
            command = [sys.executable, "-I", __file__, "nice" if self._pressed else "idle"]
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={})  # noqa: S603
        assert self._child.stdin  # noqa: S101
        assert self._child.stdout  # noqa: S101
        try:
            self._child.stdin.write(f"{question}\n".encode())
            self._child.stdin.flush()
            # Not select(), which knows no descriptor above 1023.
            answers = select.poll()
            answers.register(self._child.stdout, select.POLLIN)
            if not self._pressed and not answers.poll(1000 * LATE_SECONDS):
                return None
            return self._child.stdout.readline()
        except OSError:
            return b""


def main() -> None:
    """Answer each line with one."""
    os.nice(NICE)
    if sys.argv[1] == "idle":
        # A container may be forbidden it; it is nice then all the same.
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for line in sys.stdin:
        what, password, last = line.rstrip("\n").split(" ")
        given = bytes.fromhex(password)
        answer = bcrypt.hashpw(given, bcrypt.gensalt(int(last))).decode() if what == "hash" else None
        print(answer or bcrypt.checkpw(given, last.encode()), flush=True)


if __name__ == "__main__":
    main()
