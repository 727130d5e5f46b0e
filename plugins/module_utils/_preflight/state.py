# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a host is like, as far as the requirements speak of it; nothing is changed."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._core.findings import Finding
from .._core.system import Host
from .._deploy.engine_socket import DEFAULT_SOCKET
from .._firewall.state import obstacle as firewall_obstacle
from .._guard import sessions
from .._linux.clock import hz
from .._linux.detached import search_path
from .listeners import Holder, Listener, read_holders, read_listeners
from .nic import NicSnapshot, read_nics
from .refusals import check_requested
from .request import NF_TABLES, Requirements
from .workers import WorkersSnapshot, read_workers

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}  # bits of linux/capability.h


@dataclass(frozen=True)
class FileSystem:
    """Where a path lies, or would lie.

    Attributes:
        path: The nearest parent that exists.
        device: Number of the file system.
        free: Bytes that an unprivileged user could write.
    """

    path: str
    device: int
    free: int


@dataclass(frozen=True)
class Snapshot:
    """What ``read`` saw.

    Attributes:
        distribution: ``id version`` out of os-release.
        missing_capabilities: Those of CAPABILITIES that this process lacks.
        jit: Whether BPF programs are compiled; None where the kernel does not say.
        holders: By listener, only for the ports in question.
        file_systems: By the path of a Space.
        features: Those of FEATURES that are there.
        nics: Interfaces that are to run XDP, or are declared.
        refusals: What other modules would refuse.
        workers: What workers need of the host.
        hz: Ticks of its clock in a second.
        peer: Address that the operator's connection comes from, and port that it comes to; None where there is none.
    """

    distribution: str = ""
    architecture: str = ""
    kernel: str = ""
    memory: int = 0
    missing_capabilities: Sequence[str] = ()
    jit: bool | None = None
    holders: Mapping[Listener, Holder] = field(default_factory=dict)
    file_systems: Mapping[str, FileSystem] = field(default_factory=dict)
    interfaces: Sequence[str] = ()
    features: Sequence[str] = ()
    commands: Sequence[str] = ()
    nics: NicSnapshot = field(default_factory=NicSnapshot)
    refusals: Sequence[Finding] = ()
    workers: WorkersSnapshot = field(default_factory=WorkersSnapshot)
    hz: int = 250
    peer: tuple[str, int] | None = None


def read(host: Host, needs: Requirements, label: str, socket: str = DEFAULT_SOCKET) -> Snapshot:
    """Read everything the requirements speak of.

    Args:
        host: The machine.
        needs: What matters.
        label: ``key=value`` label of the containers that are ours.
        socket: Where the Docker Engine answers, if one does.
    """
    numbers = {port.number for port in needs.ports}
    session = sessions.current(host).ssh
    nics = read_nics(host, needs.xdp, needs.requested.nic_requests())
    listeners = [one for one in read_listeners(host) if one.port in numbers]
    return Snapshot(
        distribution=_distribution(host),
        architecture=platform.machine(),
        kernel=host.read("/proc/sys/kernel/osrelease") or "",
        memory=_meminfo(host, "MemTotal"),
        missing_capabilities=_missing_capabilities(host),
        jit=_flag(host.read_int("/proc/sys/net/core/bpf_jit_enable")),
        holders=read_holders(host, listeners, label, socket) if listeners else {},
        file_systems={one.path: _file_system(host, one.path) for one in needs.space},
        interfaces=host.list("/sys/class/net"),
        features=[*_features(host), *_nf_tables(needs)],
        commands=[one.name for one in needs.commands if _is_command(host, one.name)],
        nics=nics,
        refusals=list(check_requested(host, needs.requested)),
        workers=read_workers(host, needs.workers, nics),
        hz=hz(),
        peer=(session.peer, session.port) if session else None,
    )


def _distribution(host: Host) -> str:
    found = {}
    for line in (host.read("/etc/os-release") or "").splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found[key.strip()] = value.strip().strip("\"'")
    return f"{found.get('ID', '')} {found.get('VERSION_ID', '')}".strip()


def _meminfo(host: Host, key: str) -> int:
    match = re.search(rf"^{key}:\s+(\d+) kB", host.read("/proc/meminfo") or "", re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def _missing_capabilities(host: Host) -> list[str]:
    match = re.search(r"^CapEff:\s+([0-9a-f]+)", host.read("/proc/self/status") or "", re.MULTILINE)
    held = int(match.group(1), 16) if match else 0
    return [name for name, bit in CAPABILITIES.items() if not held >> bit & 1]


def _features(host: Host) -> Iterator[str]:
    mounts = [line.split() for line in (host.read("/proc/mounts") or "").splitlines()]
    known = (host.read("/proc/filesystems") or "").split()
    if host.exists("/sys/kernel/btf/vmlinux"):
        yield "btf"
    if "bpf" in known or any(mount[2] == "bpf" for mount in mounts):
        yield "bpffs"
    if any(mount[2] in ("cgroup", "cgroup2") for mount in mounts):
        yield "cgroup"
    if host.list("/sys/kernel/iommu_groups"):
        yield "iommu"


def _nf_tables(needs: Requirements) -> Iterator[str]:
    # Only a question to the kernel loads its module and tells.
    if NF_TABLES in needs.features and not firewall_obstacle(command=False):
        yield NF_TABLES


def _file_system(host: Host, path: str) -> FileSystem:
    while not host.exists(path) and path != "/":
        path = os.path.dirname(path)
    place = host.path(path)
    measured = os.statvfs(place)
    return FileSystem(path, place.stat().st_dev, measured.f_bavail * measured.f_frsize)


def _is_command(host: Host, name: str) -> bool:
    return any(os.access(host.path(f"{folder}/{name}"), os.X_OK) for folder in search_path().split(":"))


def _flag(number: int | None) -> bool | None:
    return None if number is None else number > 0
