# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Watch the links of this host: one that comes up, appears or is renamed gets its settings back.

The kernel resets a NIC's interrupts whenever it opens the device, and a reloaded driver forgets everything. The guard's
clock runs here too, as this is the process that is always there.
"""

from __future__ import annotations

import argparse
import errno
import logging
import select
import socket
import struct
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from .._core import lock, state_store
from .._core.backoff import Backoff
from .._core.converge import describe
from .._core.system import Host
from .._guard.outcome import expire
from .._linux import netlink
from .daemon import end_on_request, single_instance
from .reapply import LINK_KINDS, REAPPLIERS, Result, add_state_dir, path, reapply

PID_FILE = "/run/tripod-watch/watch.pid"
QUIET = 0.3  # seconds without news of a link before it is checked
LONGEST = 3.0  # seconds that news can put a check off
BUSY = 0.5  # seconds to wait for whoever changes the host
GUARD_TICK = 1.0  # seconds
EVERYTHING = ""  # No link has that name.
END_PATIENCE = 10.0  # seconds for a revert that is at work; the next process resumes one that takes longer

# linux/rtnetlink.h, linux/if_link.h, linux/if.h
_RTMGRP_LINK = 1
_NEWLINK, _DELLINK = 16, 17
_IFNAME = 3
_UP, _LOWER_UP = 1 << 0, 1 << 16
_HEADER = struct.Struct("=IHHII")
_LINK_HEADER = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE_BYTES = 1 << 18

log = logging.getLogger("tripod-host")


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


@dataclass
class _LinkCheck:
    reasons: list[str] = field(default_factory=list)
    first: float | None = None  # When the oldest reason came up; None where there is none.
    due: float | None = None
    failures: int = 0
    last: float | None = None  # When something was applied, or failed.


class Schedule:
    """When to check which link; touches nothing outside.

    A change that is applied can itself bounce the link. The check after it finds nothing and ends that; where somebody
    else keeps changing things back, checks come at growing intervals.

    Args:
        backoff: Between a change, or a failure, and the next check.
    """

    def __init__(self, backoff: Backoff) -> None:
        self.backoff = backoff
        self._checks: dict[str, _LinkCheck] = {}

    def request(self, name: str, reason: str, now: float) -> None:
        """Have a link checked once there was no news of it for a while."""
        check = self._checks.setdefault(name, _LinkCheck())
        if reason not in check.reasons:
            check.reasons.append(reason)
        check.first = now if check.first is None else check.first
        check.due = max(min(now + QUIET, check.first + LONGEST), self._earliest(check))

    def _earliest(self, check: _LinkCheck) -> float:
        return 0.0 if check.last is None else check.last + self.backoff.delay(max(0, check.failures - 1))

    def take(self, now: float) -> dict[str, list[str]]:
        """Return the links to check now, each with its reasons."""
        due = {
            name: check.reasons for name, check in self._checks.items() if check.due is not None and check.due <= now
        }
        for name in due:
            check = self._checks[name]
            check.reasons, check.first, check.due = [], None, None
        return due

    def put_off(self, name: str, reasons: list[str], due: float) -> None:
        """Check a link later than intended."""
        check = self._checks.setdefault(name, _LinkCheck())
        check.reasons = [*reasons, *(one for one in check.reasons if one not in reasons)]
        check.due = due if check.due is None else min(check.due, due)

    def converged(self, name: str, now: float) -> None:
        """Nothing was to be done about a link."""
        check = self._checks.get(name)
        if check and check.last is not None and now - check.last >= self.backoff.limit:
            check.failures, check.last = 0, None

    def acted(self, name: str, now: float) -> None:
        """Something was applied, or failed: the next check is not before a while."""
        check = self._checks.setdefault(name, _LinkCheck())
        if check.last is not None and now - check.last >= 2 * self.backoff.limit:
            check.failures = 0
        check.failures, check.last = check.failures + 1, now

    def retry(self, name: str, reason: str) -> None:
        """Check again by itself, as what failed may do so no longer."""
        check = self._checks[name]
        self.put_off(name, [reason], self._earliest(check))

    def forget(self, names: Collection[str]) -> None:
        """Drop links that are gone, unless somebody waits for them to be checked."""
        for name in names:
            self._checks.pop(name, None)

    def idle(self, now: float) -> float | None:
        """Return the seconds until a link is due, or None where none is."""
        dues = [check.due for check in self._checks.values() if check.due is not None]
        return max(0.0, min(dues) - now) if dues else None


class Socket:
    """The kernel's messages about links."""

    def __init__(self) -> None:
        flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, flags, socket.NETLINK_ROUTE)
        self._socket.bind((0, _RTMGRP_LINK))

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


class Watch:
    """Checks links and reapplies what they lost.

    Args:
        host: The machine.
        directory: Where the state files are.
        backoff: Between a change, or a failure, and the next check of a link.
    """

    def __init__(
        self, host: Host | None = None, directory: str = state_store.DIRECTORY, backoff: Backoff | None = None
    ) -> None:
        self.host = host or Host()
        self.directory = directory
        self.links = Links()
        self.schedule = Schedule(backoff or Backoff())
        self._reported: dict[str, str] = {}

    def run(self) -> NoReturn:
        """Watch until the process ends."""
        socket_ = Socket()
        # Subscribed first, so that nothing falls between the list and the messages.
        self._resync("the watch began")
        log.info("watching the links of this host")
        while True:
            try:
                for news in socket_.wait(self.schedule.idle(time.monotonic())):
                    reason = self.links.observe(news)
                    if reason:
                        self.schedule.request(news.name, reason, time.monotonic())
            except Overrun:
                log.warning("the kernel lost messages about links: checking all of them")
                self._resync("messages were lost")
            due = self.schedule.take(time.monotonic())
            if due:
                self._check_links(due)

    def _resync(self, reason: str) -> None:
        self.links = Links()
        for link in netlink.links():
            # Whether there is a carrier, the next message says; that is one check more, not one less.
            self.links.observe(News(link.index, link.name, link.up))
        self.schedule.request(EVERYTHING, reason, time.monotonic())

    def _check_links(self, due: dict[str, list[str]]) -> None:
        # Everything is checked once when the watch begins, as what runs at boot can have failed.
        everything = EVERYTHING in due
        kinds, only = (None, None) if everything else (LINK_KINDS, set(due))
        with lock.attempt(self.host) as alone:
            if not alone:
                for name, reasons in due.items():
                    self.schedule.put_off(name, reasons, time.monotonic() + BUSY)
                return
            results = reapply(self.host, self.directory, check=True, kinds=kinds, only=only)
            acted = any(result.changes for result in results)
            if acted:
                why = "; ".join(f"{name} {' and '.join(reasons)}".lstrip() for name, reasons in due.items())
                log.info("%s: reapplying what differs", why)
                results = reapply(self.host, self.directory, kinds=kinds, only=only)
        self._log_results(results)
        failing = {result.kind for result in results if result.error}
        of_host = failing & (set(REAPPLIERS) - set(LINK_KINDS))
        failed = bool(failing - of_host)
        now = time.monotonic()
        for name in self.links.names if everything else due:
            if acted or failed:
                self.schedule.acted(name, now)
                if failed:
                    self.schedule.retry(name, "failed before")
            else:
                self.schedule.converged(name, now)
        self.schedule.forget(set(due) - self.links.names - {EVERYTHING})
        # What belongs to no link, such as huge pages, is tried again with everything.
        if of_host:
            self.schedule.acted(EVERYTHING, now)
            self.schedule.retry(EVERYTHING, "failed before")

    def _log_results(self, results: list[Result]) -> None:
        for result in results:
            for change in result.changes:
                log.info("%s: %s", result.name, describe(change))
            if result.error and self._reported.get(result.name) != result.error:
                log.error("%s: %s", result.name, result.error)
            self._reported[result.name] = result.error or ""


def guard_clock(host: Host, ended: threading.Event) -> None:
    """Acknowledge and revert guards until the end; in a thread of its own, as checking a link can take long."""
    while not ended.wait(GUARD_TICK):
        try:
            expire(host, REAPPLIERS)
        except Exception:
            # Whatever it is, the next guard still has to be seen to.
            log.exception("a guard cannot be seen to; trying again")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``tripod-host watch``."""
    add_state_dir(parser)
    parser.add_argument("--pid-file", default=PID_FILE, type=path, help="noted and locked while running (%(default)s)")


def run(options: argparse.Namespace) -> NoReturn:
    """Carry out ``tripod-host watch`` until SIGTERM or SIGINT.

    Raises:
        Refused: Another one holds the pid file.
    """
    end_on_request()
    with single_instance(options.pid_file, options.version):
        host, ended = Host(), threading.Event()
        clock = threading.Thread(target=guard_clock, args=(host, ended), daemon=True)
        clock.start()
        try:
            Watch(host, options.state_dir).run()
        finally:
            ended.set()
            clock.join(END_PATIENCE)
