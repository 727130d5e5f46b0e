# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""An XDP program on an interface: attached by a pinned bpf_link, replaced without a gap, its maps kept."""

from __future__ import annotations

import array
import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from . import _bpf, _netlink
from ._bpf import Map, MapLayout, Program, XdpLink
from ._core import ApplyFailed, Change, CoreError, Findings, Impossible, Invalid, Refused
from ._host import Host
from ._netlink import Link, NetlinkError

PIN_ROOT = "/sys/fs/bpf/tripod"
STATE_DIRECTORY = "/etc/tripod/host.d"
MODES = ("native", "generic", "offload")
_OLDEST_KERNEL = (5, 7)  # IFLA_XDP_EXPECTED_FD: before it nothing can be replaced without a race
_LINK_KERNEL = (5, 9)  # bpf_link for XDP
# Without xdp.frags a frame must fit one page beside its headroom, Ethernet header and skb_shared_info.
_HEADROOM_AND_TAIL = 256 + 14 + 320
_BUSY_ATTEMPTS, _BUSY_SECONDS = 6, 0.05  # a link's end of life reaches the interface a little after its descriptor's
_DIRECTORY_MODE, _MAP_MODE, _OBJECT_MODE = 0o750, 0o660, 0o640
_SHA256 = re.compile(r"[0-9a-f]{64}")


def pin_directory(pin_root: str, interface: str) -> str:
    """Return where an interface's pins are; a BPF file system takes no dot in a name, and an interface no colon."""
    return f"{pin_root}/{interface.replace('.', ':')}"


@dataclass(frozen=True)
class Wanted:
    """What is asked of an interface.

    Attributes:
        present: Whether the program is to be attached.
        object: Path of the BPF ELF object.
        sha256: What its digest must be; None accepts any.
        program: Name of the program; None where the object has one XDP program only.
        pin_group: Group id that may read the pins and write the maps.
        recreate_maps: Whether maps of another layout are made anew, losing their entries.
        replace_foreign: Whether another owner's program is detached.
    """

    interface: str
    present: bool = True
    object: str = ""
    sha256: str | None = None
    program: str | None = None
    mode: str = "native"
    pin_root: str = PIN_ROOT
    pin_group: int = 0
    recreate_maps: bool = False
    replace_foreign: bool = False
    state_directory: str = STATE_DIRECTORY

    @property
    def pins(self) -> str:
        """Directory of this interface's pins."""
        return pin_directory(self.pin_root, self.interface)

    @property
    def document(self) -> str:
        """Path of the state document."""
        return f"{self.state_directory}/xdp-{self.interface}.json"


@dataclass(frozen=True)
class Source:
    """The object file as libbpf reads it.

    Attributes:
        error: Why it cannot be used; the rest is empty then.
    """

    sha256: str = ""
    programs: Sequence[str] = ()
    maps: Mapping[str, MapLayout] = field(default_factory=dict)
    content: bytes = b""
    error: str | None = None


@dataclass(frozen=True)
class Attachment:
    """A program on the interface.

    Attributes:
        link_id: The bpf_link that holds it; None where it was attached by netlink.
        ours: Whether our pins hold it.
    """

    mode: str
    program: Program
    link_id: int | None = None
    ours: bool = False

    def __str__(self) -> str:
        holder = "netlink" if self.link_id is None else f"bpf_link {self.link_id}"
        return f"{self.program.name} (id {self.program.id}, {self.mode}, by {holder})"


@dataclass(frozen=True)
class State:
    """An interface, our pins and the object file as they are.

    Attributes:
        link: The interface; None where there is none of that name.
        interfaces: Names of all interfaces, by index.
        attachments: Programs on it, ours and others'.
        pinned_link: The bpf_link under our pin.
        maps: Our maps by name: pinned, or in use by our program though their pin is gone.
        permissions: Group id and mode of every pin and directory, by path.
        document: The state document.
        source: The object file; None where none is asked for.
        features: What the driver says of XDP; None where the kernel cannot tell.
        lro: Whether large receive offload is on.
        obstacles: What keeps this host from XDP at all, each with its remedy.
    """

    link: Link | None
    interfaces: Mapping[int, str] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    pinned_link: XdpLink | None = None
    maps: Mapping[str, Map] = field(default_factory=dict)
    permissions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    document: Mapping[str, Any] | None = None
    source: Source | None = None
    features: set[str] | None = None
    lro: bool = False
    obstacles: Sequence[str] = ()

    @property
    def ours(self) -> Attachment | None:
        """Our attachment."""
        return next((one for one in self.attachments if one.ours), None)

    @property
    def foreign(self) -> list[Attachment]:
        """Attachments of others."""
        return [one for one in self.attachments if not one.ours]

    @property
    def loaded_sha256(self) -> str | None:
        """Digest of the object behind our attachment; None where the document does not speak of that program."""
        if self.document is None or self.ours is None:
            return None
        loaded = self.document.get("loaded") or {}
        return self.document.get("sha256") if loaded.get("id") == self.ours.program.id else None


class XdpProgram:
    """The subject for ``converge``.

    Args:
        wanted: What is asked; reading needs the names and paths in it.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def read(self, host: Host) -> State:
        """Read interface, pins, document and object file."""
        try:
            return self._read(host)
        except OSError as error:
            raise Impossible(f"{self._wanted.interface}: its XDP state cannot be read: {error}; run as root") from error

    def _read(self, host: Host) -> State:
        wanted = self._wanted
        link = _netlink.link(wanted.interface)
        interfaces = {one.index: one.name for one in _netlink.links()}
        obstacles = _obstacles(host, wanted.pin_root)
        document = _read_document(host, wanted.document)
        if _bpf.missing_library():
            return State(link, interfaces, document=document, obstacles=obstacles)
        pinned_link, pinned_program, maps = _read_pins(wanted.pins)
        attachments = _attachments(link, pinned_link, pinned_program)
        return State(
            link=link,
            interfaces=interfaces,
            attachments=attachments,
            pinned_link=pinned_link,
            maps={**_maps_in_use(attachments), **maps},
            permissions=_permissions(wanted),
            document=document,
            source=_read_source(host, wanted.object) if wanted.present else None,
            features=_netlink.xdp_features(link.index) if link else None,
            lro=bool(link) and _lro(wanted.interface),
            obstacles=obstacles,
        )

    def validate(self, desired: Wanted, state: State) -> None:
        """Raise with every reason at once, each with its remedy."""
        headline = f"{desired.interface}: nothing was changed"
        if not desired.present:
            if (state.link and state.link.xdp.mode) or state.document:
                Findings(list(state.obstacles)).raise_if_any(Impossible, headline)
            return
        faults = _faults(desired, state)
        limits = [*state.obstacles, *_limits(desired, state)]
        refusals = _foreign_holds(desired, state)
        if not faults and not limits and not desired.recreate_maps and _reloads(desired, state):
            refusals += _lost_maps(desired, state)
        kind = Invalid if faults else Impossible if limits else Refused
        Findings([*faults, *limits, *refusals]).raise_if_any(kind, headline)

    def plan(self, desired: Wanted, state: State) -> list[Change]:
        """Return the steps to the wanted attachment."""
        return _plan_attach(desired, state) if desired.present else _plan_detach(desired, state)

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Carry out the plan whole, or put back what was."""
        wanted = self._wanted
        state = self.read(host)
        if not wanted.present:
            _detach(host, wanted, state)
            return
        undo = _Undo()
        with ExitStack() as held:
            try:
                self._attach_or_adjust(host, state, changes, undo, held)
            except (CoreError, OSError) as error:
                left = undo.run()
                outcome = "what was before is back" if not left else "not put back: " + "; ".join(left)
                more = error.facts if isinstance(error, CoreError) else {}
                raise ApplyFailed(f"{wanted.interface}: {error}; {outcome}", **more) from error
            except BaseException:
                undo.run()
                raise
        undo.forget()
        _remove_stale_maps(wanted, state)

    def _attach_or_adjust(
        self, host: Host, state: State, changes: Sequence[Change], undo: _Undo, held: ExitStack
    ) -> None:
        wanted = self._wanted
        if any(change.path[1] not in ("permissions", "document") for change in changes):
            program = _attach(wanted, state, undo, held)
            state = replace(state, permissions=_permissions(wanted))
        else:
            if state.ours is None:
                raise AssertionError("no attachment is planned, so there has to be one")
            program = state.ours.program
        for path, (group, mode) in _wanted_permissions(wanted, state).items():
            os.chown(path, 0, group)
            os.chmod(path, mode)
        _write_document(host, wanted, state, program)


def facts(state: State) -> dict[str, Any]:
    """Return what a module tells of our attachment; empty values where there is none."""
    ours = state.ours
    if ours is None:
        return {"mode": None, "program": None, "maps": [], "sha256": None}
    return {
        "mode": ours.mode,
        "program": {"id": ours.program.id, "name": ours.program.name, "tag": ours.program.tag},
        "maps": [
            {
                "name": name,
                "id": one.id,
                "type": one.layout.type,
                "key_size": one.layout.key_size,
                "value_size": one.layout.value_size,
                "max_entries": one.layout.max_entries,
            }
            for name, one in sorted(state.maps.items())
        ],
        "sha256": state.loaded_sha256,
    }


def _obstacles(host: Host, pin_root: str) -> list[str]:
    reasons = []
    library = _bpf.missing_library()
    if library:
        reasons.append(library)
    release = platform.release()
    if _kernel_version(release) < _OLDEST_KERNEL:
        oldest = ".".join(map(str, _OLDEST_KERNEL))
        reasons.append(f"kernel {release} is older than {oldest}, the first to replace XDP programs safely: upgrade it")
    if not _on_bpffs(host, pin_root):
        reasons.append(
            f"{pin_root} is not on a BPF file system: mount one first, 'mount -t bpf bpf /sys/fs/bpf' "
            "('ip netns exec' hides it: enter a namespace with 'nsenter --net=' instead)"
        )
    return reasons


def _kernel_version(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release)[:2])


def _on_bpffs(host: Host, path: str) -> bool:
    best = ("", "")
    for line in (host.read("/proc/self/mountinfo") or "").splitlines():
        fields = line.split()
        point, kind = fields[4], fields[fields.index("-") + 1]
        # The last of equal mount points is on top.
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1] == "bpf"


def _read_document(host: Host, path: str) -> Mapping[str, Any] | None:
    text = host.read(path)
    if text is None:
        return None
    try:
        document = json.loads(text)
    except ValueError:
        return {}  # is written anew, as it differs from every document
    return document if isinstance(document, dict) else {}


def _read_source(host: Host, path: str) -> Source:
    try:
        content = host.path(path).read_bytes()
    except OSError as error:
        return Source(error=f"object {path} cannot be read: {error.strerror}; build and copy it there first")
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        with _bpf.Object(content, path) as opened:
            return Source(sha256, opened.xdp_programs(), opened.maps(), content)
    except Invalid as error:
        return Source(sha256, error=f"{error}; {len(content)} bytes, SHA-256 {sha256}: copy it again or rebuild it")


def _read_pins(directory: str) -> tuple[XdpLink | None, Program | None, dict[str, Map]]:
    link = program = None
    maps = {}
    if os.path.exists(f"{directory}/link"):
        with _bpf.pinned(f"{directory}/link") as descriptor:
            link = _bpf.xdp_link_info(descriptor)
    if os.path.exists(f"{directory}/prog"):
        with _bpf.pinned(f"{directory}/prog") as descriptor:
            program = _bpf.program_info(descriptor)
    if os.path.isdir(f"{directory}/maps"):
        for name in os.listdir(f"{directory}/maps"):
            if not name.endswith("~"):
                with _bpf.pinned(f"{directory}/maps/{name}") as descriptor:
                    maps[name] = _bpf.map_info(descriptor)
    return link, program, maps


def _attachments(link: Link | None, pinned_link: XdpLink | None, pinned: Program | None) -> list[Attachment]:
    if link is None or link.xdp.mode is None:
        return []
    holders = {one.program_id: one.id for one in _bpf.xdp_links() if one.index == link.index}
    found = []
    for mode, number in link.xdp.programs.items():
        with _bpf.program_by_id(number) as descriptor:
            program = _bpf.program_info(descriptor)
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
            with _bpf.map_by_id(number) as descriptor:
                used = _bpf.map_info(descriptor)
            if "." not in used.name:  # .rodata and its like belong to one program
                found[used.name] = used
    return found


def _permissions(wanted: Wanted) -> dict[str, tuple[int, int]]:
    found = {}
    paths = [wanted.pin_root, wanted.pins, *(f"{wanted.pins}/{name}" for name in ("link", "prog", "maps"))]
    if os.path.isdir(f"{wanted.pins}/maps"):
        paths += [f"{wanted.pins}/maps/{name}" for name in os.listdir(f"{wanted.pins}/maps")]
    for path in paths:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue
        found[path] = (status.st_gid, status.st_mode & 0o7777)
    return found


def _lro(interface: str) -> bool:
    get_flags, lro_flag, ethtool_ioctl = 0x25, 1 << 15, 0x8946
    answer = array.array("I", [get_flags, 0])
    request = struct.pack("16sP16x", interface.encode(), answer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        try:
            fcntl.ioctl(query, ethtool_ioctl, request)
        except OSError:
            return False  # a driver without ethtool has no LRO
    return bool(answer[1] & lro_flag)


def _faults(desired: Wanted, state: State) -> list[str]:
    """Return what is wrong with the request itself."""
    faults = []
    source = state.source or Source()
    if state.link is None:
        known = ", ".join(state.interfaces.values()) or "none"
        faults.append(f"interface {desired.interface} does not exist; there are {known}")
    if desired.sha256 is not None and not _SHA256.fullmatch(desired.sha256):
        faults.append(f"sha256 {desired.sha256!r} is not 64 lower-case hexadecimal digits")
    elif desired.sha256 is not None and source.sha256 and desired.sha256 != source.sha256:
        faults.append(
            f"object {desired.object} has SHA-256 {source.sha256}, {desired.sha256} is expected: "
            "copy the right object, or correct sha256"
        )
    if source.error:
        faults.append(source.error)
    elif state.source and desired.program is None and len(source.programs) != 1:
        faults.append(f"object {desired.object} holds {_listing(source.programs)}: name one with 'program'")
    elif state.source and desired.program is not None and desired.program not in source.programs:
        held = _listing(source.programs)
        faults.append(f"object {desired.object} has no XDP program {desired.program}; it holds {held}")
    return faults


def _listing(programs: Sequence[str]) -> str:
    return "no XDP program" if not programs else "the XDP programs " + ", ".join(programs)


def _limits(desired: Wanted, state: State) -> list[str]:
    """Return what keeps the interface from XDP in the wanted mode, each with its remedy."""
    link = state.link
    if link is None:
        return []
    limits = []
    if desired.mode == "native" and state.features is not None and "basic" not in state.features:
        if link.kind == "veth":
            limits.append(
                f"a veth runs native XDP only with at least as many receive queues ({link.rx_queues}) as its peer has "
                "transmit queues: give both ends the same number"
            )
        else:
            limits.append("the driver has no native XDP: choose mode generic, which is slower, or another NIC")
    if desired.mode == "offload" and state.features is not None and "hw-offload" not in state.features:
        limits.append("the NIC cannot run XDP programs itself: choose mode native or generic")
    most = os.sysconf("SC_PAGE_SIZE") - _HEADROOM_AND_TAIL
    if desired.mode == "native" and link.mtu > most:
        limits.append(f"MTU {link.mtu} > {most}, the most that fits a page: 'ip link set {link.name} mtu {most}'")
    if desired.mode == "native" and state.lro:
        limits.append(f"large receive offload is on, XDP cannot see merged packets: 'ethtool -K {link.name} lro off'")
    return limits


def _lost_maps(desired: Wanted, state: State) -> list[str]:
    """Return the pinned maps whose entries the new object would lose."""
    source = state.source or Source()
    lost = []
    for name, asked in source.maps.items():
        if name not in state.maps or _fits(state.maps[name].layout, asked):
            continue
        pinned = state.maps[name].layout
        differences = ", ".join(
            f"{attribute} {getattr(pinned, attribute)} -> {getattr(asked, attribute)}"
            for attribute in ("type", "key_size", "value_size", "max_entries", "flags")
            if getattr(pinned, attribute) != getattr(asked, attribute)
        )
        lost.append(
            f"map {name} does not fit the pinned one ({differences}), whose entries would be lost: "
            "save them and set 'incompatible_maps: recreate', or keep the layout"
        )
    return lost


def _fits(pinned: MapLayout, asked: MapLayout) -> bool:
    # Entries asked as 0 are counted by libbpf when it loads (per CPU, per page).
    return pinned == (replace(asked, max_entries=pinned.max_entries) if asked.max_entries == 0 else asked)


def _foreign_holds(desired: Wanted, state: State) -> list[str]:
    """Return what is not ours and in the way."""
    link, held = state.link, state.pinned_link
    if link is None:
        return []
    holds = []
    if held and held.index not in (0, link.index) and held.index in state.interfaces:
        holds.append(
            f"the pins in {desired.pins} hold interface {state.interfaces[held.index]} (renamed?): "
            f"remove {desired.pins} first, which detaches it there"
        )
    for one in () if desired.replace_foreign else state.foreign:
        if one.program.name == "xdp_dispatcher":
            way = f"'xdp-loader unload {link.name} --all'"
        elif one.link_id is not None:
            way = f"its owner's tool, or 'bpftool link detach id {one.link_id}'"
        else:
            way = f"'ip link set dev {link.name} {_IP_WORDS[one.mode]} off'"
        holds.append(f"{one} is attached and not ours: detach it with {way}, or set 'replace_foreign: true'")
    return holds


_IP_WORDS = {"native": "xdpdrv", "generic": "xdpgeneric", "offload": "xdpoffload"}


def _program_name(desired: Wanted, state: State) -> str:
    return desired.program or (state.source or Source()).programs[0]


def _reloads(desired: Wanted, state: State) -> bool:
    return any(change.path[1] not in ("permissions", "document") for change in _plan_attach(desired, state))


def _plan_attach(desired: Wanted, state: State) -> list[Change]:
    name = desired.interface
    ours, source, link = state.ours, state.source or Source(), state.link
    hardware = link is not None and link.kind is None and desired.mode != "generic"
    changes = [Change((name, "foreign", one.mode), str(one), None, disrupts=True) for one in state.foreign]
    if ours is None:
        changes.append(Change((name, "mode"), None, desired.mode, disrupts=hardware))
    elif ours.mode != desired.mode:
        changes.append(Change((name, "mode"), ours.mode, desired.mode, disrupts=True))
    if ours is None or state.loaded_sha256 != source.sha256:
        before = None if ours is None else state.loaded_sha256 or f"unknown, program tag {ours.program.tag}"
        changes.append(Change((name, "object"), before, source.sha256))
    program = _program_name(desired, state)
    if ours is None or ours.program.name != program[: _bpf.NAME_LIMIT]:
        changes.append(Change((name, "program"), ours.program.name if ours else None, program))
    if ours and f"{desired.pins}/prog" not in state.permissions:
        changes.append(Change((name, "pins", "prog"), None, "pinned"))
    changes += _plan_maps(desired, state, reloads=bool(changes))
    if not changes:
        changes += _plan_permissions(desired, state)
        held = {key: value for key, value in (state.document or {}).items() if key != "loaded"}
        asked = _request(desired, state)
        if held != asked:
            changes.append(Change((name, "document"), held or None, asked))
    return changes


def _plan_maps(desired: Wanted, state: State, reloads: bool) -> list[Change]:
    name = desired.interface
    source = state.source or Source()
    changes = []
    for one, layout in source.maps.items():
        if one not in state.maps:
            changes.append(Change((name, "maps", one), None, _show_layout(layout)))
        elif reloads and not _fits(state.maps[one].layout, layout):
            changes.append(Change((name, "maps", one), _show_layout(state.maps[one].layout), _show_layout(layout)))
        elif f"{desired.pins}/maps/{one}" not in state.permissions:
            changes.append(Change((name, "pins", f"maps/{one}"), None, "pinned"))
    for path in _stale_maps(desired, state):
        changes.append(Change((name, "maps", os.path.basename(path)), "pinned", None))
    return changes


def _plan_permissions(desired: Wanted, state: State) -> list[Change]:
    return [
        Change(
            (desired.interface, "permissions", path),
            _show_permission(state.permissions.get(path)),
            _show_permission(one),
        )
        for path, one in _wanted_permissions(desired, state).items()
        if state.permissions.get(path) != one
    ]


def _plan_detach(desired: Wanted, state: State) -> list[Change]:
    name = desired.interface
    changes = []
    if state.ours:
        hardware = state.link is not None and state.link.kind is None and state.ours.mode != "generic"
        changes.append(Change((name, "program"), str(state.ours), None, disrupts=hardware))
    if desired.pins in state.permissions:
        changes.append(Change((name, "pins"), desired.pins, None))
    if state.document is not None:
        changes.append(Change((name, "document"), desired.document, None))
    return changes


def _stale_maps(desired: Wanted, state: State) -> list[str]:
    kept = {f"{desired.pins}/maps/{name}" for name in (state.source or Source()).maps}
    return [path for path in state.permissions if path.startswith(f"{desired.pins}/maps/") and path not in kept]


def _wanted_permissions(desired: Wanted, state: State) -> dict[str, tuple[int, int]]:
    modes = {desired.pin_root: _DIRECTORY_MODE, desired.pins: _DIRECTORY_MODE, f"{desired.pins}/maps": _DIRECTORY_MODE}
    modes[f"{desired.pins}/prog"] = _OBJECT_MODE
    if f"{desired.pins}/link" in state.permissions:
        modes[f"{desired.pins}/link"] = _OBJECT_MODE
    for name in (state.source or Source()).maps:
        modes[f"{desired.pins}/maps/{name}"] = _MAP_MODE
    return {path: (desired.pin_group, mode) for path, mode in modes.items()}


def _show_permission(permission: tuple[int, int] | None) -> str | None:
    return permission and f"group {permission[0]}, mode {permission[1]:04o}"


def _show_layout(layout: MapLayout) -> str:
    return f"{layout.type}, key {layout.key_size} B, value {layout.value_size} B, {layout.max_entries} entries"


class _Undo:
    """What puts things back, last step first."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], None]]] = []
        self._finally: list[Callable[[], None]] = []

    def add(self, what: str, step: Callable[[], None]) -> None:
        """Note a step's opposite; ``what`` names it where it fails in turn."""
        self._steps.append((what, step))

    def on_success(self, step: Callable[[], None]) -> None:
        """Note what is cleared away once nothing will be put back."""
        self._finally.append(step)

    def run(self) -> list[str]:
        """Put everything back; return what could not be."""
        failed = []
        for what, step in reversed(self._steps):
            try:
                step()
            except OSError as error:
                failed.append(f"{what} ({error})")
        return failed

    def forget(self) -> None:
        """Keep what was done."""
        for step in self._finally:
            step()


def _attach(wanted: Wanted, state: State, undo: _Undo, held: ExitStack) -> Program:
    """Load the object and bring its program to the interface."""
    source, link, ours = state.source, state.link, state.ours
    if source is None or link is None:
        raise AssertionError("validate() lets no attachment through without an object and an interface")
    name = _program_name(wanted, state)
    opened = held.enter_context(_bpf.Object(source.content, wanted.object))
    reused = {
        one: held.enter_context(_bpf.map_by_id(state.maps[one].id))
        for one, layout in source.maps.items()
        if one in state.maps and _fits(state.maps[one].layout, layout)
    }
    opened.load(name, reused)
    program = opened.program(name)
    for directory in (wanted.pin_root, wanted.pins, f"{wanted.pins}/maps"):
        if not os.path.isdir(directory):
            with _step(f"make {directory}"):
                os.mkdir(directory, _DIRECTORY_MODE)
            undo.add(f"remove {directory}", _call(os.rmdir, directory))
    for one in source.maps:
        if one not in reused or f"{wanted.pins}/maps/{one}" not in state.permissions:
            _pin(opened.map(one), f"{wanted.pins}/maps/{one}", undo)

    if ours is None or ours.mode != wanted.mode or state.foreign:
        for attachment in state.attachments:
            _release(attachment, wanted, link, undo, held)
        if _kernel_version(platform.release()) >= _LINK_KERNEL:
            _attach_by_link(program, wanted, link, undo, held, patient=bool(state.attachments))
        else:
            _attach_by_netlink(program, wanted, link, None, undo)
    else:
        old = held.enter_context(_bpf.program_by_id(ours.program.id))
        if ours.link_id is None:
            _attach_by_netlink(program, wanted, link, old, undo)
        else:
            descriptor = held.enter_context(_bpf.pinned(f"{wanted.pins}/link"))
            with _step(f"replace {ours}"):
                _bpf.update_link(descriptor, program, old)
            undo.add(f"go back to {ours}", _call(_bpf.update_link, descriptor, old, program))
    _pin(program, f"{wanted.pins}/prog", undo)
    return _bpf.program_info(program)


def _attach_by_link(program: int, wanted: Wanted, link: Link, undo: _Undo, held: ExitStack, patient: bool) -> None:
    attempt = 0
    while True:
        try:
            descriptor = _bpf.create_xdp_link(program, link.index, wanted.mode)
            break
        except OSError as error:
            attempt += 1
            if not (patient and error.errno == errno.EBUSY and attempt < _BUSY_ATTEMPTS):
                words = _words(error, program, link, wanted.mode)
                raise ApplyFailed(f"attaching in {wanted.mode} mode was refused: {words}") from error
            time.sleep(_BUSY_SECONDS * attempt)
    held.callback(os.close, descriptor)
    undo.add("detach the new link", _call(_bpf.detach_link, descriptor))
    _pin(descriptor, f"{wanted.pins}/link", undo)


def _words(error: OSError, program: int, link: Link, mode: str) -> str:
    """Return why a link was refused: creating one gives a bare number, the same request by netlink gives words."""
    try:
        _netlink.set_xdp(link.index, program, mode)
    except NetlinkError as refusal:
        return str(refusal)
    _netlink.set_xdp(link.index, -1, mode, expected_fd=program)
    return f"{error.strerror}, though the same by netlink is accepted"


def _attach_by_netlink(program: int, wanted: Wanted, link: Link, old: int | None, undo: _Undo) -> None:
    with _step(f"attach in {wanted.mode} mode"):
        _netlink.set_xdp(link.index, program, wanted.mode, old)
    back = -1 if old is None else old
    undo.add("put back the program before", _call(_netlink.set_xdp, link.index, back, wanted.mode, program))


def _release(one: Attachment, wanted: Wanted, link: Link, undo: _Undo, held: ExitStack) -> None:
    """Detach a program so that it can be put back."""
    program = held.enter_context(_bpf.program_by_id(one.program.id))
    if one.link_id is None:
        with _step(f"detach {one}"):
            _netlink.set_xdp(link.index, -1, one.mode, program)
        undo.add(f"attach {one}", _call(_netlink.set_xdp, link.index, program, one.mode))
        return
    with _step(f"detach {one}"), _bpf.link_by_id(one.link_id) as descriptor:
        _bpf.detach_link(descriptor)
    if one.ours:
        undo.add(f"attach {one}", _call(_restore_link, program, link.index, one.mode, f"{wanted.pins}/link"))
    else:
        # A detached link of another owner cannot be attached again, its program can.
        undo.add(f"attach {one}", _call(_netlink.set_xdp, link.index, program, one.mode))


def _restore_link(program: int, index: int, mode: str, path: str) -> None:
    status = os.stat(path)
    descriptor = _bpf.create_xdp_link(program, index, mode)
    try:
        os.unlink(path)
        _bpf.pin(descriptor, path)
        os.chown(path, status.st_uid, status.st_gid)
        os.chmod(path, status.st_mode & 0o7777)
    finally:
        os.close(descriptor)


def _pin(descriptor: int, path: str, undo: _Undo) -> None:
    """Pin in place of what is pinned there, in one step for those who open the path."""
    new, old = f"{path}~", f"{path}~~"
    with _step(f"pin {path}"):
        for left in (new, old):
            if os.path.exists(left):
                os.unlink(left)
        if not os.path.exists(path):
            _bpf.pin(descriptor, path)
            undo.add(f"unpin {path}", _call(os.unlink, path))
            return
        _bpf.pin(descriptor, new)
        os.link(path, old)
        os.rename(new, path)
    undo.add(f"pin {path} again", _call(os.rename, old, path))
    undo.on_success(_call(os.unlink, old))


def _remove_stale_maps(wanted: Wanted, state: State) -> None:
    for path in _stale_maps(wanted, state):
        if os.path.exists(path):
            os.unlink(path)


def _detach(host: Host, wanted: Wanted, state: State) -> None:
    name = wanted.interface
    try:
        if state.ours and state.link:
            with _step(f"detach {state.ours}"):
                if state.ours.link_id is None:
                    with _bpf.program_by_id(state.ours.program.id) as program:
                        _netlink.set_xdp(state.link.index, -1, state.ours.mode, program)
                else:
                    # Closing our pin would not do: a process that holds the link keeps it attached.
                    with _bpf.link_by_id(state.ours.link_id) as descriptor:
                        _bpf.detach_link(descriptor)
        with _step(f"remove {wanted.pins}"):
            for directory, _directories, files in os.walk(wanted.pins, topdown=False):
                for file in files:
                    os.unlink(os.path.join(directory, file))
                os.rmdir(directory)
        host.remove(wanted.document)
    except OSError as error:
        raise ApplyFailed(f"{name}: {error}; what was removed before stays removed: run again") from error


def _request(wanted: Wanted, state: State) -> dict[str, Any]:
    link = state.link
    if link is None:
        raise AssertionError("validate() lets no attachment through without an interface")
    return {
        "kind": "xdp_program",
        "interface": wanted.interface,
        "mac": link.permanent_mac or link.mac,
        "bus": link.bus,
        "bus_address": link.bus_address,
        "object": wanted.object,
        "sha256": (state.source or Source()).sha256,
        "program": _program_name(wanted, state),
        "mode": wanted.mode,
        "pin_root": wanted.pin_root,
        "pin_group": wanted.pin_group,
    }


def _write_document(host: Host, wanted: Wanted, state: State, program: Program) -> None:
    document = {**_request(wanted, state), "loaded": {"id": program.id, "tag": program.tag}}
    host.write_atomically(wanted.document, json.dumps(document, indent=2) + "\n")


@contextmanager
def _step(what: str) -> Iterator[None]:
    """Say in an error which step it was."""
    try:
        yield
    except OSError as error:
        raise ApplyFailed(f"cannot {what}: {error if isinstance(error, NetlinkError) else error.strerror}") from error


def _call(function: Callable[..., Any], *arguments: Any) -> Callable[[], None]:
    return lambda: function(*arguments)
