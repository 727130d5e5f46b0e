# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What the handlers of packets take: one reader for each, which says everything that is wrong with its options."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .._core.names import interface_fault

Options = Mapping[str, Any]
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
_GROUP = 1  # the bit of a MAC address's first byte that makes it one of a group
MOST_ERRORS = 100_000
_MINUTE_MS = 60_000
_BALANCE_NUMBERS = {
    "gue_port": (1, 65535),
    "errors_per_second": (1, MOST_ERRORS),
    "health_port": (1, 65535),
    "health_interval_ms": (10, _MINUTE_MS),
    "health_timeout_ms": (10, _MINUTE_MS),
    "health_fall": (1, 10),
    "health_rise": (1, 10),
}
_BALANCE_TEXTS: Mapping[str, tuple[str, ...]] = {
    "encapsulation": ("ipip", "gue"),
    "health_check": ("tcp", "http", "none"),
    "health_path": (),
    "health_host": (),
}
_HEALTH_MS = (("health_interval_ms", 1000), ("health_timeout_ms", 500))


def faults(handler: str, options: Options) -> Iterator[str]:
    """Yield what is wrong with a handler's name or its options."""
    read = _READERS.get(handler)
    if read is None:
        yield f"handler {handler!r} is none; there are {', '.join(sorted(_READERS))}"
    else:
        yield from (f"options of {handler}: {reason}" for reason in read(options))


def peer(handler: str, options: Options) -> str | None:
    """Return the NIC that a handler sends to beside its own; None for none."""
    named = options.get("peer") if handler == "forward" else None
    return named if isinstance(named, str) else None


def _none(options: Options) -> Iterator[str]:
    yield from _unknown(options, ())


def _echo(options: Options) -> Iterator[str]:
    yield from _unknown(options, ("addresses",))
    if not _listed(options, "addresses"):
        yield "addresses is empty: give one at least that it answers for"
    for address in _listed(options, "addresses"):
        yield from _station("addresses", address)


def _balance(options: Options) -> Iterator[str]:
    yield from _unknown(options, ("addresses", "backends", "sources", *_BALANCE_NUMBERS, *_BALANCE_TEXTS))
    for key, what in (("addresses", "that clients connect to"), ("sources", "that encapsulated packets come from")):
        if not _listed(options, key):
            yield f"{key} is empty: give one at least {what}"
        for address in _listed(options, key):
            yield from _station(key, address)
    yield from _backends(options)
    for key, (least, most) in _BALANCE_NUMBERS.items():
        if key in options and not _is_within(options[key], least, most):
            yield f"{key} {options[key]!r}: {least} to {most} are possible"
    for key, choices in _BALANCE_TEXTS.items():
        value = options.get(key, "")
        if not isinstance(value, str) or (choices and key in options and value not in choices):
            yield f"{key} {value!r}: {', '.join(choices) or 'a text'} is needed"
    if options.get("health_check") != "none" and "health_port" not in options:
        yield "health_port is missing: the port that each backend is checked at, or health_check: none"
    interval, timeout = (options.get(key, preset) for key, preset in _HEALTH_MS)
    if _is_within(interval, 1) and _is_within(timeout, 1) and timeout > interval:
        yield f"health_timeout_ms {timeout} > health_interval_ms {interval}: a check must end before the next"


def _backends(options: Options) -> Iterator[str]:
    backends = options.get("backends")
    if not isinstance(backends, list) or not backends:
        yield "backends is empty: give one at least, with name and address"
        return
    sources, addresses = (_listed(options, key) for key in ("sources", "addresses"))
    sent = {_version(one) for one in sources}
    for number, backend in enumerate(backends):
        where = f"backends[{number}]"
        if not isinstance(backend, Mapping):
            yield f"{where} is {backend!r}: a dictionary with name, address and perhaps weight is needed"
            continue
        yield from (f"{where}: {reason}" for reason in _unknown(backend, ("name", "address", "weight")))
        if not isinstance(backend.get("name"), str) or not backend["name"]:
            yield f"{where}: name is missing"
        address = backend.get("address")
        yield from _station(f"{where}: address", address)
        if sources and _version(address) not in (None, *sent):
            yield f"{where}: address {address} needs a source of its family, IPv{_version(address)}"
        if address in addresses:
            yield f"{where}: address {address} is one that clients connect to: its own is needed"
        if not _is_within(backend.get("weight", 1), 1, 100):
            yield f"{where}: weight {backend['weight']!r}: 1 to 100 are possible"
    for key in ("name", "address"):
        values = [str(one[key]) for one in backends if isinstance(one, Mapping) and one.get(key)]
        for value in dict.fromkeys(values):
            if values.count(value) > 1:
                yield f"backends: {key} {value} is there {values.count(value)} times: once is enough"


def _listed(options: Options, key: str) -> list[Any]:
    value = options.get(key)
    return value if isinstance(value, list) else []


def _forward(options: Options) -> Iterator[str]:
    yield from _unknown(options, ("peer", "near", "far", "errors_per_second"))
    fault = interface_fault(options.get("peer"))
    if fault:
        yield f"peer {fault}: give the NIC that packets leave by"
    for side in ("near", "far"):
        port = options.get(side)
        if not isinstance(port, Mapping):
            yield f"{side} is missing: a dictionary with next_hop, and v4 and v6 where it sends ICMP errors"
            continue
        yield from (f"{side}: {reason}" for reason in _port(port))
    errors = options.get("errors_per_second", 0)
    if not _is_within(errors, 0, MOST_ERRORS):
        yield f"errors_per_second {errors!r}: 0 to {MOST_ERRORS} ICMP errors are possible"


def _port(port: Options) -> Iterator[str]:
    yield from _unknown(port, ("next_hop", "v4", "v6"))
    hop = str(port.get("next_hop", ""))
    if not _MAC.fullmatch(hop):
        yield f"next_hop {hop!r} is no MAC address such as 52:54:00:12:34:56"
    elif int(hop[:2], 16) & _GROUP:
        yield f"next_hop {hop} is the address of a group, and one station is needed"
    for key, version in (("v4", 4), ("v6", 6)):
        if port.get(key):
            yield from _station(key, port[key], version)


def _is_within(value: Any, least: int, most: int | None = None) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and least <= value and (most is None or value <= most)


def _version(text: Any) -> int | None:
    try:
        return ipaddress.ip_address(text).version if isinstance(text, str) else None
    except ValueError:
        return None


def _station(key: str, text: Any, version: int | None = None) -> Iterator[str]:
    try:
        address = ipaddress.ip_address(text if isinstance(text, str) else "")
    except ValueError:
        yield f"{key}: {text!r} is no IP address"
        return
    if version not in (None, address.version):
        yield f"{key}: {text} is an address of IPv{address.version}"
    elif address.is_unspecified or address.is_multicast or "%" in str(text):
        yield f"{key}: {text} is none that a station can have"


def _unknown(options: Options, known: tuple[str, ...]) -> Iterator[str]:
    for key in options:
        if key not in known:
            yield f"there is no {key}; it takes {', '.join(known) or 'none'}"


_READERS: Mapping[str, Callable[[Options], Iterator[str]]] = {
    "balance": _balance,
    "capture": _none,
    "echo": _echo,
    "forward": _forward,
    "reflect": _none,
    "sink": _none,
}
