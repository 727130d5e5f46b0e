"""The digest of a build context speaks of the very files that the engine gets."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.build_context import IgnoreRules, digest_context

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


def sent_by_docker(context: Path) -> set[str]:
    """Return the names of the files that a build gets, out of the image it makes."""
    build = ["docker", "build", "-q", str(context)]
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(build, check=True, capture_output=True, text=True, env=environment)
    image = done.stdout.strip()
    create = ["docker", "create", image, "none"]
    container = subprocess.run(create, check=True, capture_output=True, text=True).stdout.strip()
    try:
        archive = subprocess.run(["docker", "export", container], check=True, capture_output=True).stdout
    finally:
        subprocess.run(["docker", "rm", container], check=True, capture_output=True)
        subprocess.run(["docker", "rmi", image], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tree:
        names = {member.name for member in tree if member.isfile() and member.name.startswith("context/")}
    return {name.split("/", 1)[1] for name in names}


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
