# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What an image is made of, as an SPDX 2.3 document."""

from __future__ import annotations

import json
import re
import tarfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any
from urllib.parse import quote

NO_ASSERTION = "NOASSERTION"
GO_MAGIC = b"\xff Go buildinf:"
# debug/buildinfo of Go's library: the header is so long, and this bit of its flags says that two strings follow it.
GO_HEADER, GO_INLINE = 32, 2
# The linker puts this before and after the list of modules, for whoever looks for it in memory.
GO_SENTINEL = 16
PROGRAM_BYTES = 64 << 20
# Where a layer over the base records its packages, a file each; the base has one file for all of its own.
LAYERS = PurePosixPath("var/lib/dpkg/status.d")


@dataclass(frozen=True, order=True)
class Component:
    """One package in an image.

    Attributes:
        kind: Its type in a package URL: ``deb``, ``pypi``, ``npm`` or ``golang``.
        name: As its own tools call it.
        version: Likewise.
        licence: SPDX expression that the package declares; empty where it declares none.
    """

    kind: str
    name: str
    version: str
    licence: str = ""

    @property
    def url(self) -> str:
        """Its package URL."""
        path = quote(self.name, safe="/")
        return f"pkg:{self.kind}/{'debian/' if self.kind == 'deb' else ''}{path}@{quote(self.version, safe='')}"


def debian(text: str) -> Iterator[Component]:
    """Yield the installed packages that dpkg's status names."""
    for paragraph in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(\S+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "install ok installed").endswith(" installed") and "Package" in fields:
            yield Component("deb", fields["Package"], fields["Version"])


def python(text: str) -> Iterator[Component]:
    """Yield the distribution that a METADATA file describes."""
    fields: dict[str, str] = {}
    for name, value in re.findall(r"^([\w-]+): (.*)$", text.partition("\n\n")[0], re.MULTILINE):
        fields.setdefault(name, value)
    name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
    yield Component("pypi", name, fields["Version"], fields.get("License-Expression", ""))


def node(text: str) -> Iterator[Component]:
    """Yield what a bundle was made of, by the list that its build wrote: name, version, license."""
    for item in json.loads(text):
        yield Component("npm", item["name"], item["version"], item["license"])


def go(program: bytes) -> Iterator[Component]:
    """Yield Go's library and the modules in a program; nothing where Go did not make it.

    Source: debug/buildinfo of Go's library.
    """
    start = program.find(GO_MAGIC)
    if start < 0 or not program[start + len(GO_MAGIC) + 1] & GO_INLINE:
        return
    version, end = _go_string(program, start + GO_HEADER)
    modules, _end = _go_string(program, end)
    yield Component("golang", "std", version.decode().partition(" ")[0][len("go") :])
    for line in modules[GO_SENTINEL:-GO_SENTINEL].decode().splitlines():
        word, *values = line.split("\t")
        # A module that another stands for is followed by that one.
        if word in ("dep", "=>"):
            yield Component("golang", values[0], values[1])


def _go_string(program: bytes, at: int) -> tuple[bytes, int]:
    length = shift = 0
    while True:
        byte = program[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return program[at : at + length], at + length


_READERS: tuple[tuple[re.Pattern[str], Callable[[str], Iterator[Component]]], ...] = (
    (re.compile(r"var/lib/dpkg/status(\.d/[^/]+)?"), debian),
    (re.compile(r"opt/.*\.dist-info/METADATA"), python),
    (re.compile(r"opt/tripod/packages\.json"), node),
)


def components(archive: IO[bytes]) -> list[Component]:
    """Return what is in an image.

    Args:
        archive: The file system of a container of it, as the engine exports it: a tar archive, which is read once.
    """
    found: set[Component] = set()
    of_layers: set[Component] = set()
    with tarfile.open(fileobj=archive, mode="r|") as tar:
        for member in tar:
            name = str(PurePosixPath(member.name))
            reader = next((reader for pattern, reader in _READERS if pattern.fullmatch(name)), None)
            is_program = name.startswith("usr/local/bin/") and member.size <= PROGRAM_BYTES
            content = tar.extractfile(member) if member.isfile() and (reader or is_program) else None
            if content:
                data = content.read()
                records = of_layers if PurePosixPath(name).parent == LAYERS else found
                records.update(reader(data.decode(encoding="utf-8", errors="replace")) if reader else go(data))
    # One of the base that a layer upgraded is recorded twice, and is there once.
    newer = {item.name for item in of_layers}
    return sorted(of_layers | {item for item in found if item.kind != "deb" or item.name not in newer})


def document(reference: str, image_id: str, created: str, contained: Iterable[Component]) -> dict[str, Any]:
    """Return the SPDX 2.3 document of an image.

    Args:
        reference: Name and tag.
        image_id: ``sha256:`` and 64 digits.
        created: When the image was made, as RFC 3339 in UTC.
        contained: From ``components``.

    The same image gives the same document.
    """
    repository, tag = reference.rsplit(":", 1)
    image = _package("SPDXRef-image", repository, tag, NO_ASSERTION) | {
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": image_id.partition(":")[2]}],
    }
    packages = [image]
    relations = [_relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")]
    for item in contained:
        identity = "SPDXRef-" + re.sub(r"[^a-zA-Z0-9.-]", "-", f"{item.kind}-{item.name}-{item.version}")
        url = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": item.url}
        packages.append(
            _package(identity, item.name, item.version, item.licence or NO_ASSERTION) | {"externalRefs": [url]}
        )
        relations.append(_relation("SPDXRef-image", "CONTAINS", identity))
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": reference,
        "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, image_id)}",
        "creationInfo": {
            "created": re.sub(r"\.\d+Z$", "Z", created),
            "creators": ["Tool: tripod.baremetal.image_build"],
        },
        "packages": packages,
        "relationships": relations,
    }


def _package(identity: str, name: str, version: str, licence: str) -> dict[str, Any]:
    return {
        "SPDXID": identity,
        "name": name,
        "versionInfo": version,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": False,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": licence,
        "copyrightText": NO_ASSERTION,
    }


def _relation(subject: str, kind: str, target: str) -> dict[str, str]:
    return {"spdxElementId": subject, "relationshipType": kind, "relatedSpdxElement": target}
