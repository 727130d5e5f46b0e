# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The BPF file system, and the directory in it that pins go to."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass

from .._core.converge import ApplyFailed, Change, Impossible, Invalid, Refused
from .._core.errors import reason
from .._core.names import absolute_path, refuse_symlinks
from .._core.system import Host

# linux/mount.h: nosuid, nodev, noexec and relatime, as systemd mounts it.
_FLAGS = 2 | 4 | 8 | (1 << 21)
_OPTIONS = b"mode=700"
MOUNT = "/sys/fs/bpf"
PIN_ROOT_MODE = 0o750


@dataclass(frozen=True)
class PinRoot:
    """Where pins go.

    Attributes:
        mount: Mount point of the BPF file system.
        path: Directory below it.
        group: Number of the group that may look into it.
    """

    mount: str
    path: str
    group: int

    def __post_init__(self) -> None:
        """Refuse another way to write a path than the mount table's, which would hide the pins below a second mount.

        Raises:
            Invalid: The message says which, and why.
        """
        absolute_path(self.mount, "mount")
        absolute_path(self.path, "path")


@dataclass(frozen=True)
class BpffsState:
    """What is there.

    Attributes:
        mounted: Whether the file system is mounted.
        group: The directory's group; None where it is absent.
        mode: The directory's mode; None where it is absent.
        inside: Mount point of a BPF file system that the mount point is a directory of.
        held: Names of what lies at the mount point, where nothing is mounted there.
    """

    mounted: bool
    group: int | None = None
    mode: int | None = None
    inside: str | None = None
    held: Sequence[str] = ()


def on_bpffs(host: Host, path: str) -> bool:
    """Whether what is below a path is on a BPF file system."""
    return mount_over(host, path)[1] == "bpf"


def mount_over(host: Host, path: str) -> tuple[str, str]:
    """Return the mount point that a path is on, and the type of its file system; both are "" where there is none."""
    best = ("", "")
    for line in (host.read("/proc/self/mountinfo") or "").splitlines():
        fields = line.split()
        point, kind = fields[4], fields[fields.index("-") + 1]
        # The last of equal mount points is on top.
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best[0]):
            best = (point, kind)
    return best


class Bpffs:
    """Resource: bpffs is mounted and holds the pin root."""

    def __init__(self, desired: PinRoot) -> None:
        self.desired = desired

    def read(self, host: Host) -> BpffsState:
        """Return whether bpffs is mounted, and what the directory is like.

        Raises:
            Invalid: A path leads through a symbolic link.
        """
        for where, path in (("mount", self.desired.mount), ("path", self.desired.path)):
            refuse_symlinks(host, path, where)
        mounts = [line.split() for line in (host.read("/proc/mounts") or "").splitlines()]
        # Mounts can lie on top of each other; the last one is what paths lead into.
        types = [fields[2] for fields in mounts if fields[1] == self.desired.mount]
        if not types or types[-1] != "bpf":
            point, kind = mount_over(host, self.desired.mount)
            inside = point if kind == "bpf" and point != self.desired.mount else None
            return BpffsState(False, inside=inside, held=host.list(self.desired.mount))
        try:
            status = host.path(self.desired.path).stat()
        except FileNotFoundError:
            return BpffsState(True)
        return BpffsState(True, status.st_gid, status.st_mode & 0o7777)

    def validate(self, desired: PinRoot, state: BpffsState) -> None:
        """Raise where the directory is not below the mount point, or the kernel has no BPF file system."""
        if not desired.path.startswith(desired.mount.rstrip("/") + "/"):
            raise Invalid(f"{desired.path} is not below {desired.mount}, where the BPF file system is mounted")
        if state.inside:
            raise Refused(
                f"{desired.mount} is a directory of the BPF file system at {state.inside}, and another one there would "
                f"hide what is pinned below it: give mount {state.inside}"
            )
        if state.held:
            raise Refused(
                f"{desired.mount} holds {', '.join(state.held[:3])}, which a mount would hide: give the mount point of "
                f"the BPF file system, {MOUNT}"
            )
        if not state.mounted and not os.path.isdir(desired.mount):
            raise Impossible(f"{desired.mount} does not exist: this kernel has no BPF file system (CONFIG_BPF_SYSCALL)")

    def plan(self, desired: PinRoot, state: BpffsState) -> list[Change]:
        """Return the mount, the directory, and its group and mode, as far as they differ."""
        changes = []
        if not state.mounted:
            changes.append(Change((desired.mount, "type"), None, "bpf"))
        if state.mode is None:
            changes.append(Change((desired.path, "state"), None, "directory"))
        if state.group != desired.group:
            changes.append(Change((desired.path, "group"), state.group, desired.group))
        if state.mode != PIN_ROOT_MODE:
            before = None if state.mode is None else f"{state.mode:04o}"
            changes.append(Change((desired.path, "mode"), before, f"{PIN_ROOT_MODE:04o}"))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Mount, make the directory, and set its group before others may look into it."""
        if any(change.path[1] == "type" for change in changes):
            _mount(self.desired.mount)
        try:
            os.makedirs(self.desired.path, mode=0o700, exist_ok=True)
            os.chown(self.desired.path, 0, self.desired.group)
            os.chmod(self.desired.path, PIN_ROOT_MODE)
        except OSError as error:
            raise ApplyFailed(f"{self.desired.path}: {reason(error)}") from error


def _mount(path: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(path), b"bpf", ctypes.c_ulong(_FLAGS), _OPTIONS):
        number = ctypes.get_errno()
        raise ApplyFailed(f"mounting the BPF file system at {path}: {os.strerror(number)}; it takes CAP_SYS_ADMIN")
