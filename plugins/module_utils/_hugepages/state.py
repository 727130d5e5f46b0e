# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Huge pages as a host has them.

Source: Documentation/admin-guide/mm/hugetlbpage.rst and transhuge.rst in the Linux tree.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._core import state_store
from .._core.sizes import human_size, parse_size
from .._core.state_store import StateFile
from .._core.system import Host
from .._linux import hugetlbfs
from .._linux.hugetlbfs import Mount
from .._linux.topology import HUGEPAGE_POOL, HUGEPAGES, NODES, TRANSPARENT, read_kernel
from .request import TRANSPARENT_KEYS, Desired

KIND = "hugepages"
_MOST_HOLDERS = 5
_PAGE = os.sysconf("SC_PAGE_SIZE")  # 4 KiB, or up to 64 KiB on arm64

PoolKey = tuple[int, int]  # node, bytes of a page


@dataclass(frozen=True)
class Pool:
    """The pages of one size on one node.

    Attributes:
        total, free, surplus: Pages; surplus ones are lent beyond the reservation and vanish when they are freed.
        holders: Who uses them, as far as processes map them; looked up only where pages are to be freed.
    """

    total: int
    free: int
    surplus: int = 0
    holders: Sequence[str] = ()

    @property
    def reserved(self) -> int:
        """Pages of the reservation itself."""
        return self.total - self.surplus

    @property
    def used(self) -> int:
        """Pages in use."""
        return self.total - self.free


@dataclass(frozen=True)
class Memory:
    """A node's memory in bytes.

    Attributes:
        reclaimable: File cache and slabs that the kernel can give up.
        largest_free: The largest free block that the page allocator lists; 0 where it lists none.
        largest_listed: The largest that it could list. Blocks beside each other it does not join to larger ones.
    """

    total: int
    free: int
    reclaimable: int = 0
    largest_free: int = 0
    largest_listed: int = 0

    @property
    def contiguous(self) -> str:
        """What is known of free memory in one piece."""
        if not self.largest_free:
            return "the kernel lists no free block"
        if self.largest_free < self.largest_listed:
            return f"the largest free block is {human_size(self.largest_free)}"
        size = human_size(self.largest_free)
        return f"blocks of {size} are free, and the kernel lists none larger even where it has some"


@dataclass(frozen=True)
class Mode:
    """A setting of transparent huge pages: what is chosen among what."""

    chosen: str
    choices: Sequence[str]


@dataclass(frozen=True)
class HugepageState:
    """The host as it is.

    Attributes:
        promised: Pages by size that programs have mapped but not touched yet; the kernel keeps as many.
        mounts: At the path of every mount that is ours or requested: the mount, another file system's type, or None.
        units: Text of the mount units in /etc by name; None where there is none.
        fstab: Mount points of /etc/fstab.
        waiting: Pools that could not be filled in this run and get their pages at the next boot.
    """

    pools: Mapping[PoolKey, Pool]
    memory: Mapping[int, Memory]
    promised: Mapping[int, int] = field(default_factory=dict)
    transparent: Mapping[str, Mode] = field(default_factory=dict)
    mounts: Mapping[str, Mount | str | None] = field(default_factory=dict)
    units: Mapping[str, str | None] = field(default_factory=dict)
    fstab: Collection[str] = ()
    release: str = ""
    cmdline: Sequence[str] = ()
    numa: bool = True
    default_size: int | None = None
    state_file: StateFile | None = None
    waiting: Collection[PoolKey] = ()

    @property
    def original(self) -> Mapping[str, Any]:
        """Values from before our first call, as far as they are saved."""
        return self.state_file.body.get("original", {}) if self.state_file else {}

    @property
    def our_mounts(self) -> list[Mount]:
        """Mounts that the state file says are ours."""
        return [Mount.from_body(mount) for mount in self.state_file.body["mounts"]] if self.state_file else []


def read_state(host: Host, desired: Desired, waiting: Collection[PoolKey] = ()) -> HugepageState:
    """Read pools, memory, modes, mounts and the state file.

    Args:
        host: The machine.
        desired: What is requested, which says what else is read.
        waiting: Pools that are known to wait for the next boot.
    """
    numa = host.read(f"{NODES}/online") is not None
    kernel, state_file = read_kernel(host), state_store.load(host, KIND)
    held = Desired.from_body(state_file.body) if state_file else Desired()
    mounts = {mount.path: mount for mount in (*held.mounts, *desired.mounts)}.values()
    state = HugepageState(
        pools=dict(_read_pools(host, numa)),
        memory=dict(read_memory(host, numa)),
        promised=dict(_read_promised(host)),
        transparent=dict(_read_transparent(host)),
        mounts={mount.path: hugetlbfs.read_mount(host, mount.path) for mount in mounts},
        units={mount.unit: hugetlbfs.read_unit(host, mount.unit) for mount in mounts},
        fstab=_fstab(host),
        release=kernel.release,
        cmdline=kernel.cmdline,
        numa=numa,
        default_size=_default_size(host),
        state_file=state_file,
        waiting=frozenset(waiting),
    )
    crowded = {key for key, count in targets(desired, state).items() if too_few(state.pools.get(key), count)}
    pools = {
        key: replace(pool, holders=_holders(host, *key)) if key in crowded else pool
        for key, pool in state.pools.items()
    }
    return replace(state, pools=pools)


def targets(desired: Desired, state: HugepageState) -> dict[PoolKey, int]:
    """Return the desired pages of each pool that is to be compared."""
    if desired.present:
        return {(one.node, one.size): one.count for one in desired.reservations}
    held = ((text.split(":"), count) for text, count in state.original.get("pools", {}).items())
    return {(int(node), parse_size(size)): count for (node, size), count in held}


def too_few(pool: Pool | None, count: int) -> bool:
    """Whether a count would leave fewer pages than are in use."""
    return pool is not None and count < pool.reserved and count < pool.used


def pool_path(numa: bool, node: int, size: int) -> str:
    """Return the directory of a pool's counts."""
    folder = f"{NODES}/node{node}/hugepages" if numa else HUGEPAGES
    return f"{folder}/hugepages-{size // 1024}kB"


def _nodes(host: Host, numa: bool) -> list[int]:
    if not numa:
        return [0]
    return sorted(int(name[4:]) for name in host.list(NODES) if re.fullmatch(r"node\d+", name))


def _read_pools(host: Host, numa: bool) -> Iterator[tuple[PoolKey, Pool]]:
    for node in _nodes(host, numa):
        folder = f"{NODES}/node{node}/hugepages" if numa else HUGEPAGES
        for name in host.list(folder):
            match = HUGEPAGE_POOL.fullmatch(name)
            if match:
                total, free, surplus = (
                    host.read_int(f"{folder}/{name}/{what}_hugepages") or 0 for what in ("nr", "free", "surplus")
                )
                yield (node, int(match[1]) * 1024), Pool(total, free, surplus)


def _read_promised(host: Host) -> Iterator[tuple[int, int]]:
    for name in host.list(HUGEPAGES):
        match = HUGEPAGE_POOL.fullmatch(name)
        if match:
            yield int(match[1]) * 1024, host.read_int(f"{HUGEPAGES}/{name}/resv_hugepages") or 0


def read_memory(host: Host, numa: bool) -> Iterator[tuple[int, Memory]]:
    """Yield each node's memory."""
    blocks = host.read("/proc/buddyinfo") or ""
    for node in _nodes(host, numa):
        text = host.read(f"{NODES}/node{node}/meminfo" if numa else "/proc/meminfo") or ""
        held = {name: int(number) * 1024 for name, number in re.findall(r"([\w()]+):\s+(\d+) kB", text)}
        reclaimable = sum(held.get(name, 0) for name in ("Active(file)", "Inactive(file)", "SReclaimable"))
        zones = [line.split() for line in re.findall(rf"^Node {node}, zone +\S+ +(.*)$", blocks, re.MULTILINE)]
        free = [order for zone in zones for order, count in enumerate(zone) if int(count)]
        largest = _PAGE << max(free) if free else 0
        listed = _PAGE << max(map(len, zones)) - 1 if zones else 0
        yield node, Memory(held.get("MemTotal", 0), held.get("MemFree", 0), reclaimable, largest, listed)


def _read_transparent(host: Host) -> Iterator[tuple[str, Mode]]:
    for key in TRANSPARENT_KEYS:
        text = host.read(f"{TRANSPARENT}/{key}")
        if text:
            chosen = re.search(r"\[(\S+)\]", text)
            yield key, Mode(chosen[1] if chosen else "", text.replace("[", "").replace("]", "").split())


def _default_size(host: Host) -> int | None:
    match = re.search(r"^Hugepagesize:\s+(\d+) kB", host.read("/proc/meminfo") or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _fstab(host: Host) -> frozenset[str]:
    lines = [line.split() for line in (host.read("/etc/fstab") or "").splitlines()]
    return frozenset(fields[1] for fields in lines if len(fields) > 1 and not fields[0].startswith("#"))


def _holders(host: Host, node: int, size: int) -> tuple[str, ...]:
    pages = {}
    for process in host.list("/proc"):
        if process.isdigit():
            try:
                text = host.read(f"/proc/{process}/numa_maps") or ""
            except OSError:
                continue  # It ended, or is a kernel thread.
            lines = [line for line in text.splitlines() if f"kernelpagesize_kB={size // 1024}" in line]
            counts = [int(number) for line in lines for number in re.findall(rf"\bN{node}=(\d+)", line)]
            if sum(counts):
                name = host.read(f"/proc/{process}/comm")
                pages[f"{name} (process {process}): {sum(counts)}"] = sum(counts)
    return tuple(sorted(pages, key=lambda holder: -pages[holder])[:_MOST_HOLDERS])
