"""The digest of a build context speaks of the very files that the engine gets."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.build_context import IgnoreRules, digest_context

from tests.support.modules import run_module

pytestmark = pytest.mark.skipif(not shutil.which("docker"), reason="there is no docker command to compare with")

FILES = [
    "Dockerfile",
    "README.md",
    "NOTES.md",
    "src/main.py",
    "src/main.pyc",
    "src/deep/er/cache.pyc",
    "src/deep/er/kept.txt",
    "node_modules/a/b.js",
    "web/node_modules/c.js",
    "web/temporary/d",
    "docs/drop/e",
    "docs/keep/f",
    "[odd]/g",
    "a.log",
    "b.log",
    "c.log",
]
IGNORED = """\
# a comment

**/*.pyc
/node_modules/
*.md
!README.md
web/temp*
docs
!docs/keep
[ab].log
"""


def files_of(image: str) -> list[tarfile.TarInfo]:
    """Return the files that an image has below /context, and remove the image."""
    create = ["docker", "create", image, "none"]
    container = subprocess.run(create, check=True, capture_output=True, text=True).stdout.strip()
    try:
        archive = subprocess.run(["docker", "export", container], check=True, capture_output=True).stdout
    finally:
        subprocess.run(["docker", "rm", container], check=True, capture_output=True)
        subprocess.run(["docker", "rmi", image], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tree:
        return [member for member in tree if member.isfile() and member.name.startswith("context/")]


def sent_by_docker(context: Path) -> set[str]:
    """Return the names of the files that a build gets, out of the image it makes."""
    build = ["docker", "build", "-q", str(context)]
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(build, check=True, capture_output=True, text=True, env=environment)
    return {member.name.split("/", 1)[1] for member in files_of(done.stdout.strip())}


def test_the_engine_gets_what_the_digest_counts(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /context\n")
    (tmp_path / ".dockerignore").write_text(IGNORED)
    rules = IgnoreRules.parse(IGNORED)
    counted = {name for name in [*FILES, ".dockerignore"] if not rules.excludes(name)}
    assert sent_by_docker(tmp_path) == counted
    assert digest_context(str(tmp_path)).files == len(counted)


def dangling() -> set[str]:
    listing = ["docker", "images", "--quiet", "--no-trunc", "--filter", "dangling=true"]
    return set(subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split())


def test_a_build_leaves_none_of_its_stages_and_modes_that_everybody_can_read(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM scratch AS builder\nCOPY data tool /made/\nFROM scratch\nCOPY --from=builder /made /context\n"
    )
    # As in a clone of somebody whose umask is 077; the content makes an image of its own.
    for name, mode in (("data", 0o600), ("tool", 0o700)):
        (tmp_path / name).write_text(str(tmp_path))
        (tmp_path / name).chmod(mode)
    before = dangling()
    options = {"images": [{"name": "tripod-tests/modes", "context": str(tmp_path)}]}
    done = run_module("image_build", options, interpreter="/usr/bin/python3")
    assert not done.failed, done.output
    files = files_of(done.result["images"]["tripod-tests/modes"]["reference"])
    # With the kind of file in it, or without: engines differ.
    modes = {member.name: stat.S_IMODE(member.mode) for member in files}
    assert modes == {"context/data": 0o644, "context/tool": 0o755}
    assert dangling() == before
