# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The links of this host: what the kernel says of them, and what of it is a reason to check one."""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

# linux/rtnetlink.h, linux/if_link.h, linux/if.h
_RTMGRP_LINK = 1
_NEWLINK, _DELLINK = 16, 17
_IFNAME = 3
_UP, _LOWER_UP = 1 << 0, 1 << 16
_HEADER = struct.Struct("=IHHII")
_LINK_HEADER = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE_BYTES = 1 << 18


class Overrun(Exception):
    """The kernel dropped messages: what is known of the links may be wrong."""


@dataclass(frozen=True)
class News:
    """What the kernel says of a link.

    Attributes:
        index: Interface index.
        name: Interface name.
        up: Administrative state.
        carrier: Whether the layer below is up.
        gone: Whether it was removed.
    """

    index: int
    name: str
    up: bool = False
    carrier: bool = False
    gone: bool = False


def parse(datagram: bytes) -> Iterator[News]:
    """Read the messages of a datagram.

    Source: rtnetlink(7).
    """
    while len(datagram) >= _HEADER.size:
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(datagram)
        body, datagram = datagram[_HEADER.size : length], datagram[(length + 3) & ~3 :]
        if kind not in (_NEWLINK, _DELLINK):
            continue
        family, _type, index, flags, _change = _LINK_HEADER.unpack_from(body)
        # A bridge speaks of its ports in the same words, and a port that leaves it is not a link that goes.
        if family == socket.AF_UNSPEC:
            name = _name(body[_LINK_HEADER.size :])
            yield News(index, name, bool(flags & _UP), bool(flags & _LOWER_UP), kind == _DELLINK)


def _name(attributes: bytes) -> str:
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _IFNAME:
            return attributes[_ATTRIBUTE.size : length].rstrip(b"\0").decode(errors="replace")
        attributes = attributes[max((length + 3) & ~3, _ATTRIBUTE.size) :]
    return ""


class Links:
    """What is known of the links; says what about a message is a reason to check the link."""

    def __init__(self) -> None:
        self._known: dict[int, News] = {}

    def observe(self, news: News) -> str | None:
        """Take note; return the reason, or None where there is none."""
        before = self._known.pop(news.index, None)
        if news.gone:
            return None
        self._known[news.index] = news
        if before is None:
            return "appeared"
        if before.name != news.name:
            return f"was renamed from {before.name}"
        if news.up and news.carrier and not (before.up and before.carrier):
            return "came up"
        return None

    @property
    def names(self) -> set[str]:
        """The links there are."""
        return {one.name for one in self._known.values()}


class Socket:
    """The kernel's messages about links."""

    def __init__(self) -> None:
        flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, flags, socket.NETLINK_ROUTE)
        self._socket.bind((0, _RTMGRP_LINK))

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._socket.close()

    def wait(self, seconds: float | None) -> Iterator[News]:
        """Wait for messages and read all that are there.

        Raises:
            Overrun: Messages were lost.
        """
        select.select([self._socket], [], [], seconds)
        while True:
            try:
                datagram = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    raise Overrun from error
                raise
            yield from parse(datagram)
