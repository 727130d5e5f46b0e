"""Pin what a service's image installs: its requirements*.txt from its requirements*.in, with hashes.

Pins stay as they are where nothing asks for another; ``--upgrade`` takes the newest ones.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .console import Failure, guarded, say, step
from .cores import interpreter
from .paths import CACHE, ROOT, environment
from .run import logged

SERVICE = ROOT / "files" / "services" / "flask-backend"
# The constraints of the second are what the first says.
SOURCES = ("requirements.in", "requirements-test.in")
# The image's own, as what a package needs depends on it.
PYTHON = "3.13"
PIP_TOOLS = ("pip==25.2", "pip-tools==7.6.2")
HOME = CACHE / "pip-tools"
# Nothing of this machine's ways to the package index belongs in the file.
OPTIONS = (
    *("--generate-hashes", "--strip-extras", "--no-annotate"),
    *("--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links"),
)


def compile_all(options: Sequence[str]) -> list[Path]:
    """Write every file of pins.

    Args:
        options: Further ones for pip-compile, such as ``--upgrade``.

    Returns:
        Those that changed.
    """
    program = _program()
    changed = []
    for source in SOURCES:
        target = (SERVICE / source).with_suffix(".txt")
        before = target.read_bytes() if target.exists() else b""
        with step(f"pins of {source}"):
            words: list[str | Path] = [program, "--quiet", *OPTIONS, *options, "--output-file", target.name, source]
            told = environment() | {"CUSTOM_COMPILE_COMMAND": "make requirements"}
            logged(f"compile-{Path(source).stem}", words, cwd=SERVICE, env=told)
        if target.read_bytes() != before:
            changed.append(target)
    return changed


def _program() -> Path:
    place = HOME / "-".join(PIP_TOOLS)
    program = place / "bin" / "pip-compile"
    if not program.exists():
        python = interpreter([PYTHON])
        if python is None:
            raise Failure(f"no Python {PYTHON} is here, which the image has: install it, or put it among pyenv's")
        with step(f"pip-tools with Python {PYTHON}"):
            logged("pip-tools", [python, "-m", "venv", place])
            logged("pip-tools", [place / "bin" / "python", "-m", "pip", "install", *PIP_TOOLS], append=True)
    return program


def main() -> int:
    """Write the pins, and name the files that changed."""
    for path in compile_all(sys.argv[1:]):
        say(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    guarded(main)
