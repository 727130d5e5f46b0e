"""bcrypt in a process of its own, behind everything else that wants a CPU.

As a thread it would yield at the wrong moment: one that the kernel puts aside while it holds the interpreter's lock
keeps all others of its process waiting. The child is this file as a program, and ends when its input does.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from contextlib import suppress

import bcrypt

NICE = 5


class Hasher:
    """A child that works for one thread; started when there is work, and again where it was killed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
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
        for _ in range(2):
            answer = self._answer(question)
            if answer.endswith(b"\n"):
                return answer.decode().strip()
            # Killed, by whoever was out of memory.
            self.close()
        raise RuntimeError("the process that hashes passwords ends without an answer")

    def _answer(self, question: str) -> bytes:
        if self._child is None:
            # Nothing of the environment, which names the secrets' files, and nothing of the caller's folder.
            command = [sys.executable, "-I", __file__]
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={})  # noqa: S603
        assert self._child.stdin  # noqa: S101
        assert self._child.stdout  # noqa: S101
        try:
            self._child.stdin.write(f"{question}\n".encode())
            self._child.stdin.flush()
            return self._child.stdout.readline()
        except OSError:
            return b""


def main() -> None:
    """Answer each line with one."""
    os.nice(NICE)
    for line in sys.stdin:
        what, password, last = line.rstrip("\n").split(" ")
        given = bytes.fromhex(password)
        answer = bcrypt.hashpw(given, bcrypt.gensalt(int(last))).decode() if what == "hash" else None
        print(answer or bcrypt.checkpw(given, last.encode()), flush=True)


if __name__ == "__main__":
    main()
