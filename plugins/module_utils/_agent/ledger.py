# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which containers are to be started, and when; touches nothing outside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .._core.backoff import Backoff
from .engine_api import Container, Event

SUPERVISED_POLICIES = ("always", "unless-stopped")


def verdict(container: Container) -> str:
    """Return what to do about a container that died: ``start``, ``wait`` or ``leave``.

    One that the engine is about to restart itself is waited for. What never ran or is being removed is left, and so is
    what is not requested to stay up: build steps and ``docker run --rm`` of our images inherit their label.
    """
    if container.status == "restarting":
        return "wait"
    if container.status != "exited":
        return "leave"
    failed = container.policy == "on-failure" and container.exit_status != 0
    return "start" if failed or container.policy in SUPERVISED_POLICIES else "leave"


@dataclass
class _Record:
    due: float | None = None  # When to see to it, by the caller's clock.
    failures: int = 0
    started: int | None = None  # Nanoseconds since the epoch.


class Ledger:
    """What is known of our containers, and when to see to which; touches nothing outside.

    Args:
        backoff: How long to wait. ``stop`` follows ``die`` within milliseconds, so a first wait of one second tells
            them apart. A container that ran for the limit has its failures forgotten.
        stopped: Ids of containers that an operator stopped; they stay down until somebody starts them.
    """

    def __init__(self, backoff: Backoff, stopped: Iterable[str] = ()) -> None:
        self.backoff = backoff
        self.stopped = set(stopped)
        self._records: dict[str, _Record] = {}

    def observe(self, event: Event, now: float) -> str | None:
        """Take note of an event; the order of ``die`` and ``stop`` does not matter.

        Args:
            event: What happened.
            now: The caller's clock (seconds).

        Returns:
            A line for the log, or None where nothing is worth one.
        """
        if event.action == "destroy":
            self.forget(event.container)
            return None
        record = self._records.setdefault(event.container, _Record())
        if event.action == "start":
            self.stopped.discard(event.container)
            record.started, record.due = event.time, None
            return None
        if event.action == "stop":
            self.stopped.add(event.container)
            record.due, record.failures = None, 0
            return f"{event.name} was stopped on request: it stays down until somebody starts it"
        if event.action == "die":
            ran = None if record.started is None else (event.time - record.started) / 1e9
            record.started = None
            if ran is None or ran >= self.backoff.limit:
                record.failures = 0
            if event.container not in self.stopped:
                self.retry(event.container, now)
            return None
        if event.action.startswith("health_status"):
            return f"{event.name} is {event.action.rpartition(' ')[2]}"
        return None

    def resync(self, containers: Iterable[Container], now: float) -> None:
        """Take note of all our containers as they are, where events may have been missed.

        One that has exited while nobody watched, and is not known to have been stopped, is due: an engine
        whose policy is ``always`` does the same when it starts.
        """
        found = {container.id: container for container in containers}
        for gone in (self._records.keys() | self.stopped) - found.keys():
            self.forget(gone)
        for container in found.values():
            record = self._records.setdefault(container.id, _Record())
            if container.status == "running":
                self.stopped.discard(container.id)
                record.due = None
            elif (
                container.status in ("exited", "restarting") and container.id not in self.stopped and record.due is None
            ):
                record.due = now + self.backoff.first

    def retry(self, container: str, now: float) -> float:
        """See to a container after the next, longer wait; return that wait in seconds."""
        record = self._records[container]
        delay = self.backoff.delay(record.failures)
        record.failures += 1
        record.due = now + delay
        return delay

    def done(self, container: str) -> None:
        """There is nothing more to do about a container until something happens to it."""
        self._records[container].due = None

    def forget(self, container: str) -> None:
        """A container is gone."""
        self._records.pop(container, None)
        self.stopped.discard(container)

    def due(self, now: float) -> list[str]:
        """Return the ids to see to now."""
        return [id_ for id_, record in self._records.items() if record.due is not None and record.due <= now]

    def idle(self, now: float) -> float | None:
        """Return the seconds until a container is due, or None where none is."""
        dues = [record.due for record in self._records.values() if record.due is not None]
        return max(0.0, min(dues) - now) if dues else None
