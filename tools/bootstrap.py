"""Make the checkout able to run: virtual environment, pinned packages, collections.

Each step is skipped when the files that decide it have not changed since it last succeeded.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from .console import Failure, guarded, step
from .paths import CACHE, COLLECTIONS, ROOT, VENV, environment
from .run import apt_install, logged, require_space

REQUIREMENTS = ROOT / "requirements.txt"
TEST_REQUIREMENTS = ROOT / "requirements-test.txt"
COLLECTION_REQUIREMENTS = ROOT / "requirements.yml"
# The PyPI package that carries the same collections, for sites where Galaxy does not answer.
BUNDLE_REQUIREMENT = ROOT / "requirements-collections.txt"

GALAXY_SECONDS = 180


def bootstrap(test: bool = False) -> None:
    """Bring the checkout to the state its requirement files describe.

    Args:
        test: Install what the tests need as well.
    """
    require_space((3 if test else 1) * 2**30, "the Python environment")
    _virtual_environment()
    _packages(REQUIREMENTS)
    _collections()
    if test:
        _packages(TEST_REQUIREMENTS, REQUIREMENTS)


def _virtual_environment() -> None:
    python = VENV / "bin" / "python"
    if python.exists() and _version(python) == _version(Path(sys.executable)):
        return
    with step(f"virtual environment .venv with {sys.executable}") as done:
        if importlib.util.find_spec("ensurepip") is None:
            apt_install(["python3-venv"], "virtual environments")
            importlib.invalidate_caches()
            if importlib.util.find_spec("ensurepip") is None:
                raise Failure(
                    f"{sys.executable} has no ensurepip, and Debian's python3-venv serves another Python: "
                    "name the system's one, e.g. make site PYTHON=/usr/bin/python3"
                )
        shutil.rmtree(VENV, ignore_errors=True)
        logged("venv", [sys.executable, "-m", "venv", VENV], env={**environment(), "PATH": "/usr/bin:/bin"})
        done(f"Python {_version(python)}")


def _version(python: Path) -> str | None:
    command = [str(python), "-c", "import platform; print(platform.python_version())"]
    with contextlib.suppress(OSError):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return answer.stdout.strip()
    return None


def _packages(requirements: Path, *constraints: Path) -> None:
    stamp = VENV / f"{requirements.stem}.stamp"
    digest = _digest(requirements, *constraints)
    if _stamped(stamp, digest):
        return
    with step(f"Python packages of {requirements.name}") as done:
        pip: list[str | Path] = [VENV / "bin" / "python", "-m", "pip", "install", "--requirement", requirements]
        output = logged(requirements.stem, pip)
        stamp.write_text(digest, encoding="utf-8")
        installed = re.search(r"^Successfully installed (.*)$", output, re.MULTILINE)
        done(f"{len(installed[1].split()) if installed else 0} installed")


def _collections() -> None:
    stamp = COLLECTIONS / "stamp"
    digest = _digest(COLLECTION_REQUIREMENTS, BUNDLE_REQUIREMENT)
    if not _stamped(stamp, digest):
        with step(f"collections of {COLLECTION_REQUIREMENTS.name}") as done:
            wanted = _wanted_collections()
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="collections-") as scratch:
                fresh = Path(scratch, "tree")
                source = _from_galaxy(fresh) or _from_bundle(fresh, wanted)
                _compare_versions(fresh, wanted)
                shutil.rmtree(COLLECTIONS, ignore_errors=True)
                fresh.rename(COLLECTIONS)
            stamp.write_text(digest, encoding="utf-8")
            done(f"{', '.join(f'{name} {version}' for name, version in wanted.items())}, from {source}")
    _link_checkout()


def _wanted_collections() -> dict[str, str]:
    # Two keys per entry, so a pattern does; a YAML parser would have to come from the venv.
    text = COLLECTION_REQUIREMENTS.read_text(encoding="utf-8")
    return dict(re.findall(r"^  - name: (\S+)\n    version: (\S+)$", text, re.MULTILINE))


def _from_galaxy(tree: Path) -> str | None:
    command: list[str | Path] = [
        VENV / "bin" / "ansible-galaxy",
        "collection",
        "install",
        "--requirements-file",
        COLLECTION_REQUIREMENTS,
    ]
    try:
        answer = subprocess.run(
            [*command, "--collections-path", tree, "--no-deps", "--timeout", "10"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GALAXY_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        answer = None
    if answer is not None and answer.returncode == 0:
        return "Galaxy"
    shutil.rmtree(tree, ignore_errors=True)
    return None


def _from_bundle(tree: Path, wanted: Mapping[str, str]) -> str:
    downloads = tree.parent / "bundle"
    pip: list[str | Path] = [VENV / "bin" / "python", "-m", "pip", "download", "--no-deps", "--no-cache-dir"]
    logged("bundle", [*pip, "--only-binary=:all:", "--dest", downloads, "--requirement", BUNDLE_REQUIREMENT])
    wheel = next(downloads.glob("*.whl"))
    prefixes = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in wanted)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tree, [name for name in archive.namelist() if name.startswith(prefixes)])
    return f"the PyPI package {'-'.join(wheel.name.split('-')[:2])} (Galaxy does not answer)"


def _compare_versions(tree: Path, wanted: Mapping[str, str]) -> None:
    for name, version in wanted.items():
        manifest = tree / "ansible_collections" / name.replace(".", "/") / "MANIFEST.json"
        try:
            found = json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"]
        except FileNotFoundError:
            found = "absent"
        if found != version:
            raise Failure(
                f"{name}: {COLLECTION_REQUIREMENTS.name} asks for {version}, the source has {found}: "
                f"{BUNDLE_REQUIREMENT.name} and {COLLECTION_REQUIREMENTS.name} must name the same release"
            )


def _link_checkout() -> None:
    # Lets tripod.baremetal.* resolve in a clone that lies anywhere.
    link = COLLECTIONS / "ansible_collections" / "tripod" / "baremetal"
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("../../../..")


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _stamped(stamp: Path, digest: str) -> bool:
    return stamp.exists() and stamp.read_text(encoding="utf-8") == digest


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.bootstrap", description=__doc__)
    parser.add_argument("--test", action="store_true", help="install what the tests need as well")
    bootstrap(test=parser.parse_args().test)
    return 0


if __name__ == "__main__":
    guarded(main)
