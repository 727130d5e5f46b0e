# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What of an import document a MarchProxy gateway could not hold or use: every reason, before anything is sent."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from .._core.converge import Findings, Invalid
from .._core.json_schema import faults as misfits
from .model import EXTERNAL, Gateway
from .schema import IMPORT_FILE, MAPPING, SERVICE

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# A last label of digits alone would be a mistyped address.
_HOST_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\.?\Z){_LABEL}\.?")
_HERE = ("localhost", "localhost.localdomain")


def parse(document: Mapping[str, Any], local_names: bool = False) -> Gateway:
    """Return what a document of the shape of ``import-config.json`` describes.

    Args:
        document: Of JSON's types.
        local_names: Whether names and addresses that only some hosts resolve, or that each host has, are accepted.

    Raises:
        Invalid: With every reason: the service, the field, the value, the limit and the way out.
    """
    wrong = Findings(list(faults(document, local_names)))
    wrong.raise_if_any(Invalid, "MarchProxy import")
    return Gateway.of(document)


def faults(document: Mapping[str, Any], local_names: bool = False) -> Iterator[str]:
    """Yield every reason why a document cannot be imported; arguments as of ``parse``."""
    parts = {name: shape for name, shape in IMPORT_FILE["properties"].items() if name == "metadata"}
    lists = {name: {"type": "array"} for name in ("services", "mappings")}
    yield from misfits(document, {**IMPORT_FILE, "properties": {**parts, **lists}})
    services, mappings = (_entries(document, name) for name in lists)
    for name, entries, shape in (("services", services, SERVICE), ("mappings", mappings, MAPPING)):
        for place, entry in _placed(name, entries):
            yield from misfits(entry, shape, place)
        yield from _repeated(name, entries)
    for place, service in _placed("services", services):
        yield from _unusable(place, service, local_names)
    yield from _unroutable(mappings, [service.get("name") for service in services if isinstance(service, Mapping)])


def address_fault(address: str, local_names: bool = False) -> str | None:
    """Return why a gateway cannot reach an address or host name, as what it is; None where it may."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return _name_fault(address, local_names)
    if parsed.is_unspecified or parsed.is_multicast:
        return "is the address of no single host"
    if "%" in address or (not local_names and (parsed.is_loopback or parsed.is_link_local)):
        return (
            "is an address that every host has: publish the service on one that the gateway reaches, or accept local "
            "names"
        )
    return None


def is_loopback(address: str) -> bool:
    """Return whether something is an address, and one that leads to the host itself."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def is_unspecified(address: str) -> bool:
    """Return whether something is the address that stands for all of a host's."""
    try:
        return ip_address(address).is_unspecified
    except ValueError:
        return False


def local_only(document: Mapping[str, Any]) -> list[str]:
    """Return each service of a checked document that only its own host or Docker network reaches, and why."""
    found = ((service["name"], service["ip_fqdn"]) for service in document["services"])
    return [f"{name}: {address!r} {fault}" for name, address in found if (fault := address_fault(address))]


def _name_fault(name: str, local_names: bool) -> str | None:
    if not _HOST_NAME.fullmatch(name):
        return "is neither an IP address nor a host name: give it without scheme, port and path"
    if not local_names and ("." not in name.rstrip(".") or name.rstrip(".").lower() in _HERE):
        return (
            "is a name that only its own host or Docker network resolves: give an address or a full name that the "
            "gateway reaches, or accept local names"
        )
    return None


def _entries(document: Mapping[str, Any], name: str) -> Sequence[Any]:
    entries = document.get(name, ())
    return entries if isinstance(entries, (list, tuple)) else ()


def _placed(what: str, entries: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        yield (f"{what}[{index}] ({name})" if name else f"{what}[{index}]"), entry


def _unusable(place: str, service: Any, local_names: bool) -> Iterator[str]:
    if not isinstance(service, Mapping):
        return
    address = service.get("ip_fqdn")
    fault = address_fault(address, local_names) if isinstance(address, str) and address else None
    if fault:
        yield f"{place}.ip_fqdn: {address!r} {fault}"
    if service.get("health_check_enabled") is True and service.get("health_check_path", "") is None:
        yield f"{place}: health_check_enabled is true without a health_check_path: give one, or switch the check off"


def _repeated(what: str, entries: Sequence[Any]) -> Iterator[str]:
    first: dict[Any, int] = {}
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if isinstance(name, str) and first.setdefault(name, index) != index:
            yield f"{what}[{index}] ({name}): name is already that of {what}[{first[name]}]: give each its own"


def _near(name: str, services: Sequence[Any]) -> str:
    near = difflib.get_close_matches(name, [one for one in services if isinstance(one, str)], 1)
    return f": did you mean {near[0]}?" if near else ""


def _unroutable(mappings: Sequence[Any], services: Sequence[Any]) -> Iterator[str]:
    """Yield what of mappings names no service, and mappings whose traffic another gets already."""
    routes: dict[tuple[Any, ...], int] = {}
    for index, (place, mapping) in enumerate(_placed("mappings", mappings)):
        if any(misfits(mapping, MAPPING)):
            continue  # said already
        for field in ("source_services", "dest_services"):
            for name in mapping[field]:
                if name not in services and name != EXTERNAL:
                    near = _near(name, services)
                    yield f"{place}.{field}: {name!r} is neither {EXTERNAL} nor a service described here{near}"
        keys = ("listen_port", "protocol", "path_prefix")
        route = (*(mapping[key] for key in keys), *sorted(mapping["source_services"]))
        first = routes.setdefault(route, index)
        if first != index:
            yield (
                f"{place}: source_services, {', '.join(keys)} are those of mappings[{first}], so one of the two could "
                "never be reached: change one of them"
            )
