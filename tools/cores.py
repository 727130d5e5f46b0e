"""Other releases of ansible-core than the pinned one: the oldest that is supported, and the newest.

Each is in an environment of its own below .cache. Where this machine has no interpreter that one takes, that is said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .console import Failure
from .paths import CACHE
from .run import logged

HOME = CACHE / "cores"


@dataclass(frozen=True)
class Core:
    """A release of ansible-core.

    Attributes:
        version: Of the package.
        pythons: Interpreters of control nodes that it takes, the preferred one first.
    """

    version: str
    pythons: tuple[str, ...]

    @property
    def line(self) -> str:
        """Such as 2.17."""
        return ".".join(self.version.split(".")[:2])


# The oldest is that of meta/runtime.yml.
CORES = (Core("2.17.14", ("3.11", "3.12", "3.10")), Core("2.21.5", ("3.13", "3.12", "3.14")))


def interpreter(versions: Iterable[str]) -> Path | None:
    """Return the first interpreter of some versions, on the path or among pyenv's; None where there is none."""
    for version in versions:
        for place in _places(version):
            if _runs(place, version):
                return place
    return None


def _places(version: str) -> Iterator[Path]:
    if found := shutil.which(f"python{version}"):
        yield Path(found)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(root.glob(f"versions/{version}.*/bin/python{version}"))


def _runs(place: Path, version: str) -> bool:
    # pyenv's shims are on the path for every version, also for those that are not chosen.
    words = [str(place), "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == version


def provide(core: Core) -> Path | None:
    """Return the environment with a release, made where it is missing; None where no interpreter takes it."""
    place = HOME / core.version
    program = place / "bin" / "ansible-playbook"
    if program.exists():
        return place
    python = interpreter(core.pythons)
    if python is None:
        return None
    shutil.rmtree(place, ignore_errors=True)
    log = f"core-{core.line}"
    logged(log, [python, "-m", "venv", place])
    logged(log, [place / "bin" / "python", "-m", "pip", "install", f"ansible-core=={core.version}"], append=True)
    if not program.exists():
        raise Failure(f"ansible-core {core.version} brought no ansible-playbook: see .cache/logs/{log}.log")
    return place
