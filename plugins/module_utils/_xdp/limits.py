# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Why a request for an XDP program is refused, every reason at once and each with its remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .._core.converge import Findings, Impossible, Invalid, Refused
from .drivers import obstacles as device_obstacles
from .plan import fits, plan, touches_traffic
from .request import Desired
from .state import Source, State

_SHA256 = re.compile(r"[0-9a-f]{64}")
_IP_WORDS = {"native": "xdpdrv", "generic": "xdpgeneric", "offload": "xdpoffload"}


def validate(desired: Desired, state: State) -> None:
    """Raise with every reason at once, each with its remedy."""
    headline = f"{desired.interface}: nothing was changed"
    if not desired.present:
        if (state.link and state.link.xdp.mode) or state.state_file:
            Findings(list(state.obstacles)).raise_if_any(Impossible, headline)
        return
    faults = _faults(desired, state)
    # One that runs already proves that it can.
    runs = state.ours is not None and state.ours.mode == desired.mode
    limits = [*state.obstacles, *([] if runs else map(str, device_obstacles(state.device, desired.mode)))]
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
    elif state.source and desired.program is None and len(source.programs) != 1:
        faults.append(f"object {desired.object} holds {_listing(source.programs)}: name one with 'program'")
    elif state.source and desired.program is not None and desired.program not in source.programs:
        held = _listing(source.programs)
        faults.append(f"object {desired.object} has no XDP program {desired.program}; it holds {held}")
    return faults


def _listing(programs: Sequence[str]) -> str:
    return "no XDP program" if not programs else "the XDP programs " + ", ".join(programs)


def _lost_maps(desired: Desired, state: State) -> list[str]:
    """Return the pinned maps whose entries the new object would lose."""
    source = state.source or Source()
    lost = []
    for name, requested in source.maps.items():
        if name not in state.maps or fits(state.maps[name].layout, requested):
            continue
        pinned = state.maps[name].layout
        differences = ", ".join(
            f"{attribute} {getattr(pinned, attribute)} -> {getattr(requested, attribute)}"
            for attribute in ("type", "key_size", "value_size", "max_entries", "flags")
            if getattr(pinned, attribute) != getattr(requested, attribute)
        )
        lost.append(
            f"map {name} does not fit the pinned one ({differences}), whose entries would be lost: "
            "save them and set 'incompatible_maps: recreate', or keep the layout"
        )
    return lost


def _foreign_holds(desired: Desired, state: State) -> list[str]:
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
