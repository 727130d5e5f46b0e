# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The NICs of a host: found by PCI address, MAC or name, brought to what is asked, and remembered."""

from __future__ import annotations

import errno
import itertools
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, Findings, Impossible, Invalid, Outcome, Refused, converge, describe
from .._core.cpulist import parse_cpulist
from .._core.state_store import StateFile
from .._core.system import Host
from .._guard.guard import Restore
from .._linux import ethtool, irqbalance, irqs, netlink
from .._linux.ethtool import FlowRule, canonical
from .._linux.netlink import Link
from .._linux.topology import NETWORK, pci_device
from . import limits as nic_limits
from . import plan
from .plan import DEFAULT, NO_CPUS, Target
from .request import Request, parse, parse_all
from .state import SOCK_FLOW_ENTRIES, HostState, NicState, read_host, read_nic, write_rfs, write_rps, write_xps

KIND = "nic"
STATE_FILE = "nic"
_PLACEMENT = ("irq", "xps", "rps", "rfs")  # steps that follow from all NICs together
_ROUNDS = 30  # of one NIC; each carries out one section of its settings, of which there are a dozen
_CARRIER_SECONDS, _POLL_SECONDS = 30.0, 0.1  # ixgbe with autonegotiation takes 10 s

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A request and the interface that it means.

    Attributes:
        key: Under which the document remembers it: its PCI address, or its name where it has none of its own.
        listed: Whether it is asked for now; others are only known from the document.
    """

    request: Request
    link: Link
    key: str
    listed: bool = True


@dataclass(frozen=True)
class State:
    """The NICs, and what is remembered of them.

    Attributes:
        host: The NICs as they are.
        targets: What is asked of each.
        entries: Requests whose interface is there.
        missing: Why others' is not.
        keys: Under which the document remembers each NIC, by name.
        moved: Keys of today, by those in the document, as cards change slots.
        forgotten: Keys of NICs that are no longer there and are to be forgotten.
        state_file: What is remembered.
    """

    host: HostState
    targets: tuple[Target, ...] = ()
    entries: tuple[Entry, ...] = ()
    missing: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    forgotten: tuple[str, ...] = ()
    state_file: StateFile | None = None

    @property
    def body(self) -> Mapping[str, Any]:
        """What is remembered; empty where there is nothing."""
        return self.state_file.body if self.state_file else {}


class Nics:
    """The resource for ``converge``. Desired is a list of ``Request``.

    Args:
        requests: What is asked; reading needs to know which NICs are meant.
        save: Whether the document is written. A replay of it changes nothing in it.
        lenient: Whether a NIC that is not there is left out.
        only: Names of interfaces to bring to what is asked; None for all.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        save: bool = True,
        lenient: bool = False,
        only: Collection[str] | None = None,
    ) -> None:
        self._requests, self._save, self._lenient, self._only = requests, save, lenient, only
        self._stuck: set[tuple[str, str]] = set()  # key and name of interrupts found to be immovable

    def read(self, host: Host) -> State:
        """Read every NIC that is asked for or remembered."""
        try:
            return self._read(host)
        except OSError as error:
            raise Impossible(f"the NICs cannot be read: {error}; run as root") from error

    def validate(self, desired: Sequence[Request], state: State) -> None:
        """Raise with every reason at once."""
        limits, refusals = nic_limits.faults(state.targets, state.host)
        missing = [] if self._lenient else list(state.missing)
        twice = _named_twice(state.targets)
        kind = Invalid if twice else Impossible if missing or limits else Refused
        Findings([*twice, *missing, *limits, *refusals]).raise_if_any(kind, "nothing was changed")

    def plan(self, desired: Sequence[Request], state: State) -> list[Change]:
        """Return the steps, ending with what is remembered."""
        steps = plan.plan(state.targets, state.host, self._only)
        return steps + (_plan_state_file(state) if self._save else [])

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Bring one NIC after the other there, then place interrupts; each step may show that another is needed."""
        saved = [change.after for change in changes if change.path == ("state file", STATE_FILE)]
        state = self.read(host)
        touched = {change.path[0] for change in changes if change.path[0] in state.host.nics and is_setting(change)}
        for target in state.targets:
            if target.name in touched:
                self._settle(host, target)
        self._place(host)
        if self._save and (saved or self._stuck):
            self._store(host, saved[0] if saved else state.body, state)

    def restores(self, changes: Sequence[Change], state: State) -> tuple[list[str], list[Restore]]:
        """Return the interfaces that a plan disturbs, and what to replay to get them back."""
        names = sorted({one.path[0] for one in changes if one.path[0] in state.host.nics and is_setting(one)})
        identities = {one.link.name: _identity(one) for one in state.entries}
        nics = {}
        for target in state.targets:
            nic = state.host.nics[target.name]
            if target.name in names and target.touched:
                before = plan.previous(target.request, nic, state.host).to_body()
                nics[state.keys[target.name]] = {**identities.get(target.name, {"name": target.name}), **before}
        return names, [Restore(KIND, {"nics": nics})]

    def _read(self, host: Host) -> State:
        table = netlink.links()
        state_file = state_store.load(host, STATE_FILE)
        body: Mapping[str, Any] = state_file.body if state_file else {}
        entries, unfound = _resolve(host, self._requests, table, self._lenient)
        listed = {entry.key for entry in entries}
        moved = {}
        for key, request in zip(body.get("nics", {}), _saved(body)):
            for entry in _resolve(host, [request], table, lenient=True)[0]:
                moved[key] = entry.key
                if entry.key not in listed:
                    entries.append(replace(entry, listed=False))
        # What is no longer there can still be forgotten.
        forgotten = [key for request, _reason in unfound if not request.present for key in _held_keys(request, body)]
        missing = [reason for request, reason in unfound if request.present or not _held_keys(request, body)]
        names = _expand(entries, table)
        state = read_host(host, [link for link in table if link.name in names], table)
        addresses = _addresses(host, table)
        keys = {name: _key(link, addresses) for name, link in names.items()}
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

    def _settle(self, host: Host, target: Target) -> None:
        done: set[tuple[Any, ...]] = set()
        for _round in range(_ROUNDS):
            table = netlink.links()
            link = next((one for one in table if one.name == target.name), None)
            if link is None:
                raise ApplyFailed(f"{target.name} went away while it was being set up")
            nic = read_nic(host, link, table)
            # What a driver made something else of is not asked for again and again; reading back tells of it.
            left = [change for change in plan.hardware(target.request, nic) if _signature(change) not in done]
            if not left:
                return
            _section, group = next(itertools.groupby(left, key=lambda change: change.path[1]))
            step = list(group)
            if step[0].path[1] == "rss":
                step = step[:1]  # the table gives way before the channels change, and is set after
            done.update(map(_signature, step))
            _carry_out(link, step)
            if link.carrier and any(change.disrupts for change in step) and step[0].path[1:] != ("up",):
                _wait_for_carrier(target.name, step)

    def _place(self, host: Host) -> None:
        done: set[tuple[Any, ...]] = set()
        for _round in range(_ROUNDS):
            state = self.read(host)
            try:
                steps = plan.plan(state.targets, state.host, self._only)
            except Impossible as error:  # the driver made another number of queues than it was asked for
                raise ApplyFailed(str(error), **error.facts) from error
            left = [step for step in steps if not is_setting(step) and _signature(step) not in done]
            if not left:
                return
            done.update(map(_signature, left))
            for step in left:
                self._place_one(host, step, state)

    def _place_one(self, host: Host, step: Change, state: State) -> None:
        name, section = step.path[0], step.path[1]
        try:
            if name == "irqbalance":
                irqbalance.ban(host, parse_cpulist(step.after or ""))
            elif name == "host":
                host.write_attribute(SOCK_FLOW_ENTRIES, str(step.after))
            elif section == "irq":
                self._move(host, state, name, step)
            elif section == "rfs":
                write_rfs(host, name, step.path[2], step.after)
            else:
                write = write_xps if section == "xps" else write_rps
                write(host, name, step.path[2], () if step.after == NO_CPUS else parse_cpulist(step.after))
        except OSError as error:
            raise ApplyFailed(f"{describe(step)}: {error.strerror}") from error

    def _move(self, host: Host, state: State, name: str, step: Change) -> None:
        for irq in state.host.nics[name].irqs:
            if irq.name == step.path[2] and not irqs.move(host, irq, frozenset(parse_cpulist(step.after))):
                self._stuck.add((state.keys[name], irq.name))

    def _store(self, host: Host, body: Mapping[str, Any] | None, state: State) -> None:
        if body is None:
            state_store.discard(host, STATE_FILE)
            return
        unmovable = {key: set(names) for key, names in body.get("unmovable", {}).items()}
        for key, name in self._stuck:
            unmovable.setdefault(key, set()).add(name)
        more = {"unmovable": {key: sorted(names) for key, names in sorted(unmovable.items())}} if unmovable else {}
        desired = StateFile(STATE_FILE, KIND, {**body, **more})
        if desired != state.state_file:
            state_store.store(host, desired)


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the host to what a document's body asks; ``only`` names the interfaces concerned, None for all.

    NICs that are not there are left out, as a host must come up without them.
    """
    requests = _saved(body)
    resource = Nics(requests, save=False, lenient=True, only=only)
    outcome = converge(resource, requests, host, check=check)
    for reason in outcome.state.missing:
        _log.warning("left out: %s", reason)
    return outcome


def forgetting(host: Host) -> list[Request]:
    """Return what puts back every NIC that is remembered."""
    state_file = state_store.load(host, STATE_FILE)
    held = _saved(state_file.body) if state_file else []
    # Hardware keeps its address where it loses its name.
    return [Request(name=None if one.pci else one.name, pci=one.pci, mac=one.mac, present=False) for one in held]


def facts(state: State) -> list[dict[str, Any]]:
    """Return what a module tells of each NIC."""
    notes = plan.notes(state.targets, state.host)
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
        for nic in (state.host.nics[target.name] for target in state.targets if target.touched)
    ]


def is_setting(change: Change) -> bool:
    """Whether a step goes through a NIC's driver, rather than placing interrupts or remembering."""
    return change.path[0] not in ("state file", "host", "irqbalance") and change.path[1] not in _PLACEMENT


def _saved(body: Mapping[str, Any]) -> list[Request]:
    try:
        return parse_all(list(body.get("nics", {}).values()))
    except Invalid as error:
        raise Invalid(f"{state_store.path(STATE_FILE)}: {error}; correct or remove it", **error.facts) from error


def _resolve(
    host: Host, requests: Sequence[Request], table: Sequence[Link], lenient: bool
) -> tuple[list[Entry], list[tuple[Request, str]]]:
    addresses = _addresses(host, table)
    entries, unfound = [], []
    for request in requests:
        found = (_find_saved if lenient else _find)(request, table, addresses)
        if len(found) == 1:
            entries.append(Entry(request, found[0], _key(found[0], addresses)))
        else:
            unfound.append((request, _why_not_found(request, found, table, addresses)))
    return entries, unfound


def _held_keys(request: Request, body: Mapping[str, Any]) -> list[str]:
    given = {"name": request.name, "pci": request.pci, "mac": request.mac}
    return [
        key
        for key, held in body.get("nics", {}).items()
        if all(held.get(kind) == value for kind, value in given.items() if value is not None)
    ]


def _addresses(host: Host, table: Sequence[Link]) -> dict[str, str | None]:
    # What stands on a NIC, such as a VLAN, has no device of its own.
    devices = {link.name: pci_device(host, f"{NETWORK}/{link.name}") for link in table if link.kind is None}
    return {link.name: (devices.get(link.name) or "").rpartition("/")[2] or None for link in table}


def _key(link: Link, addresses: Mapping[str, str | None]) -> str:
    pci = addresses[link.name]
    if pci is None:
        return link.name
    # Two ports of one function (mlx4) differ by MAC only.
    return pci if list(addresses.values()).count(pci) == 1 else f"{pci} {_mac(link)}"


def _mac(link: Link) -> str:
    return link.permanent_mac or link.mac


def _find(request: Request, table: Sequence[Link], addresses: Mapping[str, str | None]) -> list[Link]:
    found = [link for link in table if request.name in (None, link.name)]
    if request.pci is not None:
        found = [link for link in found if addresses[link.name] == request.pci]
    if request.mac is not None:
        # A bond, a bridge and a VLAN have the MAC of the NIC below, which is the one that is meant.
        carry = [link for link in found if request.mac in (link.mac, link.permanent_mac)]
        found = [link for link in carry if link.kind is None and _mac(link) == request.mac] or carry
    return found


def _find_saved(request: Request, table: Sequence[Link], addresses: Mapping[str, str | None]) -> list[Link]:
    """Names change with drivers, and slots with other cards; the first that still fits decides."""
    if request.pci is None:
        return [link for link in table if link.name == request.name]
    at_address = [link for link in table if addresses[link.name] == request.pci]
    of_mac = [link for link in table if link.kind is None and request.mac and _mac(link) == request.mac]
    both = [link for link in at_address if link in of_mac]
    return both or (at_address if len(at_address) == 1 else of_mac)


def _why_not_found(
    request: Request, found: Sequence[Link], table: Sequence[Link], addresses: Mapping[str, str | None]
) -> str:
    if found:
        names = ", ".join(link.name for link in found)
        return f"{request} fits {names}: give the name too"
    parts = [Request(name=request.name), Request(pci=request.pci), Request(mac=request.mac)]
    apart = [
        f"{part} is {', '.join(link.name for link in one)}"
        for part in parts
        if (part.name or part.pci or part.mac) and (one := _find(part, table, addresses))
    ]
    if len(apart) > 1:
        return f"{request} are not one NIC: {', but '.join(apart)}"
    known = ", ".join(f"{link.name} ({addresses[link.name] or _mac(link) or link.kind})" for link in table)
    return f"there is no NIC of {request}; there are {known}"


def _expand(entries: Sequence[Entry], table: Sequence[Link]) -> dict[str, Link]:
    """Return all NICs that entries speak of: themselves and the members of bonds."""
    names = {}
    for entry in entries:
        names[entry.link.name] = entry.link
        if entry.link.kind == "bond":
            names.update({one.name: one for one in table if one.master == entry.link.index})
    return names


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
        f"{name} is asked for {names.count(name)} times, by itself or in a bond: once is enough"
        for name in sorted({*names})
        if names.count(name) > 1
    ]


def _identity(entry: Entry) -> dict[str, Any]:
    """Return how the document names an interface: a virtual one has nothing that outlives it but its name."""
    if entry.key == entry.link.name:
        return {"name": entry.link.name}
    return {"name": entry.link.name, "pci": entry.key.partition(" ")[0], "mac": _mac(entry.link)}


def _plan_state_file(state: State) -> list[Change]:
    """Return the change of what is remembered: requests, what was seen first, and what proved immovable."""
    held = {section: _rekeyed(state, section) for section in ("nics", "original", "unmovable")}
    for section, key in itertools.product(held.values(), state.forgotten):
        section.pop(key, None)
    for entry in state.entries:
        if not entry.listed:
            continue
        names = [entry.link.name, *state.host.nics[entry.link.name].members]
        if entry.request.present:
            request = replace(entry.request, name=None, pci=None, mac=None)
            before, requested = held["nics"].get(entry.key), {**_identity(entry), **request.to_body()}
            held["nics"][entry.key] = requested
            for target in (target for target in state.targets if target.name in names):
                key = state.keys[target.name]
                if before == requested and key in held["original"]:
                    continue  # what shows only now, as vmxnet3's RSS once it is opened, was not there before us
                seen = plan.previous(target.request, state.host.nics[target.name], state.host).to_body()
                held["original"][key] = _first_seen(held["original"].get(key, {}), seen)
        else:
            held["nics"].pop(entry.key, None)
            for name in names:
                held["original"].pop(state.keys[name], None)
    if not held["nics"]:
        return [Change(("state file", STATE_FILE), dict(state.body), None)] if state.state_file else []
    for name, nic in state.host.nics.items():
        stuck = sorted(irq.name for irq in nic.irqs if not irq.movable)
        if stuck:
            held["unmovable"][state.keys[name]] = stuck
    body = {section: content for section, content in held.items() if content}
    return state_store.plan(state.state_file, StateFile(STATE_FILE, KIND, body))


def _rekeyed(state: State, section: str) -> dict[str, Any]:
    return {state.moved.get(key, key): content for key, content in state.body.get(section, {}).items()}


def _first_seen(held: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was seen first: what is remembered already stays as it is."""
    merged = dict(held)
    for key, value in seen.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _first_seen(merged[key], value)
            if {"table", DEFAULT} <= merged[key].keys():
                merged[key].pop("table" if DEFAULT in held[key] else DEFAULT)
        else:
            merged.setdefault(key, value)
    return merged


def _signature(change: Change) -> tuple[Any, ...]:
    return (change.path, repr(change.before), repr(change.after))


def _carry_out(link: Link, step: Sequence[Change]) -> None:
    section = step[0].path[1]
    values = {change.path[-1]: change.after for change in step}
    try:
        _CARRIERS_OUT[section](link, values)
    except OSError as error:
        raise ApplyFailed(f"{'; '.join(map(describe, step))}: {error.strerror or error}") from error


def _set_rss(link: Link, values: Mapping[str, Any]) -> None:
    [(what, value)] = values.items()
    given: dict[str, Any] = {what: bytes.fromhex(value.replace(":", "")) if what == "key" else value}
    try:
        ethtool.set_rss(link.name, **given)
    except ApplyFailed as error:
        # A driver whose table cannot be set keeps it in step with its channels by itself.
        if value != DEFAULT or getattr(error.__cause__, "errno", None) != errno.EOPNOTSUPP:
            raise


def _set_rules(link: Link, values: Mapping[str, Any]) -> None:
    for location, rule in values.items():
        if rule is None:
            ethtool.delete_flow_rule(link.name, int(location))
        else:
            ethtool.insert_flow_rule(link.name, _rule(rule, int(location)))


def _rule(body: Mapping[str, Any], location: int) -> FlowRule:
    return FlowRule(
        body["flow_type"], canonical(body["flow_type"], body["match"]), body.get("queue"), location=location
    )


def _set_hash_fields(link: Link, values: Mapping[str, Any]) -> None:
    for flow_type, letters in values.items():
        ethtool.set_hash_fields(link.name, flow_type, letters)


_CARRIERS_OUT: Mapping[str, Callable[[Link, Mapping[str, Any]], None]] = {
    "up": lambda link, values: netlink.set_link(link.index, **values),
    "mtu": lambda link, values: netlink.set_link(link.index, **values),
    "txqueuelen": lambda link, values: netlink.set_link(link.index, **values),
    "private_flags": lambda link, values: ethtool.set_private_flags(link.name, values),
    "channels": lambda link, values: ethtool.set_channels(link.name, values),
    "rings": lambda link, values: ethtool.set_rings(link.name, values),
    "coalesce": lambda link, values: ethtool.set_coalesce(link.name, values),
    "features": lambda link, values: ethtool.set_features(link.name, values),
    "pause": lambda link, values: ethtool.set_pause(link.name, values),
    "rss": _set_rss,
    "hash_fields": _set_hash_fields,
    "flow_rules": _set_rules,
}


def _wait_for_carrier(name: str, step: Sequence[Change]) -> None:
    deadline = time.monotonic() + _CARRIER_SECONDS
    while time.monotonic() < deadline:
        link = netlink.link(name)
        if link and link.carrier:
            return
        time.sleep(_POLL_SECONDS)
    raise ApplyFailed(
        f"{name} had a carrier, and has had none for {_CARRIER_SECONDS:g} s since {'; '.join(map(describe, step))}"
    )
