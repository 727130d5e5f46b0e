# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Netlink conversations: messages, attributes, and the kernel's own words in every error.

Written on sockets rather than on pyroute2 because Debian 12's version encodes XDP flags wrongly, no version hands
out the kernel's extended acknowledgement on these calls, and importing it takes longer than all of the work here.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator

ROUTE, GENERIC = 0, 16  # netlink protocols
NESTED = 0x8000
CREATE, REPLACE = 0x400, 0x100  # flags of requests that make something

_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST, _ACK, _DUMP, _DUMP_INTERRUPTED = 0x1, 0x4, 0x300, 0x10
_ACK_TLVS, _ERROR_MESSAGE, _ERROR_OFFSET = 0x200, 1, 2
_TYPE_MASK = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_BYTE_ORDER = sys.byteorder
_RECEIVE_BYTES = 1 << 18
_DUMP_ATTEMPTS = 5

# linux/genetlink.h
_CONTROL, _GETFAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2
_GENERIC_HEADER = struct.Struct("=BBH")


class NetlinkError(OSError):
    """The kernel refused a request.

    Attributes:
        words: What the kernel said beside the number, "" where it said nothing.
        offset: Where in the request's body the rejected attribute begins; None where the kernel does not say.
    """

    def __init__(self, number: int, words: str = "", offset: int | None = None) -> None:
        super().__init__(number, words or os.strerror(number))
        self.words = words
        self.offset = offset

    @property
    def name(self) -> str:
        """The error's number by name."""
        # Python's table has the C library's other name for it; the kernel knows only this one.
        return "EOPNOTSUPP" if self.errno == errno.EOPNOTSUPP else errno.errorcode.get(self.errno or 0, str(self.errno))

    def __str__(self) -> str:
        return f"{self.strerror} ({self.name})"


class Socket:
    """One netlink conversation.

    Args:
        protocol: ``ROUTE`` or ``GENERIC``.
    """

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
            # Without it the message sits behind an echo of the whole request.
            self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise
        self._sequence = 0
        self._interrupted = False

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._socket.close()

    def request(self, kind: int, body: bytes, flags: int = 0) -> bytes:
        """Send a request and return the body of its answer; empty where it is only acknowledged.

        Raises:
            NetlinkError: The kernel refused, in its words.
        """
        answer = b""
        for received, content in self._exchange(kind, _REQUEST | _ACK | flags, body):
            if received == _NLMSG_ERROR:
                return answer
            answer = content
        return answer

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """Return all bodies of a dump, requested again where the table changed meanwhile.

        Raises:
            NetlinkError: The kernel refused, in its words, or the table never stood still.
        """
        for _attempt in range(_DUMP_ATTEMPTS):
            self._interrupted = False
            bodies = [body for _kind, body in self._exchange(kind, _REQUEST | _DUMP, body)]
            if not self._interrupted:
                return bodies
        raise NetlinkError(errno.EINTR, f"the table changed during each of {_DUMP_ATTEMPTS} reads")

    def family(self, name: str) -> int | None:
        """Return the number of a generic netlink family, or None where the kernel lacks it."""
        request = _GENERIC_HEADER.pack(_GETFAMILY, 1, 0) + attribute(_FAMILY_NAME, text(name))
        try:
            answer = self.request(_CONTROL, request)
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return read_int(dict(generic_attributes(answer))[_FAMILY_ID])

    def _exchange(self, kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        self._sequence += 1
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
        while True:
            datagram = self._socket.recv(_RECEIVE_BYTES)
            while datagram:
                length, received, received_flags, sequence, _port = _HEADER.unpack_from(datagram)
                content, datagram = datagram[_HEADER.size : length], datagram[_align(length) :]
                if sequence != self._sequence:
                    continue
                self._interrupted |= bool(received_flags & _DUMP_INTERRUPTED)
                if received == _NLMSG_DONE:
                    raise_if_error(content, 4, received_flags)
                    return
                if received == _NLMSG_ERROR:
                    raise_if_error(content, 4 + _HEADER.size, received_flags)
                yield received, content


def raise_if_error(content: bytes, attributes_at: int, flags: int) -> None:
    """Raise NetlinkError if an acknowledgement, or the end of a dump, carries an error number."""
    number = -struct.unpack_from("=i", content)[0] if content else 0
    if number <= 0:
        return
    said = dict(attributes(content[attributes_at:])) if flags & _ACK_TLVS else {}
    offset = read_int(said[_ERROR_OFFSET]) - _HEADER.size if _ERROR_OFFSET in said else None
    raise NetlinkError(number, read_text(said.get(_ERROR_MESSAGE, b"")), offset)


def generic(command: int, body: bytes = b"") -> bytes:
    """Return a generic netlink request of version 1."""
    return _GENERIC_HEADER.pack(command, 1, 0) + body


def generic_attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes of a generic netlink message."""
    return attributes(body[_GENERIC_HEADER.size :])


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, value) of each attribute."""
    for kind, _start, value in located_attributes(data):
        yield kind, value


def located_attributes(data: bytes, position: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """Yield (type, start, value) of each attribute from a position on."""
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            return
        yield kind & _TYPE_MASK, position, data[position + 4 : position + length]
        position += _align(length)


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (_align(length) - length)


def nest(kind: int, value: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | NESTED, value)


def u8(value: int) -> bytes:
    """Return an unsigned byte."""
    return struct.pack("=B", value)


def u32(value: int) -> bytes:
    """Return an unsigned 32-bit number."""
    return struct.pack("=I", value)


def text(value: str) -> bytes:
    """Return a string with its final NUL."""
    return value.encode() + b"\0"


def read_int(value: bytes) -> int:
    """Return an unsigned number of any width."""
    return int.from_bytes(value, _BYTE_ORDER)


def read_text(value: bytes) -> str:
    """Return a string without its final NUL."""
    return value.rstrip(b"\0").decode(errors="replace")


def _align(length: int) -> int:
    return (length + 3) & ~3
