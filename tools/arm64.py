"""The services' images for arm64, built on any machine that runs its programs."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from . import containers
from .console import step
from .paths import CACHE, ROOT
from .run import as_root, logged
from .vm.base import SUITE, sources

LOG = "arm64"
ARCHITECTURE = "arm64"
REPOSITORY = "tripod-arm64"
CONTEXTS = ROOT / "files" / "services"
RECIPE = "plugins.module_utils._deploy.base_image"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@contextlib.contextmanager
def built(services: Sequence[str], native_base: str) -> Iterator[dict[str, str]]:
    """Yield the names of the services' images, and remove them, and the bases, at the end.

    Args:
        services: Which.
        native_base: The build base of this machine's architecture, on which is built what is of no architecture, and
            what a compiler makes for any.
    """
    names = {name: f"{REPOSITORY}/{name}:test" for name in ("base", "runtime-base", "build-base", *services)}
    try:
        _bases(names)
        for service in services:
            # Go compiles for any machine, so its base is this one's.
            build_base = native_base if service == "go-backend" else names["build-base"]
            given = {"BASE": names["runtime-base"], "BUILD_BASE": build_base}
            given |= {"NATIVE_BASE": native_base, "TARGETARCH": ARCHITECTURE}
            _build(names[service], CONTEXTS / service, given, "--target", "runtime")
        yield {service: names[service] for service in services}
    finally:
        docker = [*as_root(), "docker"]
        subprocess.run([*docker, "image", "rm", *names.values()], capture_output=True, check=False)


def _bases(names: Mapping[str, str]) -> None:
    options = importlib.import_module(RECIPE).OPTIONS
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="arm64-") as scratch:
        archive = Path(scratch, "root.tar")
        with step(f"a base of {ARCHITECTURE}"):
            words = ["env", "SOURCE_DATE_EPOCH=0", "LC_ALL=C.UTF-8", "mmdebstrap", f"--architectures={ARCHITECTURE}"]
            logged(LOG, [*as_root(), *words, *options, SUITE, archive, *sources(SUITE)], lines=20)
            _load(archive, names["base"])
        runtime_base = names["runtime-base"]
        _build(runtime_base, CONTEXTS / "base", {"BASE": names["base"]})
        # What is built from nothing, as this base is, the engine takes for its own machine's.
        _export(runtime_base, archive)
        _load(archive, runtime_base)
        # With what this machine trusts, as the role gives it.
        context = shutil.copytree(CONTEXTS / "build-base", Path(scratch, "build-base"))
        shutil.copy(CERTIFICATES, context)
        _build(names["build-base"], context, {"BASE": names["base"]})


def _export(name: str, archive: Path) -> None:
    with containers.of_image(LOG, name) as made:
        logged(LOG, [*as_root(), "docker", "export", "--output", archive, made], append=True)


def _load(archive: Path, name: str) -> None:
    """Make an image of a root's archive, by the format of ``docker save``: an import knows no architecture."""
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    configuration = {
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": {"Cmd": ["/bin/bash"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    whole = archive.with_name("image.tar")
    with tarfile.open(whole, "w") as tar:
        for path, content in (("config.json", configuration), ("manifest.json", manifest)):
            member = tarfile.TarInfo(path)
            data = json.dumps(content).encode()
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        tar.add(archive, "layer.tar")
    logged(LOG, [*as_root(), "docker", "load", "--input", whole], append=True)
    whole.unlink()


def _build(name: str, context: Path, given: Mapping[str, str], *more: str) -> None:
    arguments = [word for key, value in given.items() for word in ("--build-arg", f"{key}={value}")]
    # BuildKit would look for the bases in a registry, and the engine's own builder takes the architecture from them.
    words = ["env", "DOCKER_BUILDKIT=0", "docker", "build", "--network", "host", "--tag", name, *arguments, *more]
    with step(name):
        logged(LOG, [*as_root(), *words, str(context)], append=True, lines=40)
