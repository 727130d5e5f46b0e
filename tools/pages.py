"""The documents as a site: ``.venv/bin/python -m tools.pages`` builds it into ``build/docs``.

antsibull-docs writes the reference of roles and plugins; Sphinx makes pages of that and of the Markdown documents.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from .collection import export
from .console import guarded, step
from .paths import CACHE, ROOT, VENV, environment
from .run import logged

LOG = "pages"
CONFIGURATION = Path("docs", "docsite")


def build(copy: Path, out: Path) -> int:
    """Build the site of an exported collection, and return the number of its pages.

    Args:
        copy: What ``collection.export`` returned.
        out: The directory for the pages; what it holds is removed.
    """
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="pages-") as scratch:
        # All of it, as a document may lead to any file.
        source = Path(scratch, "source")
        shutil.copytree(copy, source, ignore=shutil.ignore_patterns(".git"))
        # The README is the first page, with the menu of all others.
        with (source / "README.md").rename(source / "index.md").open("a", encoding="utf-8") as index:
            index.write("\n" + (source / CONFIGURATION / "menu.md").read_text(encoding="utf-8"))
        _reference(copy, source)
        shutil.rmtree(out, ignore_errors=True)
        sphinx: list[str | Path] = [VENV / "bin" / "sphinx-build", "--fail-on-warning", "--keep-going", "--quiet"]
        sphinx += ["--conf-dir", source / CONFIGURATION, "--doctree-dir", Path(scratch, "doctrees"), source, out]
        logged(LOG, sphinx, append=True, lines=40)
    return sum(1 for _page in out.rglob("*.html"))


def _reference(copy: Path, source: Path) -> None:
    child = environment() | {"ANSIBLE_COLLECTIONS_PATH": str(copy.parents[2])}
    child.pop("ANSIBLE_CONFIG")
    reference = source / "reference"
    # antsibull-docs wants that nobody else writes there.
    reference.mkdir(mode=0o700)
    settings = source / CONFIGURATION / "antsibull-docs.cfg"
    antsibull: list[str | Path] = [VENV / "bin" / "antsibull-docs", "--config-file", settings, "collection"]
    antsibull += ["--use-current", "--squash-hierarchy", "--fail-on-error", "--dest-dir", reference]
    logged(LOG, [*antsibull, "tripod.baremetal"], env=child, lines=40)


def main() -> int:
    """Build the site of the checkout."""
    with step("the site of the documents") as done:
        out = ROOT / "build" / "docs"
        done(f"{build(export(CACHE / 'export'), out)} pages, {(out / 'index.html').relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    guarded(main)
