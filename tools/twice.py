"""Build the services' images twice from nothing, and say what differs: ``python3 -m tools.twice [service ...]``.

What is compared is the layers: the image's own record has the times of its making, which no builder without BuildKit
leaves out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .console import Failure, guarded, say, step
from .paths import CACHE, ROOT
from .run import as_root, logged
from .stages import IMAGES, SERVICES, docker_build

SHOWN = 20
Entries = Mapping[str, tuple[object, ...]]


@contextmanager
def built(service: str, number: int) -> Iterator[str]:
    """Yield the name of a service's image, built without a cache, and remove the name at the end."""
    name = f"tripod-twice/{service}:{number}"
    words = ("--no-cache", "--target", "runtime", "--tag", name)
    docker_build(f"twice-{service}-{number}", *words, str(ROOT / "files" / "services" / service))
    try:
        yield name
    finally:
        subprocess.run([*as_root(), "docker", "image", "rm", name], capture_output=True, check=False)


def layers(name: str) -> list[str]:
    """Return the digests of an image's layers, unpacked, from the base upwards."""
    words = [*as_root(), "docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", name]
    return list(json.loads(logged("twice", words, append=True)))


def entries(archive: tarfile.TarFile) -> dict[str, tuple[object, ...]]:
    """Return all that a layer says of each of its files."""
    found: dict[str, tuple[object, ...]] = {}
    for member in archive:
        content = archive.extractfile(member) if member.isfile() else None
        digest = hashlib.sha256(content.read()).hexdigest() if content else ""
        extended = sorted((key, value) for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr"))
        who = (member.uid, member.gid, oct(member.mode), member.linkname)
        found[member.name] = (member.type, *who, member.mtime, member.size, digest, *extended)
    return found


def differences(one: Entries, other: Entries) -> list[str]:
    """Return the files that two layers do not have alike, each with what is told of it."""
    names = sorted({*one, *other})
    return [f"{name}: {one.get(name)} and {other.get(name)}" for name in names if one.get(name) != other.get(name)]


def _last_layer(name: str, scratch: Path) -> dict[str, tuple[object, ...]]:
    saved = scratch / "image.tar"
    logged("twice", [*as_root(), "docker", "image", "save", "--output", saved, name], append=True)
    with tarfile.open(saved) as image:
        manifest = image.extractfile("manifest.json")
        assert manifest
        layer = image.extractfile(json.load(manifest)[0]["Layers"][-1])
        with tarfile.open(fileobj=layer) as archive:
            return entries(archive)


def compare(service: str) -> list[str]:
    """Build a service's image twice, and return the files that differ.

    Raises:
        Failure: A build failed.
    """
    with built(service, 1) as one, built(service, 2) as other:
        if layers(one) == layers(other):
            return []
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="twice-") as scratch:
            found = differences(_last_layer(one, Path(scratch)), _last_layer(other, Path(scratch)))
            return found or [f"the base alone: {layers(one)} and {layers(other)}"]


def main() -> int:
    """Compare the images that are named, all where none is."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.twice", description=__doc__)
    parser.add_argument("services", nargs="*", metavar="service", help=f"of {', '.join(SERVICES)}; all if not given")
    services = parser.parse_args().services or SERVICES
    if unknown := [service for service in services if service not in SERVICES]:
        raise Failure(f"no such service: {', '.join(unknown)}; there are {', '.join(SERVICES)}")
    if not IMAGES.exists():
        raise Failure(f"no bases are here, which {IMAGES.name} names: run 'python3 -m tools.check xdp-object' first")
    different = 0
    for service in services:
        with step(f"{service}, twice") as done:
            found = compare(service)
            done(f"{len(found)} files differ" if found else "the same layers")
        for line in found[:SHOWN]:
            say(f"    {line}")
        different += bool(found)
    return 1 if different else 0


if __name__ == "__main__":
    guarded(main)
