# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Links, addresses and routes as they were, and back to that: what a link that went down for a moment has lost.

Addresses and routes are saved as the kernel's own messages, so that nothing of them has to be understood but the
interface they belong to, whose index can be another after a driver was reloaded.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from . import netlink
from .netlink_socket import CREATE, REPLACE, ROUTE, NetlinkError, Socket, attribute, attributes, read_int, u32

# linux/rtnetlink.h and linux/if_addr.h
_NEWADDR, _GETADDR, _NEWROUTE, _GETROUTE = 20, 22, 24, 26
_ADDRESS_HEADER = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE_HEADER = struct.Struct("=BBBBBBBBI")  # family, dst and src length, tos, table, protocol, scope, type, flags
_NEXTHOP = struct.Struct("=HBBi")  # length, flags, hops, index
_IFA_ADDRESS, _IFA_LOCAL, _IFA_TEMPORARY = 1, 2, 1
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_MULTIPATH, _RTA_CACHEINFO, _RTA_TABLE, _RTA_NEXTHOP_ID = 1, 4, 5, 9, 12, 15, 30
_TABLE_MAIN, _TABLE_LOCAL = 254, 255  # the kernel makes the routes of the second with each address
_ONLINK = 4  # the only flag of a route that is a wish; the others say how it fares
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
# Routing daemons bring their routes back by themselves, and there can be a million of them:
# gated, mrt, zebra, bird, dnrouted, xorp, ntk, mrouted, babel, openr, bgp, isis, ospf, rip, eigrp.
_DAEMONS = frozenset((8, 10, 11, 12, 13, 14, 15, 17, 42, 99, 186, 187, 188, 189, 192))


@dataclass(frozen=True)
class LinkState:
    """What of a link is saved.

    Attributes:
        up: Administrative state.
        mtu: In bytes.
        master: Name of the bond, bridge or VRF that it is part of.
    """

    up: bool
    mtu: int
    master: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """Some links as they were.

    Attributes:
        links: State by name.
        names: Name of every interface, by index; the messages speak of indices.
        addresses, routes: Messages of those links, in hexadecimal.
    """

    links: Mapping[str, LinkState] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    addresses: Sequence[str] = ()
    routes: Sequence[str] = ()

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Snapshot:
        """Return the snapshot that ``dataclasses.asdict``, and then JSON, made this of."""
        return cls(
            {name: LinkState(**one) for name, one in content["links"].items()},
            {int(index): name for index, name in content["names"].items()},
            content["addresses"],
            content["routes"],
        )

    def joined(self, later: Snapshot) -> Snapshot:
        """Return this snapshot with what a later one says of other links."""
        own = {index for index, name in self.names.items() if name in self.links}

        def joined(first: Sequence[str], more: Sequence[str], indices: Callable[[bytes], list[int]]) -> list[str]:
            return [*first, *(one for one in more if not own & set(indices(bytes.fromhex(one))))]

        return Snapshot(
            {**later.links, **self.links},
            {**later.names, **self.names},
            joined(self.addresses, later.addresses, _address_indices),
            joined(self.routes, later.routes, _route_indices),
        )


def take(interfaces: Collection[str]) -> Snapshot:
    """Return the state of links, of what they carry and of what carries them.

    Raises:
        NetlinkError: The kernel refused, in its words.
    """
    table = netlink.links()
    names = {one.index: one.name for one in table}
    chosen = {one.index for one in table if one.name in interfaces}
    for index in sorted(chosen):
        chosen |= netlink.uppers(index, table) | netlink.lowers(index, table)
    return Snapshot(
        {
            one.name: LinkState(one.up, one.mtu, names.get(one.master) if one.master else None)
            for one in table
            if one.index in chosen
        },
        names,
        [body.hex() for body in _addresses() if chosen & set(_address_indices(body))],
        [body.hex() for body in _routes() if chosen & set(_route_indices(body))],
    )


def put_back(snapshot: Snapshot) -> list[str]:
    """Bring links back to a snapshot, and restore the addresses and routes that they have lost since.

    What was added since stays: it may be somebody else's.

    Returns:
        What was done, a line each.

    Raises:
        OSError: Some of it was refused; the error names all of it. The rest is done.
    """
    lines: list[str] = []
    errors: list[str] = []
    _put_back_links(snapshot, lines, errors)
    indices = {one.name: one.index for one in netlink.links()}
    moved = {index: indices[name] for index, name in snapshot.names.items() if name in indices}
    for kind, messages, present, key, rewrite in (
        (_NEWADDR, snapshot.addresses, _addresses(), _address_key, _rewrite_address),
        (_NEWROUTE, snapshot.routes, None, _route_key, _rewrite_route),
    ):
        there = {key(body) for body in (_routes() if present is None else present)}
        desired = [rewrite(bytes.fromhex(one), moved) for one in messages]
        missing = [body for body in desired if body is not None and key(body) not in there]
        _add(kind, missing, lines, errors)
    if errors:
        raise OSError("; ".join(errors))
    return lines


def holders(address: str) -> set[str]:
    """Return the interfaces that have an address; a scope in it (``fe80::1%ens1``) names the interface itself."""
    plain, _percent, scope = address.partition("%")
    if scope:
        return {scope}
    packed = ipaddress.ip_address(plain).packed
    names = {one.index: one.name for one in netlink.links()}
    found = [body for body in _addresses() if _own_address(body) == packed]
    return {names[index] for body in found for index in _address_indices(body) if index in names}


def ways_to(address: str) -> set[str]:
    """Return the interfaces that packets to an address leave by; none where there is no route."""
    packed = ipaddress.ip_address(address.partition("%")[0]).packed
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    header = _ROUTE_HEADER.pack(family, 8 * len(packed), 0, 0, 0, 0, 0, 0, 0)
    try:
        with Socket(ROUTE) as route:
            answer = route.request(_GETROUTE, header + attribute(_RTA_DST, packed))
    except NetlinkError:
        return set()
    return _named(_route_indices(answer))


def interface_networks() -> dict[str, list[str]]:
    """Return the networks that interfaces have an address of, as prefixes by name, but for IPv6's link-local one."""
    names = {one.index: one.name for one in netlink.links()}
    found: dict[str, list[str]] = {}
    for body in _addresses():
        own = _own_address(body)
        if own is not None:
            prefix = ipaddress.ip_network((own, body[1]), strict=False)
            if not (prefix.version == 6 and prefix.is_link_local):
                found.setdefault(names.get(_address_indices(body)[0], "?"), []).append(str(prefix))
    return found


def default_ways() -> set[str]:
    """Return the interfaces of the default routes."""
    return _named(index for body in _routes() if body[1] == 0 for index in _route_indices(body))


def _named(indices: Iterable[int]) -> set[str]:
    names = {one.index: one.name for one in netlink.links()}
    return {names[index] for index in indices if index in names}


def _put_back_links(snapshot: Snapshot, lines: list[str], errors: list[str]) -> None:
    table = {one.name: one for one in netlink.links()}
    names = {one.index: one.name for one in table.values()}
    for name, desired in snapshot.links.items():
        if name not in table:
            errors.append(f"{name} is gone")
            continue
        link = table[name]
        set_link = partial(netlink.set_link, link.index)
        steps: list[tuple[str, Callable[[], None]]] = []
        if (names.get(link.master) if link.master else None) != desired.master:
            if desired.master is not None and desired.master not in table:
                errors.append(f"{desired.master}, of which {name} was a part, is gone")
            else:
                master = table[desired.master].index if desired.master else 0
                steps.append((f"master {desired.master or 'none'}", partial(set_link, master=master)))
        if link.mtu != desired.mtu:
            steps.append((f"MTU {desired.mtu}", partial(set_link, mtu=desired.mtu)))
        if link.up != desired.up:
            steps.append(("up" if desired.up else "down", partial(set_link, up=desired.up)))
        for what, step in steps:
            try:
                step()
                lines.append(f"{name} is back to {what}")
            except NetlinkError as error:
                errors.append(f"{name} cannot be brought back to {what}: {error}")


def _add(kind: int, messages: Sequence[bytes], lines: list[str], errors: list[str]) -> None:
    """Add messages in whatever order the kernel takes them: a route needs the one that its gateway is reached by."""
    left = list(messages)
    refused: dict[bytes, NetlinkError] = {}
    progress = True
    while left and progress:
        progress = False
        for body in list(left):
            try:
                with Socket(ROUTE) as route:
                    route.request(kind, body, CREATE | REPLACE)
            except NetlinkError as error:
                refused[body] = error
                continue
            left.remove(body)
            progress = True
            lines.append(f"{_show(kind, body)} is back")
    errors += [f"{_show(kind, body)}: {refused[body]}" for body in left]


def _show(kind: int, body: bytes) -> str:
    names = _named(_address_indices(body) if kind == _NEWADDR else _route_indices(body))
    where = ", ".join(sorted(names))
    if kind == _NEWADDR:
        own = _own_address(body)
        return f"address {ipaddress.ip_address(own) if own else '?'}/{body[1]} of {where}"
    target = dict(attributes(body[_ROUTE_HEADER.size :])).get(_RTA_DST)
    return f"route {f'{ipaddress.ip_address(target)}/{body[1]}' if target else 'default'} by {where}"


def _addresses() -> list[bytes]:
    with Socket(ROUTE) as route:
        found = route.dump(_GETADDR, _ADDRESS_HEADER.pack(0, 0, 0, 0, 0))
    # IFA_F_TEMPORARY has the same value as IPv4's IFA_F_SECONDARY.
    return [
        body for body in found if body[0] in _FAMILIES and not (body[0] == socket.AF_INET6 and body[2] & _IFA_TEMPORARY)
    ]


def _address_indices(body: bytes) -> list[int]:
    return [_ADDRESS_HEADER.unpack_from(body)[4]]


def _own_address(body: bytes) -> bytes | None:
    found = dict(attributes(body[_ADDRESS_HEADER.size :]))
    return found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS))


def _address_key(body: bytes) -> Any:
    return body[0], body[1], tuple(_address_indices(body)), _own_address(body)


def _rewrite_address(body: bytes, moved: Mapping[int, int]) -> bytes | None:
    family, length, flags, scope, index = _ADDRESS_HEADER.unpack_from(body)
    if index not in moved:
        return None
    return _ADDRESS_HEADER.pack(family, length, flags, scope, moved[index]) + body[_ADDRESS_HEADER.size :]


def _routes() -> list[bytes]:
    with Socket(ROUTE) as route:
        found = route.dump(_GETROUTE, _ROUTE_HEADER.pack(0, 0, 0, 0, 0, 0, 0, 0, 0))
    routes = []
    for body in found:
        family, _dst, _src, _tos, table, protocol = body[:6]
        if family in _FAMILIES and table != _TABLE_LOCAL and protocol not in _DAEMONS:
            routes.append(_rewrite_route(body, None))
    return [body for body in routes if body is not None]


def _route_indices(body: bytes) -> list[int]:
    found = dict(attributes(body[_ROUTE_HEADER.size :]))
    indices = [read_int(found[_RTA_OIF])] if _RTA_OIF in found else []
    return indices + [index for _start, _flags, _hops, index, _rest in _nexthops(found.get(_RTA_MULTIPATH, b""))]


def _nexthops(data: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    start = 0
    while start + _NEXTHOP.size <= len(data):
        length, flags, hops, index = _NEXTHOP.unpack_from(data, start)
        if length < _NEXTHOP.size:
            return
        yield start, flags, hops, index, data[start + _NEXTHOP.size : start + length]
        start += (length + 3) & ~3


def _rewrite_route(body: bytes, moved: Mapping[int, int] | None) -> bytes | None:
    """Return a route without what only describes its state, and with today's indices; None if a link is gone."""
    if moved is not None and not set(_route_indices(body)) <= set(moved):
        return None
    header = (*_ROUTE_HEADER.unpack_from(body)[:8], _ROUTE_HEADER.unpack_from(body)[8] & _ONLINK)
    content = b""
    for kind, value in attributes(body[_ROUTE_HEADER.size :]):
        if kind in (_RTA_CACHEINFO, _RTA_NEXTHOP_ID):
            continue  # a next hop object is gone with its link; what it said is in the other attributes
        if kind == _RTA_OIF and moved is not None:
            value = u32(moved[read_int(value)])
        if kind == _RTA_MULTIPATH:
            value = b"".join(
                _NEXTHOP.pack(_NEXTHOP.size + len(rest), flags & _ONLINK, hops, moved[index] if moved else index) + rest
                for _start, flags, hops, index, rest in _nexthops(value)
            )
        content += attribute(kind, value)
    return _ROUTE_HEADER.pack(*header) + content


def _route_key(body: bytes) -> Any:
    return body[: _ROUTE_HEADER.size], frozenset(attributes(body[_ROUTE_HEADER.size :]))
