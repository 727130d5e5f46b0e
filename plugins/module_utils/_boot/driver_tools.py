# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The system's own tools for drivers: kmod, initramfs-tools, and what drivers report of their NICs."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from .._core import commands, lock
from .._core.converge import ApplyFailed, Impossible
from .._linux import ethtool, netlink
from .driver_request import plain_name


@dataclass(frozen=True)
class DrivenNic:
    """A NIC as its driver reports it; features are None where the kernel cannot report them."""

    name: str
    driver: str
    firmware: str | None = None
    features: Collection[str] | None = None


class DriverTools(Protocol):
    """What programs and netlink answer, and files do not."""

    def modinfo(self, name: str, what: str) -> str | None:
        """Return a field of a module's description, None where there is no such module."""

    def nics(self) -> Sequence[DrivenNic]:
        """Return every NIC."""

    def update_initramfs(self, releases: Sequence[str]) -> None:
        """Rebuild the initramfs of each of these kernels."""


class LiveDriverTools:
    """The tools of the running system."""

    def modinfo(self, name: str, what: str) -> str | None:
        """Run modinfo(8)."""
        done = _run(["modinfo", "-F", what, name])
        return None if done.returncode else done.stdout

    def nics(self) -> Sequence[DrivenNic]:
        """Return what the drivers report, and the netdev family of what they can do with XDP."""
        found = []
        for link in netlink.links():
            answer = ethtool.describe(link.name)
            if answer.driver:
                features = netlink.xdp_features(link.index)
                found.append(DrivenNic(link.name, plain_name(answer.driver), answer.firmware, features))
        return found

    def update_initramfs(self, releases: Sequence[str]) -> None:
        """Run update-initramfs(8), which takes up to minutes for each."""
        for release in releases:
            done = _run(["update-initramfs", "-u", "-k", release])
            if done.returncode:
                words = " ".join(done.stderr.split()[-60:])
                raise ApplyFailed(f"update-initramfs failed for {release} ({done.returncode}): {words}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        return commands.run(command, environment, pass_fds=lock.descriptors())
    except FileNotFoundError as error:
        raise Impossible(f"{command[0]} is not there: install kmod and initramfs-tools") from error
