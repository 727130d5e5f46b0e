# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The NICs' state file: what is requested, the original values, and the interrupts that cannot be moved."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._core import state_store
from .._core.converge import Change, Invalid
from .._core.state_store import StateFile
from .._core.system import Host
from . import plan
from .identity import Entry, identity
from .parse import parse_all
from .plan import DEFAULT, Target
from .request import Request
from .state import HostState

KIND = "nic"
STATE_FILE = "nic"


@dataclass(frozen=True)
class State:
    """The NICs, and what is saved of them.

    Attributes:
        current: The NICs as they are.
        targets: What is requested of each.
        entries: Requests whose interface is there.
        missing: Why others' is not.
        keys: Under which the state file holds each NIC, by name.
        moved: Keys of today, by those in the state file, as cards change slots.
        forgotten: Keys of NICs that are no longer there and are to be forgotten.
        state_file: What is saved.
    """

    current: HostState
    targets: tuple[Target, ...] = ()
    entries: tuple[Entry, ...] = ()
    missing: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    forgotten: tuple[str, ...] = ()
    state_file: StateFile | None = None

    @property
    def body(self) -> Mapping[str, Any]:
        """What is saved; empty where there is nothing."""
        return self.state_file.body if self.state_file else {}


def plan_state_file(state: State) -> list[Change]:
    """Return the change of the state file: requests, original values, and interrupts that proved immovable."""
    held = {section: _rekeyed(state, section) for section in ("nics", "original", "unmovable")}
    for section, key in itertools.product(held.values(), state.forgotten):
        section.pop(key, None)
    for entry in state.entries:
        if not entry.listed:
            continue
        names = [entry.link.name, *state.current.nics[entry.link.name].members]
        if entry.request.present:
            request = replace(entry.request, name=None, pci=None, mac=None)
            before, requested = held["nics"].get(entry.key), {**identity(entry), **request.to_body()}
            held["nics"][entry.key] = requested
            for target in (target for target in state.targets if target.name in names):
                key = state.keys[target.name]
                if before == requested and key in held["original"]:
                    continue  # what shows only now, as vmxnet3's RSS once it is opened, was not there before us
                seen = plan.previous(target.request, state.current.nics[target.name], state.current).to_body()
                held["original"][key] = _original(held["original"].get(key, {}), seen)
        else:
            held["nics"].pop(entry.key, None)
            for name in names:
                held["original"].pop(state.keys[name], None)
    if not held["nics"]:
        return [Change(("state file", STATE_FILE), dict(state.body), None)] if state.state_file else []
    for name, nic in state.current.nics.items():
        stuck = sorted(irq.name for irq in nic.irqs if not irq.movable)
        if stuck:
            held["unmovable"][state.keys[name]] = stuck
    body = {section: content for section, content in held.items() if content}
    return state_store.plan(state.state_file, StateFile(STATE_FILE, KIND, body))


def _rekeyed(state: State, section: str) -> dict[str, Any]:
    return {state.moved.get(key, key): content for key, content in state.body.get(section, {}).items()}


def _original(held: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the original values: those that are saved already stay as they are."""
    merged = dict(held)
    for key, value in seen.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _original(merged[key], value)
            if {"table", DEFAULT} <= merged[key].keys():
                merged[key].pop("table" if DEFAULT in held[key] else DEFAULT)
        else:
            merged.setdefault(key, value)
    return merged


def store(host: Host, body: Mapping[str, Any] | None, state: State, stuck: Collection[tuple[str, str]]) -> None:
    """Write the state file, or remove it where its body is None.

    Args:
        host: The machine.
        body: Its new body, as ``plan_state_file`` planned it.
        state: What was there before.
        stuck: Key and name of interrupts that proved immovable since.
    """
    if body is None:
        state_store.discard(host, STATE_FILE)
        return
    unmovable = {key: set(names) for key, names in body.get("unmovable", {}).items()}
    for key, name in stuck:
        unmovable.setdefault(key, set()).add(name)
    more = {"unmovable": {key: sorted(names) for key, names in sorted(unmovable.items())}} if unmovable else {}
    desired = StateFile(STATE_FILE, KIND, {**body, **more})
    if desired != state.state_file:
        state_store.store(host, desired)


def saved_requests(body: Mapping[str, Any]) -> list[Request]:
    """Return the requests that a state file's body holds.

    Raises:
        Invalid: One is malformed; the message names the file.
    """
    try:
        return parse_all(list(body.get("nics", {}).values()))
    except Invalid as error:
        raise Invalid(f"{state_store.path(STATE_FILE)}: {error}; correct or remove it", **error.facts) from error


def saved_keys(request: Request, body: Mapping[str, Any]) -> list[str]:
    """Return the keys of the saved NICs that a request names."""
    given = {"name": request.name, "pci": request.pci, "mac": request.mac}
    return [
        key
        for key, held in body.get("nics", {}).items()
        if all(held.get(kind) == value for kind, value in given.items() if value is not None)
    ]


def forgetting(host: Host) -> list[Request]:
    """Return the requests that restore every NIC that is saved."""
    state_file = state_store.load(host, STATE_FILE)
    held = saved_requests(state_file.body) if state_file else []
    # Hardware keeps its address where it loses its name.
    return [Request(name=None if one.pci else one.name, pci=one.pci, mac=one.mac, present=False) for one in held]
