# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The operator's connection to this host, and the interfaces that carry it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .._core.system import Host
from .._linux import linkstate, netlink

NETWORK = "/sys/class/net"
LOCAL, SSH, UNKNOWN = "local", "ssh", "unknown"
_DAEMONS = ("sshd", "dropbear")
_CONTROLLERS = ("ansible", "ansible-playbook", "ansible-console", "ansible-pull")


@dataclass(frozen=True)
class Ssh:
    """The two ends of an SSH connection, as sshd gives them in SSH_CONNECTION."""

    peer: str
    peer_port: int
    address: str
    port: int

    def __str__(self) -> str:
        return f"from {self.peer} port {self.peer_port}"


@dataclass(frozen=True)
class Session:
    """How the operator got here.

    Attributes:
        kind: local (the controller runs on this host), ssh, or unknown.
        ssh: Both ends, where it is known.
    """

    kind: str
    ssh: Ssh | None = None

    @property
    def origin(self) -> str:
        """`` from ADDRESS`` for a message; "" where it is not known."""
        return f" from {self.ssh.peer}" if self.ssh else ""


@dataclass(frozen=True)
class _Process:
    name: str
    arguments: Sequence[str]
    connection: str | None


def current(host: Host, pid: int | None = None) -> Session:
    """Return the session that a process belongs to.

    sudo takes SSH_CONNECTION from its child's environment, yet the processes above keep theirs.

    Args:
        host: The machine.
        pid: The process; this one by default.
    """
    # In the environment of a controller that runs here, SSH_CONNECTION is the operator's way to the controller.
    connection = None
    daemon = False
    for process in _ancestry(host, os.getpid() if pid is None else pid):
        if process.name.startswith(_DAEMONS):
            daemon = True
            break
        if any(os.path.basename(word) in _CONTROLLERS for word in process.arguments[:2]):
            return Session(LOCAL)
        connection = connection or process.connection
    if connection:
        return Session(SSH, _parse(connection))
    return Session(SSH if daemon else UNKNOWN)


def carriers(host: Host, session: Session) -> set[str]:
    """Return the interfaces whose failure would cut a session: those it uses, and all below them.

    Where nobody knows the session's addresses, the ways out by default are taken.
    """
    if session.kind == LOCAL:
        return set()
    used: set[str] = set()
    if session.ssh:
        used = linkstate.holders(session.ssh.address) | linkstate.ways_to(session.ssh.peer)
    return below(host, used or linkstate.default_ways(), netlink.links())


def below(host: Host, interfaces: set[str], table: Sequence[netlink.Link]) -> set[str]:
    """Return interfaces with everything that they stand on: members of bonds, a VLAN's device, a VF's PF."""
    indices = {one.index for one in table if one.name in interfaces}
    indices = indices.union(*(netlink.lowers(index, table) for index in indices))
    found = interfaces | {one.name for one in table if one.index in indices}
    return found.union(*(host.list(f"{NETWORK}/{name}/device/physfn/net") for name in found))


def _parse(connection: str) -> Ssh | None:
    words = connection.split()
    try:
        peer, peer_port, address, port = words
        for one in (peer, address):
            ipaddress.ip_address(one.partition("%")[0])
        return Ssh(peer, int(peer_port), address, int(port))
    except ValueError:
        return None  # sshd says UNKNOWN where the peer is no socket


def _ancestry(host: Host, pid: int) -> Iterator[_Process]:
    while pid > 0:
        stat = host.read(f"/proc/{pid}/stat")
        if stat is None:
            return
        name, _bracket, rest = stat.partition("(")[2].rpartition(")")
        yield _Process(name, (host.read(f"/proc/{pid}/cmdline") or "").split("\0"), _connection(host, pid))
        pid = int(rest.split()[1])


def _connection(host: Host, pid: int) -> str | None:
    try:
        environment = host.read(f"/proc/{pid}/environ") or ""
    except PermissionError:
        return None
    for entry in environment.split("\0"):
        if entry.startswith("SSH_CONNECTION="):
            return entry.partition("=")[2]
    return None
