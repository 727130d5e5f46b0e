# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Huge pages: reserved per NUMA node now and at boot, their mounts, and transparent huge pages.

Source: Documentation/admin-guide/mm/hugetlbpage.rst and transhuge.rst in the Linux tree.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._core import state_store
from .._core.converge import (
    ApplyFailed,
    Change,
    CoreError,
    Findings,
    Impossible,
    Incomplete,
    Invalid,
    Outcome,
    Refused,
    brief,
    converge,
    half_way,
    ineffective,
)
from .._core.errors import in_words, reason
from .._core.sizes import human_size, parse_size, size_token
from .._core.state_store import StateFile
from .._core.system import Host
from .._linux import hugetlbfs
from .._linux.hugetlbfs import Mount
from .._linux.topology import NODES, TRANSPARENT
from . import limits, plan
from .feasible import feasible
from .plan import sizes_awaiting_reboot
from .request import Desired, faults
from .state import KIND, HugepageState, PoolKey, pool_path, read_memory, read_state

# What the agent reapplies by.
__all__ = ["KIND", "Hugepages", "bring", "reapply"]

# Compaction works in the background too, so a later attempt may get what an earlier one did not.
_PAUSES = (0.1, 0.2, 0.4, 0.8)

_log = logging.getLogger(__name__)


class _Undone(ApplyFailed):
    """A step failed, and those before it are undone."""


class Hugepages:
    """The resource for ``converge``.

    Args:
        desired: What is requested; reading needs the pools and paths in it.
        each: Whether each pool, mode and mount is brought as far as it can be, whatever becomes of the others;
            ``failures`` then says why those could not, by the first words of a change's path.
        leave: Mounts and units by path that are left as they are.
    """

    def __init__(self, desired: Desired, each: bool = False, leave: Collection[str] = ()) -> None:
        self._desired, self._each, self._leave = desired, each, leave
        self._waiting: set[PoolKey] = set()
        self.failures: dict[str, str] = {}

    def read(self, host: Host) -> HugepageState:
        """Read pools, memory, modes, mounts and the state file."""
        return read_state(host, self._desired, self._waiting)

    def files(self, state: HugepageState) -> Iterator[str]:
        """Yield what is written."""
        yield state_store.path(KIND)
        yield from (f"{hugetlbfs.UNIT_DIRECTORY}/{unit}" for unit in state.units)

    def validate(self, desired: Desired, state: HugepageState) -> None:
        """Raise with every reason at once."""
        headline = "huge pages: nothing was changed"
        if desired.present:
            Findings(list(faults(desired))).raise_if_any(Invalid, headline)
            Findings(list(limits.limits(desired, state))).raise_if_any(Impossible, headline)
        Findings(list(limits.refusals(desired, state))).raise_if_any(Refused, headline)

    def plan(self, desired: Desired, state: HugepageState) -> list[Change]:
        """Return the steps: pages to free first, large pages before small ones, the state file last."""
        left = {*self.failures, *self._leave}
        return [change for change in plan.plan(desired, state) if _what(change) not in left]

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Carry out the plan; pages that cannot be had now are an error, or wait for a reboot that will bring them."""
        state = self.read(host)
        if self._desired.save:
            host.prove_writable(state_store.path(KIND))
        before = plan.with_originals(self._desired, state)
        applied: list[Change] = []
        try:
            if before:
                state_store.store(host, before)
            self._fill(host, [change for change in changes if change.path[0] == "pages"], state)
            applied += [change for change in changes if change.path[0] == "pages"]
            for change in (one for one in changes if one.path[0] != "pages"):
                try:
                    self._carry_out(host, change, state)
                except (CoreError, OSError) as error:
                    if not self._each:
                        raise
                    self.failures[_what(change)] = f"{_what(change)}: {in_words(error)}"
                else:
                    applied.append(change)
        except _Undone as error:
            if before:
                _restore_state_file(host, state)
            raise ApplyFailed(str(error), **error.facts) from error
        except (CoreError, OSError) as error:
            stands = [brief(change) for change in applied]
            raise half_way(error, stands, saved=True, nothing="nothing else was changed") from error
        if self._each:
            for change in self.plan(self._desired, self.read(host)):
                self.failures[_what(change)] = ineffective(change)

    def _carry_out(self, host: Host, change: Change, state: HugepageState) -> None:
        desired = {mount.path: mount for mount in self._desired.mounts} if self._desired.present else {}
        units = {mount.unit: mount for mount in desired.values()}
        what = change.path[0]
        if what == "transparent":
            _write(host, f"{TRANSPARENT}/{change.path[1]}", change.after)
        elif what == "mount":
            _mount(state, change, desired.get(change.path[1]))
        elif what == "unit" and change.after:
            hugetlbfs.write_unit(host, units[change.path[1]])
        elif what == "unit":
            hugetlbfs.remove_unit(host, change.path[1])
        elif what == "state file" and change.after is None:
            state_store.discard(host, KIND)
        elif what == "state file":
            state_store.store(host, StateFile(KIND, KIND, change.after))

    def _fill(self, host: Host, changes: Sequence[Change], state: HugepageState) -> None:
        done: list[Change] = []
        short: dict[str, str] = {}
        awaited = sizes_awaiting_reboot(self._desired, state)
        for change in changes:
            key = (int(change.path[1]), parse_size(change.path[2]))
            done.append(change)
            try:
                reached = _resize(host, state.numa, key, change.after, self._desired.drop_caches)
            except ApplyFailed as error:
                short[_what(change)] = str(error)
                if self._each:
                    continue
                break
            if reached == change.after:
                continue
            if key[1] in awaited and reached < change.after:
                self._waiting.add(key)
            else:
                short[_what(change)] = _shortfall(host, key, change.after, reached, self._desired, state)
        if self._each:
            # What could be had is kept: part of the pages is more than none.
            self.failures.update(short)
            return
        if not short:
            return
        left = _restore(host, state.numa, done)
        outcome = "the previous counts are restored" if not left else "not restored: " + "; ".join(left)
        reasons = list(short.values())
        kind = ApplyFailed if left else _Undone
        raise kind(f"huge pages: {'; '.join(reasons)}; {outcome}", reasons=reasons)


def resolved(desired: Desired, host: Host) -> Desired:
    """Return what is requested with mounts at the paths that symbolic links lead to.

    The kernel's list of mounts names those, and systemd takes no other; by the link's name nothing would ever seem to
    be mounted, and each run would mount once more.
    """
    root = os.path.realpath(host.root)

    def real(path: str) -> str:
        place = os.path.realpath(host.path(path))
        return f"/{os.path.relpath(place, root)}" if os.path.commonpath([root, place]) == root else path

    return replace(desired, mounts=[replace(mount, path=real(mount.path)) for mount in desired.mounts])


def bring(desired: Desired, host: Host, check: bool = False) -> Outcome:
    """Converge, and report of pools that wait for a reboot only what they really got."""
    return _reached(converge(Hugepages(desired), desired, host, check=check))


def _reached(outcome: Outcome, short: Collection[PoolKey] = ()) -> Outcome:
    partial = {*outcome.state.waiting, *short}
    changes = []
    for change in outcome.changes:
        key = (int(change.path[1]), parse_size(change.path[2])) if change.path[0] == "pages" else None
        if key in partial:
            change = replace(change, after=outcome.state.pools[key].reserved)
        if change.before != change.after:
            changes.append(change)
    return replace(outcome, changes=changes)


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the host to what a state file's body requests, each pool, mode and mount as far as it can be.

    Nodes and page sizes that the machine no longer has are left out and logged. Huge pages belong to no interface, so
    nothing is done where only some interfaces are to be reapplied.

    Raises:
        Incomplete: Some of it could not be brought.
    """
    if only is not None:
        return Outcome((), None, checked=check)
    desired = resolved(replace(Desired.from_body(body), save=False), host)
    state = Hugepages(desired).read(host)
    kept = tuple(one for one in desired.reservations if (one.node, one.size) in state.pools)
    for one in desired.reservations:
        if one not in kept:
            _log.warning("huge pages of %s on node %d are left out: not there now", size_token(one.size), one.node)
    met, unmet = feasible(replace(desired, reservations=kept), state)
    # A mount that cannot be met is not one that is no longer requested.
    kept_mounts = [mount for mount in desired.mounts if mount not in met.mounts]
    leave = [what for mount in kept_mounts for what in (f"mount {mount.path}", f"unit {mount.unit}")]
    resource = Hugepages(met, each=True, leave=leave)
    outcome = converge(resource, met, host, check=check)
    failures = {**unmet, **resource.failures}
    if not failures:
        return _reached(outcome)
    short = [key for key in state.pools if f"pages {key[0]} {size_token(key[1])}" in failures]
    failed = {what for what in failures if not what.startswith("pages ")}
    outcome = replace(outcome, changes=[change for change in outcome.changes if _what(change) not in failed])
    raise Incomplete(_reached(outcome, () if check else short), failures)


def _restore_state_file(host: Host, state: HugepageState) -> None:
    if state.state_file:
        state_store.store(host, state.state_file)
    else:
        state_store.discard(host, KIND)


def _what(change: Change) -> str:
    return " ".join(change.path)


def _resize(host: Host, numa: bool, key: PoolKey, count: int, drop_caches: bool) -> int:
    """Write a pool's count until the kernel has it, making contiguous memory in between; return what it has."""
    path = pool_path(numa, *key)

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


def _restore(host: Host, numa: bool, done: Sequence[Change]) -> list[str]:
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


def _shortfall(host: Host, key: PoolKey, count: int, reached: int, desired: Desired, state: HugepageState) -> str:
    node, size = key
    pages = f"node {node}: {count} pages of {human_size(size)} are requested, {reached} could be had"
    memory = dict(read_memory(host, state.numa))[node]
    why = f"{human_size(memory.free)} are free and {human_size(memory.reclaimable)} reclaimable, {memory.contiguous}"
    if reached > count:
        return f"{pages}: the kernel keeps what is in use"
    if size in desired.at_boot:
        return f"{pages} though the host was booted with arguments for them; {why}: request fewer"
    ways = [] if desired.drop_caches else ["let caches be dropped (drop_caches)"]
    ways += ["free memory on that node", f"reserve {size_token(size)} at boot (at_boot)", "request fewer"]
    return f"{pages}: {why}; {', or '.join(ways)}"


def _mount(state: HugepageState, change: Change, mount: Mount | None) -> None:
    path = change.path[1]
    there = state.mounts[path]
    if mount is None:
        hugetlbfs.unmount(path)
        return
    if isinstance(there, Mount) and (there.size, there.limit) != (mount.size, mount.limit):
        # hugetlbfs ignores both on a remount.
        hugetlbfs.unmount(path)
        there = None
    if there is None:
        hugetlbfs.mount_it(mount)
    hugetlbfs.own(mount)


def _write(host: Host, path: str, text: str) -> None:
    try:
        host.write_attribute(path, text)
    except OSError as error:
        raise ApplyFailed(f"{path}: writing {text}: {reason(error)}") from error
