# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Why a request for an XDP program is refused, every reason at once and each with its remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .._core.converge import Findings, Impossible, Invalid, Refused
from .._linux.bpf import XdpLink
from .._linux.netlink import Link
from . import extensions
from .drivers import obstacles as device_obstacles
from .identity import Attachment
from .layout import differences
from .plan import plan, program_name, touches_traffic
from .policy_in_force import POLICY
from .request import Desired
from .state import Source, State

_FLEETING = ("trace",)  # holds what became of one packet, and only for whoever runs the program on it
_SHA256 = re.compile(r"[0-9a-f]{64}")
_IP_WORDS = {"native": "xdpdrv", "generic": "xdpgeneric", "offload": "xdpoffload"}


def validate(desired: Desired, state: State) -> None:
    """Raise with every reason at once, each with its remedy."""
    headline = f"{desired.interface}: nothing was changed"
    if not desired.present:
        desired = state.in_force(desired)
        if (state.link and state.link.xdp.mode) or state.state_file or desired.pins in state.permissions:
            Findings(list(state.obstacles)).raise_if_any(Impossible, headline)
        Findings(_foreign_pins(desired, state)).raise_if_any(Refused, headline)
        return
    faults = _faults(desired, state)
    limits = [*state.obstacles, *_device_limits(desired, state)]
    refusals = _foreign_holds(desired, state)
    if not faults and not limits and not desired.recreate_maps and touches_traffic(plan(desired, state)):
        refusals += _lost_maps(desired, state)
    kind = Invalid if faults else Impossible if limits else Refused
    Findings([*faults, *limits, *refusals]).raise_if_any(kind, headline)


def _faults(desired: Desired, state: State) -> list[str]:
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
    elif state.source and not program_name(desired, state):
        faults.append(f"object {desired.object} holds {_listing(source.programs)}: name one with 'program'")
    elif state.source and desired.program is not None and desired.program not in source.programs:
        held = _listing(source.programs)
        faults.append(f"object {desired.object} has no XDP program {desired.program}; it holds {held}")
    return [*faults, *extensions.faults(desired, state, program_name(desired, state))]


def _listing(programs: Sequence[str]) -> str:
    return "no XDP program" if not programs else "the XDP programs " + ", ".join(programs)


def _device_limits(desired: Desired, state: State) -> list[str]:
    """Return what keeps the device from running the program, or the program from seeing what arrives."""
    source = state.source or Source()
    fragments = program_name(desired, state) in source.fragments
    # One that runs already proves that it can, not that it sees anything.
    runs = state.ours is not None and state.ours.mode == desired.mode
    found = device_obstacles(state.device, desired.mode, fragments)
    return [str(one) for one in found if one.blind or not runs]


def _lost_maps(desired: Desired, state: State) -> list[str]:
    """Return the pinned maps whose entries the new object would lose."""
    source = state.source or Source()
    lost = []
    # To a release with policies, and back: what a killed upgrade left, the agent makes what is saved.
    fleeting = _FLEETING if source.takes_policy or POLICY in state.maps else ()
    for name, requested in source.maps.items():
        if name not in state.maps or name in source.own_maps or name in fleeting:
            continue
        apart = differences(state.maps[name].layout, requested)
        if apart:
            lost.append(
                f"map {name} does not fit the pinned one ({', '.join(apart)}), whose entries would be lost: save them "
                "and set 'incompatible_maps: recreate', or keep the layout"
            )
    return lost


def _foreign_pins(desired: Desired, state: State) -> list[str]:
    """Return what is pinned in our place and is not ours to remove."""
    holds = []
    if state.other_pins and desired.present:
        holds.append(
            f"{desired.interface} has pins in {state.other_pins}, where its state file says that it was attached, and "
            f"pin_root is {desired.pin_root}: detach it first, or request that pin_root"
        )
    elif state.other_pins:
        holds.append(
            f"{desired.interface} has pins in {desired.pins}, where its state file says that it was attached, and in "
            f"{state.other_pins}: remove the second, or move the first aside"
        )
    if state.strange and not desired.present:
        names = ", ".join(state.strange)
        holds.append(f"{desired.pins} holds {names}, which nobody pinned for an interface: move that elsewhere")
    held = state.pinned_link
    if held is not None and state.elsewhere and not (state.moved and not desired.present):
        holds.append(_held_elsewhere(desired, state, held))
    for one in state.attachments if not desired.present else ():
        if one.ours and one.rivals:
            holds.append(_unknown_holder(one))
    return holds


def _held_elsewhere(desired: Desired, state: State, held: XdpLink) -> str:
    where = state.elsewhere
    if where in state.interfaces.values():
        return (
            f"the pins in {desired.pins} hold interface {where} (renamed?): remove {desired.pins} first, which "
            "detaches it there"
        )
    way = "'state: detached' takes its program off there" if state.moved else f"move {desired.pins}/link elsewhere"
    return (
        f"the pins in {desired.pins} hold bpf_link {held.id}, whose interface is in {where} now (index {held.index} "
        f"there): {way}, or move the interface back"
    )


def _unknown_holder(one: Attachment) -> str:
    numbers = ", ".join(map(str, one.rivals))
    return (
        f"{one} cannot be taken off from here: bpf_links {numbers} name the same index and program, and all but one "
        "are in other network namespaces; detach it with its owner's tool"
    )


def _foreign_holds(desired: Desired, state: State) -> list[str]:
    """Return what is not ours and in the way."""
    link = state.link
    holds = _foreign_pins(desired, state)
    if link is None:
        return holds
    for one in state.attachments:
        if one.rivals:
            holds.append(_unknown_holder(one))
        elif not one.ours and not desired.replace_foreign:
            holds.append(
                f"{one} is attached and not ours: detach it with {_way_out(one, link)}, or set 'replace_foreign: true'"
            )
    return holds


def _way_out(one: Attachment, link: Link) -> str:
    if one.program.name == "xdp_dispatcher":
        return f"'xdp-loader unload {link.name} --all'"
    if one.link_id is not None:
        return f"its owner's tool, or 'bpftool link detach id {one.link_id}'"
    return f"'ip link set dev {link.name} {_IP_WORDS[one.mode]} off'"
