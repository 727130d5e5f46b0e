# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which sockets wait for peers, and which processes hold them."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .._core.system import Host
from .._deploy.engine_socket import list_containers
from .._deploy.nginx_config import PID_FILE as FRONT_PID_FILE
from .._deploy.nginx_front import COMMAND

# /proc/net/tcp and udp: a socket that waits for peers, and one that is bound without a peer.
WAITING_STATES = {"tcp": "0A", "udp": "07"}


@dataclass(frozen=True)
class Listener:
    """A socket that a peer could reach.

    Attributes:
        protocol: ``tcp`` or ``udp``.
        address: Bound address, as text.
        port: Bound port.
        inode: The kernel's number for the socket.
    """

    protocol: str
    address: str
    port: int
    inode: str


@dataclass(frozen=True)
class Holder:
    """The process that has a socket open.

    Attributes:
        pid: Its id; None where it is hidden from us.
        command: Its command line.
        ours: Whether it belongs to a container of ours, or is the TLS front.
    """

    pid: int | None
    command: str
    ours: bool = False

    def __str__(self) -> str:
        return "a process that cannot be seen from here" if self.pid is None else f"process {self.pid} ({self.command})"


def read_listeners(host: Host) -> Iterator[Listener]:
    """Return every socket that waits for peers.

    Source: Documentation/networking/proc_net_tcp.rst in the Linux tree.
    """
    for table in ("tcp", "tcp6", "udp", "udp6"):
        protocol = table[:3]
        for line in (host.read(f"/proc/net/{table}") or "").splitlines()[1:]:
            fields = line.split()
            if fields[3] == WAITING_STATES[protocol]:
                address, port = fields[1].split(":")
                yield Listener(protocol, _address(address), int(port, 16), fields[9])


def read_holders(host: Host, listeners: Sequence[Listener], label: str, socket: str) -> dict[Listener, Holder]:
    """Return who holds each socket.

    Args:
        host: The machine.
        listeners: The sockets.
        label: ``key=value`` label of the containers that are ours.
        socket: Where the Docker Engine answers, if one does.
    """
    containers = list_containers(socket, label)
    published = {
        (port["Type"], port["PublicPort"])
        for container in containers
        for port in container["Ports"]
        if "PublicPort" in port
    }
    ids = [container["Id"] for container in containers]
    front = (host.read(FRONT_PID_FILE) or "").strip()
    pids = _socket_owners(host, {listener.inode for listener in listeners})
    found = {}
    for listener in listeners:
        pid = pids.get(listener.inode)
        if pid is None:
            found[listener] = Holder(None, "")
            continue
        # A published port is held by the engine's proxy; a container on the host's network holds its ports itself.
        cgroup = host.read(f"/proc/{pid}/cgroup") or ""
        proxied = host.read(f"/proc/{pid}/comm") == "docker-proxy" and (listener.protocol, listener.port) in published
        ours = proxied or any(one in cgroup for one in ids) or _is_front(host, pid, front)
        found[listener] = Holder(pid, _command(host, pid), ours)
    return found


def _socket_owners(host: Host, inodes: Iterable[str]) -> dict[str, int]:
    sought = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[str, int] = {}
    for pid in filter(str.isdigit, host.list("/proc")):
        try:
            descriptors = host.list(f"/proc/{pid}/fd")
        except PermissionError:
            continue
        for descriptor in descriptors:
            inode = sought.get(host.link(f"/proc/{pid}/fd/{descriptor}") or "")
            if inode:
                owners.setdefault(inode, int(pid))
    return owners


def _is_front(host: Host, pid: int, front: str) -> bool:
    """Whether a process is the front's first one, or one that it started."""
    if not front or host.read(f"/proc/{pid}/comm") != COMMAND:
        return False
    parent = (host.read(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()[1:2]
    return front in (str(pid), *parent)


def _command(host: Host, pid: int) -> str:
    arguments = (host.read(f"/proc/{pid}/cmdline") or "").rstrip("\0").split("\0")
    return shlex.join(arguments) if arguments != [""] else host.read(f"/proc/{pid}/comm") or "ended meanwhile"


def _address(digits: str) -> str:
    raw = bytes.fromhex(digits)
    # The kernel prints each 32-bit word in the machine's own order.
    words = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    address = ipaddress.ip_address(words)
    return str(getattr(address, "ipv4_mapped", None) or address)
