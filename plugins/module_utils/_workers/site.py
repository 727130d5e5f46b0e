# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What workers of packets can be given: the queues of NICs, memory, CPUs, and services that send packets to them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._core.system import Host
from .._core.versions import kernel_version
from .._linux import netlink
from .._linux.topology import read_cpus, read_nodes
from .._nic.state import NicState, read_nic
from . import virtio

ANY_NODE = -1
_AFXDP = "afxdp:"


@dataclass(frozen=True)
class Port:
    """A NIC.

    Attributes:
        queues: How many it receives on.
        mtu: Bytes.
        node: NUMA node; None where it has none.
        driver: Its name; None where the kernel does not say.
        features: What the driver claims of XDP, as ``netlink.XDP_FEATURES``; None where the kernel cannot tell.
        program: Mode that our XDP program is to run in; None where it is to have none.
        reached: Queues that RSS or a flow rule sends packets to; None where that is not known.
        zero_copy_frames: Of a packet at most, in zero-copy mode.
        device_lacks: What its device does not offer, without which its driver refuses the zero-copy that it claims.
    """

    name: str
    queues: int
    mtu: int = 1500
    node: int | None = None
    driver: str | None = None
    features: frozenset[str] | None = None
    program: str | None = None
    reached: frozenset[int] | None = None
    zero_copy_frames: int = 1
    device_lacks: tuple[str, ...] = ()

    @classmethod
    def of(cls, nic: NicState, queues: int, program: str | None, features: set[str] | None) -> Port:
        """Return a NIC that was read, with the queues that it is to have."""
        rss, rules = nic.settings.rss, nic.settings.flow_rules
        spread = frozenset(rss.table) if rss and rss.table else None
        steered = {rule.queue for rule in rules.rules if rule.queue is not None} if rules else set()
        return cls(
            nic.name,
            queues,
            nic.link.mtu,
            nic.node,
            nic.settings.driver,
            None if features is None else frozenset(features),
            program,
            None if spread is None else spread | steered,
        )


@dataclass(frozen=True)
class Service:
    """A part of a policy that sends packets to a worker.

    Attributes:
        policy: Its name.
        name: The part's.
        worker: The worker's.
        interfaces: Those that the policy judges.
    """

    policy: str
    name: str
    worker: str
    interfaces: tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """A host.

    Attributes:
        nics: By name.
        kernel: First two numbers of its release.
        nodes: NUMA nodes that have memory.
        pages: Huge pages that there are, used or not, by node and bytes of a page.
        online: CPUs.
        cpus: Those that the container gets; None for all.
        memory: Bytes that the container may take; None for no limit.
        pids: Threads and processes that it may have; None for no limit.
        services: That name a worker.
    """

    nics: Mapping[str, Port] = field(default_factory=dict)
    kernel: tuple[int, ...] = ()
    nodes: Sequence[int] = (0,)
    pages: Mapping[tuple[int, int], int] = field(default_factory=dict)
    online: frozenset[int] = frozenset()
    cpus: frozenset[int] | None = None
    memory: int | None = None
    pids: int | None = None
    services: Sequence[Service] = ()


def services(interfaces: Sequence[Mapping[str, Any]], policies: Mapping[str, Any]) -> list[Service]:
    """Return the services that name a worker, of policies that judge an interface.

    Args:
        interfaces: Each with ``name``, and perhaps ``policy`` and ``state``.
        policies: By name, as the inventory declares them. What is wrong with them, others say.
    """
    found = []
    for policy, document in policies.items():
        judged = tuple(
            one["name"] for one in interfaces if (one.get("policy") or "default") == policy and attached(one)
        )
        parts = document.get("services") if isinstance(document, Mapping) else None
        for part in parts if judged and isinstance(parts, list) else ():
            action = part.get("action") if isinstance(part, Mapping) else None
            if isinstance(action, str) and action.startswith(_AFXDP):
                found.append(Service(policy, str(part.get("name")), action[len(_AFXDP) :], judged))
    return found


def read_ports(host: Host, names: Sequence[str], programs: Mapping[str, str]) -> dict[str, Port]:
    """Return the NICs of these names that are there.

    Args:
        host: The machine.
        names: Interfaces.
        programs: The mode that our XDP program is to run in, by interface.

    Raises:
        OSError: The kernel does not answer.
    """
    table = netlink.links()
    found = {}
    for link in table:
        if link.name in names:
            nic = read_nic(host, link, table)
            features = netlink.xdp_features(link.index)
            found[link.name] = replace(
                Port.of(nic, receive_queues(nic), programs.get(link.name), features),
                zero_copy_frames=netlink.zero_copy_frames(link.index),
                device_lacks=virtio.lacking(host, link.name) if nic.settings.driver == virtio.DRIVER else (),
            )
    return found


def receive_queues(nic: NicState) -> int:
    """Return how many queues a NIC receives on; all that the kernel has for it where its driver has no channels."""
    channels = {kind: count.current for kind, count in (nic.settings.channels or {}).items()}
    return channels.get("rx", 0) + channels.get("combined", 0) or nic.link.rx_queues


def read_site(host: Host, nics: Mapping[str, Port], **more: Any) -> Site:
    """Return a host, whose NICs are read already; ``more`` is what others decide of it."""
    nodes = read_nodes(host)
    return Site(
        nics=nics,
        kernel=kernel_version(host.read("/proc/sys/kernel/osrelease") or os.uname().release),
        nodes=[node.id for node in nodes if node.memory_total],
        pages={(node.id, pool.size): pool.total for node in nodes for pool in node.hugepages},
        online=frozenset(read_cpus(host).online),
        **more,
    )


def programs(interfaces: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the mode of our program by interface, of those that are to have it."""
    return {one["name"]: one.get("mode") or "native" for one in interfaces if attached(one)}


def attached(interface: Mapping[str, Any]) -> bool:
    """Whether one of ``xdp_interfaces`` is to have our program."""
    return (interface.get("state") or "attached") == "attached"


@dataclass(frozen=True)
class Reader:
    """What must be known to read a site.

    Attributes:
        nics: Names of the NICs that workers serve.
        interfaces: Those that get our program, each with ``name``, and perhaps ``mode``, ``policy`` and ``state``.
        policies: By name.
        cpus: Of the container; None for all.
        memory: Bytes that the container may take; None for no limit.
        pids: Threads and processes that it may have; None for no limit.
    """

    nics: Sequence[str]
    interfaces: Sequence[Mapping[str, Any]] = ()
    policies: Mapping[str, Any] = field(default_factory=dict)
    cpus: frozenset[int] | None = None
    memory: int | None = None
    pids: int | None = None

    def read(self, host: Host) -> Site:
        """Return the host as it is, for these NICs."""
        ports = read_ports(host, self.nics, programs(self.interfaces))
        limits = {"cpus": self.cpus, "memory": self.memory, "pids": self.pids}
        return read_site(host, ports, **limits, services=services(self.interfaces, self.policies))
