"""The distribution's nginx within a machine, without a package installed here: its service would answer on port 80."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.machine import Machine

PROGRAM = Path("/usr/sbin/nginx")
# Its package has the program alone; all else is in others.
PACKAGE = "nginx"


def unpack(folder: Path) -> Path:
    """Return the program: this machine's, or that of the package, which is fetched into a folder."""
    if PROGRAM.exists():
        return PROGRAM
    for words in (["apt-get", "download", PACKAGE], ["apt-get", "update"], ["apt-get", "download", PACKAGE]):
        subprocess.run(words, cwd=folder, check=False, capture_output=True)
        if fetched := list(folder.glob("nginx_*.deb")):
            subprocess.run(["dpkg", "-x", fetched[0], folder], check=True)
            return folder / PROGRAM.relative_to("/")
    raise AssertionError("the package nginx could not be fetched: apt-get download nginx says why")


def put_in_place(program: Path, machine: Machine, folder: Path) -> None:
    """Let a machine have it where the package has it."""
    if program == PROGRAM:
        return
    upper, work = folder / "upper", folder / "work"
    for place in (upper, work):
        place.mkdir()
    shutil.copy2(program, upper / "nginx")
    machine.run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    machine.run("mkdir", "/mnt/upper", "/mnt/work")
    machine.run("cp", str(upper / "nginx"), "/mnt/upper/nginx")
    layers = "lowerdir=/usr/sbin,upperdir=/mnt/upper,workdir=/mnt/work"
    machine.run("mount", "-t", "overlay", "overlay", "-o", layers, "/usr/sbin")
