# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Bans: single addresses whose packets every NIC drops until a moment, across restarts and reboots.

The program compares the moment itself, so a ban ends to the second whether or not anybody looks. What is here writes
the maps, sweeps out what has run out, and notes each ban in a journal. A ban is in the maps first: what is killed
before it is in the journal too was never answered, and goes with the next start.
"""

from __future__ import annotations

import heapq
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from .._core.converge import Impossible, Invalid, Refused
from .._core.errors import in_words
from .._core.system import Host
from .._guard.record import boot_clock
from .._policy.prefix import Prefix
from .._xdp.ban_map import OWNERS, Entry, address, key, within
from .policy_errors import Missing

JOURNAL = "/var/lib/tripod/bans.journal"
MAXIMUM = 65536  # MAX_BANS in files/bpf/tripod_xdp.h
_SLACK = 1000  # lines of a journal that are only history before it is written anew
_NANOSECONDS = 1_000_000_000

_log = logging.getLogger("tripod-host")


@dataclass(frozen=True)
class Ban:
    """An address that is dropped.

    Attributes:
        address: In its one spelling; IPv4 also for ``::ffff:a.b.c.d``.
        until: When it ends, CLOCK_BOOTTIME in seconds.
        ends: The same in seconds since the epoch, for people and for the next boot.
        seconds: How long it was made for.
        boot: The boot that ``until`` is of.
    """

    address: str
    until: float
    ends: float
    seconds: float
    boot: str
    owner: str
    by: str
    comment: str


class Table(Protocol):
    """Where the program of one interface finds bans; ``BanMap`` is one."""

    def entries(self) -> dict[bytes, Entry]:
        """Return all of them."""

    def put(self, entries: Mapping[bytes, Entry], total: int) -> None:
        """Add some."""

    def remove(self, keys: Sequence[bytes], total: int) -> None:
        """Remove some."""

    def packets(self, key_: bytes) -> int:
        """Return how many packets one dropped."""


class Bans:
    """All bans of a host; may be used by several threads.

    Args:
        host: The machine.
        tables: Returns the table of each interface that has one now, by interface; the same object as long as it is the
            same map.
        trusted: Returns the prefixes that no ban may cut, each with the name of its policy.
        journal: Path of the journal.
    """

    def __init__(
        self,
        host: Host,
        tables: Callable[[], Mapping[str, Table]],
        trusted: Callable[[], Iterable[tuple[Prefix, str]]],
        journal: str = JOURNAL,
    ) -> None:
        self._host, self._tables, self._trusted = host, tables, trusted
        self._journal = Journal(host, journal)
        self._fence = threading.Lock()
        self._bans = self._journal.load(host.boot_id)
        self._ends = [(ban.until, one) for one, ban in self._bans.items()]
        heapq.heapify(self._ends)
        self._synchronised: dict[str, Table] = {}

    def __len__(self) -> int:
        return len(self._bans)

    def ban(self, text: str, seconds: float, owner: str, by: str, comment: str) -> Ban:
        """Drop what comes from an address; a ban that it has already is replaced.

        Raises:
            Invalid: It is no single address.
            Refused: It is trusted, or as many bans are in force as there may be.
            Impossible: No interface has a program that takes bans, or one of them refuses.
        """
        one = _key(text)
        self._refuse_trusted(one)
        with self._fence:
            before = self._bans.get(one)
            if before is None and len(self._bans) >= MAXIMUM:
                raise Refused(
                    f"{len(self._bans)} bans > {MAXIMUM}, all that there may be; the next one ends in "
                    f"{max(0.0, self._ends[0][0] - boot_clock()):.0f} s: end one, or put addresses into a list of the "
                    "policy"
                )
            now = boot_clock()
            made = Ban(
                address=address(one),
                until=now + seconds,
                ends=time.time() + seconds,
                seconds=seconds,
                boot=self._host.boot_id,
                owner=owner,
                by=by,
                comment=comment,
            )
            self._write(one, made, before)
            self._bans[one] = made
            heapq.heappush(self._ends, (made.until, one))
            self._journal.append(made)
            return made

    def unban(self, text: str) -> str:
        """End a ban and return its address.

        Raises:
            Invalid: It is no single address.
            Missing: It is not banned.
        """
        one = _key(text)
        with self._fence:
            if one not in self._bans:
                raise Missing(f"{address(one)} is not banned")
            del self._bans[one]
            self._journal.append_end(address(one))
            self._remove(self._tables(), [one])
            return address(one)

    def page(self, limit: int, after: str | None = None) -> list[dict[str, Any]]:
        """Return bans in the order of their addresses, each with the packets that it dropped.

        Args:
            limit: How many.
            after: Only those behind this address.
        """
        begin = _key(after) if after is not None else b""
        with self._fence:
            keys = heapq.nsmallest(limit, (one for one in self._bans if one > begin))
            tables = list(self._tables().values())
            return [{**asdict(self._bans[one]), "packets": sum(table.packets(one) for table in tables)} for one in keys]

    def tend(self) -> None:
        """Sweep out what has run out, write bans into maps that are new, and put the journal on disk.

        To be called about once a second.
        """
        with self._fence:
            ended = self._ended(boot_clock())
            tables = dict(self._tables())
            self._remove(tables, ended)
            for interface, table in tables.items():
                if self._synchronised.get(interface) is not table:
                    with self._later(interface):
                        self._synchronise(table)
                        self._synchronised[interface] = table
            self._synchronised = {one: table for one, table in self._synchronised.items() if one in tables}
            self._journal.keep(self._bans.values())

    def _remove(self, tables: Mapping[str, Table], keys: Sequence[bytes]) -> None:
        for interface, table in tables.items() if keys else ():
            with self._later(interface):
                table.remove(keys, len(self._bans))

    @contextmanager
    def _later(self, interface: str) -> Iterator[None]:
        """Have a map that refuses brought to what it should hold when it is tended the next time."""
        try:
            yield
        except OSError as error:
            self._synchronised.pop(interface, None)
            _log.warning("%s: its bans cannot be written: %s; trying again", interface, in_words(error))

    def _ended(self, now: float) -> list[bytes]:
        found = []
        while self._ends and self._ends[0][0] <= now:
            until, one = heapq.heappop(self._ends)
            ban = self._bans.get(one)
            if ban and ban.until == until:  # else it was ended, or replaced by a longer one
                del self._bans[one]
                found.append(one)
        return found

    def _synchronise(self, table: Table) -> None:
        held, total = table.entries(), len(self._bans)
        requested = {one: _entry(ban) for one, ban in self._bans.items()}
        missing = {one: entry for one, entry in requested.items() if one not in held or held[one].until != entry.until}
        table.put(missing, max(total, len(held)))
        table.remove([one for one in held if one not in requested], total)

    def _write(self, one: bytes, ban: Ban, before: Ban | None) -> None:
        """Put a ban into every map, or leave all as they were."""
        tables = self._tables()
        if not tables:
            raise Impossible(
                "no interface has an XDP program of this release, so nothing would drop it: attach one first"
            )
        done: list[Table] = []
        total = len(self._bans) + (before is None)
        try:
            for table in tables.values():
                done.append(table)
                table.put({one: _entry(ban)}, total)
        except OSError as error:
            for table in done:
                with suppress(OSError):
                    if before:
                        table.put({one: _entry(before)}, total)
                    else:
                        table.remove([one], len(self._bans))
            raise Impossible(f"{ban.address} cannot be banned: {in_words(error)}; nothing was changed") from error

    def _refuse_trusted(self, one: bytes) -> None:
        for prefix, policy in self._trusted():
            if within(one, prefix):
                raise Refused(
                    f"{address(one)} is in the trusted prefix {prefix} of policy {policy}, which nothing overrides: "
                    "take it out of the inventory's trusted prefixes first"
                )


class Journal:
    """Bans on disk: a line for each that is made or ended, written anew where most of them are history.

    A line that is written survives the end of the process at once, and a power cut once ``keep`` was called.
    """

    def __init__(self, host: Host, path: str) -> None:
        self._host, self._path = host, path
        self._lines = 0
        self._file: int | None = None
        self._dirty = False

    def load(self, boot: str) -> dict[bytes, Ban]:
        """Return the bans that still hold; what cannot be understood is left out."""
        found: dict[bytes, Ban] = {}
        for line in filter(None, (self._host.read(self._path) or "").splitlines()):
            self._lines += 1
            with suppress(ValueError, TypeError, KeyError):
                content = json.loads(line)
                one = key(content["address"])
                found.pop(one, None)
                if "until" in content:
                    found[one] = _of_this_boot(Ban(**content), boot)
        now = boot_clock()
        return {one: ban for one, ban in found.items() if ban.until > now}

    def append(self, ban: Ban) -> None:
        """Note a ban."""
        self._append(asdict(ban))

    def append_end(self, text: str) -> None:
        """Note that an address is no longer banned."""
        self._append({"address": text})

    def keep(self, bans: Iterable[Ban]) -> None:
        """Put on disk what was noted, and leave out what is history where that is most of it."""
        live = list(bans)
        if self._lines > 2 * len(live) + _SLACK:
            self._close()
            text = "".join(f"{json.dumps(asdict(one))}\n" for one in live)
            self._host.write_atomically(self._path, text, 0o600)
            self._lines = len(live)
        elif self._dirty and self._file is not None:
            os.fdatasync(self._file)
        self._dirty = False

    def _append(self, content: Mapping[str, Any]) -> None:
        if self._file is None:
            place = self._host.path(self._path)
            place.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Begun with a newline, so that a line which a power cut left torn spoils no other.
        os.write(self._file, f"\n{json.dumps(content)}\n".encode())
        self._lines += 1
        self._dirty = True

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _key(text: str) -> bytes:
    try:
        return key(text)
    except ValueError as error:
        raise Invalid(f"address {error}") from None


def _entry(ban: Ban) -> Entry:
    return Entry(int(ban.until * _NANOSECONDS), OWNERS[ban.owner.partition(":")[0]])


def _of_this_boot(ban: Ban, boot: str) -> Ban:
    """Return a ban with its end on this boot's clock; it is never longer than it was made for."""
    if ban.boot == boot:
        return ban
    left = min(ban.ends - time.time(), ban.seconds)
    return Ban(**{**asdict(ban), "until": boot_clock() + left, "boot": boot})
