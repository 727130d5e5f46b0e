# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Flows sent to a collector of IPFIX by UDP, without ever waiting for it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from .flows import Flow
from .ipfix import Encoder

PORT = 4739
TEMPLATE_SECONDS = 60.0  # UDP may lose them, and a collector may have come later
# What to ask for the MTU of the path (IP_MTU, IPV6_MTU), and bytes of the headers of IP and UDP.
_PATHS = {socket.AF_INET: (socket.IPPROTO_IP, 14, 28), socket.AF_INET6: (socket.IPPROTO_IPV6, 24, 48)}
# RFC 7011: what any path takes; and no more than Ethernet does, whatever an interface to a tunnel says.
_LEAST, _MOST = 512, 1452


class Collector:
    """Where flows are sent to.

    Args:
        address: IPv4 or IPv6 address; a name would have to be waited for.
        port: UDP port.
        domain: Observation domain that this host is.

    Attributes:
        sent: Records that were handed to the network.
        unsent: Records that could not be, as the network or the socket's buffer did not take them.

    Raises:
        ValueError: The address is none.
    """

    def __init__(self, address: str, port: int, domain: int) -> None:
        version = ipaddress.ip_address(address).version
        self._family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._place = (address, port)
        self._socket: socket.socket | None = None
        self._encoder = Encoder(domain)
        self._templates_due = 0.0
        self.sent = self.unsent = 0

    def send(self, flows: Sequence[Flow], now: float) -> None:
        """Send flows, and templates where they are due.

        Args:
            flows: Since the last call.
            now: Unix time in seconds.
        """
        templates = now >= self._templates_due
        if templates:
            self._templates_due = now + TEMPLATE_SECONDS
        for message, count in self._encoder.messages(flows, int(now), templates, self._room()):
            if self._transmit(message):
                self.sent += count
            else:
                self.unsent += count
                self._templates_due = 0.0  # they may have been in it

    def close(self) -> None:
        """Close the socket."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _room(self) -> int:
        """Return how long a message may be on the way there, as far as the kernel knows it by now."""
        connected = self._connected()
        if connected is None:
            return _LEAST
        level, option, headers = _PATHS[self._family]
        return max(_LEAST, min(_MOST, connected.getsockopt(level, option) - headers))

    def _connected(self) -> socket.socket | None:
        if self._socket is None:
            opened = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            opened.setblocking(False)
            try:
                opened.connect(self._place)
            except OSError:  # no way there yet
                opened.close()
                return None
            self._socket = opened
        return self._socket

    def _transmit(self, message: bytes) -> bool:
        connected = self._connected()
        if connected is None:
            return False
        for _attempt in range(2):
            try:
                connected.send(message)
                return True
            except ConnectionRefusedError:
                # That an earlier datagram found nobody; whoever comes then needs the templates.
                self._templates_due = 0.0
            except OSError:
                break
        return False
