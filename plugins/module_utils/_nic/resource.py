# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The NICs of a host: found by PCI address, MAC or name, brought to what is requested, and saved for a reapply."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, Findings, Impossible, Invalid, Outcome, Refused, converge
from .._core.system import Host
from .._guard.record import Restore
from .._linux import netlink
from . import limits as nic_limits
from . import plan
from .apply import ROUNDS, configure, place, signature
from .identity import Entry, expand, identity, key_of, match, pci_addresses
from .parse import parse
from .plan import Target
from .request import Request
from .state import NicState, read_host
from .state_file import KIND, STATE_FILE, State, plan_state_file, saved_keys, saved_requests, store

__all__ = ["KIND", "Nics", "State", "facts", "is_setting", "reapply"]

_PLACEMENT = ("irq", "xps", "rps", "rfs")  # steps that follow from all NICs together

_log = logging.getLogger(__name__)


class Nics:
    """The resource for ``converge``. Desired is a list of ``Request``.

    Args:
        requests: What is requested; reading needs to know which NICs are meant.
        save: Whether the state file is written. A reapply of it changes nothing in it.
        lenient: Whether a NIC that is not there is left out.
        only: Names of the interfaces to configure; None for all.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        save: bool = True,
        lenient: bool = False,
        only: Collection[str] | None = None,
    ) -> None:
        self._requests, self._save, self._lenient, self._only = requests, save, lenient, only
        self._stuck: set[tuple[str, str]] = set()  # key and name of interrupts that proved immovable

    def read(self, host: Host) -> State:
        """Read every NIC that is requested or saved."""
        try:
            return self._read(host)
        except OSError as error:
            raise Impossible(f"the NICs cannot be read: {error}; run as root") from error

    def validate(self, desired: Sequence[Request], state: State) -> None:
        """Raise with every reason at once."""
        limits, refusals = nic_limits.faults(state.targets, state.current)
        missing = [] if self._lenient else list(state.missing)
        twice = _named_twice(state.targets)
        kind = Invalid if twice else Impossible if missing or limits else Refused
        Findings([*twice, *missing, *limits, *refusals]).raise_if_any(kind, "nothing was changed")

    def plan(self, desired: Sequence[Request], state: State) -> list[Change]:
        """Return the steps, ending with the state file's."""
        steps = plan.plan(state.targets, state.current, self._only)
        return steps + (plan_state_file(state) if self._save else [])

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Configure one NIC after the other, then place interrupts; each step may show that another is needed."""
        saved = [change.after for change in changes if change.path == ("state file", STATE_FILE)]
        state = self.read(host)
        touched = {change.path[0] for change in changes if change.path[0] in state.current.nics and is_setting(change)}
        for target in state.targets:
            if target.name in touched:
                configure(host, target)
        self._place(host)
        if self._save and (saved or self._stuck):
            store(host, saved[0] if saved else state.body, state, self._stuck)

    def restores(self, changes: Sequence[Change], state: State) -> tuple[list[str], list[Restore]]:
        """Return the interfaces that a plan disturbs, and what to reapply to restore them."""
        names = sorted({one.path[0] for one in changes if one.path[0] in state.current.nics and is_setting(one)})
        identities = {one.link.name: identity(one) for one in state.entries}
        nics = {}
        for target in state.targets:
            nic = state.current.nics[target.name]
            if target.name in names and target.touched:
                before = plan.previous(target.request, nic, state.current).to_body()
                nics[state.keys[target.name]] = {**identities.get(target.name, {"name": target.name}), **before}
        return names, [Restore(KIND, {"nics": nics})]

    def _read(self, host: Host) -> State:
        table = netlink.links()
        state_file = state_store.load(host, STATE_FILE)
        body: Mapping[str, Any] = state_file.body if state_file else {}
        addresses = pci_addresses(host, table)
        entries, unfound = match(self._requests, table, addresses, saved=self._lenient)
        listed = {entry.key for entry in entries}
        moved = {}
        for key, request in zip(body.get("nics", {}), saved_requests(body)):
            for entry in match([request], table, addresses, saved=True)[0]:
                moved[key] = entry.key
                if entry.key not in listed:
                    entries.append(replace(entry, listed=False))
        # What is no longer there can still be forgotten.
        forgotten = [key for request, _reason in unfound if not request.present for key in saved_keys(request, body)]
        missing = [reason for request, reason in unfound if request.present or not saved_keys(request, body)]
        names = expand(entries, table)
        state = read_host(host, [link for link in table if link.name in names], table)
        keys = {name: key_of(link, addresses) for name, link in names.items()}
        state = replace(state, nics={name: self._with_stuck(nic, keys[name], body) for name, nic in state.nics.items()})
        targets = [target for entry in entries for target in _targets(entry, state.nics, keys, body, self._lenient)]
        # In one order for the whole list and for a part of it, as earlier NICs choose their CPUs first.
        targets.sort(key=lambda target: keys[target.name])
        return State(state, tuple(targets), tuple(entries), tuple(missing), keys, moved, tuple(forgotten), state_file)

    def _with_stuck(self, nic: NicState, key: str, body: Mapping[str, Any]) -> NicState:
        stuck = {name for held, name in self._stuck if held == key} | set(body.get("unmovable", {}).get(key, ()))
        if not stuck:
            return nic
        return replace(nic, irqs=tuple(replace(irq, movable=irq.movable and irq.name not in stuck) for irq in nic.irqs))

    def _place(self, host: Host) -> None:
        done: set[tuple[Any, ...]] = set()
        for _round in range(ROUNDS):
            state = self.read(host)
            try:
                steps = plan.plan(state.targets, state.current, self._only)
            except Impossible as error:  # the driver made another number of queues than was requested
                raise ApplyFailed(str(error), **error.facts) from error
            left = [step for step in steps if not is_setting(step) and signature(step) not in done]
            if not left:
                return
            done.update(map(signature, left))
            for step in left:
                nic = state.current.nics.get(step.path[0])
                self._stuck.update((state.keys[step.path[0]], name) for name in place(host, step, nic))


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the host to what a state file's body requests; ``only`` names the interfaces concerned, None for all.

    NICs that are not there are left out, as a host must come up without them.
    """
    requests = saved_requests(body)
    resource = Nics(requests, save=False, lenient=True, only=only)
    outcome = converge(resource, requests, host, check=check)
    for reason in outcome.state.missing:
        _log.warning("left out: %s", reason)
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


def _targets(
    entry: Entry, nics: Mapping[str, NicState], keys: Mapping[str, str], body: Mapping[str, Any], lenient: bool
) -> Iterator[Target]:
    nic = nics[entry.link.name]
    if nic.link.kind == "bond":
        parts = [(nic.name, entry.request.of_link()), *((name, entry.request.of_hardware()) for name in nic.members)]
    else:
        parts = [(nic.name, entry.request)]
    rules_of = {key for key, held in body.get("nics", {}).items() if "flow_rules" in held}
    for name, request in parts:
        if not entry.request.present:
            original = body.get("original", {}).get(keys[name])
            request = parse({**original, "name": name}) if original else Request(name=name)
            request = plan.fitted(request, nics[name])
        owns = lenient or not entry.listed or bool({entry.key, keys[name]} & rules_of)
        yield Target(name, request, touched=entry.listed, owns_rules=owns, released=not entry.request.present)


def _named_twice(targets: Sequence[Target]) -> list[str]:
    names = [target.name for target in targets if target.touched]
    return [
        f"{name} is requested {names.count(name)} times, by itself or in a bond: once is enough"
        for name in sorted({*names})
        if names.count(name) > 1
    ]
