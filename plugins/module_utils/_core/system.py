# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The machine under a resource: its file tree and the doors to its kernel."""

from __future__ import annotations

import errno
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# As ``write_bytes_atomically`` names what is about to replace a file; a program that makes a file for us may have one
# of its own beside it, as grub-mkconfig does.
_LEFTOVER = re.compile(r"\.(?P<file>.+)\.(?P<process>\d+)\.\w{8}(\.new)?")
_WRITING_SECONDS = 3600
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESRCH, errno.ENODEV})
_NOT_THERE = _GONE | {errno.EINVAL, errno.EOPNOTSUPP}
# With it directories and files come out alike on every host; what is secret has a mode of its own.
UMASK = 0o022
_PROOF_BYTES = 1 << 16  # more than a state file has, but for a large policy


class Host:
    """The only thing that touches the machine.

    Args:
        root: Where the file tree starts. Tests give a directory of recorded sysfs and procfs files.
    """

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        self.root = Path(root)

    def path(self, path: str) -> Path:
        """Return the place of an absolute path of the machine below this host's root."""
        return self.root / path.lstrip("/")

    def read(self, path: str) -> str | None:
        """Return a file's text without its last newline, or None where it is absent or unreadable by nature.

        sysfs attributes such as ``speed`` of a link that is down exist but answer EINVAL: that is
        "not available", the same as absent, and different from 0. So is what ends between opening and reading: the
        kernel says ESRCH of a process then, ENODEV of a device.
        """
        try:
            return self.path(path).read_text(encoding="utf-8", errors="replace").rstrip("\n")
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise

    def read_int(self, path: str) -> int | None:
        """Return a file's integer (decimal, or hex with 0x), or None where there is none."""
        text = self.read(path)
        return None if text is None or not text.strip() else int(text.strip(), 0)

    def list(self, path: str) -> list[str]:
        """Return the sorted names in a directory; empty where it is absent."""
        try:
            return sorted(os.listdir(self.path(path)))
        except OSError as error:
            if error.errno in _GONE:
                return []
            raise

    def link(self, path: str) -> str | None:
        """Return the last component of a symbolic link's target, or None."""
        try:
            return os.path.basename(os.readlink(self.path(path)))
        except OSError:
            return None

    @property
    def boot_id(self) -> str:
        """The id of this boot; "" where the kernel has none."""
        return (self.read("/proc/sys/kernel/random/boot_id") or "").strip()

    def exists(self, path: str) -> bool:
        """Whether the path exists."""
        return self.path(path).exists()

    def write_attribute(self, path: str, text: str) -> None:
        """Write a setting of the kernel's in one system call, as sysfs and procfs need it.

        Raises:
            OSError: The kernel refused; the number says why.
        """
        with _naming(path):
            descriptor = os.open(self.path(path), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            try:
                os.write(descriptor, text.encode("utf-8"))
            finally:
                os.close(descriptor)

    def write_atomically(self, path: str, text: str, mode: int = 0o644) -> None:
        """Replace a text file; see ``write_bytes_atomically``."""
        self.write_bytes_atomically(path, text.encode("utf-8"), mode)

    def write_bytes_atomically(
        self, path: str, content: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None
    ) -> None:
        """Replace a file so that a reader, or a power cut, sees the old content or the new, never a part.

        Args:
            path: The file; directories above it are made where they are missing.
            content: All of it.
            mode: Permission bits, which the new content has from its first moment.
            owner: User and group id; by default this process's.
        """
        with _naming(path):
            self._replace(path, content, mode, owner)

    def _replace(self, path: str, content: bytes, mode: int, owner: tuple[int, int] | None) -> None:
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.remove_leftovers(path)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.{os.getpid()}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if owner:
                    os.fchown(file.fileno(), *owner)
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
        self._sync_directory(target.parent)

    def prove_writable(self, path: str) -> None:
        """Raise where a file could not be replaced: for what changes other things before it may write the file.

        Raises:
            OSError: The file system is full or read-only, or it is forbidden.
        """
        directory = self.path(path).parent
        with _naming(path):
            directory.mkdir(parents=True, exist_ok=True)
            self.remove_leftovers(path)
            with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{self.path(path).name}.{os.getpid()}.") as file:
                file.write(b"\0" * _PROOF_BYTES)
                file.flush()
                os.fsync(file.fileno())

    def remove(self, path: str) -> None:
        """Remove a file if it is there, and what was about to replace it."""
        self.remove_leftovers(path)
        self.path(path).unlink(missing_ok=True)

    def leftovers(self, directory: str, file: str | None = None) -> Sequence[str]:
        """Return the paths of what processes left that were killed before they could replace a file.

        Args:
            directory: Where to look.
            file: The name of the file; any by default.
        """
        found = ((name, _LEFTOVER.fullmatch(name)) for name in self.list(directory))
        return [
            f"{directory}/{name}"
            for name, parts in found
            if parts and file in (None, parts["file"]) and self._nobody_writes(f"{directory}/{name}", parts["process"])
        ]

    def _nobody_writes(self, path: str, process: str) -> bool:
        if not os.path.exists(f"/proc/{process}"):
            return True
        # A process of the writer's number can be another one, as after a boot.
        try:
            return time.time() - self.path(path).lstat().st_mtime > _WRITING_SECONDS
        except FileNotFoundError:
            return False

    def remove_leftovers(self, path: str) -> None:
        """Remove what processes left that were killed before they could replace a file, whether or not it is there."""
        for place in dict.fromkeys((path, self._target(path))):  # a link's file may be elsewhere
            directory, _slash, file = place.rpartition("/")
            for left in self.leftovers(directory, file):
                self.path(left).unlink(missing_ok=True)

    def _target(self, path: str) -> str:
        """Return where a symbolic link leads; the path itself where that is outside of this host's root."""
        target, root = self.path(path).resolve(), Path(self.root).resolve()
        return f"/{target.relative_to(root)}" if target.is_relative_to(root) else path

    def put_in_place(self, made: str, path: str, mode: int) -> None:
        """Let a file that another program has made beside a file take its place; nothing is left of it at any moment.

        Args:
            made: The new file, on the same file system.
            path: The file whose place it takes.
            mode: Permission bits.
        """
        with _naming(path):
            place, target = self.path(made), self.path(path)
            with open(place, "rb") as file:
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.replace(place, target)
            self._sync_directory(target.parent)

    @staticmethod
    def _sync_directory(directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Let an error name the file that is meant: writing names none, and making a temporary one names that."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise
