# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether a host can take what is planned for it: every finding at once, nothing changed.

``read`` collects a snapshot, ``check`` is a pure function from requirements and snapshot to findings.
"""

from __future__ import annotations

import ipaddress
import os
import platform
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core.converge import Invalid
from .._core.findings import ERROR, WARNING, Finding, by_severity
from .._core.sizes import parse_size
from .._core.system import Host
from .._deploy.docker_daemon import DEFAULT_SOCKET, list_containers
from .._linux.detached import search_path
from .._xdp.policy_map import parse_entries
from .nic import NicSnapshot, Xdp, check_nics, read_nics
from .requested import Requested, check_requested

DEFAULT_FEATURES = ("btf", "bpffs", "cgroup")
FEATURES = (*DEFAULT_FEATURES, "iommu")
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}  # bits of linux/capability.h
BPFFS = "/sys/fs/bpf"
# /proc/net/tcp and udp: a socket that waits for peers, and one that is bound without a peer.
WAITING_STATES = {"tcp": "0A", "udp": "07"}


@dataclass(frozen=True)
class Port:
    """A port that a service is to listen on.

    Attributes:
        number: 1 to 65535.
        name: The service.
        protocol: ``tcp`` or ``udp``.
        variable: The Ansible variable that sets it.
        address: Where it is to listen; ``0.0.0.0`` or ``::`` for everywhere.
    """

    number: int
    name: str
    protocol: str = "tcp"
    variable: str = ""
    address: str = "0.0.0.0"

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@dataclass(frozen=True)
class Space:
    """Disk space that something will take.

    Attributes:
        path: Where; its nearest existing parent is measured.
        need: Bytes.
        what: What takes it.
    """

    path: str
    need: int
    what: str


@dataclass(frozen=True)
class Command:
    """A program that must be there, and the package that brings it."""

    name: str
    package: str


@dataclass(frozen=True)
class Requirements:
    """What the site needs of a host.

    Attributes:
        distributions: Supported, each ``id version`` as in os-release, such as ``debian 13``.
        untested: The same, for those that may work.
        architectures: As ``uname -m`` prints them.
        kernel: Oldest release, such as ``5.15``.
        memory: Total memory (bytes).
        ports: Must be free, or held by a container of ours.
        space: Must be free; what falls on one file system is added up.
        interfaces: Must exist.
        pending_interfaces: Will exist by then, so they are not missed.
        features: Out of FEATURES.
        commands: Must be found in the path.
        policy: Entries that the XDP program is to be given, each with ``prefix`` and ``action``.
        xdp: Programs that are to be attached.
        requested: What other modules will be asked for on this host.
    """

    distributions: Sequence[str] = ("debian 12", "debian 13")
    untested: Sequence[str] = ("ubuntu 24.04",)
    architectures: Sequence[str] = ("x86_64", "aarch64")
    kernel: str = "5.15"
    memory: int = 0
    ports: Sequence[Port] = ()
    space: Sequence[Space] = ()
    interfaces: Sequence[str] = ()
    pending_interfaces: Sequence[str] = ()
    features: Sequence[str] = DEFAULT_FEATURES
    commands: Sequence[Command] = ()
    policy: Sequence[Mapping[str, Any]] = ()
    xdp: Sequence[Xdp] = ()
    requested: Requested = field(default_factory=Requested)


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
        ours: Whether it belongs to a container of ours.
    """

    pid: int | None
    command: str
    ours: bool = False

    def __str__(self) -> str:
        return "a process that cannot be seen from here" if self.pid is None else f"process {self.pid} ({self.command})"


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
        refusals: What other modules say of what they will be asked for.
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


def from_options(options: Mapping[str, Any]) -> Requirements:
    """Return the requirements in the options of the ``preflight`` module.

    Raises:
        Invalid: A size is none.
    """
    pending = options["pending_interfaces"]
    return Requirements(
        distributions=options["distributions"],
        untested=options["untested_distributions"],
        architectures=options["architectures"],
        kernel=options["kernel"],
        memory=options["memory_bytes"],
        ports=[
            Port(one["port"], one["name"], one["protocol"], one["variable"], one["address"]) for one in options["ports"]
        ],
        space=[Space(one["path"], one["need_bytes"], one["what"]) for one in options["disk"]],
        interfaces=options["interfaces"],
        pending_interfaces=pending,
        features=options["features"],
        commands=[Command(**one) for one in options["commands"]],
        policy=options["policy"],
        xdp=[
            Xdp(one["name"], one["mode"], options["pin_root"]) for one in options["xdp"] if one["state"] == "attached"
        ],
        requested=Requested(
            nics=[one for one in options["nics"] if not one.get("name") or one["name"] not in pending],
            drivers=options["drivers"],
            reservations=options["hugepages"].get("reservations") or [],
            keep=parse_size(options["hugepages"].get("keep") or 0),
            cpu_plan={name: value for name, value in options["cpu_plan"].items() if value},
            boot_arguments=options["boot_arguments"],
            sysctls=options["sysctls"],
        ),
    )


def read(host: Host, needs: Requirements, label: str, socket: str = DEFAULT_SOCKET) -> Snapshot:
    """Look at everything the requirements speak of.

    Args:
        host: The machine.
        needs: What matters.
        label: ``key=value`` label of the containers that are ours.
        socket: Where the Docker Engine answers, if one does.
    """
    numbers = {port.number for port in needs.ports}
    listeners = [one for one in read_listeners(host) if one.port in numbers]
    return Snapshot(
        distribution=_distribution(host),
        architecture=platform.machine(),
        kernel=host.read("/proc/sys/kernel/osrelease") or "",
        memory=_meminfo(host, "MemTotal"),
        missing_capabilities=_missing_capabilities(host),
        jit=_flag(host.read_int("/proc/sys/net/core/bpf_jit_enable")),
        holders=_holders(host, listeners, label, socket) if listeners else {},
        file_systems={one.path: _file_system(host, one.path) for one in needs.space},
        interfaces=host.list("/sys/class/net"),
        features=list(_features(host)),
        commands=[one.name for one in needs.commands if _is_command(host, one.name)],
        nics=read_nics(host, needs.xdp, needs.requested.nic_requests()),
        refusals=list(check_requested(host, needs.requested)),
    )


def check(needs: Requirements, seen: Snapshot) -> list[Finding]:
    """Return every finding, errors first."""
    findings = [
        *_check_system(needs, seen),
        *_check_ports(needs.ports, seen.holders),
        *_check_space(needs.space, seen.file_systems),
        *_check_interfaces(needs, seen),
        *_check_features(needs, seen),
        *_check_commands(needs, seen),
        *_check_policy(needs.policy),
        *seen.refusals,
        *check_nics(needs.xdp, seen.nics),
    ]
    return by_severity(findings)


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


def _check_system(needs: Requirements, seen: Snapshot) -> Iterator[Finding]:
    supported = ", ".join(needs.distributions)
    if seen.distribution not in needs.distributions:
        untested = seen.distribution in needs.untested
        yield Finding(
            WARNING if untested else ERROR,
            "distribution",
            (seen.distribution or "no /etc/os-release") + (" (untested)" if untested else ""),
            supported,
            "go on with care" if untested else "use a supported distribution",
        )
    if seen.architecture not in needs.architectures:
        yield Finding(
            ERROR, "architecture", seen.architecture, ", ".join(needs.architectures), "use a supported machine"
        )
    if _version(seen.kernel) < _version(needs.kernel):
        yield Finding(ERROR, "kernel", seen.kernel, f"{needs.kernel} or newer", "install and boot a newer kernel")
    if seen.memory < needs.memory:
        yield Finding(ERROR, "memory", _human(seen.memory), _human(needs.memory), "add memory, or use a larger machine")
    if seen.missing_capabilities:
        lacking = ", ".join(seen.missing_capabilities)
        yield Finding(ERROR, "privileges", f"without {lacking}", "root", "run the play with become: true")


def _check_ports(ports: Sequence[Port], holders: Mapping[Listener, Holder]) -> Iterator[Finding]:
    for index, port in enumerate(ports):
        subject = f"port {port} ({port.name})"
        for other in ports[:index]:
            if (other.number, other.protocol) == (port.number, port.protocol) and _overlap(other.address, port.address):
                yield Finding(ERROR, subject, f"also that of {other.name}", "one service per port", _set_another(port))
        for listener, holder in holders.items():
            if (
                (listener.port, listener.protocol) == (port.number, port.protocol)
                and _overlap(listener.address, port.address)
                and not holder.ours
            ):
                yield Finding(
                    ERROR,
                    subject,
                    f"{holder} listens on {_endpoint(listener)}",
                    "free, or a container of ours",
                    f"stop it, or {_set_another(port)}",
                )


def _check_space(space: Sequence[Space], file_systems: Mapping[str, FileSystem]) -> Iterator[Finding]:
    for device in dict.fromkeys(found.device for found in file_systems.values()):
        here = [one for one in space if file_systems[one.path].device == device]
        found = file_systems[here[0].path]
        need = sum(one.need for one in here)
        if found.free < need:
            yield Finding(
                ERROR,
                f"disk at {found.path}",
                f"{_human(found.free)} free",
                f"{_human(need)}: " + ", ".join(f"{one.what} {_human(one.need)}" for one in here),
                f"free {_human(need - found.free)}, or mount a larger disk there",
            )


def _check_interfaces(needs: Requirements, seen: Snapshot) -> Iterator[Finding]:
    for name in dict.fromkeys(needs.interfaces):
        if name not in seen.interfaces and name not in needs.pending_interfaces:
            yield Finding(
                ERROR,
                f"interface {name}",
                f"absent; there are {', '.join(seen.interfaces)}",
                "present",
                "correct its name, or make it first",
            )


def _check_features(needs: Requirements, seen: Snapshot) -> Iterator[Finding]:
    words = {
        "btf": ("no /sys/kernel/btf/vmlinux", "kernel type information", "boot a kernel with CONFIG_DEBUG_INFO_BTF=y"),
        "bpffs": (f"neither on {BPFFS} nor known", "the bpf file system", "boot a kernel with CONFIG_BPF_SYSCALL=y"),
        "iommu": (
            "no IOMMU group",
            "an IOMMU, which vfio needs",
            "turn it on in the firmware (VT-d, AMD-Vi); on Intel also boot with intel_iommu=on",
        ),
        "cgroup": ("nothing at /sys/fs/cgroup", "control groups, mounted", "mount cgroup2 there (systemd does it)"),
    }
    for name in needs.features:
        if name not in seen.features:
            yield Finding(ERROR, f"kernel feature {name}", *words[name])
    if seen.jit is False:
        yield Finding(
            WARNING,
            "BPF compiler",
            "net.core.bpf_jit_enable is 0",
            "1",
            "set the sysctl to 1, or XDP programs are interpreted",
        )


def _check_commands(needs: Requirements, seen: Snapshot) -> Iterator[Finding]:
    for command in needs.commands:
        if command.name not in seen.commands:
            yield Finding(
                ERROR, f"command {command.name}", "not found", "in the path", f"install the package {command.package}"
            )


def _check_policy(policy: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    try:
        parse_entries(policy)
    except Invalid as error:
        for reason in error.facts["reasons"]:
            yield Finding(ERROR, "XDP policy", reason, "valid prefixes, each once", "correct the entry in xdp_acl")


def _holders(host: Host, listeners: Sequence[Listener], label: str, socket: str) -> dict[Listener, Holder]:
    containers = list_containers(socket, label)
    published = {
        (port["Type"], port["PublicPort"])
        for container in containers
        for port in container["Ports"]
        if "PublicPort" in port
    }
    ids = [container["Id"] for container in containers]
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
        found[listener] = Holder(pid, _command(host, pid), proxied or any(one in cgroup for one in ids))
    return found


def _socket_owners(host: Host, inodes: Iterable[str]) -> dict[str, int]:
    desired = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[str, int] = {}
    for pid in filter(str.isdigit, host.list("/proc")):
        try:
            descriptors = host.list(f"/proc/{pid}/fd")
        except PermissionError:
            continue
        for descriptor in descriptors:
            inode = desired.get(host.link(f"/proc/{pid}/fd/{descriptor}") or "")
            if inode:
                owners.setdefault(inode, int(pid))
    return owners


def _command(host: Host, pid: int) -> str:
    arguments = (host.read(f"/proc/{pid}/cmdline") or "").rstrip("\0").split("\0")
    return shlex.join(arguments) if arguments != [""] else host.read(f"/proc/{pid}/comm") or "ended meanwhile"


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


def _file_system(host: Host, path: str) -> FileSystem:
    while not host.exists(path) and path != "/":
        path = os.path.dirname(path)
    place = host.path(path)
    measured = os.statvfs(place)
    return FileSystem(path, place.stat().st_dev, measured.f_bavail * measured.f_frsize)


def _is_command(host: Host, name: str) -> bool:
    return any(os.access(host.path(f"{folder}/{name}"), os.X_OK) for folder in search_path().split(":"))


def _address(digits: str) -> str:
    raw = bytes.fromhex(digits)
    # The kernel prints each 32-bit word in the machine's own order.
    words = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    address = ipaddress.ip_address(words)
    return str(getattr(address, "ipv4_mapped", None) or address)


def _overlap(one: str, other: str) -> bool:
    wildcards = ("0.0.0.0", "::")
    if one in wildcards or other in wildcards:
        # A socket on :: takes IPv4 too, and 0.0.0.0 leaves IPv6 alone.
        return "::" in (one, other) or (":" in one) == (":" in other)
    return one == other


def _endpoint(listener: Listener) -> str:
    address = f"[{listener.address}]" if ":" in listener.address else listener.address
    return f"{address}:{listener.port}"


def _set_another(port: Port) -> str:
    return f"set {port.variable} to another port" if port.variable else "choose another port"


def _version(text: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def _flag(number: int | None) -> bool | None:
    return None if number is None else number > 0


def _human(size: int) -> str:
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} TiB"
