# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Single addresses that an interface's program drops until a moment: the pinned map in front of its policy."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from .._core.converge import Impossible
from .._linux import bpf, bpf_map
from .._linux.libbpf import library
from .._policy.prefix import Prefix, parse_prefix

BANS, CONTROL = "bans", "control"
OWNERS: Mapping[str, int] = {"inventory": 1, "api": 2, "feed": 3}  # enum tripod_owner in files/bpf/tripod_xdp.h
_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96
_VALUE = struct.Struct("=QQB7x")  # struct ban
_MEANINGS = {
    BANS: re.compile(r"struct ban\(24\)\{until@0 u64; packets@64 u64; owner@128 u8;"),
    CONTROL: re.compile(r"struct control\(\d+\)\{bans@0 u32;"),
}


@dataclass(frozen=True)
class Entry:
    """A ban in a map.

    Attributes:
        until: When it ends, in ns of CLOCK_BOOTTIME.
        packets: How many it dropped.
        owner: Whose it is, by the program's number.
    """

    until: int
    owner: int
    packets: int = 0


def key(address: str) -> bytes:
    """Return the key of an address, which both IP versions have in one form.

    Raises:
        ValueError: It is none, or not a single one; the message says which, and the way out.
    """
    prefix = parse_prefix(address)
    if prefix.length != len(prefix.address) * 8:
        raise ValueError(f"{address!r} is {prefix}, more than a single address: put it into a list of the policy")
    return prefix.address if prefix.version == 6 else _MAPPED + prefix.address


def address(key_: bytes) -> str:
    """Return the address of a key, ``::ffff:a.b.c.d`` as ``a.b.c.d``."""
    if key_.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, key_[len(_MAPPED) :])
    return socket.inet_ntop(socket.AF_INET6, key_)


def within(key_: bytes, prefix: Prefix) -> bool:
    """Whether an address lies in a prefix; an IPv4 address also in one of IPv6 that holds it as ``::ffff:a.b.c.d``."""
    whole, length = prefix.address, prefix.length
    if prefix.version == 4:
        whole, length = _MAPPED + whole, len(_MAPPED) * 8 + length
    beyond = len(key_) * 8 - length
    return int.from_bytes(key_, "big") >> beyond == int.from_bytes(whole, "big") >> beyond


class BanMap:
    """The bans of one interface, open until ``close``.

    Args:
        directory: Where the interface's pins are.

    Raises:
        OSError: Nothing is pinned there, or it may not be opened.
        Impossible: It is of another program than this collection's.
    """

    def __init__(self, directory: str) -> None:
        with ExitStack() as held:
            self._map = held.enter_context(bpf.pinned(f"{directory}/maps/{BANS}"))
            self._layout = bpf.map_info(self._map).layout
            control = held.enter_context(bpf.pinned(f"{directory}/maps/{CONTROL}"))
            found = bpf.map_info(control).layout
            for name, value in ((BANS, self._layout.value), (CONTROL, found.value)):
                if not _MEANINGS[name].match(value or ""):
                    raise Impossible(f"{directory}/maps/{name} holds {value}: attach the program of this release")
            mapped = held.enter_context(mmap.mmap(control, mmap.PAGESIZE))
            # Stored in one piece; struct would write its bytes one by one, and 255 -> 256 would be 0 for a moment.
            self._count = held.enter_context(memoryview(mapped).cast("I"))
            self._held = held.pop_all()

    @property
    def limit(self) -> int:
        """How many it takes."""
        return self._layout.max_entries

    def close(self) -> None:
        """Close it; the bans stay."""
        self._held.close()

    def entries(self) -> dict[bytes, Entry]:
        """Return all bans by key, those that have run out too."""
        found = {}
        for one, value in bpf_map.items(self._map, self._layout).items():
            until, packets, owner = _VALUE.unpack(value)
            found[one] = Entry(until, owner, packets)
        return found

    def packets(self, key_: bytes) -> int:
        """Return how many packets a ban dropped; 0 where there is none."""
        value = ctypes.create_string_buffer(_VALUE.size)
        if library().bpf_map_lookup_elem(self._map, key_, value) < 0:
            return 0
        _until, packets, _owner = _VALUE.unpack(value.raw)
        return int(packets)

    def put(self, entries: Mapping[bytes, Entry], total: int) -> None:
        """Add bans, or change how long they last.

        Args:
            entries: By key.
            total: How many there are with them, at least. The program looks at the map only where this is not 0.

        Raises:
            OSError: ENOSPC where the map is full.
        """
        self._count[0] = total  # the first field of struct control
        values = [(one, _VALUE.pack(entry.until, entry.packets, entry.owner)) for one, entry in entries.items()]
        if values and bpf_map.update(self._map, values) < len(values):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), BANS)

    def remove(self, keys: Sequence[bytes], total: int) -> None:
        """Remove bans; one that is not there is no error.

        Args:
            keys: Which.
            total: How many are left, at least.
        """
        if keys:
            bpf_map.delete(self._map, keys)
        self._count[0] = total  # the first field of struct control
