# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The ethtool ioctl: one structure in, the same structure out."""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import struct

from .netlink_socket import NetlinkError

_SIOCETHTOOL = 0x8946  # linux/sockios.h
_NAME_LIMIT = 15  # a longer one would be cut, and might then be another interface
_REQUEST = struct.Struct("16sP16x")  # struct ifreq: name, and a pointer to the command


def call(name: str, command: bytes) -> bytes:
    """Hand a driver a structure of linux/ethtool.h, which begins with the command's number, and return it as changed.

    Raises:
        NetlinkError: The kernel or the driver refused; the ioctl has no words beside the number.
    """
    encoded = name.encode()
    if len(encoded) > _NAME_LIMIT:
        raise NetlinkError(errno.ENODEV)
    # An array, since the kernel writes into it at an address that must not move.
    buffer = array.array("B", command)
    address, _length = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
        try:
            fcntl.ioctl(door, _SIOCETHTOOL, _REQUEST.pack(encoded, address))
        except OSError as error:
            raise NetlinkError(error.errno or 0) from None
    return buffer.tobytes()
