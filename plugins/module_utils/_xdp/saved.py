# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What is attached, saved for as long as a guard is armed: the very programs and maps, not the files they came from.

The object may have been overwritten, its map entries were never in a file, and another owner's program cannot be
loaded again at all. A second pin of each keeps them alive, and so a revert takes nothing but them.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .._core.converge import ApplyFailed, Change, NotConverged, Outcome
from .._core.system import Host
from .._guard.arm import Guard, protect
from .._guard.record import Restore, records
from .._linux import bpf, netlink
from . import policy_takeover
from .identity import link_holders
from .plan import touches_traffic
from .request import DIRECTORY_MODE, KIND, MODES, Desired
from .state import State
from .undo import step

_MIRROR = "pins"  # beside the programs, which are named after their mode
_NAME_BYTES = 4  # by which directories of saved pins are told apart
_BUSY_ATTEMPTS, _BUSY_SECONDS = 6, 0.05  # a link's end of life reaches the interface a little after its descriptor's

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SavedAttachment:
    """What was pinned.

    Attributes:
        body: What ``restore`` takes.
        paths: All pins and directories, in the order in which they can be removed.
    """

    body: Mapping[str, Any]
    paths: Sequence[str]

    def drop(self) -> None:
        """Remove the pins."""
        for path in self.paths:
            with suppress(OSError):
                os.rmdir(path) if os.path.isdir(path) else os.unlink(path)


class Protection:
    """Arms the guard before the first step of a plan; ``converge`` calls it.

    Args:
        host: The machine.
        desired: What is requested of the interface.
        mode: ``auto``, ``always`` or ``never``.
        timeout: Seconds in which the change has to be confirmed.
    """

    def __init__(self, host: Host, desired: Desired, mode: str, timeout: float) -> None:
        self._host, self._desired, self._mode, self._timeout = host, desired, mode, timeout
        self.guard: Guard | None = None

    def __call__(self, changes: Sequence[Change], state: State) -> None:
        """Save what is attached, and arm the guard where one is needed."""
        if self._mode == "never" or not touches_traffic(changes):
            return
        desired = state.in_force(self._desired)
        saved = save(desired, state)
        try:
            self.guard = protect(
                self._host,
                KIND,
                [desired.interface],
                [Restore(KIND, saved.body)],
                self._mode,
                self._timeout,
                self.state_files(state),
                saved.paths,
            )
        finally:
            if self.guard is None:
                saved.drop()

    def state_files(self, state: State) -> list[str]:
        """Return the paths of the state files that the change can write."""
        desired = state.in_force(self._desired)
        paths = (*desired.state_files, *state.policy, *policy_takeover.documents(self._host, desired))
        return list(dict.fromkeys(paths))

    @property
    def facts(self) -> dict[str, Any] | None:
        """What the module returns as ``guard``."""
        return self.guard.facts if self.guard else None


def save(desired: Desired, state: State) -> SavedAttachment:
    """Pin what is attached, and what is pinned, a second time.

    Raises:
        ApplyFailed: The kernel refused; nothing was changed.
    """
    directory = f"{desired.pins}~{secrets.token_hex(_NAME_BYTES)}"
    files: list[str] = []
    directories = [desired.pin_root, directory]
    attached: list[dict[str, Any]] = []
    pinned = desired.pins in state.permissions
    if not state.attachments and not pinned:
        return SavedAttachment(_body(desired, state, directory, attached), [])
    try:
        with step(f"save in {directory} what is attached to {desired.interface}"):
            os.makedirs(directory, DIRECTORY_MODE)
            for one in state.attachments:
                files.append(f"{directory}/{one.mode}")
                with bpf.program_by_id(one.program.id) as program:
                    bpf.pin(program, files[-1])
                attached.append({"mode": one.mode, "link": one.ours and one.link_id is not None})
            for place in (_MIRROR, f"{_MIRROR}/maps") if pinned else ():
                directories.append(f"{directory}/{place}")
                os.mkdir(directories[-1], DIRECTORY_MODE)
            for name in _files(desired.pins):
                files.append(f"{directory}/{_MIRROR}/{name}")
                os.link(f"{desired.pins}/{name}", files[-1])
    except ApplyFailed:
        SavedAttachment({}, [*files, *reversed(directories)]).drop()
        raise
    return SavedAttachment(_body(desired, state, directory, attached), [*files, *reversed(directories)])


def _body(desired: Desired, state: State, directory: str, attached: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "interface": desired.interface,
        "pin_root": desired.pin_root,
        "pin_group": state.permissions.get(desired.pin_root, (desired.pin_group, 0))[0],
        "pins": desired.pins,
        "kept": directory,
        "attached": list(attached),
        "permissions": {
            path: list(one)
            for path, one in state.permissions.items()
            if path == desired.pin_root or path.startswith(desired.pins)
        },
    }


def restore(body: Mapping[str, Any], host: Host, check: bool = False) -> Outcome:
    """Bring an interface and its pins back to what was saved.

    Raises:
        ApplyFailed: The kernel refused a step.
        NotConverged: It took all of them, and another program is attached all the same.
    """
    name = body["interface"]
    link = netlink.link(name)
    if link is None:
        _log.warning("%s is gone: its XDP program is not restored", name)
        return Outcome([], None, checked=check)
    desired = _saved_programs(body)
    changes = [
        Change((name, "program", mode), link.xdp.programs.get(mode), desired.get(mode), disrupts=True)
        for mode in sorted({*desired, *link.xdp.programs})
        if desired.get(mode) != link.xdp.programs.get(mode)
    ]
    if check:
        return Outcome(changes, None, checked=True)
    with step(f"restore what was attached to {name} before"):
        if changes:
            _attach(body, link, desired)
        _mirror(body)
    reached = netlink.link(name)
    if reached and dict(reached.xdp.programs) != desired:
        raise NotConverged(f"{name}: programs {dict(reached.xdp.programs)} are attached, {desired} were before")
    return Outcome(changes, None)


def _saved_programs(body: Mapping[str, Any]) -> dict[str, int]:
    found = {}
    for one in body["attached"]:
        with bpf.pinned(f"{body['kept']}/{one['mode']}") as descriptor:
            found[one["mode"]] = bpf.program_info(descriptor).id
    return found


def _attach(body: Mapping[str, Any], link: netlink.Link, desired: Mapping[str, int]) -> None:
    """Replace where the same bpf_link still holds the interface, so that no packet passes without a program."""
    own = _link_id(f"{body['kept']}/{_MIRROR}/link")
    left = {
        one["mode"]: one["link"]
        for one in body["attached"]
        if link.xdp.programs.get(one["mode"]) != desired[one["mode"]]
    }
    for mode, number in link.xdp.programs.items():
        if desired.get(mode) == number:
            continue
        with bpf.program_by_id(number) as current:
            holder = _holder(link_holders(link, mode, number, current), own, link.name)
            if mode in left and holder is not None and holder == own:
                with bpf.link_by_id(holder) as descriptor, bpf.pinned(f"{body['kept']}/{mode}") as before:
                    bpf.update_link(descriptor, before, current)
                del left[mode]
            elif holder is not None:
                with bpf.link_by_id(holder) as descriptor:
                    bpf.detach_link(descriptor)
            else:
                netlink.set_xdp(link.index, -1, mode, current)
    for mode, by_link in left.items():
        with bpf.pinned(f"{body['kept']}/{mode}") as before:
            if by_link:
                _attach_by_link(before, link.index, mode, f"{body['kept']}/{_MIRROR}/link")
            else:
                _patiently(lambda before=before, mode=mode: netlink.set_xdp(link.index, before, mode))


def _holder(holders: Sequence[int], own: int | None, name: str) -> int | None:
    if own in holders:
        return own
    if len(holders) > 1:
        numbers = ", ".join(map(str, holders))
        raise ApplyFailed(
            f"bpf_links {numbers} name the index of {name} and its program, and all but one are in other network "
            "namespaces: detach it with its owner's tool"
        )
    return holders[0] if holders else None


def _attach_by_link(program: int, index: int, mode: str, path: str) -> None:
    descriptor = _patiently(lambda: bpf.create_xdp_link(program, index, mode))
    try:
        if os.path.exists(path):  # an attempt that was killed here left none
            os.unlink(path)
        bpf.pin(descriptor, path)
    finally:
        os.close(descriptor)


def _patiently(attach: Any) -> Any:
    for attempt in range(_BUSY_ATTEMPTS):
        try:
            return attach()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(_BUSY_SECONDS * (attempt + 1))
    return attach()


def _link_id(path: str) -> int | None:
    if not os.path.exists(path):
        return None
    with bpf.pinned(path) as descriptor:
        info = bpf.xdp_link_info(descriptor)
    return info.id if info else None


def _mirror(body: Mapping[str, Any]) -> None:
    """Make the pins the same objects as the saved ones, each in one step for those who open its path."""
    pins, saved = body["pins"], f"{body['kept']}/{_MIRROR}"
    desired = list(_files(saved))
    for name in list(_files(pins)):
        if name not in desired:
            os.unlink(f"{pins}/{name}")
    for directory in (pins, f"{pins}/maps") if desired else ():
        if not os.path.isdir(directory):
            os.mkdir(directory, DIRECTORY_MODE)
    for name in desired:
        path, new = f"{pins}/{name}", f"{pins}/{name}~"
        if os.path.exists(path) and os.path.samefile(path, f"{saved}/{name}"):
            continue
        os.link(f"{saved}/{name}", new)
        os.rename(new, path)
    for path, (group, mode) in body["permissions"].items():
        if os.path.exists(path):
            os.chown(path, 0, group)
            os.chmod(path, mode)
    for directory in (f"{pins}/maps", pins) if pins not in body["permissions"] else ():
        if os.path.isdir(directory):
            os.rmdir(directory)


def orphans(host: Host, desired: Desired) -> list[str]:
    """Return the directories of saved pins that no guard speaks of: who saved them was killed before it was armed."""
    own = re.compile(rf"{re.escape(os.path.basename(desired.pins))}~[0-9a-f]{{{2 * _NAME_BYTES}}}")
    found = [f"{desired.pin_root}/{name}" for name in host.list(desired.pin_root) if own.fullmatch(name)]
    guards = records(host) if found else []
    spoken_of = {path for one in guards for path in one.leftovers}
    spoken_of |= {restore.body["kept"] for one in guards for restore in one.restores if "kept" in restore.body}
    return [path for path in found if path not in spoken_of and _is_saved(path)]


def _is_saved(directory: str) -> bool:
    """Whether a directory holds nothing but what ``save`` pins."""
    names = list(_files(directory))
    return all(name in MODES or name.startswith(f"{_MIRROR}/") for name in names)


def _files(directory: str) -> Iterator[str]:
    for place, _directories, names in os.walk(directory):
        for name in names:
            yield os.path.relpath(os.path.join(place, name), directory)
