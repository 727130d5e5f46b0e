# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a host is made of: NUMA nodes, CPUs, NICs and the kernel. None is "not known", which is not 0."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from .._core.converge import CoreError
from .._core.cpulist import parse_cpulist
from .._core.system import Host
from . import bpf, ethtool, irq_names, irqbalance, irqs, netlink

NODES = "/sys/devices/system/node"
CPUS = "/sys/devices/system/cpu"
NETWORK = "/sys/class/net"
BPFFS = "/sys/fs/bpf"
HUGEPAGES = "/sys/kernel/mm/hugepages"
TRANSPARENT = "/sys/kernel/mm/transparent_hugepage"
_PCI_DEVICES = "/sys/bus/pci/devices"
_IOMMU_GROUPS = "/sys/kernel/iommu_groups"
LOOPBACK = 772  # ARPHRD_LOOPBACK of linux/if_arp.h
HUGEPAGE_POOL = re.compile(r"hugepages-(\d+)kB")
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
# Between a network device and its PCI function; behind any other bus (usb, auxiliary, thunderbolt ...) the function is
# a controller that others share, and so are its interrupts.
_TRANSPARENT_BUSES = ("virtio", "ssb", "bcma")
_REPRESENTOR = re.compile(r"(c\d+)?pf\d+(vf|sf)\d+")  # Documentation/networking/representors.rst
_ARGUMENT = re.compile(r'(?:[^\s"]|"[^"]*")+')  # the kernel's own quoting: blanks within double quotes


@dataclass(frozen=True)
class Hugepages:
    """The pool of one page size.

    Attributes:
        size: Bytes of a page.
        total, free: Pages.
    """

    size: int
    total: int
    free: int


@dataclass(frozen=True)
class Node:
    """A NUMA node; the whole machine where the kernel knows no nodes.

    Attributes:
        cpus: Sorted.
        memory_total, memory_free: Bytes.
        distance: To each node in the order of their ids, itself included; 10 is local.
    """

    id: int
    cpus: Sequence[int]
    memory_total: int
    memory_free: int
    hugepages: Sequence[Hugepages]
    distance: Sequence[int]


@dataclass(frozen=True)
class Cpus:
    """The machine's CPUs.

    Attributes:
        online, present: Sorted.
        isolated: Taken from the scheduler (``isolcpus``).
        nohz_full: Without the timer tick.
        siblings: Groups of hardware threads that share a core.
    """

    online: Sequence[int]
    present: Sequence[int]
    isolated: Sequence[int]
    nohz_full: Sequence[int]
    siblings: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Kernel:
    """The running kernel.

    Attributes:
        cmdline: Boot arguments, in order; repeated ones count.
        btf: Whether it describes its own types.
        bpffs: Whether a BPF file system is mounted at its usual place.
        transparent_hugepages: Chosen mode by ``enabled`` and ``defrag``; empty without them.
        hugetlbfs: Where programs find huge pages as files.
    """

    release: str
    cmdline: Sequence[str]
    btf: bool
    bpffs: bool
    transparent_hugepages: Mapping[str, str] = field(default_factory=dict)
    hugetlbfs: Sequence[str] = ()


class Probe(Protocol):
    """The part of the kernel that is queried rather than read from files."""

    def links(self) -> Sequence[netlink.Link]:
        """Return every link."""

    def nic(self, name: str) -> ethtool.Settings:
        """Return what a link's driver says."""

    def xdp_features(self, index: int) -> set[str] | None:
        """Return what a link's driver can do with XDP, or None where the kernel cannot say."""

    def queues(self, index: int) -> Mapping[int, int] | None:
        """Return a link's queues by interrupt, or None where the kernel cannot say."""

    def program(self, number: int) -> Mapping[str, Any]:
        """Return the id, name and tag of a loaded program."""


class LiveProbe:
    """Queries the running kernel."""

    def links(self) -> Sequence[netlink.Link]:
        """Query rtnetlink."""
        return netlink.links()

    def nic(self, name: str) -> ethtool.Settings:
        """Query the driver."""
        return ethtool.describe(name)

    def xdp_features(self, index: int) -> set[str] | None:
        """Query the netdev family."""
        return netlink.xdp_features(index)

    def queues(self, index: int) -> Mapping[int, int] | None:
        """Query the netdev family."""
        return irqs.read_queues(index)

    def program(self, number: int) -> Mapping[str, Any]:
        """Query libbpf, if it is there and we are allowed to."""
        try:
            with bpf.program_by_id(number) as descriptor:
                found = bpf.program_info(descriptor)
        except (OSError, CoreError):
            return {"id": number, "name": None, "tag": None}
        return {"id": found.id, "name": found.name, "tag": found.tag}


def read(host: Host, probe: Probe) -> dict[str, Any]:
    """Return nodes, cpus, nics, kernel and irqbalance, ready for JSON."""
    return {**read_machine(host, probe), "irqbalance": _read_irqbalance(host)}


def read_machine(host: Host, probe: Probe) -> dict[str, Any]:
    """Return the same without irqbalance, of which systemd has to be asked."""
    return {
        "nodes": [asdict(node) for node in read_nodes(host)],
        "cpus": asdict(read_cpus(host)),
        "nics": list(_nics(host, probe)),
        "kernel": asdict(read_kernel(host)),
    }


def read_nodes(host: Host) -> list[Node]:
    """Return the NUMA nodes that have memory or CPUs.

    Source: Documentation/ABI/stable/sysfs-devices-node in the Linux tree.
    """
    online = host.read(f"{NODES}/online")
    if online is None:  # a kernel without NUMA
        memory = _meminfo(host.read("/proc/meminfo"))
        cpus = sorted(parse_cpulist(host.read(f"{CPUS}/online") or ""))
        pools = tuple(_hugepages(host, HUGEPAGES))
        return [Node(0, cpus, memory.get("MemTotal", 0), memory.get("MemFree", 0), pools, (10,))]
    return [_node(host, number) for number in sorted(parse_cpulist(online))]


def read_cpus(host: Host) -> Cpus:
    """Return the CPUs and how they share cores."""
    sets = {name: _cpus(host, name) for name in ("online", "present", "isolated", "nohz_full")}
    siblings = {
        tuple(sorted(parse_cpulist(text)))
        for cpu in sets["online"]
        if (text := host.read(f"{CPUS}/cpu{cpu}/topology/thread_siblings_list"))
    }
    return Cpus(siblings=sorted(siblings), **sets)


def read_kernel(host: Host) -> Kernel:
    """Return the running kernel's release, arguments and what it offers to BPF."""
    mounts = [line.split() for line in (host.read("/proc/mounts") or "").splitlines()]
    return Kernel(
        release=host.read("/proc/sys/kernel/osrelease") or "",
        cmdline=_ARGUMENT.findall(host.read("/proc/cmdline") or ""),
        btf=host.exists("/sys/kernel/btf/vmlinux"),
        bpffs=any(mount[1:3] == [BPFFS, "bpf"] for mount in mounts),
        transparent_hugepages={
            key: match[1]
            for key in ("enabled", "defrag")
            if (match := re.search(r"\[(\S+)\]", host.read(f"{TRANSPARENT}/{key}") or ""))
        },
        hugetlbfs=[mount[1] for mount in mounts if mount[2] == "hugetlbfs"],
    )


def read_nic(host: Host, probe: Probe, link: netlink.Link) -> dict[str, Any]:
    """Return one network interface."""
    base = f"{NETWORK}/{link.name}"
    driver = probe.nic(link.name)
    features = probe.xdp_features(link.index)
    pci = pci_device(host, base)
    queues = _queues(host, base)
    return {
        "name": link.name,
        "ifindex": link.index,
        "kind": link.kind,
        "driver": driver.driver or host.link(f"{base}/device/driver"),
        "driver_version": driver.version,
        "firmware_version": driver.firmware,
        "pci_address": pci.rpartition("/")[2] if pci else None,
        "numa_node": _not_negative(host.read_int(f"{pci}/numa_node")) if pci else None,
        "mac": link.mac or None,
        "permanent_mac": link.permanent_mac,
        "mtu": link.mtu,
        "up": link.up,
        "operstate": host.read(f"{base}/operstate"),
        "speed_mbps": _not_negative(host.read_int(f"{base}/speed")),
        "queues": queues,
        "channels": _counts(driver.channels),
        "rings": _counts(driver.rings),
        "irqs": [irq.facts() for irq in read_irqs(host, probe.queues, link, driver, (queues or {}).get("rx"))],
        "iommu": read_iommu(host, pci.rpartition("/")[2]) if pci else None,
        "xdp": {
            "features": None if features is None else sorted(features),
            "mode": link.xdp.mode,
            "programs": {mode: dict(probe.program(number)) for mode, number in link.xdp.programs.items()},
        },
    }


def read_irqs(
    host: Host,
    reported: Callable[[int], Mapping[int, int] | None],
    link: netlink.Link,
    settings: ethtool.Settings,
    receive_queues: int | None,
) -> tuple[irqs.Irq, ...]:
    """Return an interface's own interrupts.

    Args:
        host: The machine.
        reported: Returns queues by interrupt for an interface's index, where the kernel says.
        link: The interface.
        settings: What its driver says.
        receive_queues: How many it has in use; None where it is not known.
    """
    device = own_device(host, f"{NETWORK}/{link.name}")
    if device is None:
        return ()
    counts = {kind: count.current for kind, count in (settings.channels or {}).items()}
    in_use = counts.get("combined", 0) + max(counts.get("rx", 0), counts.get("tx", 0)) or receive_queues or None
    owner = irq_names.Owner(settings.driver, link.name, queues=in_use)
    return irqs.read(host, device, reported(link.index), owner)


def read_iommu(host: Host, pci_address: str) -> dict[str, Any] | None:
    """Return the IOMMU group of a PCI function and the type of its domain, such as ``DMA-FQ`` or ``identity``."""
    group = host.link(f"{_PCI_DEVICES}/{pci_address}/iommu_group")
    return {"group": int(group), "type": host.read(f"{_IOMMU_GROUPS}/{group}/type")} if group else None


def _read_irqbalance(host: Host) -> dict[str, Any]:
    found = irqbalance.read(host)
    return {
        "command": found.command,
        "banned": None if found.banned is None else sorted(found.banned),
        "stray": found.stray,
    }


def _nics(host: Host, probe: Probe) -> Iterator[dict[str, Any]]:
    for link in probe.links():
        if host.read_int(f"{NETWORK}/{link.name}/type") == LOOPBACK:
            continue
        try:
            yield read_nic(host, probe, link)
        except OSError as error:
            if error.errno != errno.ENODEV:  # containers come and go meanwhile
                raise


def _node(host: Host, number: int) -> Node:
    base = f"{NODES}/node{number}"
    memory = _meminfo(host.read(f"{base}/meminfo"))
    return Node(
        id=number,
        cpus=sorted(parse_cpulist(host.read(f"{base}/cpulist") or "")),
        memory_total=memory.get("MemTotal", 0),
        memory_free=memory.get("MemFree", 0),
        hugepages=tuple(_hugepages(host, f"{base}/hugepages")),
        distance=[int(word) for word in (host.read(f"{base}/distance") or "").split()],
    )


def _hugepages(host: Host, folder: str) -> Iterator[Hugepages]:
    sizes = [int(match[1]) for name in host.list(folder) if (match := HUGEPAGE_POOL.fullmatch(name))]
    for size in sorted(sizes):
        pool = f"{folder}/hugepages-{size}kB"
        yield Hugepages(
            size * 1024, host.read_int(f"{pool}/nr_hugepages") or 0, host.read_int(f"{pool}/free_hugepages") or 0
        )


def _meminfo(text: str | None) -> dict[str, int]:
    return {name: int(size) * 1024 for name, size in re.findall(r"(\w+):\s+(\d+) kB", text or "")}


def _cpus(host: Host, name: str) -> list[int]:
    text = (host.read(f"{CPUS}/{name}") or "").strip()
    # nohz_full reads "(null)" where the kernel supports it and none was requested.
    return [] if text == "(null)" else sorted(parse_cpulist(text))


def _queues(host: Host, base: str) -> dict[str, int] | None:
    # A sysfs that was mounted for another network namespace than ours does not know the interface.
    names = host.list(f"{base}/queues")
    return {kind: sum(name.startswith(f"{kind}-") for name in names) for kind in ("rx", "tx")} if names else None


def pci_device(host: Host, base: str) -> str | None:
    """Return the directory of the PCI function behind an interface; None where there is none.

    Args:
        host: The machine.
        base: The interface's directory in sysfs.
    """
    # A virtio NIC is a child of its PCI function, which alone knows the address and the node.
    device = host.path(f"{base}/device")
    if not device.exists():
        return None
    path = device.resolve()
    for part in (path, *path.parents):
        if _PCI_ADDRESS.fullmatch(part.name):
            return "/" + str(part.relative_to(host.root.resolve()))
    return None


def own_device(host: Host, base: str) -> str | None:
    """Return the directory of the PCI function whose interrupts are an interface's own; None where they are another's.

    Args:
        host: The machine.
        base: The interface's directory in sysfs.
    """
    pci = pci_device(host, base)
    if pci is None or _REPRESENTOR.fullmatch(host.read(f"{base}/phys_port_name") or ""):
        return None
    path, function = host.path(f"{base}/device").resolve(), host.path(pci).resolve()
    between = [path, *path.parents][: len(path.parts) - len(function.parts)]
    buses = [os.path.basename(os.readlink(part / "subsystem")) for part in between if (part / "subsystem").is_symlink()]
    return pci if set(buses) <= set(_TRANSPARENT_BUSES) else None


def _not_negative(number: int | None) -> int | None:
    return None if number is None or number < 0 else number


def _counts(counts: Mapping[str, ethtool.Count] | None) -> dict[str, dict[str, int]] | None:
    if counts is None:
        return None
    return {name: {"current": count.current, "max": count.maximum} for name, count in counts.items()}
