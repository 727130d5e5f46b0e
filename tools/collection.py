"""The collection as others get it: a copy of the tracked tree, and the artefact built from that.

``python3 -m tools.collection [--repository URL]``
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

from .bootstrap import bootstrap
from .console import Failure, guarded, say, step
from .paths import CACHE, COLLECTIONS, ROOT, VENV
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


def build(source: Path, out: Path, repository: str | None = None, log: str = "build") -> Path:
    """Build the artefact of an exported tree and return its path.

    Args:
        source: What ``export`` returned.
        out: The directory for the artefact; created, and an artefact of the same version replaced.
        repository: Where the sources are published. Servers of collections take no artefact without it, hosts do.
        log: The name of the log.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="build-") as scratch:
        tree = Path(scratch, "tree")
        # Others read the exported tree meanwhile.
        shutil.copytree(source, tree, ignore=shutil.ignore_patterns(".git"))
        if repository is not None:
            with (tree / "galaxy.yml").open("a", encoding="utf-8") as galaxy:
                galaxy.write(f'repository: "{repository}"\n')
        command: list[str | Path] = [VENV / "bin" / "ansible-galaxy", "collection", "build", "--force"]
        logged(log, [*command, "--output-path", out, tree])
    return max(out.glob("tripod-baremetal-*.tar.gz"), key=lambda path: path.stat().st_mtime)


def published(address: str) -> str:
    """Return an address that the artefact may name.

    Raises:
        Failure: Nobody else could follow it, or it carries credentials.
    """
    parts = urllib.parse.urlsplit(address)
    odd = any(character in address for character in ' "\\')
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or odd:
        raise Failure(
            "--repository: name where everybody finds the sources, without credentials: https://HOST/OWNER/NAME"
        )
    return address


def main() -> int:
    """Build the artefact into ``build/``."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.collection", description="Build the artefact into build/.")
    parser.add_argument("--repository", metavar="URL", help="where the sources are published; the artefact names it")
    options = parser.parse_args()
    repository = published(options.repository) if options.repository else None
    bootstrap()
    with step("the collection's artefact") as done:
        artefact = build(export(CACHE / "export"), ROOT / "build", repository)
        done(str(artefact.relative_to(ROOT)))
    if repository is None:
        say('hosts install it as it is; a server of collections wants to know of its sources: ARGS="--repository URL"')
    return 0


if __name__ == "__main__":
    guarded(main)
