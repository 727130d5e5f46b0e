# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""IP prefixes as longest-prefix tries hold them.

On socket.inet_pton rather than the ipaddress module, which is many times slower: thousands come in one call.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

_LENGTH = struct.Struct("=I")  # struct bpf_lpm_trie_key: native order, then the address in network order
_FAMILIES = {4: (socket.AF_INET, 4), 6: (socket.AF_INET6, 16)}


class Prefix(NamedTuple):
    """An IPv4 or IPv6 prefix without host bits."""

    version: int
    address: bytes
    length: int

    def __str__(self) -> str:
        return f"{socket.inet_ntop(_FAMILIES[self.version][0], self.address)}/{self.length}"

    @property
    def key(self) -> bytes:
        """The trie's key."""
        return _LENGTH.pack(self.length) + self.address

    @classmethod
    def from_key(cls, key: bytes) -> Prefix:
        """Read a trie's key; its size says which IP version."""
        return cls(4 if len(key) == 8 else 6, key[4:], _LENGTH.unpack_from(key)[0])


def parse_prefix(text: str) -> Prefix:
    """Return the prefix in a text such as ``10.0.0.0/8``; an address alone is the longest prefix.

    Raises:
        ValueError: It is none; the message names the value, the limit and the correction.
    """
    address_text, slash, length_text = text.partition("/")
    version = 6 if ":" in address_text else 4
    family, size = _FAMILIES[version]
    try:
        address = socket.inet_pton(family, address_text)
    except (OSError, ValueError):  # ValueError: a NUL inside, or no ASCII
        raise ValueError(f"{text!r}: {address_text!r} is not an IPv4 or IPv6 address") from None
    limit = size * 8
    length = limit
    if slash:
        if not (length_text.isascii() and length_text.isdigit()):
            raise ValueError(f"{text!r}: prefix length {length_text!r} is not a number from 0 to {limit}")
        length = int(length_text)
        if length > limit:
            raise ValueError(f"{text!r}: prefix length {length} > {limit}, the limit of IPv{version}")
    number = int.from_bytes(address, "big")
    if number & ((1 << (limit - length)) - 1):
        masked = Prefix(version, (number >> (limit - length) << (limit - length)).to_bytes(size, "big"), length)
        raise ValueError(
            f"{text!r} has bits set behind its length: write {masked} for the network, or /{limit} for the host"
        )
    return Prefix(version, address, length)
