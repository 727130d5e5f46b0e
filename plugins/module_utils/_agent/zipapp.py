# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The agent as one executable file: the core's sources in a zip archive that Python runs."""

from __future__ import annotations

import hashlib
import io
import pkgutil
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping

from .._core.converge import Impossible

PACKAGE = "tripod_host"
ENTRY = "_agent/cli.py"
EPOCH = (1980, 1, 1, 0, 0, 0)  # The earliest that a zip archive can hold; a digest must not depend on checkout times.
VERSION_DIGITS = 12
_CORE = __package__.rpartition(".")[0]
# Parsing the sources would take longer than all else that a run without changes does.
_IMPORT = re.compile(r"^[ \t]*from (\.{1,2})([\w.]*) import (?:\(([^)]*)\)|(.+))", re.MULTILINE)
_NAME = re.compile(r"(\w+)(?:\s+as\s+\w+)?")


def sources(entry: str = ENTRY) -> dict[str, bytes]:
    """Return the source of a module of the core and of all that it imports from there, each by its path.

    Its import statements decide, not what happens to be loaded, so every caller gets the same set. The sources come
    from the loader: a checkout, an installed collection and the archive that Ansible runs a module from are all one.

    Args:
        entry: Path below the core's directory, such as ``_agent/cli.py``.

    Raises:
        Impossible: An imported module's source is not there.
    """
    found: dict[str, bytes] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _source(name)
            package = name.rpartition("/")[0]
            waiting += [f"{package}/__init__.py", *_imports(package, found[name])]
    return found


def _source(name: str) -> bytes:
    try:
        content = pkgutil.get_data(_CORE, name)
    except OSError:
        content = None
    if content is None:
        raise Impossible(f"{_CORE} holds no {name}: install the collection again")
    return content


def _imports(package: str, content: bytes) -> Iterator[str]:
    for dots, module, several, names in _IMPORT.findall(content.decode()):
        # Packages hold modules and nothing else, so what a package hands out is a module.
        place = package if dots == "." else ""
        parts = [part for part in (place, *module.split(".")) if part]
        if len(parts) == 2:
            yield f"{'/'.join(parts)}.py"
        else:
            yield from (f"{parts[0]}/{name}.py" for name in _NAME.findall(several or names))


def build(members: Mapping[str, bytes], python: str) -> bytes:
    """Return the archive; the same sources give the same bytes, whoever builds and whenever.

    Args:
        members: Source by path.
        python: Interpreter for the first line.

    Source: The Python library's documentation of zipapp, "The Python Zip Application Archive Format".
    """
    module = ENTRY.removesuffix(".py").replace("/", ".")
    start = f"import sys\n\nfrom {PACKAGE}.{module} import main\n\nsys.exit(main(version={version(members)!r}))\n"
    content = {"__main__.py": start.encode(), f"{PACKAGE}/__init__.py": b""}
    content.update({f"{PACKAGE}/{name}": source for name, source in members.items()})
    packed = io.BytesIO(f"#!{python}\n".encode())
    packed.seek(0, io.SEEK_END)
    # Stored, not deflated: the bytes of a deflated member depend on the builder's zlib.
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(content):
            member = zipfile.ZipInfo(name, EPOCH)
            member.create_system = 3  # Unix, wherever this runs
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(member, content[name])
    return packed.getvalue()


def version(members: Mapping[str, bytes]) -> str:
    """Return the first digits of a digest over names and contents."""
    total = hashlib.sha256()
    for name in sorted(members):
        total.update(f"{name} {digest(members[name])}\n".encode())
    return total.hexdigest()[:VERSION_DIGITS]


def digest(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
