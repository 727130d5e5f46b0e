# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The identity of a Docker build context: same inputs, same digest."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

TAG_LENGTH = 12
# Of what is sent. They decide the result as the files do, so they are part of every digest.
FILE_MODE, PROGRAM_MODE = 0o644, 0o755


@dataclass(frozen=True)
class ContextDigest:
    """What a context amounts to.

    Attributes:
        digest: SHA-256 over names, executable bits, contents and inputs, in hexadecimal.
        files: Files and symbolic links that are sent.
        size: Bytes of their contents.
    """

    digest: str
    files: int
    size: int

    @property
    def tag(self) -> str:
        """An image tag: the digest's beginning."""
        return self.digest[:TAG_LENGTH]


@dataclass(frozen=True)
class IgnoreRules:
    """The patterns of a ``.dockerignore`` file: the last one that matches a path, or a directory above it, decides.

    Attributes:
        rules: Compiled pattern and whether it excludes, in the file's order.

    Source: the reference of ``docker image build``, section ".dockerignore file".
    """

    rules: tuple[tuple[re.Pattern[str], bool], ...] = ()

    @classmethod
    def parse(cls, text: str) -> IgnoreRules:
        """Read the text of a ``.dockerignore`` file."""
        rules = []
        for line in text.splitlines():
            pattern = line.strip()
            if not pattern or line.startswith("#"):
                continue
            excludes = not pattern.startswith("!")
            pattern = os.path.normpath(pattern.lstrip("!").strip()).strip("/")
            if pattern != ".":
                rules.append((re.compile(_expression(pattern)), excludes))
        return cls(tuple(rules))

    @property
    def has_exceptions(self) -> bool:
        """Whether a pattern brings something back, so that an excluded directory must still be searched."""
        return any(not excludes for _pattern, excludes in self.rules)

    def excludes(self, path: str) -> bool:
        """Whether a path, relative to the context and with ``/``, is left out."""
        parts = path.split("/")
        chain = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        excluded = False
        for pattern, excludes in self.rules:
            if excludes != excluded and any(pattern.fullmatch(name) for name in chain):
                excluded = excludes
        return excluded


def digest_context(path: str, inputs: Sequence[str] = ()) -> ContextDigest:
    """Return one context's digest.

    Args:
        path: Directory of the context.
        inputs: What else the image depends on; order matters.

    Owners and times are left out: a fresh clone of the same sources must give the same digest.
    """
    root = Path(path)
    rules = _rules(root)
    total = hashlib.sha256(f"modes {FILE_MODE:o} {PROGRAM_MODE:o}".encode())
    files = size = 0
    for name in sorted(_files(root, "", rules)):
        kind, content = _content(root / name)
        # Each part is preceded by its length, so that no two different trees run together to the same bytes.
        for part in (name.encode("utf-8", "surrogateescape"), kind, content):
            total.update(len(part).to_bytes(8, "big") + part)
        files += 1
        size += len(content)
    for text in inputs:
        total.update(b"input" + len(text.encode()).to_bytes(8, "big") + text.encode())
    return ContextDigest(total.hexdigest(), files, size)


@contextmanager
def packed(path: str, extra_files: Mapping[str, str]) -> Iterator[IO[bytes]]:
    """Give a context as the archive that an engine takes, with the very files that the digest speaks of.

    Modes are those of a clone with the usual umask, of root: an image of a clone that only its owner can read must not
    have files that its own user cannot read.

    Args:
        path: Directory of the context.
        extra_files: Name in the context to path.
    """
    root = Path(path)
    sources = {name: root / name for name in _files(root, "", _rules(root))}
    sources.update({name: Path(source) for name, source in extra_files.items()})
    with tempfile.TemporaryFile(prefix="tripod-context-") as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, source in sorted(sources.items()):
                _add(tar, name, source)
        archive.seek(0)
        yield archive


def _add(tar: tarfile.TarFile, name: str, source: Path) -> None:
    status = source.lstat()
    member = tarfile.TarInfo(name)
    member.mtime = int(status.st_mtime)
    member.mode = PROGRAM_MODE if status.st_mode & stat.S_IXUSR else FILE_MODE
    if stat.S_ISLNK(status.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(source)
        tar.addfile(member)
    elif stat.S_ISREG(status.st_mode):
        content = source.read_bytes()
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def _rules(root: Path) -> IgnoreRules:
    ignore = root / ".dockerignore"
    return IgnoreRules.parse(ignore.read_text(encoding="utf-8")) if ignore.is_file() else IgnoreRules()


def _files(root: Path, folder: str, rules: IgnoreRules) -> Iterator[str]:
    with os.scandir(root / folder) as entries:
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            excluded = rules.excludes(name)
            if entry.is_dir(follow_symlinks=False):
                if not excluded or rules.has_exceptions:
                    yield from _files(root, name, rules)
            elif not excluded or name == "Dockerfile":  # the engine gets the Dockerfile in any case
                yield name


def _content(path: Path) -> tuple[bytes, bytes]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return b"link", os.fsencode(os.readlink(path))
    if not stat.S_ISREG(status.st_mode):
        return b"special", b""
    return (b"program" if status.st_mode & stat.S_IXUSR else b"file"), path.read_bytes()


def _expression(pattern: str) -> str:
    """Translate a pattern of Go's filepath.Match, with ``**``, to a regular expression."""
    out = ""
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            out += "(?:.*/)?"
            at += 3
        elif pattern.startswith("**", at):
            out += ".*"
            at += 2
        elif pattern[at] == "*":
            out += "[^/]*"
            at += 1
        elif pattern[at] == "?":
            out += "[^/]"
            at += 1
        elif pattern[at] == "[" and "]" in pattern[at + 1 :]:
            end = pattern.index("]", at + 1)
            out += pattern[at : end + 1]
            at = end + 1
        elif pattern[at] == "\\" and at + 1 < len(pattern):
            out += re.escape(pattern[at + 1])
            at += 2
        else:
            out += re.escape(pattern[at])
            at += 1
    return out
