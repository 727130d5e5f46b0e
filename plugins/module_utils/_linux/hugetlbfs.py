# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""hugetlbfs mounts, and the systemd units that keep them.

A unit file of our own rather than a line in ``/etc/fstab``: the file is owned whole, so writing and removing it are
atomic and nobody else's line is ever touched; and services can order themselves after it (``RequiresMountsFor=``).
"""

from __future__ import annotations

import ctypes
import os
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._core.converge import ApplyFailed
from .._core.errors import reason
from .._core.sizes import parse_size, size_token
from .._core.system import Host
from .systemd import in_charge, systemctl

UNIT_DIRECTORY = "/etc/systemd/system"
MARK = "# Written by tripod.baremetal.hugepages, which overwrites and removes it."
_WANTED_BY = "local-fs.target"
_NOSUID_NODEV = 2 | 4  # linux/mount.h
_PLAIN = set(string.ascii_letters + string.digits + ":_.")


@dataclass(frozen=True)
class Mount:
    """A hugetlbfs mount.

    Attributes:
        path: Mount point.
        size: Bytes of a page.
        mode: Permission bits of its root.
        uid, gid: Owner and group of its root.
        limit: Most bytes that its files may take; None leaves it unlimited.
    """

    path: str
    size: int
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    limit: int | None = None

    @property
    def options(self) -> str:
        """Options of mount(2)."""
        limit = "" if self.limit is None else f",size={self.limit}"
        return f"pagesize={size_token(self.size)},mode={self.mode:o},uid={self.uid},gid={self.gid}{limit}"

    @property
    def unit(self) -> str:
        """Name of its systemd unit."""
        return f"{escape(self.path)}.mount"

    @property
    def unit_text(self) -> str:
        """Content of its systemd unit, without the last newline."""
        return (
            f"{MARK}\n"
            f"[Unit]\nDescription=Huge pages of {size_token(self.size)}\n\n"
            f"[Mount]\nWhat=hugetlbfs\nWhere={self.path}\nType=hugetlbfs\nOptions=nosuid,nodev,{self.options}\n\n"
            f"[Install]\nWantedBy={_WANTED_BY}"
        )

    def as_body(self) -> dict[str, Any]:
        """Return it as a state file holds it."""
        return {
            "path": self.path,
            "size": size_token(self.size),
            "mode": f"{self.mode:04o}",
            "uid": self.uid,
            "gid": self.gid,
            "limit": self.limit,
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Mount:
        """Return the mount that a state file holds."""
        size, mode = parse_size(body["size"]), int(body["mode"], 8)
        return cls(body["path"], size, mode, body["uid"], body["gid"], body["limit"])


def escape(path: str) -> str:
    """Return a path as systemd names its unit, like ``systemd-escape --path``."""
    plain = os.path.normpath(path).strip("/")
    if not plain:
        return "-"
    parts = []
    for place, byte in enumerate(os.fsencode(plain)):
        sign = chr(byte)
        if sign == "/":
            parts.append("-")
        elif sign not in _PLAIN or (place == 0 and sign == "."):
            parts.append(f"\\x{byte:02x}")
        else:
            parts.append(sign)
    return "".join(parts)


def read_mount(host: Host, path: str) -> Mount | str | None:
    """Return the hugetlbfs mount at a path, the type of another file system that lies there, or None.

    Mode and owner are those of the root directory, as ``chmod`` does not show in the mount's options.
    """
    lines = [line.split() for line in (host.read("/proc/self/mounts") or "").splitlines()]
    # Mounts can lie on top of each other; the last one is what the path leads into.
    found = next((fields for fields in reversed(lines) if fields[1] == path.replace(" ", "\\040")), None)
    if found is None:
        return None
    if found[2] != "hugetlbfs":
        return found[2]
    options = dict(option.partition("=")[::2] for option in found[3].split(","))
    status = host.path(path).stat()
    limit = options.get("size")
    return Mount(
        path=path,
        size=parse_size(options["pagesize"]),
        mode=status.st_mode & 0o7777,
        uid=status.st_uid,
        gid=status.st_gid,
        limit=None if limit is None else parse_size(limit),
    )


def read_unit(host: Host, name: str) -> str | None:
    """Return the text of a mount unit in /etc, None where it is absent.

    Of one that is not started at boot it is the first line, and of one whose link alone is there ours: a run that was
    killed leaves either, and the next one has to see it.
    """
    enabled = os.path.lexists(host.path(f"{UNIT_DIRECTORY}/{_WANTED_BY}.wants/{name}"))
    text = host.read(f"{UNIT_DIRECTORY}/{name}")
    if enabled:
        return MARK if text is None else text
    return None if text is None else text.partition("\n")[0]


def write_unit(host: Host, mount: Mount) -> None:
    """Write the unit and have it started at boot."""
    host.write_atomically(f"{UNIT_DIRECTORY}/{mount.unit}", mount.unit_text + "\n")
    wants = host.path(f"{UNIT_DIRECTORY}/{_WANTED_BY}.wants/{mount.unit}")
    wants.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(wants):
        wants.symlink_to(f"../{mount.unit}")
    _reload(host)


def remove_unit(host: Host, name: str) -> None:
    """Remove a unit of ours."""
    host.remove(f"{UNIT_DIRECTORY}/{_WANTED_BY}.wants/{name}")
    host.remove(f"{UNIT_DIRECTORY}/{name}")
    _reload(host)


def mount_it(mount: Mount) -> None:
    """Mount, making the mount point where it is missing.

    Raises:
        ApplyFailed: The kernel refused.
    """
    try:
        os.makedirs(mount.path, exist_ok=True)
    except OSError as error:
        raise ApplyFailed(f"{mount.path}: making the mount point: {reason(error)}") from error
    _call(
        f"mounting huge pages of {size_token(mount.size)} at {mount.path}",
        *("mount", b"hugetlbfs", os.fsencode(mount.path), b"hugetlbfs", ctypes.c_ulong(_NOSUID_NODEV)),
        mount.options.encode(),
    )


def own(mount: Mount) -> None:
    """Set mode and owner of a mount's root."""
    try:
        os.chown(mount.path, mount.uid, mount.gid)
        os.chmod(mount.path, mount.mode)
    except OSError as error:
        raise ApplyFailed(f"{mount.path}: {reason(error)}") from error


def unmount(path: str) -> None:
    """Unmount; whoever uses it keeps it, and the error says so."""
    _call(
        f"unmounting {path} (whoever has files in it open keeps it busy: end them first)", "umount", os.fsencode(path)
    )


def _call(what: str, name: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        raise ApplyFailed(f"{what}: {os.strerror(ctypes.get_errno())}")


def _reload(host: Host) -> None:
    # Where systemd does not run the file alone counts, at the next boot that has it.
    if in_charge(host):
        systemctl("daemon-reload")
