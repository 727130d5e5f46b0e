# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The boot loader: whether it is GRUB as Debian and Ubuntu arrange it, and how its grub.cfg is made."""

from __future__ import annotations

import os
import re
import shutil

from .._core import commands, lock
from .._core.converge import ApplyFailed
from .._core.system import Host
from .._linux import grub

_LOADER_INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_OTHER_LOADERS = {
    "/etc/kernel/proxmox-boot-uuids": "proxmox-boot-tool",
    "/boot/loader/loader.conf": "systemd-boot",
    "/boot/efi/loader/loader.conf": "systemd-boot",
    "/efi/loader/loader.conf": "systemd-boot",
    "/boot/loader/entries": "boot loader specification entries",
    "/boot/grub2/grub.cfg": "GRUB as Red Hat and SUSE arrange it",
    "/boot/extlinux/extlinux.conf": "extlinux",
    "/boot/firmware/cmdline.txt": "Raspberry Pi firmware",
    "/boot/cmdline.txt": "Raspberry Pi firmware",
}


def obstacle(host: Host, config: str | None, entry: bool) -> str | None:
    """Return why boot arguments cannot be set on a host, if they cannot.

    Args:
        host: The machine.
        config: Its grub.cfg.
        entry: Whether the entry that boots next is known.
    """
    loader = _loader_info(host)
    if config is None or loader.startswith("systemd-boot"):
        found = [loader] if loader else []
        found += [f"{what} ({path})" for path, what in _OTHER_LOADERS.items() if host.exists(path)]
        return (
            f"boot arguments are set through GRUB as Debian and Ubuntu arrange it ({grub.CONFIG}), "
            f"and this machine has {' and '.join(dict.fromkeys(found)) or 'no known boot loader'}: set them there"
        )
    if re.search(r"^\s*blscfg\s*$", config, re.MULTILINE):
        return f"{grub.CONFIG} takes its entries from boot loader specification files (blscfg): set them there"
    if not entry:
        return f"{grub.CONFIG}: the entry that boots next cannot be determined: set GRUB_DEFAULT to one of Linux"
    return None if _mkconfig() else "grub-mkconfig is not there: install grub-common, or remove its left-over grub.cfg"


def grub_mkconfig(path: str) -> None:
    """Write a new grub.cfg to a path of its own.

    Raises:
        ApplyFailed: A script of GRUB's failed, or made what GRUB cannot read.
    """
    command = [_mkconfig() or "grub-mkconfig", "-o", path]
    done = commands.run(command, {**os.environ, "LC_ALL": "C"}, pass_fds=lock.descriptors())
    if done.returncode:
        words = " ".join(done.stderr.split()[-60:])
        raise ApplyFailed(f"grub-mkconfig failed ({done.returncode}): {words}")


def _loader_info(host: Host) -> str:
    try:
        # Four bytes of attributes, then UTF-16.
        return host.path(_LOADER_INFO).read_bytes()[4:].decode("utf-16-le", "replace").rstrip("\0")
    except OSError:
        return ""


def _mkconfig() -> str | None:
    return shutil.which("grub-mkconfig", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
