# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Attaching XDP programs so that no packet passes without one, and so that what was before can be restored."""

from __future__ import annotations

import errno
import os
import platform
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from .._core.converge import ApplyFailed
from .._core.system import Host
from .._core.versions import kernel_version
from .._linux import bpf, netlink
from .._linux.bpf import Program
from .._linux.bpf_object import BpfObject
from .._linux.netlink import Link, NetlinkError
from .called import BEFORE, EXTENSIONS, PROGRAMS
from .extensions import Loaded
from .identity import JUDGE_PIN, LINK, PROGRAM, Attachment, Pin, is_pinned
from .layout import fits
from .plan import program_name, stale_maps
from .policy_assignment import Assignment
from .policy_filling import Filling
from .policy_in_force import POLICY, read_in_force
from .policy_requested import Requested
from .request import DIRECTORY_MODE, Desired
from .state import Source, State
from .undo import Undo, step

_LINK_KERNEL = (5, 9)  # bpf_link for XDP
_BUSY_ATTEMPTS, _BUSY_SECONDS = 6, 0.05  # a link's end of life reaches the interface a little after its descriptor's


@dataclass(frozen=True)
class Attached:
    """What runs now.

    Attributes:
        program: The program.
        assignment: Of the policy that it judges by; None where it takes none.
    """

    program: Program
    assignment: Assignment | None = None


def attach(desired: Desired, state: State, undo: Undo, held: ExitStack, policy: Requested | None) -> Attached:
    """Load the object and bring its program to the interface.

    Args:
        desired: What is requested.
        state: What is there.
        undo: Is given the opposite of each step.
        held: What is closed when all is done.
        policy: What the program is to judge by; None for one that takes no policy.
    """
    source, link, ours = state.source, state.link, state.ours
    if source is None or link is None:
        raise AssertionError("validate() lets no attachment through without an object and an interface")
    name = program_name(desired, state)
    opened = held.enter_context(BpfObject(source.content, desired.object))
    filling = Filling(policy, read_in_force(state.maps), held) if policy else None
    # The one that runs jumps through its own array, which must not name the new programs before it is replaced.
    own = {*source.own_maps, *([POLICY] if filling and not filling.keeps_outer else [])}
    if source.takes_policy:
        own.add(EXTENSIONS)
        _keep_array(desired, state, held)
    if _is_of_another_kind(name, state):
        own |= {one for one, layout in source.maps.items() if layout.type == PROGRAMS}
    reused = {
        one: held.enter_context(bpf.map_by_id(state.maps[one].id))
        for one, layout in source.maps.items()
        if one in state.maps and one not in own and fits(state.maps[one].layout, layout)
    }
    if filling:
        filling.equip(opened)
    loaded = Loaded(opened, name, desired, state, held)
    loaded.load(reused)
    if filling:
        filling.fill(opened, undo)
    program = loaded.attached
    for directory in (desired.pin_root, desired.pins, f"{desired.pins}/maps"):
        if not os.path.isdir(directory):
            with step(f"make {directory}"):
                os.mkdir(directory, DIRECTORY_MODE)
            undo.add(f"remove {directory}", _call(os.rmdir, directory))
    for one in source.maps:
        held_pin = state.pins.get(f"maps/{one}")
        if one not in reused or not held_pin or not held_pin.object or held_pin.object.id != state.maps[one].id:
            pin(loaded.map(one), f"{desired.pins}/maps/{one}", undo)

    if ours is None or ours.mode != desired.mode or state.foreign:
        for attachment in state.attachments:
            _release(attachment, desired, link, undo, held)
        if kernel_version(platform.release()) >= _LINK_KERNEL:
            _attach_by_link(program, desired, link, undo, held, patient=bool(state.attachments))
        else:
            _attach_by_netlink(program, desired, link, None, undo)
    else:
        old = held.enter_context(bpf.program_by_id(ours.program.id))
        if ours.link_id is None:
            _attach_by_netlink(program, desired, link, old, undo)
            if LINK in state.strays:
                undo.on_success(_call(os.unlink, f"{desired.pins}/{LINK}"))
        else:
            # By its number: what is pinned under its name can be another by now.
            descriptor = held.enter_context(bpf.link_by_id(ours.link_id))
            with step(f"replace {ours}"):
                bpf.update_link(descriptor, program, old)
            undo.add(f"go back to {ours}", _call(bpf.update_link, descriptor, old, program))
            _prove_effect(program, link, ours.mode)
            if LINK in state.strays:
                pin(descriptor, f"{desired.pins}/{LINK}", undo)
    pin(program, f"{desired.pins}/prog", undo)
    if BEFORE in desired.extensions:
        pin(loaded.judge, f"{desired.pins}/{JUDGE_PIN}", undo)
    elif JUDGE_PIN in state.pins:
        undo.on_success(_call(os.unlink, f"{desired.pins}/{JUDGE_PIN}"))
    return Attached(bpf.program_info(program), filling.assignment if filling else None)


def _keep_array(desired: Desired, state: State, held: ExitStack) -> None:
    """Have the array of what runs pinned in its place: the kernel empties one that nothing in user space holds.

    A killed run can have left it under another name, which the next pin takes. Nothing undoes this.
    """
    array = state.maps.get(EXTENSIONS)
    if array is None:
        return
    descriptor = held.enter_context(bpf.map_by_id(array.id))
    if f"maps/{EXTENSIONS}" in state.strays:
        mended = Undo()
        pin(descriptor, f"{desired.pins}/maps/{EXTENSIONS}", mended)
        mended.accept()


def _is_of_another_kind(name: str, state: State) -> bool:
    """Whether one of old and new program takes packets in several buffers: an array holds programs of one kind only."""
    source = state.source or Source()
    before = state.ours.judge if state.ours else state.pins.get(JUDGE_PIN, state.pins.get(PROGRAM, Pin(""))).object
    fragments = {one[: bpf.NAME_LIMIT] for one in source.fragments}
    return not isinstance(before, Program) or (before.name in fragments) != (name in source.fragments)


def _prove_effect(program: int, link: Link, mode: str) -> None:
    """Raise where the interface does not run the program that its link was updated to."""
    number = bpf.program_info(program).id
    reached = netlink.link(link.name)
    runs = reached.xdp.programs.get(mode) if reached else None
    if runs != number:
        raise ApplyFailed(
            f"our bpf_link was given program {number}, and {link.name} runs {runs or 'none'}: the link holds an "
            "interface in another network namespace; detach it there"
        )


def _attach_by_link(program: int, desired: Desired, link: Link, undo: Undo, held: ExitStack, patient: bool) -> None:
    attempt = 0
    while True:
        try:
            descriptor = bpf.create_xdp_link(program, link.index, desired.mode)
            break
        except OSError as error:
            attempt += 1
            if not (patient and error.errno == errno.EBUSY and attempt < _BUSY_ATTEMPTS):
                words = _words(error, program, link, desired.mode)
                raise ApplyFailed(f"attaching in {desired.mode} mode was refused: {words}") from error
            time.sleep(_BUSY_SECONDS * attempt)
    held.callback(os.close, descriptor)
    undo.add("detach the new link", _call(bpf.detach_link, descriptor))
    pin(descriptor, f"{desired.pins}/link", undo)


def _words(error: OSError, program: int, link: Link, mode: str) -> str:
    """Return why a link was refused: creating one gives a bare number, the same request by netlink gives words."""
    try:
        netlink.set_xdp(link.index, program, mode)
    except NetlinkError as refusal:
        return str(refusal)
    netlink.set_xdp(link.index, -1, mode, expected_fd=program)
    return f"{error.strerror}, though the same by netlink is accepted"


def _attach_by_netlink(program: int, desired: Desired, link: Link, old: int | None, undo: Undo) -> None:
    with step(f"attach in {desired.mode} mode"):
        netlink.set_xdp(link.index, program, desired.mode, old)
    back = -1 if old is None else old
    undo.add("restore the program before", _call(netlink.set_xdp, link.index, back, desired.mode, program))


def _release(one: Attachment, desired: Desired, link: Link, undo: Undo, held: ExitStack) -> None:
    """Detach a program so that it can be attached again."""
    program = held.enter_context(bpf.program_by_id(one.program.id))
    if one.link_id is None:
        with step(f"detach {one}"):
            netlink.set_xdp(link.index, -1, one.mode, program)
        undo.add(f"attach {one}", _call(netlink.set_xdp, link.index, program, one.mode))
        return
    with step(f"detach {one}"), bpf.link_by_id(one.link_id) as descriptor:
        bpf.detach_link(descriptor)
    if one.ours:
        undo.add(f"attach {one}", _call(_restore_link, program, link.index, one.mode, f"{desired.pins}/link"))
    else:
        # A detached link of another owner cannot be attached again, its program can.
        undo.add(f"attach {one}", _call(netlink.set_xdp, link.index, program, one.mode))


def _restore_link(program: int, index: int, mode: str, path: str) -> None:
    status = os.stat(path) if os.path.exists(path) else None
    descriptor = bpf.create_xdp_link(program, index, mode)
    try:
        if status:
            os.unlink(path)
        bpf.pin(descriptor, path)
        if status:
            os.chown(path, status.st_uid, status.st_gid)
            os.chmod(path, status.st_mode & 0o7777)
    finally:
        os.close(descriptor)


def pin(descriptor: int, path: str, undo: Undo) -> None:
    """Pin in place of what is pinned there, in one step for those who open the path."""
    new, old = f"{path}~", f"{path}~~"
    with step(f"pin {path}"):
        # Half a replacement that a killed run left can be all that keeps a link attached: it is never unpinned first.
        half = is_pinned(descriptor, new)
        if not os.path.exists(path):
            if half:
                os.rename(new, path)
                undo.add(f"unpin {path}", _call(os.rename, path, new))
            else:
                bpf.pin(descriptor, path)
                undo.add(f"unpin {path}", _call(os.unlink, path))
            return
        if not half:
            if os.path.exists(new):
                os.unlink(new)
            bpf.pin(descriptor, new)
        if os.path.exists(old):
            os.unlink(old)
        os.link(path, old)
        os.rename(new, path)
    undo.add(f"pin {path} again", _call(os.rename, old, path))
    undo.on_success(_call(os.unlink, old))


def clear_pins(desired: Desired, state: State) -> None:
    """Remove the pins of maps that the object has not, halves of replacements, and what was saved for no guard."""
    for path in [*stale_maps(desired, state), *(f"{desired.pins}/{half}" for half in state.halves)]:
        if os.path.exists(path):
            os.unlink(path)
    for directory in state.orphans:
        with step(f"remove {directory}"):
            remove_tree(directory)


def remove_tree(directory: str) -> None:
    """Remove a directory of pins with all that is in it."""
    for place, directories, names in os.walk(directory, topdown=False):
        for name in names:
            os.unlink(f"{place}/{name}")
        for name in directories:
            os.rmdir(f"{place}/{name}")
    os.rmdir(directory)


def detach(host: Host, desired: Desired, state: State) -> None:
    """Detach our program and remove its pins and state files."""
    ours, held = state.ours, state.pinned_link
    try:
        if ours and state.link:
            with step(f"detach {ours}"):
                if ours.link_id is None:
                    with bpf.program_by_id(ours.program.id) as program:
                        netlink.set_xdp(state.link.index, -1, ours.mode, program)
                else:
                    _detach_link(ours.link_id)
        elif state.moved and held:
            with step(f"detach bpf_link {held.id} from an interface in {state.elsewhere}"):
                _detach_link(held.id)
        with step(f"remove {desired.pins}"):
            _remove_pins(desired, state)
        for directory in state.orphans:
            remove_tree(directory)
        # What says where the others are goes last, so that a run that is killed here leaves none behind.
        for path in reversed(dict.fromkeys((*desired.state_files, *state.policy))):
            host.remove(path)
    except OSError as error:
        raise ApplyFailed(f"{desired.interface}: {error}; what was removed before stays removed: run again") from error


def _detach_link(number: int) -> None:
    # Closing our pin would not do: a process that holds the link keeps it attached.
    with bpf.link_by_id(number) as descriptor:
        bpf.detach_link(descriptor)


def _remove_pins(desired: Desired, state: State) -> None:
    """Remove what was read as ours, by name; a directory that holds anything else stays, and is an error."""
    for name in state.pins:
        os.unlink(f"{desired.pins}/{name}")
    for directory in (f"{desired.pins}/maps", desired.pins):
        if directory in state.permissions:
            os.rmdir(directory)


def _call(function: Callable[..., Any], *arguments: Any) -> Callable[[], None]:
    return lambda: function(*arguments)
