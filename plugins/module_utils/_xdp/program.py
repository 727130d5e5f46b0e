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

from .._core import state_store
from .._core.converge import ApplyFailed, Change, CoreError, Impossible, Invalid, Outcome, converge
from .._core.system import Host
from .._core.versions import kernel_version
from .._linux import bpf, libbpf, netlink
from .._linux.bpf import Map, Program, XdpLink
from .._linux.bpf_object import BpfObject
from .._linux.ethtool import read_settings
from .._linux.netlink import Link
from . import limits, plan, saved
from .attach import Undo, attach, detach, remove_stale_maps
from .drivers import Device
from .plan import desired_permissions, state_file_body, touches_traffic
from .request import KIND, Desired
from .state import Attachment, Source, State

__all__ = ["KIND", "XdpProgram", "reapply"]

_OLDEST_KERNEL = (5, 7)  # IFLA_XDP_EXPECTED_FD: before it nothing can be replaced without a race

_log = logging.getLogger(__name__)


class XdpProgram:
    """The resource for ``converge``.

    Args:
        desired: What is requested; reading needs the names and paths in it.
    """

    def __init__(self, desired: Desired) -> None:
        self._desired = desired

    def read(self, host: Host) -> State:
        """Read interface, pins, state file and object file."""
        try:
            return self._read(host)
        except OSError as error:
            raise Impossible(
                f"{self._desired.interface}: its XDP state cannot be read: {error}; run as root"
            ) from error

    def _read(self, host: Host) -> State:
        desired = self._desired
        link = netlink.link(desired.interface)
        interfaces = {one.index: one.name for one in netlink.links()}
        obstacles = _obstacles(host, desired.pin_root)
        state_file, policy = _read_state_file(host, desired), host.exists(desired.state_files[1])
        if libbpf.missing_library():
            return State(link, interfaces, state_file=state_file, policy=policy, obstacles=obstacles)
        pinned_link, pinned_program, maps = _read_pins(desired.pins)
        attachments = _attachments(link, pinned_link, pinned_program)
        return State(
            link=link,
            interfaces=interfaces,
            attachments=attachments,
            pinned_link=pinned_link,
            maps={**_maps_in_use(attachments), **maps},
            permissions=_permissions(desired),
            state_file=state_file,
            policy=policy,
            source=_read_source(host, desired.object) if desired.present else None,
            device=_read_device(link) if link else Device(desired.interface),
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
        desired = self._desired
        state = self.read(host)
        if not desired.present:
            detach(host, desired, state)
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
        remove_stale_maps(desired, state)

    def _attach_or_adjust(
        self, host: Host, state: State, changes: Sequence[Change], undo: Undo, held: ExitStack
    ) -> None:
        desired = self._desired
        if touches_traffic(changes):
            program = attach(desired, state, undo, held)
            state = replace(state, permissions=_permissions(desired))
        else:
            if state.ours is None:
                raise AssertionError("no attachment is planned, so there has to be one")
            program = state.ours.program
        for path, (group, mode) in desired_permissions(desired, state).items():
            os.chown(path, 0, group)
            os.chmod(path, mode)
        _write_state_file(host, desired, state, program)


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
        return Outcome([], None, checked=check)
    if link.name != name:
        raise Impossible(
            f"the NIC at {body['bus_address']}, {name} when its XDP program was requested, is now {link.name}: run the "
            f"playbook with that name, or let systemd.link(5) keep the old one"
        )
    desired = Desired(
        interface=name,
        object=body["object"],
        sha256=body["sha256"],
        program=body["program"],
        mode=body["mode"],
        pin_root=body["pin_root"],
        pin_group=body["pin_group"],
        state_directory=body["state_dir"],
    )
    return converge(XdpProgram(desired), desired, host, check)


def _find(body: Mapping[str, Any], table: Sequence[Link]) -> Link | None:
    """Return the link that a state file means: hardware by its place, as names change with drivers."""
    if body["bus_address"] is None:
        return next((one for one in table if one.name == body["interface"]), None)
    there = [one for one in table if (one.bus, one.bus_address) == (body["bus"], body["bus_address"])]
    # A NIC with several ports can have all of them at one address.
    return next((one for one in there if (one.permanent_mac or one.mac) == body["mac"]), there[0] if there else None)


def _obstacles(host: Host, pin_root: str) -> list[str]:
    reasons = []
    library = libbpf.missing_library()
    if library:
        reasons.append(library)
    release = platform.release()
    if kernel_version(release) < _OLDEST_KERNEL:
        oldest = ".".join(map(str, _OLDEST_KERNEL))
        reasons.append(f"kernel {release} is older than {oldest}, the first to replace XDP programs safely: upgrade it")
    if not _on_bpffs(host, pin_root):
        reasons.append(
            f"{pin_root} is not on a BPF file system: mount one first, 'mount -t bpf bpf /sys/fs/bpf' "
            "('ip netns exec' hides it: enter a namespace with 'nsenter --net=' instead)"
        )
    return reasons


def _on_bpffs(host: Host, path: str) -> bool:
    best = ("", "")
    for line in (host.read("/proc/self/mountinfo") or "").splitlines():
        fields = line.split()
        point, kind = fields[4], fields[fields.index("-") + 1]
        # The last of equal mount points is on top.
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1] == "bpf"


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
            return Source(sha256, opened.xdp_programs(), opened.maps(), content)
    except Invalid as error:
        return Source(sha256, error=f"{error}; {len(content)} bytes, SHA-256 {sha256}: copy it again or rebuild it")


def _read_pins(directory: str) -> tuple[XdpLink | None, Program | None, dict[str, Map]]:
    link = program = None
    maps = {}
    if os.path.exists(f"{directory}/link"):
        with bpf.pinned(f"{directory}/link") as descriptor:
            link = bpf.xdp_link_info(descriptor)
    if os.path.exists(f"{directory}/prog"):
        with bpf.pinned(f"{directory}/prog") as descriptor:
            program = bpf.program_info(descriptor)
    if os.path.isdir(f"{directory}/maps"):
        for name in os.listdir(f"{directory}/maps"):
            if not name.endswith("~"):
                with bpf.pinned(f"{directory}/maps/{name}") as descriptor:
                    maps[name] = bpf.map_info(descriptor)
    return link, program, maps


def _attachments(link: Link | None, pinned_link: XdpLink | None, pinned: Program | None) -> list[Attachment]:
    if link is None or link.xdp.mode is None:
        return []
    holders = {one.program_id: one.id for one in bpf.xdp_links() if one.index == link.index}
    found = []
    for mode, number in link.xdp.programs.items():
        with bpf.program_by_id(number) as descriptor:
            program = bpf.program_info(descriptor)
        holder = holders.get(number)
        if holder is None:
            ours = pinned is not None and pinned.id == number
        else:
            ours = pinned_link is not None and pinned_link.id == holder
        found.append(Attachment(mode, program, holder, ours))
    return found


def _maps_in_use(attachments: Sequence[Attachment]) -> dict[str, Map]:
    found = {}
    for one in attachments:
        for number in one.program.map_ids if one.ours else ():
            with bpf.map_by_id(number) as descriptor:
                used = bpf.map_info(descriptor)
            if "." not in used.name:  # .rodata and its like belong to one program
                found[used.name] = used
    return found


def _permissions(desired: Desired) -> dict[str, tuple[int, int]]:
    found = {}
    paths = [desired.pin_root, desired.pins, *(f"{desired.pins}/{name}" for name in ("link", "prog", "maps"))]
    if os.path.isdir(f"{desired.pins}/maps"):
        paths += [f"{desired.pins}/maps/{name}" for name in os.listdir(f"{desired.pins}/maps")]
    for path in paths:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue
        found[path] = (status.st_gid, status.st_mode & 0o7777)
    return found


def _read_device(link: Link) -> Device:
    settings = read_settings(link.name)
    channels = {kind: count.current for kind, count in (settings.channels or {}).items()}
    on = {name for name, feature in settings.features.items() if feature.active}
    return Device.of(link, settings, netlink.xdp_features(link.index), link.mtu, channels, on.__contains__)


def _write_state_file(host: Host, desired: Desired, state: State, program: Program) -> None:
    body = {**state_file_body(desired, state), "loaded": {"id": program.id, "tag": program.tag}}
    state_store.store(host, state_store.StateFile(desired.state_file, KIND, body), desired.state_directory)
