# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A policy from what its writers gave, with everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from .._core.converge import Findings, Invalid
from .._core.json_schema import faults
from . import schema
from .entries import HEADLINE, SHOWN, read_entries
from .fields import TCP, parse_amount, parse_rate, parse_time
from .layout import MAX_EVERY_PACKET, MAX_LIMITS, MAX_TRUSTED_FLOWS
from .model import Limit, Match, Part, Policy, PolicyList, Rate, Text
from .prefix import parse_prefix
from .prefix_set import PrefixSet, gather, parse_prefixes
from .rates import LONGEST_FRAME
from .request_match import read_match

# By how its parts are named.
_KINDS: Mapping[str, tuple[str, schema.Schema]] = {
    "lists": ("name", schema.LIST),
    "rules": ("id", schema.RULE),
    "limits": ("name", schema.LIMIT),
    "services": ("name", schema.SERVICE),
}
# The document itself; its parts are looked at one by one, as one that has a fault hides no other.
_OUTER = {
    **schema.SCHEMA,
    "properties": {
        key: {**one, "items": {}} if one.get("type") == "array" else one
        for key, one in schema.SCHEMA["properties"].items()
    },
}
# Beyond it a packet's cost is too coarse a number.
_FASTEST = 100 * 10**9


def parse(document: Mapping[str, Any], texts: Mapping[str, bytes] | None = None, *, now: float | None = None) -> Policy:
    """Return the policy in a document of ``schema.SCHEMA``.

    Args:
        document: As inventory, API and agent have it; keys that are None are left out.
        texts: Of the files that lists name, by SHA-256; read where the policy is compiled.
        now: When durations begin, in seconds since 1970; without it, every ``expires`` has to be a time.

    Raises:
        Invalid: With everything that is wrong at once, in the files too.
    """
    return _Request(document, texts or {}, now).policy()


def without_none(given: Any) -> Any:
    """Return a document without keys that are None, however deep: empty in YAML, or options that were not given."""
    if isinstance(given, Mapping):
        # A million entries have a prefix each, which takes no look inside.
        return {
            key: one if isinstance(one, str) else without_none(one) for key, one in given.items() if one is not None
        }
    if isinstance(given, (list, tuple)) and not set(map(type, given)) <= {str}:  # which a million prefixes are
        return [without_none(one) for one in given]
    return given


class _Request:
    """Reads one document and notes everything that is wrong with it."""

    def __init__(self, document: Mapping[str, Any], texts: Mapping[str, bytes], now: float | None) -> None:
        self._findings, self._texts, self._now = Findings(), texts, now
        self._document = without_none(document)
        for fault in faults(self._document, _OUTER):
            self._findings.add(fault)
        if not isinstance(self._document, Mapping):
            self._findings.raise_if_any(Invalid, HEADLINE)
        self._parts = {kind: self._shaped(kind) for kind in _KINDS}

    def policy(self) -> Policy:
        document = self._document
        trusted, flows = self._trusted(document.get("trusted", ()))
        policy = Policy(
            trusted=trusted,
            flows=tuple(flows),
            lists=tuple(self._list(place, one) for place, one in self._parts["lists"]),
            rules=tuple(self._rule(place, one) for place, one in self._parts["rules"]),
            limits=tuple(self._limit(place, one) for place, one in self._parts["limits"]),
            services=tuple(self._service(place, one) for place, one in self._parts["services"]),
            default=document.get("default", "pass"),
        )
        for fault in _limit_faults(policy, set(self._named_limits())):
            self._findings.add(fault)
        if self._findings.reasons:
            read_entries(policy, self._findings)
        self._findings.raise_if_any(Invalid, HEADLINE)
        return policy

    def _shaped(self, kind: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the parts of a kind that have the shape they should have, each with what messages call it."""
        label, shape = _KINDS[kind]
        shaped = []
        places: dict[str, str] = {}
        for number, part in enumerate(_list_of(self._document, kind)):
            name = part.get(label) if isinstance(part, Mapping) else None
            place = f"{kind}[{number}]" + (f" ({name}{_of(part)})" if isinstance(name, str) else "")
            # Entries are looked at as a whole, below.
            bare = {**part, "prefixes": []} if isinstance(part, Mapping) and "prefixes" in part else part
            wrong = list(faults(bare, shape, place))
            for fault in wrong:
                self._findings.add(fault)
            if isinstance(name, str) and places.setdefault(name, place) != place:
                self._findings.add(f"{place}: {places[name]} has this {label} too: give each its own")
            if not wrong:
                shaped.append((place, part))
        return shaped

    def _names(self, kind: str) -> list[str]:
        """Return the names of parts, also of those that have faults: one of those is enough to be told."""
        label = _KINDS[kind][0]
        return [str(one[label]) for one in _list_of(self._document, kind) if isinstance(one, Mapping) and label in one]

    def _named_limits(self) -> Iterator[str]:
        """Yield the limits that parts name, also those that have faults."""
        for part in chain(*(_list_of(self._document, kind) for kind in _KINDS)):
            if isinstance(part, Mapping):
                yield str(part.get("limit"))
                yield str(part.get("action")).partition("limit:")[2]

    def _adder(self, place: str) -> Callable[[str], None]:
        return lambda fault: self._findings.add(f"{place}: {fault}")

    def _trusted(self, given: Any) -> tuple[PrefixSet, list[Match]]:
        prefixes, flows = [], []
        for number, part in enumerate(given if isinstance(given, (list, tuple)) else ()):
            place = f"trusted[{number}]"
            wrong = list(faults(part, schema.TRUSTED, place))
            for fault in wrong:
                self._findings.add(fault)
            if wrong:
                continue
            if "prefix" not in part:
                flows.append(read_match(part, self._adder(place)))
                continue
            try:
                prefixes.append(parse_prefix(part["prefix"]))
            except ValueError as error:
                self._findings.add(f"{place}.prefix: {error}")
        if len(flows) > MAX_TRUSTED_FLOWS:
            self._findings.add(
                f"trusted: {len(flows)} flows > the limit {MAX_TRUSTED_FLOWS}: put ports of a protocol into one"
            )
        return gather(prefixes), flows

    def _list(self, place: str, part: Mapping[str, Any]) -> PolicyList:
        add = self._adder(place)
        action, _colon, limit = part.get("action", "drop").partition(":")
        if limit:
            self._check_limit(limit, add)
        if action == "none" and part.get("mode") == "observe":
            add("mode: a list of action none decides nothing that could be observed: leave it out")
        prefixes, expiring = self._entries(place, part.get("prefixes", ()))
        text = None
        if "file" in part:
            digest = part.get("sha256", "")
            if digest in self._texts:
                text = Text(f"{place} file {part['file']}", digest, self._texts)
            else:
                add(f"file: the text of {part['file']} is not here: give it along with its sha256")
        return PolicyList(
            name=part["name"],
            action=action,
            limit=limit,
            observe=part.get("mode") == "observe",
            prefixes=prefixes,
            expiring=expiring,
            text=text,
            expires=self._time(part, f"{place}.expires"),
            max_entries=part.get("max_entries"),
            place=place,
        )

    def _entries(self, place: str, given: Any) -> tuple[PrefixSet, tuple[tuple[int, PrefixSet], ...]]:
        """Return all entries, and those of them that end."""
        if not isinstance(given, (list, tuple)) or len(given) > schema.MAX_PREFIXES:
            for fault in faults(given, {**schema.LIST["properties"]["prefixes"], "items": {}}, f"{place}.prefixes"):
                self._findings.add(fault)
            return PrefixSet(), ()
        plain = [one for one in given if isinstance(one, str)]
        if len(plain) == len(given):
            return self._prefixes(place, plain, range(len(plain))), ()
        # By when they end: place and word of each.
        groups: dict[int | None, list[tuple[int, str]]] = {None: []}
        for number, one in enumerate(given):
            entry = {"prefix": one} if isinstance(one, str) else one
            wrong = list(faults(entry, schema.ENTRY["anyOf"][1], f"{place}.prefixes[{number}]"))
            for fault in wrong:
                self._findings.add(fault)
            if not wrong:
                end = self._time(entry, f"{place}.prefixes[{number}].expires")
                groups.setdefault(end, []).append((number, entry["prefix"]))
        prefixes = {
            end: self._prefixes(place, [word for _number, word in group], [number for number, _word in group])
            for end, group in groups.items()
        }
        return _last_ends(prefixes)

    def _prefixes(self, place: str, words: Sequence[str], numbers: Sequence[int]) -> PrefixSet:
        parsed = parse_prefixes(words)
        for at, fault in parsed.faults[:SHOWN]:
            self._findings.add(f"{place}.prefixes[{numbers[at]}]: {fault}")
        if len(parsed.faults) > SHOWN:
            self._findings.add(f"{place}.prefixes: and {len(parsed.faults) - SHOWN} more")
        return parsed.prefixes

    def _time(self, part: Mapping[str, Any], place: str) -> int | None:
        if "expires" not in part:
            return None
        try:
            return parse_time(part["expires"], self._now)
        except ValueError as error:
            self._findings.add(f"{place}: {error}")
            return None

    def _rule(self, place: str, part: Mapping[str, Any]) -> Part:
        add = self._adder(place)
        match = read_match(part, add, self._names("lists"))
        action, limit = self._action(part, add)
        if not action and not limit:
            add("give an action, pass or drop, or a limit")
        if action and limit:
            add(f"action {action} leaves nothing to limit {limit}: leave one of them out")
        return Part(part["id"], match, action, limit, observe=part.get("mode") == "observe", place=place)

    def _service(self, place: str, part: Mapping[str, Any]) -> Part:
        add = self._adder(place)
        action, limit = self._action(part, add)
        action, _colon, worker = action.partition(":")
        if action == "syncookie":
            part = {"protocol": TCP, **part}
        match = read_match(part, add, self._names("lists"))
        if action == "syncookie" and match.protocols != (TCP,):
            add("action syncookie is for TCP only: give protocol: tcp")
        if action == "drop" and limit:
            add(f"action drop leaves nothing to limit {limit}: leave one of them out")
        return Part(part["name"], match, action, limit, worker, place=place)

    def _action(self, part: Mapping[str, Any], add: Callable[[str], None]) -> tuple[str, str]:
        """Return a part's action, and its limit, which may be given in either way."""
        action, limit = part.get("action", ""), part.get("limit", "")
        if action.startswith("limit:"):
            if limit and action != f"limit:{limit}":
                add(f"action {action} and limit {limit}: a part takes one limit, leave one out")
            action, limit = "", action.partition(":")[2]
        if limit:
            self._check_limit(limit, add)
        return action, limit

    def _check_limit(self, name: str, add: Callable[[str], None]) -> None:
        names = self._names("limits")
        if name not in names:
            add(f"there is no limit {name!r}; those that are: {', '.join(names) or 'none'}")

    def _limit(self, place: str, part: Mapping[str, Any]) -> Limit:
        add = self._adder(place)
        if "packets" not in part and "bytes" not in part:
            add("give packets, bytes or both, such as packets: 50/s")
        rates = {quantity: self._rate(part, quantity, add) for quantity in ("packets", "bytes")}
        scope = part.get("per", "source")
        for key in ("ipv4_prefix", "ipv6_prefix"):
            if key in part and scope != "source":
                add(f"{key} is for a limit per source, not per {scope}: leave it out")
        if part.get("every_packet") and scope == "service":
            add("every_packet: packets that no service takes have no bucket per service: give per: source or global")
        default = {key: one.get("default") for key, one in schema.LIMIT["properties"].items()}
        return Limit(
            name=part["name"],
            packets=rates["packets"],
            bytes=rates["bytes"],
            per=scope,
            v4_length=part.get("ipv4_prefix", default["ipv4_prefix"]),
            v6_length=part.get("ipv6_prefix", default["ipv6_prefix"]),
            every_packet=bool(part.get("every_packet")),
            observe=part.get("mode") == "observe",
            place=place,
        )

    def _rate(self, part: Mapping[str, Any], quantity: str, add: Callable[[str], None]) -> Rate | None:
        """Return the rate of packets or bytes that a limit has, if it has one."""
        least = LONGEST_FRAME if quantity == "bytes" else 1
        burst = part.get("burst")
        if isinstance(burst, Mapping):
            burst = burst.get(quantity)
            if burst is not None and quantity not in part:
                add(f"burst.{quantity}: there is no rate of {quantity}: leave it out, or give {quantity}")
        elif burst is not None and "packets" in part and "bytes" in part:
            if quantity == "packets":
                add("burst: of packets or of bytes? write burst: {packets: ..., bytes: ...}")
            burst = None
        if quantity not in part:
            return None
        try:
            count, seconds = parse_rate(part[quantity])
            at_once = parse_amount(burst) if burst is not None else max(least, count // seconds)
        except ValueError as error:
            add(str(error))
            return None
        if count > _FASTEST * seconds:
            add(f"{quantity}: {part[quantity]} > the limit {_FASTEST // 10**9}G/s")
        if at_once < least:
            add(f"burst of {at_once} bytes < {least}, which the longest frame may have: give {least} or more")
        return Rate(count, seconds, at_once)


def _of(part: Mapping[str, Any]) -> str:
    """Return whose a part is, in words; the inventory's, as most, needs none."""
    owner = part.get("owner", "inventory")
    return "" if owner == "inventory" else f" of {owner}"


def _list_of(document: Mapping[str, Any], kind: str) -> Sequence[Any]:
    given = document.get(kind, ())
    return given if isinstance(given, (list, tuple)) else ()


def _last_ends(prefixes: Mapping[int | None, PrefixSet]) -> tuple[PrefixSet, tuple[tuple[int, PrefixSet], ...]]:
    """Return all prefixes, and those that end; one that is given with two ends has the later one, or none."""
    seen4, seen6 = set(prefixes[None].v4), set(prefixes[None].v6)
    expiring = []
    for end in sorted((end for end in prefixes if end is not None), reverse=True):
        group = prefixes[end]
        v4 = [number for number in group.v4 if number not in seen4]
        v6 = [number for number in group.v6 if number not in seen6]
        seen4.update(v4)
        seen6.update(v6)
        if v4 or v6:
            expiring.append((end, PrefixSet(v4, v6)))
    return PrefixSet(sorted(seen4), sorted(seen6)), tuple(reversed(expiring))


def _limit_faults(policy: Policy, named: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with how limits are named."""
    per_service = {one.name for one in policy.limits if one.per == "service"}
    places = [(one.place, one.limit) for one in policy.lists] + [(one.place, one.limit) for one in policy.rules]
    for place, limit in places:
        if limit in per_service:
            yield (
                f"{place}: limit {limit} is per service, and this is none: give the limit per: source or global, or "
                "name another"
            )
    for one in policy.limits:
        if one.name not in named and not one.every_packet:
            yield (
                f"{one.place}: nothing names it: name it in a list, rule or service, give it every_packet: true, or "
                "leave it out"
            )
    every_packet = [one.name for one in policy.limits if one.every_packet]
    if len(every_packet) > MAX_EVERY_PACKET:
        yield (
            f"limits {', '.join(every_packet)}: {len(every_packet)} with every_packet > the limit {MAX_EVERY_PACKET}: "
            "name some in rules instead"
        )
    entries = sum((one.packets is not None) + (one.bytes is not None) for one in policy.limits)
    if entries >= MAX_LIMITS:
        yield (
            f"limits: {entries} rates, those in packets and in bytes counted apart, > the limit {MAX_LIMITS - 1}: "
            "name one limit in several parts"
        )
