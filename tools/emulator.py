"""Programs of arm64 on this machine: by its own CPU, or by QEMU's user emulation, which the kernel knows meanwhile."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .console import Failure
from .paths import CACHE
from .run import as_root, logged
from .vm.base import QEMU_SUITE, locked, unpacked

BINFMT = Path("/proc/sys/fs/binfmt_misc")
# As Debian's packages name it, and mmdebstrap looks for it.
ENTRY = BINFMT / "qemu-aarch64"
# How a program of arm64 for Linux begins, as the kernel shows it: of an ELF header all but the ABI, and whether the
# program may be loaded anywhere.
MAGIC = "7f454c460201010000000000000000000200b700"
MASK = "ffffffffffffff00fffffffffffffffffeffffff"
# The interpreter is opened at once, as containers have no such file (F). It gets the program opened (O), with the
# rights that its file brings (C), and the name that it was called by (P).
FLAGS = "OCFP"


@contextlib.contextmanager
def arm64() -> Iterator[str]:
    """Let this machine run programs of arm64, and yield what runs them; at the end it is as it was.

    Raises:
        Failure: The kernel takes no interpreters.
    """
    if os.uname().machine == "aarch64":
        yield "this machine's CPU"
        return
    with locked(CACHE / "emulator.lock"), _mounted():
        if ENTRY.exists():
            there = interpreter(ENTRY.read_text(encoding="utf-8"))
            if not Path(there).is_relative_to(CACHE):
                yield f"{there}, which this machine has registered"
                return
            # Of a run that was killed.
            _write(ENTRY, "-1")
        program = unpacked("emulator", QEMU_SUITE, "qemu-user") / "usr/bin/qemu-aarch64"
        _write(BINFMT / "register", f":{ENTRY.name}:M::{_escaped(MAGIC)}:{_escaped(MASK)}:{program}:{FLAGS}")
        try:
            told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            yield told.splitlines()[0]
        finally:
            _write(ENTRY, "-1")


@contextlib.contextmanager
def _mounted() -> Iterator[None]:
    if (BINFMT / "register").exists():
        yield
        return
    if "\tbinfmt_misc\n" not in Path("/proc/filesystems").read_text(encoding="ascii"):
        raise Failure("the kernel runs no programs of other machines: load its module binfmt_misc, then run again")
    logged("emulator", [*as_root(), "mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT])
    try:
        yield
    finally:
        logged("emulator", [*as_root(), "umount", BINFMT], append=True)


def interpreter(entry: str) -> str:
    """Return what runs programs of arm64, by the kernel's entry of it.

    Raises:
        Failure: It does not run them in containers, which have no such file.
    """
    words = dict(line.partition(" ")[::2] for line in entry.splitlines())
    if "enabled" not in words or words.get("magic") != MAGIC or "F" not in words.get("flags:", ""):
        raise Failure(f"{ENTRY} runs no programs of arm64 in containers (flag F): write -1 to it, then run again")
    return words["interpreter"]


def _escaped(digits: str) -> str:
    return "".join(f"\\x{digits[at : at + 2]}" for at in range(0, len(digits), 2))


def _write(path: Path, text: str) -> None:
    words = [*as_root(), "tee", str(path)]
    done = subprocess.run(words, input=text, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Failure(f"the kernel refuses {text!r} in {path}: {done.stderr.strip()}")
