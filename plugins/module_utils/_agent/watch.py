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
import logging
import os
import threading
import time
from contextlib import suppress
from typing import NoReturn

from .._core import lock, state_store
from .._core.backoff import Backoff
from .._core.system import Host
from .._firewall.resource import SUBJECT as FIREWALL
from .._guard.outcome import expire
from .._linux import netlink
from . import certificates
from .appearances import Appearances
from .daemon import end_on_request, single_instance
from .links import Links, News, Overrun, Socket
from .metrics import FILE, Metrics
from .patrol import NEW, TABLES, Patrol
from .reapply import LINK_KINDS, REAPPLIERS, RESTORERS, SUBJECTS, Result, add_state_dir, path, reapply
from .schedule import Schedule

PID_FILE = "/run/tripod-watch/watch.pid"
BUSY = 0.5  # seconds to wait for whoever changes the host
GUARD_TICK = 1.0  # seconds
PATROL = 5.0  # seconds between two rounds
THOROUGH = 600.0  # seconds until all is checked by the planner: entries of maps, and what has no fingerprint
EVERYTHING = ""  # No link has that name.
END_PATIENCE = 10.0  # seconds for a revert that is at work; the next process resumes one that takes longer

log = logging.getLogger("tripod-host")


class Watch:
    """Checks links and reapplies what they lost.

    Args:
        host: The machine.
        directory: Where the state files are.
        backoff: Between a change, or a failure, and the next check of a link.
        metrics: Where it is counted what was done.
    """

    def __init__(
        self,
        host: Host | None = None,
        directory: str = state_store.DIRECTORY,
        backoff: Backoff | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.host = host or Host()
        self.directory = directory
        self.links = Links()
        self.schedule = Schedule(backoff or Backoff())
        self.patrol = Patrol(self.host, directory)
        self.metrics = metrics or Metrics()
        self._reported: dict[str, str] = {}
        self._ended: set[tuple[str, int]] = set()
        self._round = time.monotonic() + PATROL
        self._thorough = time.monotonic() + THOROUGH

    def run(self) -> NoReturn:
        """Watch until the process ends."""
        socket_ = Socket()
        # Subscribed first, so that nothing falls between the list and the messages.
        self._resync("the watch began")
        log.info("watching the links of this host")
        while True:
            try:
                for news in socket_.wait(self._idle(time.monotonic())):
                    reason = self.links.observe(news)
                    if reason:
                        self.schedule.request(news.name, reason, time.monotonic())
            except Overrun:
                log.warning("the kernel lost messages about links: checking all of them")
                self._resync("messages were lost")
            self._make_round(time.monotonic())
            self._end_entries(time.monotonic())
            due = self.schedule.take(time.monotonic())
            if due:
                self._check_links(due)

    def _idle(self, now: float) -> float:
        waits = [max(0.0, self._round - now)]
        waits += [left for left in (end - time.time() for _name, end in self._ends()) if left > 0]
        idle = self.schedule.idle(now)
        return min(waits if idle is None else [*waits, idle])

    def _ends(self) -> set[tuple[str, int]]:
        """Return when the next entry of each interface's policy ends, in seconds since 1970."""
        return set(self.patrol.ends(self.links.names).items())

    def _end_entries(self, now: float) -> None:
        """Have those policies compiled again of which entries have ended, each time once."""
        ended = {(name, end) for name, end in self._ends() if end <= time.time()}
        for name, _end in ended - self._ended:
            self.schedule.put_off(name, ["has a policy with entries that have ended"], now)
        self._ended = ended

    def _make_round(self, now: float) -> None:
        """Find what changed without a word, if it is time to."""
        if now < self._round:
            return
        self._round = now + PATROL
        self.metrics.count("patrols")
        try:
            found = self.patrol.differences(self.links.names)
            tables_changed = self.patrol.tables_changed()
        except OSError as error:
            log.warning("the host cannot be patrolled: %s; trying again", error)
            return
        if tables_changed:
            # Container engines change theirs all the time; only a difference in ours is counted as one.
            self.schedule.request(FIREWALL, f"{TABLES} changed", now)
        for name, parts in found.items():
            if parts == [NEW]:
                self.schedule.request(name, f"was {NEW}", now)
            else:
                self.schedule.request(name, f"changed without an event ({', '.join(parts)})", now)
                self.metrics.count("drifts", name)
        if now >= self._thorough:
            self._thorough = now + THOROUGH
            for name in (*self.links.names, *SUBJECTS):
                self.schedule.request(name, "was not checked for long", now)

    def _resync(self, reason: str) -> None:
        self.links = Links()
        for link in netlink.links():
            # Whether there is a carrier, the next message says; that is one check more, not one less.
            self.links.observe(News(link.index, link.name, link.up))
        self.schedule.request(EVERYTHING, reason, time.monotonic())

    def _check_links(self, due: dict[str, list[str]]) -> None:
        # Everything is checked once when the watch begins, as what runs at boot can have failed.
        everything = EVERYTHING in due
        others = [kind for subject, kind in SUBJECTS.items() if subject in due]
        kinds, only = (None, None) if everything else ((*LINK_KINDS, *others), set(due))
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
        with suppress(OSError):  # the next round takes what could not be taken now
            self.patrol.accept(self.links.names if everything else set(due))
        for name in self.links.names if everything else due:
            if acted or failed:
                self.schedule.acted(name, now)
                if failed:
                    self.schedule.retry(name, "failed before")
            else:
                self.schedule.converged(name, now)
        self.schedule.forget(set(due) - self.links.names - {EVERYTHING, *SUBJECTS})
        # What belongs to no link, such as huge pages, is tried again with everything.
        if of_host:
            self.schedule.acted(EVERYTHING, now)
            self.schedule.retry(EVERYTHING, "failed before")

    def _log_results(self, results: list[Result]) -> None:
        for result in results:
            for line in result.lines:
                log.info("%s: %s", result.name, line)
            if result.changes and not result.error:
                self.metrics.count("reapplied", result.name)
            if result.error:
                self.metrics.count("failures", result.name)
            if result.error and self._reported.get(result.name) != result.error:
                log.error("%s: %s", result.name, result.error)
            self._reported[result.name] = result.error or ""


def guard_clock(host: Host, ended: threading.Event) -> None:
    """Acknowledge and revert guards until the end; in a thread of its own, as checking a link can take long."""
    while not ended.wait(GUARD_TICK):
        try:
            expire(host, RESTORERS)
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
        configuration = os.path.dirname(os.path.abspath(options.state_dir))
        metrics = Metrics(
            os.path.join(os.path.dirname(options.pid_file), FILE), lambda: certificates.families(host, configuration)
        )
        appearances = Appearances(host, options.state_dir, metrics)
        threading.Thread(target=appearances.run, args=(ended,), daemon=True).start()
        try:
            Watch(host, options.state_dir, metrics=metrics).run()
        finally:
            ended.set()
            clock.join(END_PATIENCE)
