# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""From requested huge pages to the steps there, and to what a boot is to reserve. Functions of data only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._core import state_store
from .._core.converge import Change
from .._core.sizes import human_size, parse_size, size_token
from .._core.state_store import StateFile
from .._core.versions import kernel_version
from .._linux.hugetlbfs import Mount
from .request import Desired
from .state import KIND, HugepageState, targets

# hugepages=<node>:<count>,... came with Linux 5.16 (b5389086ad7b).
_PER_NODE_KERNEL = (5, 16)


def plan(desired: Desired, state: HugepageState) -> list[Change]:
    """Return the steps: pages to free first, large pages before small ones, the state file last."""
    return [
        *_plan_pools(desired, state),
        *_plan_transparent(desired, state),
        *_plan_mounts(desired, state),
        *_plan_state_file(desired, state),
    ]


def with_originals(desired: Desired, state: HugepageState) -> StateFile | None:
    """Return the state file as it must be before the first step: original values outlive a run that fails half way."""
    if not desired.save or not desired.present or desired.nothing:
        return None
    held = Desired.from_body(state.state_file.body) if state.state_file else Desired(keep=desired.keep)
    # A mount that is made and not yet saved would be taken for somebody else's, and stay.
    known = {mount.path for mount in held.mounts}
    mounts = (*held.mounts, *(mount for mount in desired.mounts if mount.path not in known))
    body = replace(held, mounts=mounts).as_body()
    before = StateFile(KIND, KIND, {**body, "original": _original(desired, state)})
    return None if before == state.state_file else before


def boot_arguments(desired: Desired, state: HugepageState) -> list[str]:
    """Return the ordered boot arguments that reserve at boot the pages of the sizes for which that is requested."""
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


def sizes_awaiting_reboot(desired: Desired, state: HugepageState) -> set[int]:
    """Return the page sizes whose boot arguments are not in effect yet, so that a reboot can bring their pages."""
    tokens = boot_arguments(desired, state)
    running = list(zip(state.cmdline, state.cmdline[1:]))
    return {
        parse_size(size.partition("=")[2])
        for size, pages in zip(tokens, tokens[1:])
        if size.startswith("hugepagesz=") and (size, pages) not in running
    }


def reboot_reasons(desired: Desired, state: HugepageState) -> list[str]:
    """Return why a reboot is required, from the state as it is."""
    if not desired.present:
        return []
    awaited = sizes_awaiting_reboot(desired, state)
    reasons = [
        f"node {one.node}: {state.pools[one.node, one.size].reserved} of {one.count} pages of "
        f"{human_size(one.size)} are there; boot arguments bring the rest"
        for one in desired.reservations
        if one.size in awaited and state.pools[one.node, one.size].reserved < one.count
    ]
    if desired.default_size and desired.default_size != state.default_size:
        now = human_size(state.default_size) if state.default_size else "unknown"
        reasons.append(f"the default huge page is {now}, {human_size(desired.default_size)} is requested")
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
        "is spread evenly over the nodes; the host agent, where there is one, moves what it can after boot"
    ]


def facts(desired: Desired, state: HugepageState) -> dict[str, Any]:
    """Return what the module reports beside its changes."""
    reasons = reboot_reasons(desired, state)
    return {
        "pools": [
            {"node": node, "size": size_token(size), "total": pool.reserved, "free": pool.free}
            for (node, size), pool in sorted(state.pools.items())
        ],
        "boot_arguments": boot_arguments(desired, state),
        "reboot_required": bool(reasons),
        "reboot_reasons": reasons,
    }


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
    if not desired.save:
        return []
    if not desired.present:
        return [Change(("state file", KIND), "present", None)] if state.state_file else []
    if desired.nothing and not state.state_file:
        return []
    body = {**desired.as_body(), "original": _original(desired, state)}
    return state_store.plan(state.state_file, StateFile(KIND, KIND, body))


def _original(desired: Desired, state: HugepageState) -> dict[str, Any]:
    """Return the first value seen of everything that we ever changed, which is saved."""
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
