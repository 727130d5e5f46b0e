# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Texts of long lists, each in a file by its digest, so that state files, guards and old policies share them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping

from .._core.converge import Impossible, Invalid
from .._core.errors import reason
from .._core.names import absolute_path
from .._core.system import Host
from .policy_documents import MODE

DIRECTORY = "/var/lib/tripod/lists"
# A million prefixes, every line as long as one may be.
FILE_BYTES = 64 << 20
_DIGEST_LETTERS = 64


class Lists(Mapping[str, bytes]):
    """The texts by their SHA-256, each read when it is asked for.

    Args:
        host: The machine.
        fresh: Texts that are not in files yet, by their digest.
    """

    def __init__(self, host: Host, fresh: Mapping[str, bytes] | None = None) -> None:
        self._host, self._fresh = host, fresh or {}

    def __getitem__(self, sha256: str) -> bytes:
        """Return a text.

        Raises:
            Impossible: Its file is gone, or not what it was.
        """
        if sha256 in self._fresh:
            return self._fresh[sha256]
        path = f"{DIRECTORY}/{sha256}"
        try:
            content = self._host.path(path).read_bytes()
        except OSError as error:
            raise Impossible(
                f"the text of a list cannot be read: {path}: {reason(error)}; run the playbook again that ships it"
            ) from error
        if digest(content) != sha256:
            raise Impossible(f"{path} is not the text that was put there: run the playbook again that ships it")
        return content

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._fresh or self._host.exists(f"{DIRECTORY}/{sha256}")

    def __iter__(self) -> Iterator[str]:
        return iter({*self._fresh, *(name for name in self._host.list(DIRECTORY) if len(name) == _DIGEST_LETTERS)})

    def __len__(self) -> int:
        return sum(1 for _sha256 in self)

    def store(self) -> None:
        """Put the fresh texts into files."""
        for sha256, text in self._fresh.items():
            path = f"{DIRECTORY}/{sha256}"
            if not self._host.exists(path) or digest(self._host.path(path).read_bytes()) != sha256:
                self._host.write_bytes_atomically(path, text, MODE)


def digest(text: bytes) -> str:
    """Return what a text goes by."""
    return hashlib.sha256(text).hexdigest()


def read_text(path: str, named: str) -> bytes:
    """Return the text of a file.

    Args:
        path: Of the file.
        named: The option or variable that names it.

    Raises:
        Invalid: It cannot be read, or is too long.
    """
    absolute_path(path, named)
    try:
        # A device or a pipe would hold up whoever reads it.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Invalid(f"{named}: {path} is not a file")
            if status.st_size > FILE_BYTES:
                raise Invalid(f"{named}: {path} has {status.st_size} bytes > the limit {FILE_BYTES}")
            return file.read()
    except OSError as error:
        raise Invalid(f"{named}: {path} cannot be read: {reason(error)}") from error
