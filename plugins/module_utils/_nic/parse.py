# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Requests parsed from module options or a state file, with everything that is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .._core.converge import Findings, Invalid
from .._core.cpulist import parse_cpulist
from .._core.names import interface_fault
from .._linux import ethtool, rxnfc
from . import napi
from .request import AUTO, LOCAL, MAXIMUM, OFF, CpuSet, Irq, Request, Rps, Rss

_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_LOCATIONS = re.compile(r"(\d+)-(\d+)")
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


def parse_all(options: Sequence[Mapping[str, Any]]) -> list[Request]:
    """Return the requests of a list of options.

    Raises:
        Invalid: With every reason at once.
    """
    wrong = Findings()
    requests = []
    for number, option in enumerate(options):
        keys = [key for key in ("name", "pci", "mac") if option.get(key)]
        label = (
            str(option[keys[0]]) if keys and not interface_fault(option.get("name") or "none") else f"nics[{number}]"
        )
        requests.append(_Reader(label, wrong).request(option))
    wrong.raise_if_any(Invalid, "nothing was changed")
    return requests


def parse(option: Mapping[str, Any]) -> Request:
    """Return the request of one option; see ``parse_all``."""
    return parse_all([option])[0]


class _Reader:
    """Reads one NIC's option and notes everything that is wrong with it."""

    def __init__(self, label: str, wrong: Findings) -> None:
        self._label, self._wrong = label, wrong

    def request(self, option: Mapping[str, Any]) -> Request:
        option = {key: value for key, value in option.items() if value is not None}
        if not any(option.get(key) for key in ("name", "pci", "mac")):
            self._add("give its name, its pci address or its mac")
        fault = interface_fault(option["name"]) if "name" in option else None
        if fault:
            self._add(f"name {option['name']!r} {fault}, which no name of an interface does")
        return Request(
            name=option.get("name"),
            pci=self._shaped(option, "pci", _PCI_ADDRESS, "a PCI address such as 0000:81:00.0"),
            mac=self._shaped(option, "mac", _MAC, "a MAC address such as 52:54:00:12:34:56"),
            present=option.get("state", "present") == "present",
            up=self._one(option, "up", _boolean),
            mtu=self._one(option, "mtu", _natural),
            txqueuelen=self._one(option, "txqueuelen", _natural),
            private_flags=self._mapping(option, "private_flags", _boolean),
            channels=self._mapping(option, "channels", _natural_or_maximum),
            rings=self._mapping(option, "rings", _number_or_maximum),
            coalesce=self._mapping(option, "coalesce", _number_or_boolean, spell=lambda key: key.replace("-", "_")),
            features=self._mapping(option, "features", _boolean),
            pause=self._mapping(option, "pause", _boolean),
            napi=self._napi(option.get("napi") or {}),
            rss=self._rss(option["rss"]) if "rss" in option else None,
            flow_rules=self._rules(option["flow_rules"]) if "flow_rules" in option else None,
            locations=self._locations(option),
            irq=self._irq(option["irq"]) if "irq" in option else None,
            xps=self._xps(option.get("xps")),
            rps=self._rps(option["rps"]) if "rps" in option else None,
        )

    def _napi(self, option: Mapping[str, Any]) -> dict[str, int | bool]:
        found = {}
        for key, read in _NAPI.items():
            value = self._one(option, key, read, "napi.")
            if value is None:
                continue
            if value > napi.MOST.get(key, value):
                self._add(f"napi.{key} {value} > {napi.MOST[key]}, the most that is taken")
            found[key] = value
        return found

    def _rss(self, option: Mapping[str, Any]) -> Rss:
        option = {key: value for key, value in option.items() if value is not None and value is not False}
        spread = [key for key in ("equal", "weights", "table", "default") if key in option]
        if len(spread) > 1:
            self._add(f"rss takes one of equal, weights, table and default, not {' and '.join(spread)}")
        weights = self._sequence(option, "weights", _natural)
        if weights is not None and not sum(weights):
            self._add("rss.weights need a number above 0")
        equal = self._one(option, "equal", _natural)
        if equal == 0:
            self._add("rss.equal 0 leaves no queue: use 1 or more")
        table = self._sequence(option, "table", _natural)
        if table == ():
            self._add("rss.table is empty: use rss.default to hand the table back to the driver")
        key = str(option["key"]).lower().replace(":", "") if "key" in option else None
        if key is not None and not _HEX.fullmatch(key):
            self._add(f"rss.key '{option['key']}' is not in hexadecimal, such as 6d:5a:56:da")
            key = None
        fields = {}
        for flow_type, letters in (option.get("hash_fields") or {}).items():
            if flow_type not in rxnfc.HASH_FLOW_TYPES:
                self._add(f"rss.hash_fields: '{flow_type}' is none of {', '.join(rxnfc.HASH_FLOW_TYPES)}")
            elif set(letters) - set(rxnfc.HASH_LETTERS):
                known = "".join(rxnfc.HASH_LETTERS)
                self._add(f"rss.hash_fields.{flow_type}: '{letters}' has other letters than {known}")
            else:
                fields[flow_type] = "".join(letter for letter in rxnfc.HASH_LETTERS if letter in letters)
        return Rss(
            equal=equal,
            weights=weights,
            table=table,
            default=bool(option.get("default")),
            key=bytes.fromhex(key) if key else None,
            function=option.get("function"),
            hash_fields=fields,
        )

    def _rules(self, options: Sequence[Mapping[str, Any]]) -> tuple[ethtool.FlowRule, ...]:
        rules = []
        for number, option in enumerate(options):
            where = f"flow_rules[{number}]"
            drop, queue = bool(option.get("drop")), option.get("queue")
            if drop == (queue is not None):
                self._add(f"{where}: give either queue, or drop: true")
            try:
                match = ethtool.canonical(option["flow_type"], option.get("match") or {})
                location = None if option.get("location") is None else _natural(option["location"])
                steered = None if queue is None else _natural(queue)
            except ValueError as error:
                self._add(f"{where}: {error}")
                continue
            rules.append(ethtool.FlowRule(option["flow_type"], match, steered, location=location))
        places = [rule.location for rule in rules if rule.location is not None]
        for place in sorted({place for place in places if places.count(place) > 1}):
            self._add(f"flow_rules: location {place} is given to {places.count(place)} rules")
        return tuple(rules)

    def _locations(self, option: Mapping[str, Any]) -> tuple[int, int] | None:
        text = option.get("flow_rule_locations")
        if text is None:
            return None
        match = _LOCATIONS.fullmatch(str(text))
        if not match or int(match[1]) > int(match[2]):
            self._add(f"flow_rule_locations '{text}' is no range such as 1000-1063")
            return None
        return int(match[1]), int(match[2])

    def _irq(self, option: Mapping[str, Any]) -> Irq:
        placement = option.get("placement")
        given = None if placement is None or placement == LOCAL else placement
        if isinstance(given, str):
            self._add(f"irq.placement '{given}' is neither {LOCAL} nor a list of CPU lists, one for each queue")
            given = None
        lists = None if given is None else tuple(self._cpus("irq.placement", text) for text in given)
        if lists is not None and not all(lists):
            self._add("irq.placement: a queue without a CPU; name at least one for each")
        if lists is not None and option.get("cpus") is not None:
            self._add("irq.cpus limits the choice of CPUs, but irq.placement names them already: leave one out")
        return Irq(
            placement=lists,
            cpus=self._optional_cpus(option, "irq", "cpus"),
            avoid=self._optional_cpus(option, "irq", "avoid") or frozenset(),
            other=self._optional_cpus(option, "irq", "other"),
        )

    def _xps(self, option: Any) -> str | tuple[CpuSet, ...] | None:
        # YAML reads a bare off as a boolean.
        if option is None or option in (AUTO, OFF):
            return option
        if option is False:
            return OFF
        if isinstance(option, (list, tuple)):
            return tuple(self._cpus("xps", text) for text in option)
        self._add(f"xps '{option}' is neither {AUTO}, {OFF} nor a list of CPU lists, one for each transmit queue")
        return None

    def _rps(self, option: Mapping[str, Any]) -> Rps:
        return Rps(self._optional_cpus(option, "rps", "cpus"), self._one(option, "flow_entries", _natural, "rps."))

    def _optional_cpus(self, option: Mapping[str, Any], parent: str, key: str) -> CpuSet | None:
        return None if option.get(key) is None else self._cpus(f"{parent}.{key}", option[key])

    def _cpus(self, where: str, text: Any) -> CpuSet:
        try:
            return frozenset(parse_cpulist(str(text)))
        except Invalid as error:
            self._add(f"{where}: {error}")
            return frozenset()

    def _shaped(self, option: Mapping[str, Any], key: str, shape: re.Pattern[str], words: str) -> str | None:
        if key not in option:
            return None
        text = str(option[key]).lower()
        if not shape.fullmatch(text):
            self._add(f"{key} '{option[key]}' is no {words.partition(' ')[2]}")
            return None
        return text

    def _one(self, option: Mapping[str, Any], key: str, read: Callable[[Any], Any], parent: str = "") -> Any:
        if option.get(key) is None:
            return None
        try:
            return read(option[key])
        except ValueError as error:
            self._add(f"{parent}{key}: {error}")
            return None

    def _mapping(
        self,
        option: Mapping[str, Any],
        key: str,
        read: Callable[[Any], Any],
        spell: Callable[[str], str] = str,
    ) -> dict[str, Any]:
        return dict(self._entries(option.get(key) or {}, key, read, spell))

    def _entries(
        self, values: Mapping[str, Any], key: str, read: Callable[[Any], Any], spell: Callable[[str], str]
    ) -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if value is not None:
                try:
                    yield spell(name), read(value)
                except ValueError as error:
                    self._add(f"{key}.{name}: {error}")

    def _sequence(self, option: Mapping[str, Any], key: str, read: Callable[[Any], Any]) -> tuple[Any, ...] | None:
        if key not in option:
            return None
        try:
            return tuple(read(value) for value in option[key])
        except ValueError as error:
            self._add(f"rss.{key}: {error}")
            return None

    def _add(self, reason: str) -> None:
        self._wrong.add(f"{self._label}: {reason}")


def _natural(value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isdigit():
        raise ValueError(f"'{value}' is no number of 0 or more")
    return int(text)


def _boolean(value: Any) -> bool:
    text = str(value).lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"'{value}' is neither true nor false")


def _natural_or_maximum(value: Any) -> int | str:
    if value == MAXIMUM:
        return MAXIMUM
    try:
        return _natural(value)
    except ValueError as error:
        raise ValueError(f"{error}, nor {MAXIMUM}") from None


def _number_or_boolean(value: Any) -> int | bool:
    for read in (_natural, _boolean):
        try:
            return read(value)
        except ValueError:
            continue
    raise ValueError(f"'{value}' is neither a number of 0 or more nor true or false")


def _number_or_maximum(value: Any) -> int | bool | str:
    if value == MAXIMUM:
        return MAXIMUM
    try:
        return _number_or_boolean(value)
    except ValueError as error:
        raise ValueError(f"{error}, nor {MAXIMUM}") from None


_NAPI: Mapping[str, Callable[[Any], Any]] = {
    "defer_hard_irqs": _natural,
    "gro_flush_timeout": _natural,
    "threaded": _boolean,
}
