# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What stands against a request of huge pages: what this host lacks, and what would harm others."""

from __future__ import annotations

from collections.abc import Iterator

from .._core.sizes import human_size
from .._linux import hugetlbfs
from .request import Desired
from .state import HugepageState, Pool, targets, too_few

_NONE = Pool(0, 0)


def limits(desired: Desired, state: HugepageState) -> Iterator[str]:
    """Yield what this host cannot give."""
    nodes = sorted(state.memory)
    sizes = sorted({size for _node, size in state.pools})
    known = ", ".join(human_size(size) for size in sizes) or "none"
    requested = {one.size for one in desired.reservations} | {mount.size for mount in desired.mounts}
    requested |= {desired.default_size} if desired.default_size else set()
    for size in sorted(requested - set(sizes)):
        yield f"this machine has no huge pages of {human_size(size)}: it has {known}"
    for node in sorted({one.node for one in desired.reservations} - set(nodes)):
        yield f"node {node} does not exist: this machine has {', '.join(map(str, nodes))}"
    yield from _memory_limits(desired, state)
    for key, mode in desired.transparent.items():
        there = state.transparent.get(key)
        if there is None:
            yield f"transparent {key}: this kernel has no transparent huge pages"
        elif mode not in there.choices:
            yield f"transparent {key}: {mode} is not one of {', '.join(there.choices)}"


def refusals(desired: Desired, state: HugepageState) -> Iterator[str]:
    """Yield what would take pages or mounts from somebody else."""
    requested = targets(desired, state)
    for (node, size), count in requested.items():
        pool = state.pools.get((node, size), _NONE)
        if too_few(pool, count):
            who = "; ".join(pool.holders) or (
                "no process shows that it maps them: they may be files of a hugetlbfs mount, or shared memory"
            )
            yield (
                f"node {node}: {pool.used} pages of {human_size(size)} are in use, {count} would be left ({who}): "
                "end their users first, or request more"
            )
    for size, promised in state.promised.items():
        keys = [key for key in state.pools if key[1] == size]
        left = sum(requested.get(key, state.pools[key].reserved) for key in keys)
        used = sum(state.pools[key].used for key in keys)
        shrinks = any(requested.get(key, state.pools[key].reserved) < state.pools[key].reserved for key in keys)
        if promised and shrinks and left < used + promised:
            yield (
                f"pages of {human_size(size)}: {used} are in use and {promised} promised to programs that mapped them, "
                f"{left} would be left: end those programs first, or request more"
            )
    if desired.present:
        yield from _mount_refusals(desired, state)


def _memory_limits(desired: Desired, state: HugepageState) -> Iterator[str]:
    counts = {key: pool.reserved for key, pool in state.pools.items()}
    counts.update({key: count for key, count in targets(desired, state).items() if key in counts})
    grows = {node for (node, size), count in counts.items() if count > state.pools[node, size].reserved}
    for node in sorted(grows & set(state.memory)):
        need = sum(count * size for (where, size), count in counts.items() if where == node)
        if need > state.memory[node].total:
            requested = " and ".join(
                f"{count} pages of {human_size(size)}"
                for (where, size), count in sorted(counts.items())
                if where == node and count
            )
            has = human_size(state.memory[node].total)
            yield f"node {node}: {requested} take {human_size(need)}, the node has {has}: request fewer"
    need = sum(count * size for (_node, size), count in counts.items())
    total = sum(memory.total for memory in state.memory.values())
    if grows and need > total - desired.keep:
        yield (
            f"all huge pages together take {human_size(need)} of the host's {human_size(total)}, "
            f"which must be left with {human_size(desired.keep)}: request fewer, or leave it with less (keep)"
        )


def _mount_refusals(desired: Desired, state: HugepageState) -> Iterator[str]:
    ours = {mount.path for mount in state.our_mounts}
    for mount in desired.mounts:
        there, unit = state.mounts[mount.path], state.units[mount.unit]
        if isinstance(there, str):
            yield f"{mount.path}: a file system of type {there} is mounted there: choose another path"
        elif there and mount.path not in ours and (there.size, there.limit) != (mount.size, mount.limit):
            yield (
                f"{mount.path}: somebody else mounted huge pages of {human_size(there.size)} there: "
                "choose another path, or unmount it first"
            )
        if unit is not None and not unit.startswith(hugetlbfs.MARK):
            yield f"{hugetlbfs.UNIT_DIRECTORY}/{mount.unit} is not ours: remove it, or choose another path"
        if mount.path in state.fstab:
            yield f"{mount.path} is in /etc/fstab: remove that line, or leave the mount to it"
