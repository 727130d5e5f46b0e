"""What packets of ``tests.bench.afxdp`` go over: veth pairs in namespaces, or two NICs that a cable joins."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.xdp_stream import attached
from tests.integration import lab

_CLASS = Path("/sys/class/net")
_IPV6_OFF = "/proc/sys/net/ipv6/conf/{}/disable_ipv6"


@dataclass(frozen=True)
class Wire:
    """A NIC that receives, and what sends to it.

    Attributes:
        nic: The NIC.
        peer: Its other end.
        far: Namespace of ``peer``.
        onward: The NIC that packets are forwarded by, and its other end; None where there is none.
        stations: MAC addresses of ``nic`` and ``peer``, and of both in ``onward``.
    """

    nic: str
    peer: str
    far: int
    onward: tuple[str, str] | None
    stations: tuple[str, ...]

    @property
    def is_lossless(self) -> bool:
        """Whether all that is sent arrives: between two NICs, the one that sends and the one that receives may drop."""
        return self.onward is not None

    def received(self) -> int:
        """Return how many packets the NIC says that it has received."""
        return int(lab.ip("-s", "link", "show", "dev", self.nic)[0]["stats64"]["rx"]["packets"])


@contextlib.contextmanager
def veth(drop: int) -> Iterator[Wire]:
    """Lay two cables; what comes out of the second is dropped by a program, given by its descriptor."""
    with contextlib.ExitStack() as stack:
        laid = stack.enter_context(lab.cable(queues=1, up=False))
        lab.ip("link", "add", "xdp1", "type", "veth", "peer", "name", "peer1")
        lab.ip("link", "set", "peer1", "netns", f"/proc/{os.getpid()}/fd/{laid.far}")
        for nic in ("xdp0", "xdp1"):
            stack.enter_context(_silent_and_up(nic))
        with lab.inside(laid.far):
            for nic in ("peer0", "peer1"):
                stack.enter_context(_silent_and_up(nic))
            stack.enter_context(attached(drop, "peer1"))
            far = [_mac("peer0"), _mac("peer1")]
        yield Wire(laid.nic, laid.peer, laid.far, ("xdp1", "peer1"), (_mac("xdp0"), far[0], _mac("xdp1"), far[1]))


def check(nic: str, peer: str) -> None:
    """Say everything that keeps two NICs from being taken, and leave."""
    faults = [fault for name in dict.fromkeys((nic, peer)) for fault in _faults(name)]
    if nic == peer:
        faults.append(f"{nic} is NIC and PEER: a second one, cabled to it, has to send")
    if not faults:
        faults += _queue_faults(nic)
    if faults:
        raise SystemExit("\n".join(faults))


@contextlib.contextmanager
def cabled(nic: str, peer: str, drop: int) -> Iterator[Wire]:
    """Take two NICs that were checked for the time, and give them back as they were.

    Args:
        nic: What receives.
        peer: What sends to it. Some drivers send for XDP only while they have a program, so it gets one.
        drop: Descriptor of that program.
    """
    with contextlib.ExitStack() as stack:
        far = lab.current_namespace()
        stack.callback(os.close, far)
        stack.enter_context(_silent_and_up(nic))
        stack.enter_context(_silent_and_up(peer))
        stack.enter_context(attached(drop, peer))
        yield Wire(nic, peer, far, None, (_mac(nic), _mac(peer)))


def _faults(nic: str) -> Iterator[str]:
    """Yield why a NIC cannot be taken whole."""
    if nic not in [name for _index, name in socket.if_nameindex()]:
        yield f"{nic}: there is no NIC of this name: see ip link"
        return
    [link] = lab.ip("-d", "address", "show", "dev", nic)
    if addresses := [one["local"] for one in link["addr_info"] if one["scope"] != "link"]:
        yield f"{nic} has {', '.join(addresses)}: take a NIC that nothing else uses, or its addresses off for the time"
    if "master" in link:
        yield f"{nic} is of {link['master']}: take it out for the time (ip link set {nic} nomaster)"
    if link.get("xdp"):
        yield f"{nic} has an XDP program: detach it for the time (xdp_interfaces, or ip link set {nic} xdp off)"


def _queue_faults(nic: str) -> Iterator[str]:
    queues = len(list((_CLASS / nic / "queues").glob("rx-*")))
    if queues > 1:
        yield (
            f"{nic} receives on {queues} queues, and the receivers serve the first: give it one for the time "
            f"(ethtool -L {nic} combined 1)"
        )


@contextlib.contextmanager
def _silent_and_up(nic: str) -> Iterator[None]:
    """Let an interface be up and send nothing of its own, as its packets would be counted too."""
    ipv6 = Path(_IPV6_OFF.format(nic))
    before = ipv6.read_text(encoding="ascii") if ipv6.exists() else None
    was_up = "UP" in lab.ip("link", "show", "dev", nic)[0]["flags"]
    namespace = lab.current_namespace()
    if before is not None:
        ipv6.write_text("1", encoding="ascii")
    lab.ip("link", "set", nic, "up")
    try:
        yield
    finally:
        with lab.inside(namespace):
            os.close(namespace)
            if before is not None:
                ipv6.write_text(before, encoding="ascii")
            if not was_up:
                lab.ip("link", "set", nic, "down")


def _mac(nic: str) -> str:
    """Return an interface's MAC address."""
    return str(lab.ip("link", "show", "dev", nic)[0]["address"])


def index(wire: Wire) -> int:
    """Return the number of the interface that sends, in its namespace."""
    with lab.inside(wire.far):
        return socket.if_nametoindex(wire.peer)
