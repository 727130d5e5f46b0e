"""Where things lie in a checkout. Everything made by the tools is below .venv and .cache."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
# Not on an ordinary user's path, who becomes root by sudo for what is there.
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
CACHE = ROOT / ".cache"
COLLECTIONS = CACHE / "collections"
LOGS = CACHE / "logs"


def environment() -> dict[str, str]:
    """Return the environment for child processes: the venv first, and every cache inside the checkout."""
    child = dict(os.environ)
    child.pop("PYTHONHOME", None)
    child.pop("PYTHONPATH", None)
    path = child.get("PATH", os.defpath).split(os.pathsep)
    child.update(
        VIRTUAL_ENV=str(VENV),
        PATH=os.pathsep.join([str(VENV / "bin"), *path, *(place for place in SBIN if place not in path)]),
        ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
        ANSIBLE_HOME=str(CACHE / "ansible"),
        PIP_CACHE_DIR=str(CACHE / "pip"),
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_INPUT="1",
        XDG_CACHE_HOME=str(CACHE / "xdg"),
    )
    return child
