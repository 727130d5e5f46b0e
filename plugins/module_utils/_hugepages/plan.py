# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What is asked of a host's huge pages, held against what it has: reasons against, and the steps there.

Everything here is a function of data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .._core import state_store
from .._core.converge import Change
from .._core.sizes import human_size, parse_size, size_token
from .._core.state_store import StateFile
from .._core.versions import kernel_version
from .._linux import hugetlbfs
from .._linux.hugetlbfs import Mount
from .state import KIND, TRANSPARENT_KEYS, Desired, HugepageState, Pool, targets, too_few

_SAFE_PATH = re.compile(r"(?:/[\w.:@+-]+)+")
# hugepages=<node>:<count>,... came with Linux 5.16 (b5389086ad7b).
_PER_NODE_KERNEL = (5, 16)
_NONE = Pool(0, 0)


def plan(desired: Desired, state: HugepageState) -> list[Change]:
    """Return the steps: pages given back first, large pages before small ones, the document last."""
    return [
        *_plan_pools(desired, state),
        *_plan_transparent(desired, state),
        *_plan_mounts(desired, state),
        *_plan_state_file(desired, state),
    ]


def boot_arguments(desired: Desired, state: HugepageState) -> list[str]:
    """Return the ordered boot arguments that reserve the pages of the sizes asked for at boot."""
    if not desired.present:
        return []
    tokens = [f"default_hugepagesz={size_token(desired.default_size)}"] if desired.default_size else []
    for size in sorted({one.size for one in desired.reservations if one.size in desired.at_boot}, reverse=True):
        counts = {one.node: one.count for one in desired.reservations if one.size == size and one.count}
        if counts:
            total = ",".join(f"{node}:{count}" for node, count in sorted(counts.items()))
            if not _per_node(state):
                total = str(sum(counts.values()))
            tokens += [f"hugepagesz={size_token(size)}", f"hugepages={total}"]
    return tokens


def boots_needed(desired: Desired, state: HugepageState) -> set[int]:
    """Return the page sizes whose boot arguments are not in effect yet, so that a boot can bring their pages."""
    tokens = boot_arguments(desired, state)
    running = list(zip(state.cmdline, state.cmdline[1:]))
    return {
        parse_size(size.partition("=")[2])
        for size, pages in zip(tokens, tokens[1:])
        if size.startswith("hugepagesz=") and (size, pages) not in running
    }


def reboot_reasons(desired: Desired, state: HugepageState) -> list[str]:
    """Return why a boot is needed, from the state as it is."""
    if not desired.present:
        return []
    awaited = boots_needed(desired, state)
    reasons = [
        f"node {one.node}: {state.pools[one.node, one.size].reserved} of {one.count} pages of "
        f"{human_size(one.size)} are there; boot arguments bring the rest"
        for one in desired.reservations
        if one.size in awaited and state.pools[one.node, one.size].reserved < one.count
    ]
    if desired.default_size and desired.default_size != state.default_size:
        now = human_size(state.default_size) if state.default_size else "unknown"
        reasons.append(f"the default huge page is {now}, {human_size(desired.default_size)} is wanted")
    return reasons


def warnings(desired: Desired, state: HugepageState) -> list[str]:
    """Return what an operator should know though nothing is wrong."""
    if _per_node(state) or not state.numa or len(state.memory) < 2:
        return []
    tokens = [token for token in boot_arguments(desired, state) if token.startswith("hugepages=")]
    if not tokens:
        return []
    return [
        f"kernel {state.release} cannot reserve huge pages per node at boot (5.16 and newer can): {', '.join(tokens)} "
        "is spread evenly over the nodes, and the replay after boot moves what it can"
    ]


def faults(desired: Desired) -> Iterator[str]:
    """Yield what is malformed in the request itself."""
    keys = [(one.node, one.size) for one in desired.reservations]
    for node, size in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"node {node}: pages of {human_size(size)} are asked for twice: give one count"
    for one in desired.reservations:
        if one.count < 0:
            yield f"node {one.node}: {one.count} pages of {human_size(one.size)}: a count is 0 or more"
    for key in sorted(set(desired.transparent) - set(TRANSPARENT_KEYS)):
        yield f"transparent {key}: not one of {', '.join(TRANSPARENT_KEYS)}"
    paths = [mount.path for mount in desired.mounts]
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        yield f"{path} is to be mounted twice: give each mount a path of its own"
    for mount in desired.mounts:
        if not _SAFE_PATH.fullmatch(mount.path):
            yield f"{mount.path}: a mount point is an absolute path of letters, digits and . : @ + - _"
        if mount.limit is not None and mount.limit % mount.size:
            yield f"{mount.path}: limit {mount.limit} is no multiple of its pages of {human_size(mount.size)}"


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
            yield f"node {node}: {requested} take {human_size(need)}, the node has {has}: ask for fewer"
    need = sum(count * size for (_node, size), count in counts.items())
    total = sum(memory.total for memory in state.memory.values())
    if grows and need > total - desired.keep:
        yield (
            f"all huge pages together take {human_size(need)} of the host's {human_size(total)}, "
            f"which must be left with {human_size(desired.keep)}: ask for fewer, or leave it with less (keep)"
        )


def refusals(desired: Desired, state: HugepageState) -> Iterator[str]:
    """Yield what would take pages or mounts from somebody else."""
    requested = targets(desired, state)
    for (node, size), count in requested.items():
        pool = state.pools.get((node, size), _NONE)
        if too_few(pool, count):
            who = "; ".join(pool.holders) or "files of a hugetlbfs mount, or memory shared by processes that ended"
            yield (
                f"node {node}: {pool.used} pages of {human_size(size)} are in use, {count} would be left ({who}): "
                "end their users first, or ask for more"
            )
    for size, promised in state.promised.items():
        keys = [key for key in state.pools if key[1] == size]
        left = sum(requested.get(key, state.pools[key].reserved) for key in keys)
        used = sum(state.pools[key].used for key in keys)
        shrinks = any(requested.get(key, state.pools[key].reserved) < state.pools[key].reserved for key in keys)
        if promised and shrinks and left < used + promised:
            yield (
                f"pages of {human_size(size)}: {used} are in use and {promised} promised to programs that mapped them, "
                f"{left} would be left: end those programs first, or ask for more"
            )
    if desired.present:
        yield from _mount_refusals(desired, state)


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


def _plan_pools(desired: Desired, state: HugepageState) -> list[Change]:
    steps = []
    for key, count in targets(desired, state).items():
        pool = state.pools.get(key)
        if pool is not None and pool.reserved != count and key not in state.waiting:
            steps.append((count > pool.reserved, -key[1], key[0], pool.reserved, count))
    return [
        Change(("pages", str(node), size_token(-negative_size)), before, after)
        for _grows, negative_size, node, before, after in sorted(steps)
    ]


def _plan_transparent(desired: Desired, state: HugepageState) -> list[Change]:
    modes = desired.transparent if desired.present else state.original.get("transparent", {})
    return [
        Change(("transparent", key), state.transparent[key].chosen, mode)
        for key, mode in modes.items()
        if key in state.transparent and state.transparent[key].chosen != mode
    ]


def _plan_mounts(desired: Desired, state: HugepageState) -> list[Change]:
    changes = []
    mounts = desired.mounts if desired.present else ()
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


def _plan_state_file(desired: Desired, state: HugepageState) -> list[Change]:
    if not desired.record:
        return []
    if not desired.present:
        return [Change(("state file", KIND), "present", None)] if state.state_file else []
    if desired.nothing and not state.state_file:
        return []
    body = {**desired.as_body(), "original": _original(desired, state)}
    return state_store.plan(state.state_file, StateFile(KIND, KIND, body))


def _original(desired: Desired, state: HugepageState) -> dict[str, Any]:
    """Return what was first seen of everything that we ever changed."""
    held = state.original
    pools = {
        f"{one.node}:{size_token(one.size)}": state.pools[one.node, one.size].reserved for one in desired.reservations
    }
    modes = {key: state.transparent[key].chosen for key in desired.transparent}
    ours = {mount.path for mount in state.our_mounts}
    mounted = {mount.path for mount in desired.mounts if mount.path not in ours and state.mounts[mount.path]}
    return {
        "pools": {**pools, **held.get("pools", {})},
        "transparent": {**modes, **held.get("transparent", {})},
        "mounted": sorted(mounted.union(held.get("mounted", ()))),
    }


def _per_node(state: HugepageState) -> bool:
    return state.numa and kernel_version(state.release) >= _PER_NODE_KERNEL
