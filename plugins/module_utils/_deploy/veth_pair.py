# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A veth pair whose far end may live in a network namespace: a NIC and its cable, in software."""

from __future__ import annotations

import ipaddress
import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .._core.converge import ApplyFailed, Change, CoreError, Findings, Impossible, Invalid, Refused
from .._core.names import INTERFACE_BYTES, interface_fault
from .._core.system import Host

try:
    from pyroute2 import IPRoute, NetNS
    from pyroute2 import netns as namespaces
    from pyroute2.netlink.exceptions import NetlinkError
except ImportError:
    PYROUTE2_IMPORT_ERROR: str | None = traceback.format_exc()

    class NetlinkError(Exception):  # type: ignore[no-redef]
        """Stands in where pyroute2 is missing, so that handlers still name a class."""

else:
    PYROUTE2_IMPORT_ERROR = None

IFF_UP = 1
IFA_F_NODAD = 0x02
SCOPE_LINK = 253
MTU_RANGE = (68, 65535)
QUEUE_RANGE = (1, 4096)  # the kernel's limit for rtnl_create_link()
NETNS_DIRECTORY = "/run/netns"
NOTES = "/run/tripod/netns"


@dataclass(frozen=True)
class End:
    """What is requested of one end; None means "not compared".

    Attributes:
        addresses: Interface addresses with prefix length; complete but for link-local ones.
    """

    addresses: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Pair:
    """What is requested of a veth pair.

    Attributes:
        present: Whether it is to exist.
        near: The end in the caller's own namespace.
        far: The end in the peer's namespace.
        mtu: Of both ends (bytes).
        queues: Receive and transmit queues of each end.
        up: Administrative state of both ends.
    """

    present: bool = True
    near: End = End()
    far: End = End()
    mtu: int | None = None
    queues: int | None = None
    up: bool = True


@dataclass(frozen=True)
class Link:
    """An interface as the kernel describes it.

    Attributes:
        index: Interface index within its namespace.
        kind: Driver kind, e.g. ``veth``; empty for hardware.
        other: Index of the veth's other end, 0 where there is none.
        crosses: Whether the other end is in another namespace.
        mtu: Bytes.
        queues: Receive queues allocated.
        up: Administrative state.
        addresses: Sorted, with prefix length, without link-local ones.
    """

    index: int
    kind: str
    other: int
    crosses: bool
    mtu: int
    queues: int
    up: bool
    addresses: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return what a module reports of this end."""
        return {
            "ifindex": self.index,
            "mtu": self.mtu,
            "queues": self.queues,
            "up": self.up,
            "addresses": list(self.addresses),
        }


@dataclass(frozen=True)
class PairState:
    """Both ends as found.

    Attributes:
        near: The interface with the near name, of whatever kind.
        far: The interface with the peer's name in the peer's namespace.
        netns: Whether the peer's namespace exists.
        netns_ours: Whether this code made that namespace.
        netns_others: Interfaces in it beside ``lo`` and the far end.
    """

    near: Link | None = None
    far: Link | None = None
    netns: bool = False
    netns_ours: bool = False
    netns_others: tuple[str, ...] = ()

    @property
    def paired(self) -> bool:
        """Whether the two interfaces are the two ends of one veth pair."""
        near, far = self.near, self.far
        return bool(
            near
            and far
            and near.kind == far.kind == "veth"
            and (near.other, far.other) == (far.index, near.index)
            and near.crosses == far.crosses
        )


class VethPair:
    """The resource: one veth pair, named by its ends.

    Args:
        name: Near end, in the caller's namespace.
        peer: Far end.
        netns: Named network namespace of the far end; None for the caller's own.
    """

    def __init__(self, name: str, peer: str, netns: str | None = None) -> None:
        self.name = name
        self.peer = peer
        self.netns = netns
        self.far_label = f"{netns}/{peer}" if netns else peer

    def read(self, host: Host) -> PairState:
        """Return both ends and the state of the far one's namespace."""
        near_links = _links(None)
        if not self.netns:
            return PairState(near=near_links.get(self.name), far=near_links.get(self.peer))
        if not host.exists(f"{NETNS_DIRECTORY}/{self.netns}"):
            return PairState(near=near_links.get(self.name))
        far_links = _links(self.netns)
        return PairState(
            near=near_links.get(self.name),
            far=far_links.get(self.peer),
            netns=True,
            netns_ours=host.read(f"{NOTES}/{self.netns}") == self._netns_inode(host),
            netns_others=tuple(sorted(set(far_links) - {"lo", self.peer})),
        )

    def validate(self, desired: Pair, state: PairState) -> None:
        """Raise with every reason why the pair cannot be as requested."""
        self._validate_request(desired)
        refusals = Findings()
        if state.near and not state.paired:
            refusals.add(
                f"{self.name} exists and is not the veth whose other end is {self.far_label} "
                f"(it is {_article(state.near.kind)}); choose another name or remove that interface"
            )
        if desired.present and state.far and not state.near:
            refusals.add(
                f"{self.far_label} exists and {self.name} does not, so it belongs to something else; "
                "choose another peer name or remove that interface"
            )
        if not desired.present and state.netns_ours and state.netns_others:
            refusals.add(
                f"network namespace {self.netns} still holds {', '.join(state.netns_others)}; "
                "remove these interfaces first"
            )
        refusals.raise_if_any(Refused, f"veth {self.name}")
        if desired.present and state.near and desired.queues and state.near.queues != desired.queues:
            raise Impossible(
                f"{self.name}: {desired.queues} queues are requested, it was made with {state.near.queues}, and the "
                "number is fixed when a pair is made; remove the pair first (state=absent)"
            )

    def plan(self, desired: Pair, state: PairState) -> list[Change]:
        """Return the steps from what is there to what is requested."""
        if not desired.present:
            return self._plan_removal(state)
        changes = []
        if self.netns and not state.netns:
            changes.append(Change(("netns", self.netns), None, "present"))
        if not state.near:
            made = {"peer": self.peer, "netns": self.netns, "queues": desired.queues}
            changes.append(
                Change((self.name, "veth"), None, {key: value for key, value in made.items() if value is not None})
            )
        ends = ((self.name, desired.near, state.near), (self.far_label, desired.far, state.far))
        for label, _end, link in ends:
            if desired.mtu is not None and (link is None or link.mtu != desired.mtu):
                changes.append(Change((label, "mtu"), link and link.mtu, desired.mtu))
        for label, end, link in ends:
            if end.addresses is not None and (list(link.addresses) if link else []) != canonical(end.addresses):
                changes.append(Change((label, "addresses"), link and list(link.addresses), canonical(end.addresses)))
        for label, _end, link in ends:
            if (link is not None and link.up) != desired.up:
                changes.append(Change((label, "up"), link and link.up, desired.up, disrupts=not desired.up))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Carry the steps out through rtnetlink."""
        for change in changes:
            try:
                self._apply_one(host, change)
            except (NetlinkError, OSError) as error:
                raise ApplyFailed(f"{' '.join(change.path)} -> {change.after}: {_words(error)}") from error

    def _apply_one(self, host: Host, change: Change) -> None:
        label, what = change.path
        if label == "netns":
            self._make_netns(host) if change.after else self._remove_netns(host)
        elif what == "veth":
            self._make_pair(change.after) if change.after else self._remove_pair()
        else:
            end, netns = (self.name, None) if label == self.name else (self.peer, self.netns)
            with _routes(netns) as routes:
                _set(routes, _index(routes, end), what, change.before or [], change.after)

    def _plan_removal(self, state: PairState) -> list[Change]:
        changes = []
        if state.near:
            changes.append(Change((self.name, "veth"), {"peer": self.far_label}, None, disrupts=True))
        if self.netns and state.netns_ours:
            changes.append(Change(("netns", self.netns), "present", None))
        return changes

    def _validate_request(self, desired: Pair) -> None:
        wrong = Findings()
        for option, name in (("name", self.name), ("peer", self.peer)):
            fault = interface_fault(name)
            if fault:
                wrong.add(f"{option} '{name}' is no interface name, it {fault}: 1 to {INTERFACE_BYTES} bytes, no '/:~'")
        if self.netns is not None and (not self.netns or "/" in self.netns or self.netns in (".", "..")):
            wrong.add(f"peer_netns '{self.netns}' is no namespace name (a file name below {NETNS_DIRECTORY})")
        if self.name == self.peer and not self.netns:
            wrong.add(f"name and peer are both '{self.name}' in one namespace; give the peer another name")
        for option, number, (low, high) in (("mtu", desired.mtu, MTU_RANGE), ("queues", desired.queues, QUEUE_RANGE)):
            if number is not None and not low <= number <= high:
                wrong.add(f"{option} {number} is outside {low} to {high}")
        for option, end in (("addresses", desired.near), ("peer_addresses", desired.far)):
            for text in end.addresses or ():
                try:
                    address = ipaddress.ip_interface(text)
                except ValueError:
                    wrong.add(f"{option}: '{text}' is no address with prefix length, such as 198.51.100.1/24")
                    continue
                if "/" not in text:
                    wrong.add(f"{option}: '{text}' lacks its prefix length; write {address}")
        wrong.raise_if_any(Invalid, f"veth {self.name}")

    def _make_netns(self, host: Host) -> None:
        namespaces.create(self.netns)
        host.write_atomically(f"{NOTES}/{self.netns}", self._netns_inode(host))

    def _remove_netns(self, host: Host) -> None:
        namespaces.remove(self.netns)
        host.remove(f"{NOTES}/{self.netns}")

    def _netns_inode(self, host: Host) -> str:
        # A namespace of the same name that somebody made later has another inode, so the note does not claim it.
        return str(host.path(f"{NETNS_DIRECTORY}/{self.netns}").stat().st_ino)

    def _make_pair(self, made: dict[str, Any]) -> None:
        queues = {"num_tx_queues": made["queues"], "num_rx_queues": made["queues"]} if "queues" in made else {}
        peer = {"ifname": self.peer, **queues}
        if self.netns:
            peer["net_ns_fd"] = self.netns
        with _routes(None) as routes:
            routes.link("add", ifname=self.name, kind="veth", peer=peer, **queues)

    def _remove_pair(self) -> None:
        with _routes(None) as routes:
            routes.link("del", index=_index(routes, self.name))


def canonical(addresses: Iterable[str]) -> list[str]:
    """Return addresses as the kernel would print them, sorted and each once."""
    return sorted({str(ipaddress.ip_interface(text)) for text in addresses})


def _links(netns: str | None) -> dict[str, Link]:
    with _routes(netns) as routes:
        addresses: dict[int, list[str]] = {}
        for message in routes.get_addr():
            if message["scope"] != SCOPE_LINK:
                # IFA_LOCAL is the interface's own address where IFA_ADDRESS names the far end of a point-to-point link.
                own = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
                addresses.setdefault(message["index"], []).append(f"{own}/{message['prefixlen']}")
        return {
            message.get_attr("IFLA_IFNAME"): _link(message, addresses.get(message["index"], []))
            for message in routes.get_links()
        }


def _link(message: Any, addresses: list[str]) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    return Link(
        index=message["index"],
        kind=(info.get_attr("IFLA_INFO_KIND") if info else None) or "",
        other=message.get_attr("IFLA_LINK") or 0,
        crosses=message.get_attr("IFLA_LINK_NETNSID") is not None,
        mtu=message.get_attr("IFLA_MTU"),
        queues=message.get_attr("IFLA_NUM_RX_QUEUES"),
        up=bool(message["flags"] & IFF_UP),
        addresses=tuple(canonical(addresses)),
    )


def _set(routes: Any, index: int, what: str, before: Any, after: Any) -> None:
    if what == "mtu":
        routes.link("set", index=index, mtu=after)
    elif what == "up":
        routes.link("set", index=index, state="up" if after else "down")
    elif what == "addresses":
        for text in before:
            if text not in after:
                address = ipaddress.ip_interface(text)
                routes.addr("del", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
        for text in after:
            if text not in before:
                address = ipaddress.ip_interface(text)
                # Both ends are ours, so duplicate address detection could only delay the first packets by a second.
                flags = {"flags": IFA_F_NODAD} if address.version == 6 else {}
                routes.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen, **flags)


def _index(routes: Any, name: str) -> int:
    for message in routes.get_links():
        if message.get_attr("IFLA_IFNAME") == name:
            return int(message["index"])
    raise OSError(19, f"{name}: {os.strerror(19)}")


@contextmanager
def _routes(netns: str | None) -> Iterator[Any]:
    try:
        routes = NetNS(netns, flags=0) if netns else IPRoute()
    except OSError as error:
        where = f"network namespace {netns}" if netns else "rtnetlink"
        raise CoreError(f"cannot open {where}: {_words(error)} (root is needed)") from error
    try:
        yield routes
    finally:
        routes.close()


def _words(error: BaseException) -> str:
    number = getattr(error, "code", None) or getattr(error, "errno", None)
    text = os.strerror(number) if number else str(error)
    if number == 13:
        text += " (is IPv6 disabled there? see net.ipv6.conf.*.disable_ipv6)"
    return text


def _article(kind: str) -> str:
    return f"a {kind} interface" if kind else "a hardware or loopback interface"
