"""What changed since the last release, by component: ``python3 -m tools.changes [--released REVISION]``.

``changelogs/released.json`` has a digest of each component at the last release, so that a clone without history can
tell too. ``--released`` writes it anew, as the last step of a release.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping

from .console import guarded, say
from .paths import ROOT

RELEASED = ROOT / "changelogs" / "released.json"
# What users meet. The first parts of a path name the component.
PLACES = {
    "plugins/modules": 3,
    "plugins/filter": 3,
    "plugins/action": 3,
    "plugins/module_utils": 3,
    "roles": 2,
    "playbooks": 2,
    "files/services": 3,
    "files/bpf": 2,
    "files/proto": 2,
}
# Written from the rest, or for those who change it.
_ASIDE = ("README.md", "test", "tests")


def component(path: str) -> str | None:
    """Return the component that a file is of; None where users do not meet it."""
    parts = path.split("/")
    for place, depth in PLACES.items():
        if path.startswith(f"{place}/"):
            if any(part in _ASIDE for part in parts[depth:]) or parts[-1].endswith(
                ("_test.go", ".test.ts", ".test.tsx")
            ):
                return None
            return "/".join(parts[:depth])
    return None


def digests(files: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a digest of each component.

    Args:
        files: Path and git's name of the content.
    """
    contents: dict[str, list[str]] = defaultdict(list)
    for path, blob in files:
        if (name := component(path)) is not None:
            contents[name].append(f"{path} {blob}")
    return {
        name: hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
        for name, lines in sorted(contents.items())
    }


def of_revision(revision: str) -> dict[str, str]:
    """Return the digests of what git has under a revision."""
    listing = _git("ls-tree", "-r", "-z", "--format=%(objectname) %(path)", revision)
    return digests(_reversed(line) for line in listing.split("\0") if line)


def of_checkout() -> dict[str, str]:
    """Return the digests of what is in the checkout, committed or not."""
    names = [name for name in _git("ls-files", "-z", *PLACES).split("\0") if name and (ROOT / name).is_file()]
    blobs = _git("hash-object", "--stdin-paths", stdin="\n".join(names)).split()
    return digests(zip(names, blobs, strict=True))


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the components that are new, different or gone."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def released() -> dict[str, str]:
    """Return the digests of the last release."""
    content: dict[str, str] = json.loads(RELEASED.read_text(encoding="utf-8"))["components"]
    return content


def _reversed(line: str) -> tuple[str, str]:
    blob, _blank, path = line.partition(" ")
    return path, blob


def _git(*words: str, stdin: str | None = None) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, input=stdin, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """List what changed, or write the digests of a release."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.changes", description=__doc__)
    parser.add_argument("--released", metavar="REVISION", help="what was released: a tag or a commit")
    options = parser.parse_args()
    if options.released:
        content = {"components": of_revision(options.released)}
        RELEASED.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        say(f"wrote {RELEASED.relative_to(ROOT)}")
    else:
        for name in changed(released(), of_checkout()):
            say(name)
    return 0


if __name__ == "__main__":
    guarded(main)
