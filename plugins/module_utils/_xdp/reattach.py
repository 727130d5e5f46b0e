# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The saved program on an interface that was made anew: attached from its pin at once, without object, loader or plan.

A NIC that is deleted takes its attachment along, not its pins: program, maps and policy are still in the kernel. What
the loop does comes after; until then this keeps blocked sources out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .._core import lock
from .._core.system import Host
from .._linux import bpf, netlink
from .._linux.netlink import Link
from .identity import HALF
from .request import pin_directory

_PATIENCE = 2.0  # seconds; nobody attaches for longer


def reattach(body: Mapping[str, Any], host: Host) -> bool:
    """Attach the program that a state file speaks of, if its interface has lost it and its pin is there.

    Args:
        body: Of the state file.
        host: The machine.

    Returns:
        Whether it was attached. Where not, it is attached already, or the loop has to see to it.

    Raises:
        OSError: The kernel or the driver refused.
        Refused: Somebody else attaches or detaches just now, and takes his time.
    """
    pins = pin_directory(body["pin_root"], body["interface"])
    with lock.alone(host, _PATIENCE, lock.ATTACHING):
        link = netlink.link(body["interface"])
        if link is None or link.xdp.mode is not None or not _is_meant(body, link) or not _is_detached(f"{pins}/link"):
            return False
        half = f"{pins}/link{HALF}"
        if os.path.exists(half) and not _is_detached(half):
            return False  # It can be all that keeps a program on a NIC that moved elsewhere: never unpinned first.
        with bpf.pinned(f"{pins}/prog") as program:
            found = bpf.program_info(program)
            if (found.id, found.tag) != (body["loaded"]["id"], body["loaded"]["tag"]):
                return False
            descriptor = bpf.create_xdp_link(program, link.index, body["mode"])
        try:
            _pin_in_place(descriptor, f"{pins}/link")
        finally:
            os.close(descriptor)
    return True


def _is_meant(body: Mapping[str, Any], link: Link) -> bool:
    if body["bus_address"] is None:
        return True
    place = (body["bus"], body["bus_address"]) == (link.bus, link.bus_address)
    return place and body["mac"] == (link.permanent_mac or link.mac)


def _is_detached(path: str) -> bool:
    """Whether a pinned link holds no interface; one that moved to another network namespace still does."""
    try:
        with bpf.pinned(path) as descriptor:
            found = bpf.xdp_link_info(descriptor)
    except FileNotFoundError:
        return False
    return found is not None and found.index == 0


def _pin_in_place(descriptor: int, path: str) -> None:
    status = os.stat(path)
    new = f"{path}{HALF}"
    if os.path.exists(new):
        os.unlink(new)
    bpf.pin(descriptor, new)
    os.chown(new, status.st_uid, status.st_gid)
    os.chmod(new, status.st_mode & 0o7777)
    os.rename(new, path)
