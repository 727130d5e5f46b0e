# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The agent as one executable file: the core's sources in a zip archive that Python runs."""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._core import Change, Impossible, Invalid
from ._host import Host

PACKAGE = "tripod_host"
ENTRY = "_agent.py"
MODE = 0o755
EPOCH = (1980, 1, 1, 0, 0, 0)  # The earliest that a zip archive can hold; a digest must not depend on checkout times.
VERSION_DIGITS = 12


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        source: Directory of the sources.
        python: Interpreter on the hosts; an absolute path.
    """

    source: str
    python: str


@dataclass(frozen=True)
class ArchiveState:
    """The sources, and the archive as found.

    Attributes:
        sources: Content by file name.
        archive: Content of the archive, or None.
        mode: Its permission bits, or None.
    """

    sources: Mapping[str, bytes]
    archive: bytes | None
    mode: int | None


class Archive:
    """The subject: the agent's archive at one path.

    Args:
        request: What to build it from. Kept here, as reading needs it.
        path: Where it goes.
    """

    def __init__(self, request: Request, path: str) -> None:
        self.request = request
        self.path = path

    def read(self, host: Host) -> ArchiveState:
        """Read the sources and what is there."""
        folder = self.request.source
        names = [name for name in host.list(folder) if name.endswith(".py")]
        target = host.path(self.path)
        there = target.is_file()
        return ArchiveState(
            sources={name: host.path(f"{folder}/{name}").read_bytes() for name in names},
            archive=target.read_bytes() if there else None,
            mode=stat.S_IMODE(target.stat().st_mode) if there else None,
        )

    def validate(self, desired: Request, state: ArchiveState) -> None:
        """Raise where the sources are not the agent's, or the interpreter cannot be named in a first line."""
        if ENTRY not in state.sources:
            raise Impossible(f"{desired.source} holds no {ENTRY}: give the collection's plugins/module_utils")
        # The kernel takes the rest of the line as one argument.
        if not desired.python.startswith("/") or len(desired.python.split()) != 1:
            raise Invalid(f"python {desired.python!r} must be an absolute path without spaces")

    def plan(self, desired: Request, state: ArchiveState) -> list[Change]:
        """Return the change of content, told by digests, and of mode."""
        wanted = build(state.sources, desired.python)
        changes = []
        if wanted != state.archive:
            changes.append(Change((self.path, "sha256"), state.archive and digest(state.archive), digest(wanted)))
        if state.mode != MODE:
            changes.append(Change((self.path, "mode"), state.mode and f"{state.mode:04o}", f"{MODE:04o}"))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write the archive."""
        content = build(self.read(host).sources, self.request.python)
        host.write_bytes_atomically(self.path, content, MODE)


def build(sources: Mapping[str, bytes], python: str) -> bytes:
    """Return the archive; the same sources give the same bytes, whoever builds and whenever.

    Args:
        sources: Content by file name.
        python: Interpreter for the first line.

    Source: The Python library's documentation of zipapp, "The Python Zip Application Archive Format".
    """
    start = f"import sys\n\nfrom {PACKAGE}.{ENTRY[:-3]} import main\n\nsys.exit(main(version={version(sources)!r}))\n"
    members = {"__main__.py": start.encode(), f"{PACKAGE}/__init__.py": b""}
    members.update({f"{PACKAGE}/{name}": content for name, content in sources.items()})
    packed = io.BytesIO(f"#!{python}\n".encode())
    packed.seek(0, io.SEEK_END)
    # Stored, not deflated: the bytes of a deflated member depend on the builder's zlib.
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, members[name])
    return packed.getvalue()


def version(sources: Mapping[str, bytes]) -> str:
    """Return the first digits of a digest over names and contents."""
    total = hashlib.sha256()
    for name in sorted(sources):
        total.update(f"{name} {digest(sources[name])}\n".encode())
    return total.hexdigest()[:VERSION_DIGITS]


def digest(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
