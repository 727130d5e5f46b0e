# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The NICs of a host: found by PCI address, MAC or name, brought to what is requested, and saved for a reapply."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
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
from .._core.errors import in_words
from .._core.system import Host
from .._guard.record import Restore
from .._linux import irqbalance, netlink
from . import limits as nic_limits
from . import plan
from .apply import ROUNDS, configure, place, signature
from .claims import claims, twice
from .claims import targets as claimed
from .feasible import feasible
from .identity import expand, identity, key_of, match, pci_addresses
from .original import previous
from .parse import parse_all
from .plan import Target
from .request import Request
from .state import NicState, read_host, read_nic
from .state_file import (
    KIND,
    STATE_FILE,
    State,
    plan_state_file,
    saved_keys,
    saved_requests,
    store,
    superseded,
    with_originals,
)

__all__ = ["KIND", "Nics", "State", "facts", "is_setting", "reapply"]

_SHOWN = 20  # steps that a message names
_PLACEMENT = ("irq", "xps", "rps", "rfs")  # steps that follow from all NICs together

_log = logging.getLogger(__name__)


class Nics:
    """The resource for ``converge``. Desired is a list of ``Request``.

    Args:
        requests: What is requested; reading needs to know which NICs are meant.
        save: Whether the state file is written. A reapply of it changes nothing in it.
        lenient: Whether a NIC that is not there is left out.
        only: Names of the interfaces to configure; None for all.
        each: Whether each NIC is brought as far as it can be, whatever becomes of the others; ``failures`` then says
            what could not.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        save: bool = True,
        lenient: bool = False,
        only: Collection[str] | None = None,
        each: bool = False,
    ) -> None:
        self._requests, self._save, self._lenient, self._only, self._each = requests, save, lenient, only, each
        self._stuck: set[tuple[str, str]] = set()  # key and name of interrupts that proved immovable
        self._refused: set[tuple[Any, ...]] = set()  # signatures of steps
        self._failed: dict[str, list[str]] = {}
        self.warnings: list[str] = []  # of a plan, for the operator

    def read(self, host: Host) -> State:
        """Read every NIC that is requested or saved."""
        try:
            return self._read(host)
        except OSError as error:
            raise Impossible(f"the NICs cannot be read: {in_words(error)}") from error

    def files(self, _state: State) -> Iterator[str]:
        """Yield what is written."""
        yield state_store.path(STATE_FILE)
        yield irqbalance.DROP_IN

    def validate(self, desired: Sequence[Request], state: State) -> None:
        """Raise with every reason at once."""
        if self._each:
            return
        self.warnings = [
            f"{entry.link.name}: {', '.join(names)} requested of it by itself before is replaced by that of its bond"
            for entry, _remaining, names in superseded(state)
        ]
        self.warnings += [
            f"{target.name}: not restored: {_joined(state.unmet[target.name])}"
            for target in state.targets
            if target.released and state.unmet.get(target.name)
        ]
        limits, refusals = nic_limits.faults(state.targets, state.current)
        missing = [] if self._lenient else list(state.missing)
        kind = Invalid if state.twice else Impossible if missing or limits else Refused
        Findings([*state.twice, *missing, *limits, *refusals]).raise_if_any(kind, "nothing was changed")

    def plan(self, desired: Sequence[Request], state: State) -> list[Change]:
        """Return the steps, ending with the state file's."""
        return _steps(state, self._only) + (plan_state_file(state) if self._save else [])

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Configure one NIC after the other, then place interrupts; each step may show that another is needed.

        Original values are saved before the first step, so that they can be restored whatever becomes of it.
        """
        saved = [change.after for change in changes if change.path == ("state file", STATE_FILE)]
        state = self.read(host)
        applied: list[Change] = []
        try:
            before = with_originals(state) if self._save else None
            if before:
                state_store.store(host, before)
            touched = {one.path[0] for one in changes if one.path[0] in state.current.nics and is_setting(one)}
            for target in state.targets:
                if target.name in touched:
                    self._configure(host, target, applied)
            self._place(host, applied)
            if self._save and (saved or self._stuck):
                body = saved[0] if saved else state.body
                # The originals are written already, and what is saved now must differ from that.
                store(host, body, replace(state, state_file=before or state.state_file), self._stuck)
            self._note_left(host)
        except (CoreError, OSError) as error:
            raise half_way(error, [brief(change) for change in applied], saved=self._save) from error

    def failures(self, state: State) -> dict[str, str]:
        """Return by NIC what could not be brought to what is requested, and why."""
        reasons = {name: list(unmet) for name, unmet in state.unmet.items()}
        for name, failed in self._failed.items():
            reasons.setdefault(name, []).extend(one for one in failed if one not in reasons.get(name, ()))
        others = {*state.current.nics, *state.unmet} - set(self._only or ()) if self._only is not None else set()
        return {name: _joined(said) for name, said in reasons.items() if said and name not in others}

    @property
    def not_done(self) -> set[tuple[str, ...]]:
        """Paths of the steps that were tried, and refused."""
        return {path for path, _before, _after in self._refused}

    def restores(self, changes: Sequence[Change], state: State) -> tuple[list[str], list[Restore]]:
        """Return the interfaces that a plan disturbs, and what to reapply to restore them."""
        names = sorted({one.path[0] for one in changes if one.path[0] in state.current.nics and is_setting(one)})
        identities = {one.link.name: identity(one) for one in state.entries}
        nics = {}
        for target in state.targets:
            nic = state.current.nics[target.name]
            if target.name in names and target.touched:
                before = previous(target.request, nic, state.current).to_body()
                nics[state.keys[target.name]] = {**identities.get(target.name, {"name": target.name}), **before}
        return names, [Restore(KIND, {"nics": nics})]

    def _read(self, host: Host) -> State:
        table = netlink.links()
        state_file = state_store.load(host, STATE_FILE)
        body: Mapping[str, Any] = state_file.body if state_file else {}
        addresses = pci_addresses(host, table)
        entries, unfound = match(self._requests, table, addresses, saved=self._lenient)
        required = set() if self._each else set(expand(entries, table))
        listed = {entry.key for entry in entries}
        moved = {}
        for key, request in _readable(body, self._each):
            for entry in match([request], table, addresses, saved=True)[0]:
                moved[key] = entry.key
                if entry.key not in listed:
                    entries.append(replace(entry, listed=False))
        # What is no longer there can still be forgotten.
        forgotten = [key for request, _reason in unfound if not request.present for key in saved_keys(request, body)]
        missing = [reason for request, reason in unfound if request.present or not saved_keys(request, body)]
        names = expand(entries, table)
        keys = {name: key_of(link, addresses) for name, link in names.items()}
        nics, unmet = {}, {}
        for name, link in names.items():
            try:
                nics[name] = self._with_stuck(read_nic(host, link, table), keys[name], body)
            except (CoreError, OSError) as error:
                if name in required:
                    raise
                unmet[name] = [f"{name} cannot be read: {in_words(error)}"]
        current = read_host(host, nics)
        speaking = claims(entries, nics)
        # In one order for the whole list and for a part of it, as earlier NICs choose their CPUs first.
        targets = sorted(claimed(speaking, nics, keys, body, self._lenient), key=lambda target: keys[target.name])
        for at, target in enumerate(targets):
            # An original value that this host can no longer have does not keep the others from being restored; what
            # is refused for somebody else's sake waits until that is seen to.
            if self._each or (target.released and not nic_limits.faults([target], current)[1]):
                targets[at], unmet[target.name] = feasible(target, current)
        return State(
            current,
            tuple(targets),
            tuple(entries),
            tuple(missing),
            keys,
            moved,
            tuple(forgotten),
            state_file,
            () if self._lenient else tuple(twice(speaking)),
            unmet,
            frozenset(self._refused),
        )

    def _with_stuck(self, nic: NicState, key: str, body: Mapping[str, Any]) -> NicState:
        stuck = {name for held, name in self._stuck if held == key} | set(body.get("unmovable", {}).get(key, ()))
        if not stuck:
            return nic
        return replace(nic, irqs=tuple(replace(irq, movable=irq.movable and irq.name not in stuck) for irq in nic.irqs))

    def _configure(self, host: Host, target: Target, applied: list[Change]) -> None:
        if not self._each:
            configure(host, target, applied)
            return
        try:
            configure(host, target, applied, self._note)
        except (CoreError, OSError) as error:
            self._failed.setdefault(target.name, []).append(in_words(error))

    def _note(self, step: Sequence[Change], error: ApplyFailed) -> None:
        self._refused.update(map(signature, step))
        name = step[0].path[0] if step else str(error).partition(" ")[0]
        self._failed.setdefault(name, []).append(f"{error}")

    def _place(self, host: Host, applied: list[Change]) -> None:
        done: set[tuple[Any, ...]] = set()
        for _round in range(ROUNDS):
            state = self.read(host)
            try:
                steps = _steps(state, self._only)
            except Impossible as error:  # the driver made another number of queues than was requested
                raise ApplyFailed(str(error), **error.facts) from error
            left = [step for step in steps if not is_setting(step) and signature(step) not in done]
            if not left:
                return
            done.update(map(signature, left))
            for step in left:
                nic = state.current.nics.get(step.path[0])
                try:
                    stuck = place(host, step, nic)
                except ApplyFailed as error:
                    # What others only take along of the CPUs is no reason for this list to fail.
                    if not self._each and not _concerns_others(step, state):
                        raise
                    self._note([step], error)
                    continue
                applied.append(step)
                self._stuck.update((state.keys[step.path[0]], name) for name in stuck)

    def _note_left(self, host: Host) -> None:
        """Find what did not become as requested and is no reason to fail."""
        state = self.read(host)
        for step in _steps(state, self._only):
            if self._each:
                words = ApplyFailed(ineffective(step))
                self._note([step], words)
            elif _concerns_others(step, state):
                self._refused.add(signature(step))


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the host to what a state file's body requests; ``only`` names the interfaces concerned, None for all.

    NICs that are not there are left out, as a host must come up without them. Each of the others is brought as far as
    it can be.

    Raises:
        Incomplete: Some could not be brought to all that is requested of them.
    """
    malformed = {}
    requests = []
    for key, held in body.get("nics", {}).items():
        try:
            requests += parse_all([held])
        except Invalid as error:
            malformed[str(held.get("name", key))] = f"{key}: {error}; correct it in {state_store.path(STATE_FILE)}"
    resource = Nics(requests, save=False, lenient=True, only=only, each=True)
    outcome = converge(resource, requests, host, check=check)
    for reason in outcome.state.missing:
        _log.warning("left out: %s", reason)
    failures = {**resource.failures(outcome.state), **malformed}
    if failures:
        done = [change for change in outcome.changes if change.path not in resource.not_done]
        raise Incomplete(replace(outcome, changes=done), failures)
    return outcome


def facts(state: State) -> list[dict[str, Any]]:
    """Return what a module reports of each NIC."""
    notes = plan.notes(state.targets, state.current)
    return [
        {
            "name": nic.name,
            "pci": nic.pci,
            "mac": nic.link.permanent_mac or nic.link.mac or None,
            "driver": nic.settings.driver,
            "node": nic.node,
            "queues": {"rx": len(nic.rps), "tx": len(nic.xps) or nic.link.tx_queues},
            "irqs": [irq.facts() for irq in nic.irqs],
            "unmovable": [irq.name for irq in nic.irqs if not irq.movable],
            "notes": notes.get(nic.name, []),
        }
        for nic in (state.current.nics[target.name] for target in state.targets if target.touched)
    ]


def is_setting(change: Change) -> bool:
    """Whether a step goes through a NIC's driver, rather than placing interrupts or writing the state file."""
    return change.path[0] not in ("state file", "host", "irqbalance") and change.path[1] not in _PLACEMENT


def _steps(state: State, only: Collection[str] | None) -> list[Change]:
    return [step for step in plan.plan(state.targets, state.current, only) if signature(step) not in state.refused]


def _concerns_others(step: Change, state: State) -> bool:
    """Whether a step is for a NIC that is not listed, and only takes its share of the CPUs anew."""
    return any(target.name == step.path[0] and not target.touched for target in state.targets)


def _readable(body: Mapping[str, Any], each: bool) -> Iterator[tuple[str, Request]]:
    if not each:
        yield from zip(body.get("nics", {}), saved_requests(body))
        return
    for key, held in body.get("nics", {}).items():
        with suppress(Invalid):  # ``reapply`` says so
            yield key, parse_all([held])[0]


def _joined(lines: Sequence[str]) -> str:
    more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "; ".join(lines[:_SHOWN]) + more
