# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What may be requested of the packet filter: which networks are ours, what reaches them, and what they reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .._core.converge import Findings, Invalid
from .._core.names import interface_fault

KIND = STATE_FILE = "firewall"
PROTOCOLS = ("tcp", "udp")
# What the kernel keeps of a rule's comment is 128 bytes; the longest of ours has 40 beside a name.
_NAME_BYTES = 63


@dataclass(frozen=True)
class HostPort:
    """A port that a network may reach.

    Attributes:
        address: The host's address on that network, or another machine's.
        port: 1 to 65535.
        protocol: One of PROTOCOLS.
    """

    address: str
    port: int
    protocol: str = "tcp"


@dataclass(frozen=True)
class Network:
    """A network of containers.

    Attributes:
        name: What messages and rules call it.
        bridge: Its interface on the host.
        subnets: Its prefixes, the host's address on it among them.
        published: Whether ports of its containers are published: others may begin a connection that was translated.
        host_ports: What its containers may reach on the host; nothing else.
        outside_ports: Likewise on other machines.
    """

    name: str
    bridge: str
    subnets: tuple[str, ...]
    published: bool = False
    host_ports: tuple[HostPort, ...] = ()
    outside_ports: tuple[HostPort, ...] = ()


@dataclass(frozen=True)
class Process:
    """A service on the host's own network, held to what it needs.

    Attributes:
        name: What messages and rules call it.
        uid: Its user; nobody else's processes may have it.
        local_ports: TCP ports on the host itself that it may connect to; it begins no other connection.
        outside_ports: But to these of other machines.
    """

    name: str
    uid: int
    local_ports: tuple[int, ...] = ()
    outside_ports: tuple[HostPort, ...] = ()


@dataclass(frozen=True)
class Request:
    """What is requested of the packet filter.

    Attributes:
        networks: Those that are ours.
        processes: Those on the host's own network.
    """

    networks: tuple[Network, ...] = ()
    processes: tuple[Process, ...] = ()

    @property
    def bridges(self) -> tuple[str, ...]:
        """The interfaces of the networks."""
        return tuple(network.bridge for network in self.networks)

    def to_body(self) -> dict[str, Any]:
        """Return the request as a state file holds it."""
        return {
            "networks": [
                {
                    **asdict(one),
                    "subnets": list(one.subnets),
                    **{key: [asdict(port) for port in getattr(one, key)] for key in ("host_ports", "outside_ports")},
                }
                for one in self.networks
            ],
            "processes": [
                {
                    **asdict(one),
                    "local_ports": list(one.local_ports),
                    "outside_ports": [asdict(port) for port in one.outside_ports],
                }
                for one in self.processes
            ],
        }


def parse(options: Mapping[str, Any]) -> Request:
    """Return the request in a module's options, or in a state file's body.

    Raises:
        Invalid: Something is malformed, or would take hold of more than a network of containers; with all reasons.
    """
    request = Request(
        tuple(_network(one) for one in options.get("networks") or ()),
        tuple(_process(one) for one in options.get("processes") or ()),
    )
    findings = Findings()
    for reason in _faults(request):
        findings.add(reason)
    findings.raise_if_any(Invalid, "firewall: nothing was changed")
    return request


def _network(one: Mapping[str, Any]) -> Network:
    return Network(
        str(one["name"]),
        str(one["bridge"]),
        tuple(_canonical(str(subnet)) for subnet in one["subnets"]),
        bool(one.get("published")),
        *(_host_ports(one, key) for key in ("host_ports", "outside_ports")),
    )


def _process(one: Mapping[str, Any]) -> Process:
    local = tuple(int(port) for port in one.get("local_ports") or ())
    return Process(str(one["name"]), int(one["uid"]), local, _host_ports(one, "outside_ports"))


def _host_ports(one: Mapping[str, Any], key: str) -> tuple[HostPort, ...]:
    return tuple(
        HostPort(_canonical(str(port["address"])), int(port["port"]), str(port.get("protocol") or "tcp"))
        for port in one.get(key) or ()
    )


def _canonical(text: str) -> str:
    """Return an address or a prefix as the kernel writes it; what is none as it is, for _faults() to name."""
    try:
        return str(ipaddress.ip_network(text)) if "/" in text else str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _faults(request: Request) -> Iterator[str]:
    yield from _twice("network", [one.name for one in request.networks])
    yield from _twice("bridge", request.bridges)
    yield from _twice("uid", [str(one.uid) for one in request.processes])
    for name in [*(one.name for one in request.networks), *(one.name for one in request.processes)]:
        if not name.isprintable() or not 1 <= len(name.encode()) <= _NAME_BYTES or '"' in name:
            yield f"{name!r} is no name: give 1 to {_NAME_BYTES} printable bytes without '\"'"
    for network in request.networks:
        if interface_fault(network.bridge) or network.bridge in ("lo", "*") or network.bridge.endswith("*"):
            yield f"{network.name}: {network.bridge!r} is no name of a bridge"
        yield from _network_faults(network)
    for process in request.processes:
        if process.uid < 1:
            yield f"{process.name}: uid {process.uid}: root's own connections cannot be held; give the service's user"
        for number in process.local_ports:
            yield from _port_fault(process.name, number)
        for port in process.outside_ports:
            try:
                address = ipaddress.ip_address(port.address)
            except ValueError as error:
                yield f"{process.name}: outside port address {port.address!r}: {error}"
                continue
            if address.is_loopback or address.is_unspecified or address.is_multicast:
                yield f"{process.name}: outside port address {address} is no other machine's"
            yield from _endpoint_faults(process.name, port)


def _network_faults(network: Network) -> Iterator[str]:
    subnets = []
    for text in network.subnets:
        try:
            subnets.append(ipaddress.ip_network(text))
        except ValueError as error:
            yield f"{network.name}: subnet {text!r}: {error}"
    if not network.subnets:
        yield f"{network.name} has no subnet: nothing would keep others from its addresses; give those that it has"
    for subnet in subnets:
        if subnet.prefixlen == 0 or subnet.is_loopback or subnet.is_multicast:
            yield f"{network.name}: {subnet} is no subnet of containers"
    if network.outside_ports and not network.published:
        yield f"{network.name}: no way leads outside from an internal network: take outside_ports of one that is not"
    kinds = (*(("host", port) for port in network.host_ports), *(("outside", port) for port in network.outside_ports))
    for kind, port in kinds:
        try:
            address = ipaddress.ip_address(port.address)
        except ValueError as error:
            yield f"{network.name}: {kind} port address {port.address!r}: {error}"
            continue
        within = any(address.version == subnet.version and address in subnet for subnet in subnets)
        if within != (kind == "host"):
            where = f"{'in' if within else 'not in'} {', '.join(network.subnets)}"
            yield f"{network.name}: {kind} port address {address} is {where}"
        yield from _endpoint_faults(network.name, port)


def _endpoint_faults(name: str, port: HostPort) -> Iterator[str]:
    if port.protocol not in PROTOCOLS:
        yield f"{name}: protocol {port.protocol!r}: give one of {', '.join(PROTOCOLS)}"
    yield from _port_fault(name, port.port)


def _port_fault(name: str, number: int) -> Iterator[str]:
    if not 1 <= number <= 65535:
        yield f"{name}: port {number} is outside 1 to 65535"


def _twice(what: str, values: Sequence[str]) -> Iterator[str]:
    for value in sorted({value for value in values if values.count(value) > 1}):
        yield f"{what} {value} is given {values.count(value)} times; give each once"
