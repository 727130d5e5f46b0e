"""The collection as others get it: a copy of the tracked tree, and the artefact built from that."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .bootstrap import bootstrap
from .console import Failure, guarded, step
from .paths import COLLECTIONS, ROOT, VENV
from .run import logged


def export(tree: Path) -> Path:
    """Copy what git tracks, or would, to ``<tree>/ansible_collections/tripod/baremetal`` with its dependencies beside.

    Tools that walk directories then see neither caches nor a link back to the checkout.

    Returns:
        Where the copy is.
    """
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        raise Failure(f"{ROOT} is not a git checkout: {listing.stderr.decode().strip()}")
    copy = tree / "ansible_collections" / "tripod" / "baremetal"
    shutil.rmtree(tree, ignore_errors=True)
    for name in filter(None, listing.stdout.decode().split("\0")):
        source = ROOT / name
        if source.is_file():  # A tracked file may be deleted and not yet committed.
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy / name)
    # ansible-test asks git what belongs to a collection, and would ask the checkout's, which ignores .cache.
    subprocess.run(["git", "init", "--quiet", copy], check=True)
    subprocess.run(["git", "-C", copy, "add", "--all", "--force"], check=True)
    link_dependencies(tree)
    return copy


def link_dependencies(tree: Path) -> None:
    """Put links to the collections that this one needs into ``<tree>/ansible_collections``."""
    (tree / "ansible_collections").mkdir(parents=True, exist_ok=True)
    for namespace in (COLLECTIONS / "ansible_collections").iterdir():
        if namespace.name != "tripod":
            (tree / "ansible_collections" / namespace.name).symlink_to(namespace)


def build(source: Path, out: Path) -> Path:
    """Build the artefact of an exported tree and return its path.

    Args:
        source: What ``export`` returned.
        out: The directory for the artefact; created, and an artefact of the same version replaced.
    """
    out.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [
        VENV / "bin" / "ansible-galaxy",
        "collection",
        "build",
        "--force",
        "--output-path",
        out,
        source,
    ]
    logged("build", command)
    return max(out.glob("tripod-baremetal-*.tar.gz"), key=lambda path: path.stat().st_mtime)


def main() -> int:
    """Build the artefact into ``build/``."""
    bootstrap()
    with step("the collection's artefact") as done:
        artefact = build(export(ROOT / ".cache" / "export"), ROOT / "build")
        done(str(artefact.relative_to(ROOT)))
    return 0


if __name__ == "__main__":
    guarded(main)
