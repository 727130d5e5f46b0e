"""What is plugged into a VM's data NIC: the far end of its cable, in a network namespace of the host's."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from socket import AF_INET, AF_PACKET, SO_BINDTODEVICE, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET, htons, socket

from tests.support.site import network_namespace

# Nobody listens there, which is what makes the guest's kernel answer.
CLOSED_PORT = 9


class Outside:
    """The far end of one data NIC.

    Args:
        namespace: The VM's network namespace.
        device: The tap in it, named as the NIC is in ``tools.vm.hardware``.
        target: The guest's MAC address.
    """

    def __init__(self, namespace: str, device: str, target: str) -> None:
        self.namespace, self.device = namespace, device
        self.target = bytes.fromhex(target.replace(":", ""))

    def open(self, family: int = AF_INET, kind: int = SOCK_DGRAM, protocol: int = 0) -> socket:
        """Return a socket that lives outside, bound to the cable."""
        with network_namespace(self.namespace):
            made = socket(family, kind, protocol)
        if family == AF_PACKET:
            made.bind((self.device, 0))
        else:
            made.setsockopt(SOL_SOCKET, SO_BINDTODEVICE, self.device.encode())
        made.settimeout(5)
        return made

    def send(self, *frames: bytes, per_second: float | None = None) -> None:
        """Send whole Ethernet frames, as fast as it goes unless told."""
        with self.open(AF_PACKET, SOCK_RAW) as sender:
            for frame in frames:
                sender.send(frame)
                if per_second:
                    time.sleep(1 / per_second)

    @contextlib.contextmanager
    def receiver(self, kind: int = 0x0003) -> Iterator[socket]:
        """Open a socket that receives whole frames of an EtherType; of any, if not given."""
        with self.open(AF_PACKET, SOCK_RAW, htons(kind)) as receiving:
            yield receiving

    def answers(self, address: str, seconds: float = 1) -> bool:
        """Whether the guest's kernel answers a datagram to a closed port by saying so, which takes both directions."""
        with self.open() as asking:
            asking.settimeout(seconds)
            asking.connect((address, CLOSED_PORT))
            try:
                asking.send(b"?")
                asking.recv(1)
            except ConnectionRefusedError:
                return True
            except OSError:  # No answer in time, or no neighbour.
                return False
        return False
