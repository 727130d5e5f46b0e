# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which interface a request means, by PCI address, MAC or name, and the key that the state file holds it under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._core.system import Host
from .._linux.netlink import Link
from .._linux.topology import NETWORK, pci_device
from .request import Request


@dataclass(frozen=True)
class Entry:
    """A request and the interface that it means.

    Attributes:
        key: Under which the state file holds it: its PCI address, or its name where it has none of its own.
        listed: Whether it is requested now; others are only known from the state file.
    """

    request: Request
    link: Link
    key: str
    listed: bool = True


def match(
    requests: Sequence[Request], table: Sequence[Link], addresses: Mapping[str, str | None], saved: bool
) -> tuple[list[Entry], list[tuple[Request, str]]]:
    """Return the requests with their interfaces, and the others with the reason.

    Args:
        requests: What is requested.
        table: All links.
        addresses: PCI address by name, as ``pci_addresses`` returns them.
        saved: Whether the requests come from the state file, whose names may be outdated.
    """
    entries, unfound = [], []
    for request in requests:
        found = (_find_saved if saved else _find)(request, table, addresses)
        if len(found) == 1:
            entries.append(Entry(request, found[0], key_of(found[0], addresses)))
        else:
            unfound.append((request, _why_not_found(request, found, table, addresses)))
    return entries, unfound


def pci_addresses(host: Host, table: Sequence[Link]) -> dict[str, str | None]:
    """Return each link's PCI address; None for what has none of its own."""
    # What stands on a NIC, such as a VLAN, has no device of its own.
    devices = {link.name: pci_device(host, f"{NETWORK}/{link.name}") for link in table if link.kind is None}
    return {link.name: (devices.get(link.name) or "").rpartition("/")[2] or None for link in table}


def key_of(link: Link, addresses: Mapping[str, str | None]) -> str:
    """Return what the state file holds a link under: its PCI address, or its name where it has none of its own."""
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


def identity(entry: Entry) -> dict[str, Any]:
    """Return how the state file names an interface: a virtual one has nothing that outlives it but its name."""
    if entry.key == entry.link.name:
        return {"name": entry.link.name}
    return {"name": entry.link.name, "pci": entry.key.partition(" ")[0], "mac": _mac(entry.link)}


def expand(entries: Sequence[Entry], table: Sequence[Link]) -> dict[str, Link]:
    """Return all NICs that entries speak of: themselves and the members of bonds."""
    names = {}
    for entry in entries:
        names[entry.link.name] = entry.link
        if entry.link.kind == "bond":
            names.update({one.name: one for one in table if one.master == entry.link.index})
    return names
