# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Huge pages: reserved per NUMA node now and at boot, their mounts, and transparent huge pages.

Source: Documentation/admin-guide/mm/hugetlbpage.rst and transhuge.rst in the Linux tree.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import _documents, _hugetlbfs
from ._core import ApplyFailed, Change, Findings, Impossible, Invalid, Outcome, Refused, converge
from ._documents import Document
from ._host import Host
from ._hugetlbfs import Mount
from ._sizes import human_size, parse_size, size_token
from ._topology import HUGEPAGE_POOL, HUGEPAGES, NODES, TRANSPARENT, read_kernel
from ._versions import kernel_version

KIND = "hugepages"
GIB = 1 << 30
TRANSPARENT_KEYS = ("enabled", "defrag")
_SAFE_PATH = re.compile(r"(?:/[\w.:@+-]+)+")
# hugepages=<node>:<count>,... came with Linux 5.16 (b5389086ad7b).
_PER_NODE_KERNEL = (5, 16)
# Compaction works in the background too, so a later attempt may get what an earlier one did not.
_PAUSES = (0.1, 0.2, 0.4, 0.8)
_MOST_HOLDERS = 5

PoolKey = tuple[int, int]  # node, bytes of a page
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reservation:
    """How many pages of one size a node keeps.

    Attributes:
        size: Bytes of a page.
        count: Pages.
    """

    node: int
    size: int
    count: int


@dataclass(frozen=True)
class Wanted:
    """What is asked of a host.

    Attributes:
        present: False puts back what was before the first call.
        reservations: Each (node, size) at most once; what is not named is left alone.
        at_boot: Page sizes (bytes) that boot arguments reserve too; others are reserved by the replay at boot.
        default_size: Bytes of the page that programs get which name no size; a boot argument too.
        mounts: All hugetlbfs mounts that are ours.
        transparent: Mode by file name below transparent_hugepage.
        drop_caches: Whether clean caches may be dropped where memory is fragmented.
        keep: Bytes that the host must be left with beside all huge pages.
        record: Whether a document is kept; a replay leaves it as it is.
    """

    present: bool = True
    reservations: Sequence[Reservation] = ()
    at_boot: Collection[int] = (GIB,)
    default_size: int | None = None
    mounts: Sequence[Mount] = ()
    transparent: Mapping[str, str] = field(default_factory=dict)
    drop_caches: bool = False
    keep: int = 0
    record: bool = True

    @property
    def nothing(self) -> bool:
        """Whether it asks for nothing at all."""
        return not (self.reservations or self.mounts or self.transparent or self.default_size)

    def as_body(self) -> dict[str, Any]:
        """Return it as a document holds it, sizes readable."""
        return {
            "reservations": [
                {"node": one.node, "size": size_token(one.size), "count": one.count} for one in self.reservations
            ],
            "at_boot": [size_token(size) for size in sorted(self.at_boot)],
            "default_size": self.default_size and size_token(self.default_size),
            "mounts": [mount.as_body() for mount in self.mounts],
            "transparent": dict(self.transparent),
            "drop_caches": self.drop_caches,
            "keep": self.keep,
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Wanted:
        """Return what a document asks for."""
        return cls(
            reservations=tuple(
                Reservation(one["node"], parse_size(one["size"]), one["count"]) for one in body["reservations"]
            ),
            at_boot=tuple(parse_size(size) for size in body["at_boot"]),
            default_size=body["default_size"] and parse_size(body["default_size"]),
            mounts=tuple(Mount.from_body(mount) for mount in body["mounts"]),
            transparent=dict(body["transparent"]),
            drop_caches=body["drop_caches"],
            keep=body["keep"],
        )


@dataclass(frozen=True)
class Pool:
    """The pages of one size on one node.

    Attributes:
        total, free, surplus: Pages; surplus ones are lent beyond the reservation and vanish when they are freed.
        holders: Who uses them, as far as processes map them; looked up only where pages are to be given back.
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
        largest_free: The largest free block that the page allocator has.
    """

    total: int
    free: int
    reclaimable: int = 0
    largest_free: int = 0


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
        mounts: At the path of every mount of ours or asked for: the mount, another file system's type, or None.
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
    document: Document | None = None
    waiting: Collection[PoolKey] = ()

    @property
    def original(self) -> Mapping[str, Any]:
        """What was before our first call, as far as the document tells."""
        return self.document.body.get("original", {}) if self.document else {}

    @property
    def our_mounts(self) -> list[Mount]:
        """Mounts that the document says are ours."""
        return [Mount.from_body(mount) for mount in self.document.body["mounts"]] if self.document else []


class Hugepages:
    """The subject for ``converge``.

    Args:
        wanted: What is asked; reading needs the pools and paths in it.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._waiting: set[PoolKey] = set()

    def read(self, host: Host) -> HugepageState:
        """Read pools, memory, modes, mounts and the document."""
        numa = host.read(f"{NODES}/online") is not None
        kernel, document = read_kernel(host), _documents.load(host, KIND)
        held = Wanted.from_body(document.body) if document else Wanted()
        mounts = {mount.path: mount for mount in (*held.mounts, *self._wanted.mounts)}.values()
        state = HugepageState(
            pools=dict(_read_pools(host, numa)),
            memory=dict(_read_memory(host, numa)),
            promised=dict(_read_promised(host)),
            transparent=dict(_read_transparent(host)),
            mounts={mount.path: _hugetlbfs.read_mount(host, mount.path) for mount in mounts},
            units={mount.unit: _hugetlbfs.read_unit(host, mount.unit) for mount in mounts},
            fstab=_fstab(host),
            release=kernel.release,
            cmdline=kernel.cmdline,
            numa=numa,
            default_size=_default_size(host),
            document=document,
            waiting=frozenset(self._waiting),
        )
        crowded = {key for key, count in _targets(self._wanted, state).items() if _too_few(state.pools.get(key), count)}
        pools = {
            key: replace(pool, holders=_holders(host, *key)) if key in crowded else pool
            for key, pool in state.pools.items()
        }
        return replace(state, pools=pools)

    def validate(self, desired: Wanted, state: HugepageState) -> None:
        """Raise with every reason at once."""
        headline = "huge pages: nothing was changed"
        if desired.present:
            Findings(list(_faults(desired))).raise_if_any(Invalid, headline)
            Findings(list(_limits(desired, state))).raise_if_any(Impossible, headline)
        Findings(list(_refusals(desired, state))).raise_if_any(Refused, headline)

    def plan(self, desired: Wanted, state: HugepageState) -> list[Change]:
        """Return the steps: pages given back first, large pages before small ones, the document last."""
        return [
            *_plan_pools(desired, state),
            *_plan_transparent(desired, state),
            *_plan_mounts(desired, state),
            *_plan_document(desired, state),
        ]

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Carry out the plan; pages that cannot be had now are an error, or wait for a boot that will bring them."""
        state = self.read(host)
        self._fill(host, [change for change in changes if change.path[0] == "pages"], state)
        wanted = {mount.path: mount for mount in self._wanted.mounts} if self._wanted.present else {}
        units = {mount.unit: mount for mount in wanted.values()}
        for change in changes:
            subject = change.path[0]
            if subject == "transparent":
                _write(host, f"{TRANSPARENT}/{change.path[1]}", change.after)
            elif subject == "mount":
                _mount(state, change, wanted.get(change.path[1]))
            elif subject == "unit" and change.after:
                _hugetlbfs.write_unit(host, units[change.path[1]])
            elif subject == "unit":
                _hugetlbfs.remove_unit(host, change.path[1])
            elif subject == "document" and change.after is None:
                _documents.discard(host, KIND)
            elif subject == "document":
                _documents.store(host, Document(KIND, KIND, change.after))

    def _fill(self, host: Host, changes: Sequence[Change], state: HugepageState) -> None:
        done: list[Change] = []
        short = Findings()
        awaited = boots_needed(self._wanted, state)
        for change in changes:
            key = (int(change.path[1]), parse_size(change.path[2]))
            done.append(change)
            try:
                reached = _resize(host, state.numa, key, change.after, self._wanted.drop_caches)
            except ApplyFailed as error:
                short.add(str(error))
                break
            if reached == change.after:
                continue
            if key[1] in awaited and reached < change.after:
                self._waiting.add(key)
            else:
                short.add(_shortfall(host, key, change.after, reached, self._wanted, state))
        if not short.reasons:
            return
        left = _put_back(host, state.numa, done)
        outcome = "the counts before are back" if not left else "not put back: " + "; ".join(left)
        raise ApplyFailed(f"huge pages: {'; '.join(short.reasons)}; {outcome}", reasons=short.reasons)


def bring(wanted: Wanted, host: Host, check: bool = False) -> Outcome:
    """Converge, and tell of pools that wait for a boot only what they really got."""
    outcome = converge(Hugepages(wanted), wanted, host, check=check)
    if not outcome.state.waiting:
        return outcome
    changes = []
    for change in outcome.changes:
        key = (int(change.path[1]), parse_size(change.path[2])) if change.path[0] == "pages" else None
        if key in outcome.state.waiting:
            change = replace(change, after=outcome.state.pools[key].reserved)
        if change.before != change.after:
            changes.append(change)
    return replace(outcome, changes=changes)


def replay(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the host to what a document's body asks.

    Nodes and page sizes that the machine no longer has are left out and logged. Huge pages belong to no interface, so
    a replay for some interfaces only does nothing.
    """
    if only is not None:
        return Outcome((), None, checked=check)
    wanted = replace(Wanted.from_body(body), record=False)
    there = Hugepages(Wanted(record=False)).read(host).pools
    kept = tuple(one for one in wanted.reservations if (one.node, one.size) in there)
    for one in wanted.reservations:
        if one not in kept:
            _log.warning("huge pages of %s on node %d are left out: not there now", size_token(one.size), one.node)
    return bring(replace(wanted, reservations=kept), host, check=check)


def boot_arguments(wanted: Wanted, state: HugepageState) -> list[str]:
    """Return the ordered boot arguments that reserve the pages of the sizes asked for at boot."""
    if not wanted.present:
        return []
    tokens = [f"default_hugepagesz={size_token(wanted.default_size)}"] if wanted.default_size else []
    for size in sorted({one.size for one in wanted.reservations if one.size in wanted.at_boot}, reverse=True):
        counts = {one.node: one.count for one in wanted.reservations if one.size == size and one.count}
        if counts:
            total = ",".join(f"{node}:{count}" for node, count in sorted(counts.items()))
            if not _per_node(state):
                total = str(sum(counts.values()))
            tokens += [f"hugepagesz={size_token(size)}", f"hugepages={total}"]
    return tokens


def boots_needed(wanted: Wanted, state: HugepageState) -> set[int]:
    """Return the page sizes whose boot arguments are not in effect yet, so that a boot can bring their pages."""
    tokens = boot_arguments(wanted, state)
    running = list(zip(state.cmdline, state.cmdline[1:]))
    return {
        parse_size(size.partition("=")[2])
        for size, pages in zip(tokens, tokens[1:])
        if size.startswith("hugepagesz=") and (size, pages) not in running
    }


def reboot_reasons(wanted: Wanted, state: HugepageState) -> list[str]:
    """Return why a boot is needed, from the state as it is."""
    if not wanted.present:
        return []
    awaited = boots_needed(wanted, state)
    reasons = [
        f"node {one.node}: {state.pools[one.node, one.size].reserved} of {one.count} pages of "
        f"{human_size(one.size)} are there; boot arguments bring the rest"
        for one in wanted.reservations
        if one.size in awaited and state.pools[one.node, one.size].reserved < one.count
    ]
    if wanted.default_size and wanted.default_size != state.default_size:
        now = human_size(state.default_size) if state.default_size else "unknown"
        reasons.append(f"the default huge page is {now}, {human_size(wanted.default_size)} is wanted")
    return reasons


def advice(wanted: Wanted, state: HugepageState) -> list[str]:
    """Return what an operator should know though nothing is wrong."""
    if _per_node(state) or not state.numa or len(state.memory) < 2:
        return []
    tokens = [token for token in boot_arguments(wanted, state) if token.startswith("hugepages=")]
    if not tokens:
        return []
    return [
        f"kernel {state.release} cannot reserve huge pages per node at boot (5.16 and newer can): {', '.join(tokens)} "
        "is spread evenly over the nodes, and the replay after boot moves what it can"
    ]


def facts(wanted: Wanted, state: HugepageState) -> dict[str, Any]:
    """Return what a module tells beside its changes."""
    reasons = reboot_reasons(wanted, state)
    return {
        "pools": [
            {"node": node, "size": size_token(size), "total": pool.reserved, "free": pool.free}
            for (node, size), pool in sorted(state.pools.items())
        ],
        "boot_arguments": boot_arguments(wanted, state),
        "reboot_required": bool(reasons),
        "reboot_reasons": reasons,
    }


# Reading


def _pool_path(numa: bool, node: int, size: int) -> str:
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


def _read_memory(host: Host, numa: bool) -> Iterator[tuple[int, Memory]]:
    blocks = host.read("/proc/buddyinfo") or ""
    for node in _nodes(host, numa):
        text = host.read(f"{NODES}/node{node}/meminfo" if numa else "/proc/meminfo") or ""
        held = {name: int(number) * 1024 for name, number in re.findall(r"([\w()]+):\s+(\d+) kB", text)}
        reclaimable = sum(held.get(name, 0) for name in ("Active(file)", "Inactive(file)", "SReclaimable"))
        largest = max(
            (
                4096 << order
                for line in re.findall(rf"^Node {node}, zone +\S+ +(.*)$", blocks, re.MULTILINE)
                for order, count in enumerate(line.split())
                if int(count)
            ),
            default=0,
        )
        yield node, Memory(held.get("MemTotal", 0), held.get("MemFree", 0), reclaimable, largest)


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


# Judging


def _targets(wanted: Wanted, state: HugepageState) -> dict[PoolKey, int]:
    """Return the wanted pages of each pool that is to be compared."""
    if wanted.present:
        return {(one.node, one.size): one.count for one in wanted.reservations}
    held = ((text.split(":"), count) for text, count in state.original.get("pools", {}).items())
    return {(int(node), parse_size(size)): count for (node, size), count in held}


def _too_few(pool: Pool | None, count: int) -> bool:
    return pool is not None and count < pool.reserved and count < pool.used


def _faults(wanted: Wanted) -> Iterator[str]:
    keys = [(one.node, one.size) for one in wanted.reservations]
    for node, size in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"node {node}: pages of {human_size(size)} are asked for twice: give one count"
    for one in wanted.reservations:
        if one.count < 0:
            yield f"node {one.node}: {one.count} pages of {human_size(one.size)}: a count is 0 or more"
    for key in sorted(set(wanted.transparent) - set(TRANSPARENT_KEYS)):
        yield f"transparent {key}: not one of {', '.join(TRANSPARENT_KEYS)}"
    paths = [mount.path for mount in wanted.mounts]
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        yield f"{path} is to be mounted twice: give each mount a path of its own"
    for mount in wanted.mounts:
        if not _SAFE_PATH.fullmatch(mount.path):
            yield f"{mount.path}: a mount point is an absolute path of letters, digits and . : @ + - _"
        if mount.limit is not None and mount.limit % mount.size:
            yield f"{mount.path}: limit {mount.limit} is no multiple of its pages of {human_size(mount.size)}"


def _limits(wanted: Wanted, state: HugepageState) -> Iterator[str]:
    nodes = sorted(state.memory)
    sizes = sorted({size for _node, size in state.pools})
    known = ", ".join(human_size(size) for size in sizes) or "none"
    asked = {one.size for one in wanted.reservations} | {mount.size for mount in wanted.mounts}
    asked |= {wanted.default_size} if wanted.default_size else set()
    for size in sorted(asked - set(sizes)):
        yield f"this machine has no huge pages of {human_size(size)}: it has {known}"
    for node in sorted({one.node for one in wanted.reservations} - set(nodes)):
        yield f"node {node} does not exist: this machine has {', '.join(map(str, nodes))}"
    yield from _memory_limits(wanted, state)
    for key, mode in wanted.transparent.items():
        there = state.transparent.get(key)
        if there is None:
            yield f"transparent {key}: this kernel has no transparent huge pages"
        elif mode not in there.choices:
            yield f"transparent {key}: {mode} is not one of {', '.join(there.choices)}"


def _memory_limits(wanted: Wanted, state: HugepageState) -> Iterator[str]:
    counts = {key: pool.reserved for key, pool in state.pools.items()}
    counts.update({key: count for key, count in _targets(wanted, state).items() if key in counts})
    grows = {node for (node, size), count in counts.items() if count > state.pools[node, size].reserved}
    for node in sorted(grows & set(state.memory)):
        need = sum(count * size for (where, size), count in counts.items() if where == node)
        if need > state.memory[node].total:
            asked = " and ".join(
                f"{count} pages of {human_size(size)}"
                for (where, size), count in sorted(counts.items())
                if where == node and count
            )
            has = human_size(state.memory[node].total)
            yield f"node {node}: {asked} take {human_size(need)}, the node has {has}: ask for fewer"
    need = sum(count * size for (_node, size), count in counts.items())
    total = sum(memory.total for memory in state.memory.values())
    if grows and need > total - wanted.keep:
        yield (
            f"all huge pages together take {human_size(need)} of the host's {human_size(total)}, "
            f"which must be left with {human_size(wanted.keep)}: ask for fewer, or leave it with less (keep)"
        )


def _refusals(wanted: Wanted, state: HugepageState) -> Iterator[str]:
    targets = _targets(wanted, state)
    for (node, size), count in targets.items():
        pool = state.pools.get((node, size), _NONE)
        if _too_few(pool, count):
            who = "; ".join(pool.holders) or "files of a hugetlbfs mount, or memory shared by processes that ended"
            yield (
                f"node {node}: {pool.used} pages of {human_size(size)} are in use, {count} would be left ({who}): "
                "end their users first, or ask for more"
            )
    for size, promised in state.promised.items():
        keys = [key for key in state.pools if key[1] == size]
        left = sum(targets.get(key, state.pools[key].reserved) for key in keys)
        used = sum(state.pools[key].used for key in keys)
        shrinks = any(targets.get(key, state.pools[key].reserved) < state.pools[key].reserved for key in keys)
        if promised and shrinks and left < used + promised:
            yield (
                f"pages of {human_size(size)}: {used} are in use and {promised} promised to programs that mapped them, "
                f"{left} would be left: end those programs first, or ask for more"
            )
    if wanted.present:
        yield from _mount_refusals(wanted, state)


def _mount_refusals(wanted: Wanted, state: HugepageState) -> Iterator[str]:
    ours = {mount.path for mount in state.our_mounts}
    for mount in wanted.mounts:
        there, unit = state.mounts[mount.path], state.units[mount.unit]
        if isinstance(there, str):
            yield f"{mount.path}: a file system of type {there} is mounted there: choose another path"
        elif there and mount.path not in ours and (there.size, there.limit) != (mount.size, mount.limit):
            yield (
                f"{mount.path}: somebody else mounted huge pages of {human_size(there.size)} there: "
                "choose another path, or unmount it first"
            )
        if unit is not None and not unit.startswith(_hugetlbfs.MARK):
            yield f"{_hugetlbfs.UNIT_DIRECTORY}/{mount.unit} is not ours: remove it, or choose another path"
        if mount.path in state.fstab:
            yield f"{mount.path} is in /etc/fstab: remove that line, or leave the mount to it"


# Planning

_NONE = Pool(0, 0)


def _plan_pools(wanted: Wanted, state: HugepageState) -> list[Change]:
    steps = []
    for key, count in _targets(wanted, state).items():
        pool = state.pools.get(key)
        if pool is not None and pool.reserved != count and key not in state.waiting:
            steps.append((count > pool.reserved, -key[1], key[0], pool.reserved, count))
    return [
        Change(("pages", str(node), size_token(-negative_size)), before, after)
        for _grows, negative_size, node, before, after in sorted(steps)
    ]


def _plan_transparent(wanted: Wanted, state: HugepageState) -> list[Change]:
    modes = wanted.transparent if wanted.present else state.original.get("transparent", {})
    return [
        Change(("transparent", key), state.transparent[key].chosen, mode)
        for key, mode in modes.items()
        if key in state.transparent and state.transparent[key].chosen != mode
    ]


def _plan_mounts(wanted: Wanted, state: HugepageState) -> list[Change]:
    changes = []
    mounts = wanted.mounts if wanted.present else ()
    kept = {mount.path for mount in mounts}
    for mount in state.our_mounts:
        if mount.path not in kept:
            there = state.mounts[mount.path]
            if isinstance(there, Mount) and mount.path not in state.original.get("mounted", ()):
                changes.append(Change(("mount", mount.path), there.options, None))
            if state.units[mount.unit] is not None:
                changes.append(Change(("unit", mount.unit), "present", None))
    for mount in mounts:
        there = state.mounts[mount.path]
        if there != mount:
            before = there.options if isinstance(there, Mount) else there
            changes.append(Change(("mount", mount.path), before, mount.options))
        if state.units[mount.unit] != mount.unit_text:
            before = None if state.units[mount.unit] is None else "outdated"
            changes.append(Change(("unit", mount.unit), before, "present"))
    return changes


def _plan_document(wanted: Wanted, state: HugepageState) -> list[Change]:
    if not wanted.record:
        return []
    if not wanted.present:
        return [Change(("document", KIND), "present", None)] if state.document else []
    if wanted.nothing and not state.document:
        return []
    body = {**wanted.as_body(), "original": _original(wanted, state)}
    return _documents.plan(state.document, Document(KIND, KIND, body))


def _original(wanted: Wanted, state: HugepageState) -> dict[str, Any]:
    """Return what was first seen of everything that we ever changed."""
    held = state.original
    pools = {
        f"{one.node}:{size_token(one.size)}": state.pools[one.node, one.size].reserved for one in wanted.reservations
    }
    modes = {key: state.transparent[key].chosen for key in wanted.transparent}
    ours = {mount.path for mount in state.our_mounts}
    mounted = {mount.path for mount in wanted.mounts if mount.path not in ours and state.mounts[mount.path]}
    return {
        "pools": {**pools, **held.get("pools", {})},
        "transparent": {**modes, **held.get("transparent", {})},
        "mounted": sorted(mounted.union(held.get("mounted", ()))),
    }


# Applying


def _resize(host: Host, numa: bool, key: PoolKey, count: int, drop_caches: bool) -> int:
    """Write a pool's count until the kernel has it, making contiguous memory in between; return what it has."""
    path = _pool_path(numa, *key)

    def attempt() -> int:
        _write(host, f"{path}/nr_hugepages", str(count))
        return (host.read_int(f"{path}/nr_hugepages") or 0) - (host.read_int(f"{path}/surplus_hugepages") or 0)

    reached = attempt()
    for pause in _PAUSES:
        if reached >= count:
            break
        if drop_caches:
            _write(host, "/proc/sys/vm/drop_caches", "3")
        compact = f"{NODES}/node{key[0]}/compact"
        _write(host, compact if host.exists(compact) else "/proc/sys/vm/compact_memory", "1")
        time.sleep(pause)
        reached = attempt()
    return reached


def _put_back(host: Host, numa: bool, done: Sequence[Change]) -> list[str]:
    left = []
    for change in reversed(done):
        key = (int(change.path[1]), parse_size(change.path[2]))
        try:
            reached = _resize(host, numa, key, change.before, drop_caches=False)
        except ApplyFailed as error:
            left.append(str(error))
            continue
        if reached != change.before:
            left.append(f"node {key[0]} has {reached} of {change.before} pages of {human_size(key[1])}")
    return left


def _shortfall(host: Host, key: PoolKey, count: int, reached: int, wanted: Wanted, state: HugepageState) -> str:
    node, size = key
    pages = f"node {node}: {count} pages of {human_size(size)} are wanted, {reached} could be had"
    memory = dict(_read_memory(host, state.numa))[node]
    why = (
        f"{human_size(memory.free)} are free and {human_size(memory.reclaimable)} reclaimable, "
        f"the largest free block is {human_size(memory.largest_free)}"
    )
    if reached > count:
        return f"{pages}: the kernel keeps what is in use"
    if size in wanted.at_boot:
        return f"{pages} though the host was booted with arguments for them; {why}: ask for fewer"
    ways = [] if wanted.drop_caches else ["let caches be dropped (drop_caches)"]
    ways += ["free memory on that node", f"reserve {size_token(size)} at boot (at_boot)", "ask for fewer"]
    return f"{pages}: {why}; {', or '.join(ways)}"


def _mount(state: HugepageState, change: Change, mount: Mount | None) -> None:
    path = change.path[1]
    there = state.mounts[path]
    if mount is None:
        _hugetlbfs.unmount(path)
        return
    if isinstance(there, Mount) and (there.size, there.limit) != (mount.size, mount.limit):
        # hugetlbfs ignores both on a remount.
        _hugetlbfs.unmount(path)
        there = None
    if there is None:
        _hugetlbfs.mount_it(mount)
    _hugetlbfs.own(mount)


def _write(host: Host, path: str, text: str) -> None:
    try:
        host.write_attribute(path, text)
    except OSError as error:
        raise ApplyFailed(f"{path}: writing {text}: {error.strerror}; run as root") from error


def _per_node(state: HugepageState) -> bool:
    return state.numa and kernel_version(state.release) >= _PER_NODE_KERNEL
