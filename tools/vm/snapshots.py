"""A VM's disk with the snapshots in it: memory, devices and disk at one moment, by QEMU's own means.

The disk is a qcow2 file over the one that was copied from the base. All of the devices can be saved, the NICs too.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..console import Failure
from ..run import apt_install
from . import base, hardware, qmp

_WHERE = {"vmstate": hardware.DISK_NODE, "devices": [hardware.DISK_NODE]}


def provide_disk(directory: Path) -> None:
    """Make the file that the guest writes to, where there is none."""
    if (directory / hardware.OVERLAY).exists():
        return
    apt_install(base.TOOLS, "the VM")
    make = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", hardware.DISK, "-F", "raw", hardware.OVERLAY]
    subprocess.run(make, cwd=directory, check=True)
    base.hand_over(directory)


def tags(directory: Path) -> list[str]:
    """Return the tags of a running VM's snapshots."""
    nodes = qmp.execute(directory, "query-named-block-nodes", flat=True)
    [disk] = [node for node in nodes if node.get("node-name") == hardware.DISK_NODE]
    return [one["name"] for one in disk["image"].get("snapshots", [])]


def save(directory: Path, tag: str) -> None:
    """Keep a running VM under a tag, instead of what the tag stood for before."""
    if tag in tags(directory):
        qmp.run_job(directory, "snapshot-delete", tag=tag, devices=[hardware.DISK_NODE])
    qmp.run_job(directory, "snapshot-save", tag=tag, **_WHERE)


def load(directory: Path, tag: str) -> None:
    """Let QEMU, which has to run, go on from a snapshot.

    Raises:
        Failure: There is none of that tag, or QEMU cannot load it.
    """
    if tag not in (known := tags(directory)):
        raise Failure(f"{directory.name} has no snapshot {tag}: there is {', '.join(known) or 'none at all'}")
    qmp.run_job(directory, "snapshot-load", tag=tag, **_WHERE)
