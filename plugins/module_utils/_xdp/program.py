# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""An XDP program on an interface: attached by a pinned bpf_link, replaced without a gap, its maps preserved."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from .._core import lock, state_store
from .._core.converge import ApplyFailed, Change, CoreError, Impossible, Invalid, Outcome, converge
from .._core.errors import in_words
from .._core.system import Host
from .._core.versions import kernel_version
from .._linux import libbpf, netlink
from .._linux.bpf import Map, Program
from .._linux.bpf_object import BpfObject
from .._linux.capabilities import missing
from .._linux.ethtool import read_settings
from .._linux.netlink import Link
from . import extensions, limits, plan, policy_assignment, policy_takeover, request, saved
from .attach import Attached, attach, clear_pins, detach
from .bpffs import mount_over, on_bpffs
from .called import EXTENSIONS, maps_of, may_mean
from .drivers import Around, Device
from .identity import Identity, identify, read_pins
from .plan import desired_permissions, state_file_body, touches_traffic
from .policy_in_force import takes_policy
from .policy_requested import Requested
from .policy_takeover import Saved
from .request import CAPABILITIES, CAPABILITIES_WORDS, KIND, Desired, Extension
from .state import Source, State
from .undo import Undo

__all__ = ["KIND", "XdpProgram", "reapply"]

_OLDEST_KERNEL = (5, 7)  # IFLA_XDP_EXPECTED_FD: before it nothing can be replaced without a race

_log = logging.getLogger(__name__)


class XdpProgram:
    """The resource for ``converge``.

    Args:
        desired: What is requested; reading needs the names and paths in it.
        policy: What the program is to judge by; what is saved for the interface where this is None.
    """

    def __init__(self, desired: Desired, policy: Requested | None = None) -> None:
        self._desired, self._policy = desired, policy

    def read(self, host: Host) -> State:
        """Read interface, pins, state file and object file."""
        try:
            return self._read(host)
        except OSError as error:
            raise Impossible(f"{self._desired.interface}: its XDP state cannot be read: {in_words(error)}") from error

    def _read(self, host: Host) -> State:
        desired = self._desired
        link = netlink.link(desired.interface)
        table = netlink.links()
        interfaces = {one.index: one.name for one in table}
        state_file = _read_state_file(host, desired)
        policy = policy_assignment.files(host, desired.interface, desired.state_directory)
        desired, other_pins = _place(host, desired, state_file)
        obstacles = _obstacles(host, desired)
        if libbpf.missing_library():
            return State(link, interfaces, state_file=state_file, policy=policy, obstacles=obstacles)
        others = {slot: _read_source(host, one.object) for slot, one in desired.extensions.items() if desired.present}
        source = extensions.joined(_read_source(host, desired.object), others) if desired.present else None
        found = identify(host, desired.interface, desired.pin_root)
        return State(
            link=link,
            interfaces=interfaces,
            attachments=found.attachments,
            pinned_link=found.pinned_link,
            elsewhere=found.elsewhere,
            maps=_maps(found, state_file, source.maps if source else ()),
            strays=found.strays(),
            pins=found.pins,
            strange=found.strange,
            pin_root=desired.pin_root if desired != self._desired else None,
            other_pins=other_pins,
            orphans=saved.orphans(host, desired) if on_bpffs(host, desired.pin_root) else (),
            permissions=_permissions(desired, found.pins) if on_bpffs(host, desired.pin_root) else {},
            state_file=state_file,
            policy=policy,
            source=source,
            extensions=others,
            device=_read_device(host, link, table) if link else Device(desired.interface),
            obstacles=obstacles,
        )

    def validate(self, desired: Desired, state: State) -> None:
        """Raise with every reason at once, each with its remedy."""
        limits.validate(desired, state)

    def plan(self, desired: Desired, state: State) -> list[Change]:
        """Return the steps to the desired attachment."""
        return plan.plan(desired, state)

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Carry out the plan whole, or restore what was."""
        with lock.alone(host, path=lock.ATTACHING):
            self._apply(host, changes)

    def _apply(self, host: Host, changes: Sequence[Change]) -> None:
        desired = self._desired
        state = self.read(host)
        if not desired.present:
            detach(host, state.in_force(desired), state)
            return
        undo = Undo()
        with ExitStack() as held:
            try:
                self._attach_or_adjust(host, state, changes, undo, held)
            except (CoreError, OSError) as error:
                left = undo.run()
                outcome = "what was before is back" if not left else "not restored: " + "; ".join(left)
                more = error.facts if isinstance(error, CoreError) else {}
                raise ApplyFailed(f"{desired.interface}: {error}; {outcome}", **more) from error
            except BaseException:
                undo.run()
                raise
        undo.accept()
        clear_pins(desired, state)

    def _attach_or_adjust(
        self, host: Host, state: State, changes: Sequence[Change], undo: Undo, held: ExitStack
    ) -> None:
        desired, saved_policy = self._desired, None
        if touches_traffic(changes):
            saved_policy = self._saved_policy(host, state)
            policy = saved_policy.requested if saved_policy else None
            attached = attach(desired, state, undo, held, policy)
            state = replace(state, permissions=_permissions(desired, read_pins(desired.pins)[0]))
        else:
            if state.ours is None:
                raise AssertionError("no attachment is planned, so there has to be one")
            attached = Attached(state.ours.program)
        for path, (group, mode) in desired_permissions(desired, state).items():
            os.chown(path, 0, group)
            os.chmod(path, mode)
        _write_state_file(host, desired, state, attached.program)
        if saved_policy and attached.assignment:
            saved_policy.store(host, attached.assignment)
        policy_takeover.clear(host, desired)

    def _saved_policy(self, host: Host, state: State) -> Saved | None:
        """Return what the program is to judge by; None where it takes no policy."""
        if state.source is None or not state.source.takes_policy:
            return None
        return Saved(self._policy) if self._policy else policy_takeover.saved(host, self._desired, state.maps)


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring a program to an interface as a state file's body requests; ``only`` names the interfaces concerned.

    Hardware that is absent now is left out. The guard's bodies request an attachment as it was saved.

    Raises:
        Impossible: The NIC goes by another name now, which its pins and policy do not.
        CoreError: As ``converge`` does.
    """
    name = body["interface"]
    if only is not None and name not in only:
        return Outcome([], None, checked=check)
    if "kept" in body:
        return saved.restore(body, host, check)
    table = netlink.links()
    link = _find(body, table)
    if link is None:
        _log.info("%s is absent: its XDP program is left out", name)
        return Outcome([], None, checked=check, absent=True)
    if link.name != name:
        raise Impossible(
            f"the NIC at {body['bus_address']}, {name} when its XDP program was requested, is now {link.name}: run the "
            f"playbook with that name, or let systemd.link(5) keep the old one"
        )
    desired = _requested(body)
    return converge(XdpProgram(desired), desired, host, check)


def reload(host: Host, policy: Requested) -> None:
    """Load an interface's program anew, and the policy with it, as the one that runs has no room for that.

    Raises:
        Impossible: It is not known which object runs.
        CoreError: As ``XdpProgram`` does; the program that ran goes on by its policy.
    """
    interface, directory = policy.assignment.interface, policy.assignment.state_directory
    state_file = state_store.load(host, request.state_file(interface), directory)
    if state_file is None or state_file.kind != KIND:
        raise Impossible(
            f"{interface}: the policy has outgrown the program that runs, and no state file in {directory} says which "
            "object to load anew: attach it by xdp_program again"
        )
    desired = _requested(state_file.body)
    resource = XdpProgram(desired, policy)
    resource.validate(desired, resource.read(host))
    resource.apply(host, [Change((interface, "program"), "room for a smaller policy", "room for this policy")])


def _requested(body: Mapping[str, Any]) -> Desired:
    return Desired(
        interface=body["interface"],
        object=body["object"],
        sha256=body["sha256"],
        program=body["program"],
        mode=body["mode"],
        pin_root=body["pin_root"],
        pin_group=body["pin_group"],
        state_directory=body["state_dir"],
        extensions={slot: Extension(**one) for slot, one in body.get(EXTENSIONS, {}).items()},
    )


def _find(body: Mapping[str, Any], table: Sequence[Link]) -> Link | None:
    """Return the link that a state file means: hardware by its place, as names change with drivers."""
    if body["bus_address"] is None:
        return next((one for one in table if one.name == body["interface"]), None)
    there = [one for one in table if (one.bus, one.bus_address) == (body["bus"], body["bus_address"])]
    # A NIC with several ports can have all of them at one address.
    return next((one for one in there if (one.permanent_mac or one.mac) == body["mac"]), there[0] if there else None)


def _obstacles(host: Host, desired: Desired) -> list[str]:
    pin_root, reasons = desired.pin_root, []
    groups = {os.getegid(), *os.getgroups()}
    lacking = missing(host, CAPABILITIES if desired.pin_group not in groups else CAPABILITIES[:-1])
    if lacking:
        # The kernel would take some steps, and refuse the one that proves them.
        reasons.append(f"this process lacks {', '.join(lacking)}: run as {CAPABILITIES_WORDS}")
    library = libbpf.missing_library()
    if library:
        reasons.append(library)
    release = platform.release()
    if kernel_version(release) < _OLDEST_KERNEL:
        oldest = ".".join(map(str, _OLDEST_KERNEL))
        reasons.append(f"kernel {release} is older than {oldest}, the first to replace XDP programs safely: upgrade it")
    point, kind = mount_over(host, pin_root)
    if kind == "bpf" and point == pin_root:
        # Its owner and mode are set too, and what is pinned there by others stands beside our directories.
        reasons.append(
            f"{pin_root} is the BPF file system itself: name a directory below it, such as {pin_root}/tripod"
        )
    if kind != "bpf":
        reasons.append(
            f"{pin_root} is not on a BPF file system: mount one first, 'mount -t bpf bpf /sys/fs/bpf' "
            "('ip netns exec' hides it: enter a namespace with 'nsenter --net=' instead)"
        )
    return reasons


def _read_state_file(host: Host, desired: Desired) -> Mapping[str, Any] | None:
    state_file = state_store.load(host, desired.state_file, desired.state_directory)
    if state_file and state_file.kind == KIND:
        return state_file.body
    # One that is damaged differs from every other, so that it is written anew.
    return {} if host.exists(desired.state_files[0]) else None


def _read_source(host: Host, path: str) -> Source:
    try:
        content = host.path(path).read_bytes()
    except OSError as error:
        return Source(error=f"object {path} cannot be read: {error.strerror}; build and copy it there first")
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        with BpfObject(content, path) as opened:
            return Source(
                sha256,
                opened.xdp_programs(),
                opened.maps(),
                content,
                fragments=opened.takes_fragments(),
                own_maps=opened.own_maps(),
                takes_policy=takes_policy(opened),
            )
    except Invalid as error:
        return Source(sha256, error=f"{error}; {len(content)} bytes, SHA-256 {sha256}: copy it again or rebuild it")


def _maps(found: Identity, state_file: Mapping[str, Any] | None, names: Collection[str]) -> dict[str, Map]:
    """Return our maps by name: those that are in force, before those that a pin only claims to be.

    Args:
        found: What runs and what is pinned.
        state_file: Says which program was loaded last.
        names: Of the object's maps; the kernel cuts them.
    """
    pinned = found.pinned_maps
    program = found.ours.program if found.ours else found.pinned_program
    loaded = ((state_file or {}).get("loaded") or {}).get("id")
    if program is None or not (found.ours or program.id == loaded):
        return pinned  # the pinned program is not the one that was loaded last
    used = {one.id: one for one in maps_of(program)}
    right = {name: one for name, one in pinned.items() if one.id in used and may_mean(name, used[one.id])}
    left = [one for one in used.values() if one.id not in {held.id for held in right.values()}]
    claimed = {}
    for name in {**pinned, **dict.fromkeys(names)}:
        one = next((one for one in left if may_mean(name, one)), None)
        if name not in right and one:
            claimed[name] = one
            left.remove(one)
    return {**pinned, **claimed, **{one.name: one for one in left}}


def _place(host: Host, desired: Desired, state_file: Mapping[str, Any] | None) -> tuple[Desired, str | None]:
    """Return the request with the place of the pins that it is about, and a second directory of pins if there is one.

    What is detached is where the state file says that it was attached.
    """
    saved = (state_file or {}).get("pin_root", desired.pin_root)
    if saved == desired.pin_root:
        return desired, None
    there = replace(desired, pin_root=saved)
    pinned = [one for one in (there, desired) if on_bpffs(host, one.pin_root) and os.path.isdir(one.pins)]
    if desired.present:
        return desired, there.pins if there in pinned else None
    return there, desired.pins if desired in pinned else None


def _permissions(desired: Desired, pins: Collection[str]) -> dict[str, tuple[int, int]]:
    found = {}
    paths = [desired.pin_root, desired.pins, f"{desired.pins}/maps", *(f"{desired.pins}/{name}" for name in pins)]
    for path in paths:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue
        found[path] = (status.st_gid, status.st_mode & 0o7777)
    return found


def _read_device(host: Host, link: Link, table: Sequence[Link]) -> Device:
    settings = read_settings(link.name)
    channels = {kind: count.current for kind, count in (settings.channels or {}).items()}
    on = {name for name, feature in settings.features.items() if feature.active}
    features, around = netlink.xdp_features(link.index), Around.read(host, link.name)
    return Device.of(link, settings, features, link.mtu, channels, on.__contains__, table, around)


def _write_state_file(host: Host, desired: Desired, state: State, program: Program) -> None:
    known = {"id": program.id, "tag": program.tag, **extensions.loaded(desired, state, program)}
    body = {**state_file_body(desired, state), "loaded": known}
    state_store.store(host, state_store.StateFile(desired.state_file, KIND, body), desired.state_directory)
