"""The services' images for arm64, built on any machine that runs its programs."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

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
            docker = [*as_root(), "docker", "import", "--platform", f"linux/{ARCHITECTURE}"]
            logged(LOG, [*docker, "--change", 'CMD ["/bin/bash"]', archive, names["base"]], append=True)
        _build(names["runtime-base"], CONTEXTS / "base", {"BASE": names["base"]})
        # With what this machine trusts, as the role gives it.
        context = shutil.copytree(CONTEXTS / "build-base", Path(scratch, "build-base"))
        shutil.copy(CERTIFICATES, context)
        _build(names["build-base"], context, {"BASE": names["base"]})


def _build(name: str, context: Path, given: Mapping[str, str], *more: str) -> None:
    arguments = [word for key, value in given.items() for word in ("--build-arg", f"{key}={value}")]
    # BuildKit would look for the bases in a registry, and the engine's own builder takes the architecture from them.
    words = ["env", "DOCKER_BUILDKIT=0", "docker", "build", "--network", "host", "--tag", name, *arguments, *more]
    with step(name):
        logged(LOG, [*as_root(), *words, str(context)], append=True, lines=40)
