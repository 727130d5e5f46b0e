# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The NICs' state file: what is requested, the original values, and the interrupts that cannot be moved."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._core import state_store
from .._core.converge import Change, Invalid
from .._core.state_store import StateFile
from .._core.system import Host
from . import original
from .identity import Entry, identity
from .parse import parse_all
from .plan import DEFAULT, Target
from .request import Request, requests_nothing, without
from .state import HostState

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
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
        twice: Why one list cannot speak for a NIC in several places.
        unmet: By NIC, why a part of what is saved for it cannot be met; ``targets`` are without that part.
        refused: Steps that were tried, as ``signature`` names them, and are not planned again.
    """

    current: HostState
    targets: tuple[Target, ...] = ()
    entries: tuple[Entry, ...] = ()
    missing: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    forgotten: tuple[str, ...] = ()
    state_file: StateFile | None = None
    twice: tuple[str, ...] = ()
    unmet: Mapping[str, Sequence[str]] = field(default_factory=dict)
    refused: Collection[tuple[Any, ...]] = ()

    @property
    def body(self) -> Mapping[str, Any]:
        """What is saved; empty where there is nothing."""
        return self.state_file.body if self.state_file else {}


def plan_state_file(state: State) -> list[Change]:
    """Return the change of the state file: requests, original values, and interrupts that proved immovable."""
    held = {section: _rekeyed(state, section) for section in ("nics", "original", "unmovable")}
    for section, key in itertools.product(held.values(), state.forgotten):
        section.pop(key, None)
    _add_originals(held, state)
    for entry in state.entries:
        if not entry.listed:
            continue
        names = [entry.link.name, *state.current.nics[entry.link.name].members]
        if entry.request.present:
            held["nics"][entry.key] = _saved_form(entry)
            continue
        held["nics"].pop(entry.key, None)
        for name in names:
            if not _speaks_another(state, entry, name):
                held["original"].pop(state.keys[name], None)
    for entry, remaining, _names in superseded(state):
        if requests_nothing(remaining):
            held["nics"].pop(entry.key, None)
        else:
            held["nics"][entry.key] = _saved_form(replace(entry, request=remaining))
    if not held["nics"] and not held["original"]:
        return [Change(("state file", STATE_FILE), dict(state.body), None)] if state.state_file else []
    for name, nic in state.current.nics.items():
        stuck = sorted(irq.name for irq in nic.irqs if not irq.movable)
        if stuck:
            held["unmovable"][state.keys[name]] = stuck
    body = {section: content for section, content in held.items() if content}
    return state_store.plan(state.state_file, StateFile(STATE_FILE, KIND, body))


def with_originals(state: State) -> StateFile | None:
    """Return the state file as it must be before the first step: original values outlive a run that fails half way."""
    held = {section: _rekeyed(state, section) for section in ("nics", "original", "unmovable")}
    _add_originals(held, state)
    body = {section: content for section, content in held.items() if content}
    desired = StateFile(STATE_FILE, KIND, body)
    return desired if body and desired != state.state_file else None


def superseded(state: State) -> list[tuple[Entry, Request, list[str]]]:
    """Return the saved requests of NICs whose bond is now requested with other settings.

    Each comes with what remains of it, and with the names of the settings that the bond takes.
    """
    found = []
    for entry in state.entries:
        bonds = [one for one in state.entries if one.listed and one.request.present and one.link.kind == "bond"]
        for bond in bonds:
            if not entry.listed and entry.link.name in state.current.nics[bond.link.name].members:
                remaining, names = without(entry.request, bond.request.of_hardware())
                if names:
                    found.append((entry, remaining, names))
    return found


def _saved_form(entry: Entry) -> dict[str, Any]:
    request = replace(entry.request, name=None, pci=None, mac=None)
    return {**identity(entry), **request.to_body()}


def _add_originals(held: Mapping[str, dict[str, Any]], state: State) -> None:
    targets = {target.name: target for target in state.targets}
    for entry in state.entries:
        if not entry.listed or not entry.request.present:
            continue
        for name in (entry.link.name, *state.current.nics[entry.link.name].members):
            key = state.keys[name]
            if held["nics"].get(entry.key) == _saved_form(entry) and key in held["original"]:
                continue  # what shows only now, as vmxnet3's RSS once it is opened, was not there before us
            seen = original.previous(targets[name].request, state.current.nics[name], state.current).to_body()
            held["original"][key] = _original(held["original"].get(key, {}), seen)


def _speaks_another(state: State, entry: Entry, name: str) -> bool:
    for other in state.entries:
        if other.key == entry.key or not other.request.present or other.link.name not in state.current.nics:
            continue
        if name in (other.link.name, *state.current.nics[other.link.name].members):
            return True
    return False


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
    """Return the keys of the saved NICs that a request names; of some, only original values are saved."""
    given = {"name": request.name, "pci": request.pci, "mac": request.mac}
    named = {**{key: _named(key) for key in body.get("original", {})}, **body.get("nics", {})}
    return [
        key
        for key, held in named.items()
        if all(held.get(kind) == value for kind, value in given.items() if value is not None)
    ]


def forgetting(host: Host) -> list[Request]:
    """Return the requests that restore every NIC that is saved."""
    state_file = state_store.load(host, STATE_FILE)
    body = state_file.body if state_file else {}
    # Hardware keeps its address where it loses its name.
    requests = [
        Request(name=None if one.pci else one.name, pci=one.pci, mac=one.mac, present=False)
        for one in saved_requests(body)
    ]
    # A run that failed half way saved no request, but what was there before it.
    alone = [key for key in body.get("original", {}) if key not in body.get("nics", {})]
    return requests + [Request(**_named(key), present=False) for key in alone]


def _named(key: str) -> dict[str, Any]:
    """Return how a key of the state file names a NIC; see ``key_of``."""
    address, _blank, mac = key.partition(" ")
    if not _ADDRESS.fullmatch(address):
        return {"name": key}
    return {"pci": address, "mac": mac} if mac else {"pci": address}
