# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Keep our containers running: start again what died without anybody asking for it.

Docker counts ``docker kill`` as a stop on request, so no restart policy brings such a container back. The engine's
events tell the two apart: ``docker stop`` ends in the event ``stop``, and a kill does not.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import queue
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from .._core.backoff import Backoff
from .._core.converge import CoreError
from .._core.system import Host
from .._deploy.docker_daemon import DEFAULT_SOCKET, UnixConnection
from .daemon import end_on_request, single_instance

LABEL = "org.tripod.collection=tripod.baremetal"
PID_FILE = "/run/tripod-keep/keep.pid"
STATE_FILE = "/run/tripod-keep/keep.json"
ANSWER_TIMEOUT = 60.0  # seconds; a start pulls up networks and mounts before it answers
EVENTS = ("die", "stop", "start", "destroy", "health_status")
KEPT_POLICIES = ("always", "unless-stopped")

log = logging.getLogger("tripod-host")


@dataclass(frozen=True)
class Event:
    """What happened to a container.

    Attributes:
        action: The engine's word: ``die``, ``stop``, ``start``, ``destroy``, ``health_status: unhealthy``, ...
        container: The container's id.
        name: Its name.
        time: When, in nanoseconds since the epoch, by the engine's clock.
    """

    action: str
    container: str
    name: str
    time: int

    @classmethod
    def from_json(cls, message: Mapping[str, Any]) -> Event:
        """Read one message of the engine's event stream."""
        attributes = message["Actor"].get("Attributes") or {}
        return cls(
            action=message["Action"],
            container=message["Actor"]["ID"],
            name=attributes.get("name", message["Actor"]["ID"][:12]),
            time=int(message["timeNano"]),
        )


@dataclass(frozen=True)
class Container:
    """A container as found.

    Attributes:
        id: Its id.
        name: Its name.
        status: The engine's word: ``created``, ``running``, ``paused``, ``restarting``, ``removing``, ``exited`` or
            ``dead``.
        exit_status: Of its last run.
        policy: Name of its restart policy.
    """

    id: str
    name: str
    status: str
    exit_status: int = 0
    policy: str = ""


def verdict(container: Container) -> str:
    """Return what to do about a container that died: ``start``, ``wait`` or ``leave``.

    One that the engine is about to restart itself is waited for. What never ran or is being removed is left, and so is
    what was not asked to stay up: build steps and ``docker run --rm`` of our images inherit their label.
    """
    if container.status == "restarting":
        return "wait"
    if container.status != "exited":
        return "leave"
    failed = container.policy == "on-failure" and container.exit_status != 0
    return "start" if failed or container.policy in KEPT_POLICIES else "leave"


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

    def report(self, container: str) -> None:
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


class EngineError(CoreError):
    """The engine answered, but not with what was asked for."""


class Engine:
    """The few calls of the Docker Engine API that the keeper needs.

    Args:
        path: Unix socket of the engine.

    Source: Docker Engine API, ``/containers`` and ``/events``. Paths carry no version: every engine answers in its own.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def containers(self, label: str) -> list[Container]:
        """Return all containers with a label, running or not; exit status and policy are only in ``inspect``."""
        query = urllib.parse.urlencode({"all": "1", "filters": json.dumps({"label": [label]})})
        status, listed = self._call("GET", f"/containers/json?{query}")
        if status != http.HTTPStatus.OK:
            raise EngineError(f"listing containers: {_reason(status, listed)}")
        return [Container(each["Id"], each["Names"][0].lstrip("/"), each["State"]) for each in listed]

    def inspect(self, container: str) -> Container | None:
        """Return a container, or None where it is gone."""
        status, found = self._call("GET", f"/containers/{container}/json")
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        if status != http.HTTPStatus.OK:
            raise EngineError(f"inspecting {container[:12]}: {_reason(status, found)}")
        return Container(
            id=found["Id"],
            name=found["Name"].lstrip("/"),
            status=found["State"]["Status"],
            exit_status=found["State"]["ExitCode"],
            policy=found["HostConfig"]["RestartPolicy"]["Name"],
        )

    def start(self, container: str) -> str | None:
        """Start a container; return why it cannot, or None where it runs or is gone."""
        status, answer = self._call("POST", f"/containers/{container}/start")
        well = (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED, http.HTTPStatus.NOT_FOUND)
        return None if status in well else _reason(status, answer)

    @contextmanager
    def events(self, label: str, since: int) -> Iterator[Iterator[Event]]:
        """Open the stream of events of the containers with a label.

        Args:
            label: ``key=value``.
            since: Where to begin (nanoseconds since the epoch). The engine remembers its last 256 events.
        """
        filters = {"type": ["container"], "label": [label], "event": EVENTS}
        query = urllib.parse.urlencode(
            {"since": f"{since // 10**9}.{since % 10**9:09d}", "filters": json.dumps(filters)}
        )
        connection = UnixConnection(self.path)
        connection.connect()
        stream = connection.sock
        try:
            connection.request("GET", f"/events?{query}")
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise EngineError(f"following events: {_reason(answer.status, answer.read())}")
            stream.settimeout(None)  # Hours may pass between two events.
            yield (Event.from_json(json.loads(line)) for line in answer)
        finally:
            # First, as closing waits for a reader in another thread, which waits for the engine.
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _call(self, method: str, path: str) -> tuple[int, Any]:
        connection = UnixConnection(self.path, ANSWER_TIMEOUT)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body else None
        except ValueError as error:
            raise EngineError(f"{method} {path}: the answer is no JSON: {error}") from error
        finally:
            connection.close()


def _reason(status: int, answer: Any) -> str:
    words = answer.get("message", "") if isinstance(answer, dict) else str(answer or "")
    return f"the engine answers {status} {words}".rstrip()


class Supervisor:
    """Follows the engine's events and acts on what the ledger says is due.

    Args:
        engine: The engine.
        label: Which containers are ours.
        host: The machine that the state file is on.
        state_file: Remembers what operators stopped, for the next keeper. It belongs below ``/run``: after a boot the
            engine starts everything whose policy is ``always``, stopped before or not.
        backoff: Between tries to start a container.
        reconnect: Between tries to reach the engine.
    """

    def __init__(
        self,
        engine: Engine,
        label: str = LABEL,
        host: Host | None = None,
        state_file: str = STATE_FILE,
        backoff: Backoff | None = None,
        reconnect: Backoff | None = None,
    ) -> None:
        self.engine = engine
        self.label = label
        self.host = host or Host()
        self.state_file = state_file
        self.reconnect = reconnect or Backoff(limit=15.0)
        self.ledger = Ledger(backoff or Backoff(), self._load())
        self._saved = set(self.ledger.stopped)
        self._since = 1  # Everything that the engine remembers; 0 would mean nothing.

    def run(self) -> NoReturn:
        """Keep containers until a signal ends the process, through every outage of the engine."""
        failures = 0
        while True:
            try:
                for _connected in self._session():
                    failures = 0
            except (OSError, http.client.HTTPException, EngineError) as error:
                if not failures:
                    log.warning("no engine on %s (%s): trying again until there is one", self.engine.path, error)
            time.sleep(self.reconnect.delay(failures))
            failures += 1

    def _session(self) -> Iterator[None]:
        """Follow one connection to its end; yields once when it stands."""
        connected = time.time_ns()
        # The stream is opened before the list is read, so that nothing falls between them.
        with self.engine.events(self.label, self._since) as events:
            inbox: queue.SimpleQueue[Event | EngineError] = queue.SimpleQueue()
            threading.Thread(target=_pump, args=(events, inbox), daemon=True).start()
            self.ledger.resync(self.engine.containers(self.label), time.monotonic())
            log.info("keeping the containers with label %s", self.label)
            yield
            while True:
                self._save()
                try:
                    event = inbox.get(timeout=self.ledger.idle(time.monotonic()))
                except queue.Empty:
                    self._see_to_due()
                    continue
                if isinstance(event, EngineError):
                    raise event
                self._since = event.time + 1
                line = self.ledger.observe(event, time.monotonic())
                if line and event.time >= connected:  # What happened before is history, not news.
                    log.info("%s", line)

    def _see_to_due(self) -> None:
        for id_ in self.ledger.due(time.monotonic()):
            container = self.engine.inspect(id_)
            if container is None:
                self.ledger.forget(id_)
                continue
            decision = verdict(container)
            if decision == "leave":
                self.ledger.report(id_)
            elif decision == "wait":
                self.ledger.retry(id_, time.monotonic())
            else:
                self._start(container)

    def _start(self, container: Container) -> None:
        log.info("starting %s (exited with status %d)", container.name, container.exit_status)
        problem = self.engine.start(container.id)
        if problem is None:
            self.ledger.report(container.id)
        else:
            delay = self.ledger.retry(container.id, time.monotonic())
            log.warning("%s does not start: %s; trying again in %g s", container.name, problem, delay)

    def _load(self) -> list[str]:
        try:
            return list(json.loads(self.host.read(self.state_file) or '{"stopped": []}')["stopped"])
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is damaged (%s): containers that were stopped on request may start", self.state_file, error)
            return []

    def _save(self) -> None:
        if self.ledger.stopped != self._saved:
            self._saved = set(self.ledger.stopped)
            self.host.write_atomically(self.state_file, json.dumps({"stopped": sorted(self._saved)}) + "\n")


def _pump(events: Iterator[Event], inbox: queue.SimpleQueue[Event | EngineError]) -> None:
    end = EngineError("the stream of events ended")
    try:
        for event in events:
            inbox.put(event)
    except (OSError, http.client.HTTPException, ValueError, KeyError, AttributeError) as error:
        # AttributeError: the connection was closed under http.client.
        end = EngineError(f"the stream of events broke: {error}")
    finally:
        inbox.put(end)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``tripod-host keep``."""
    parser.add_argument("--label", default=LABEL, help="containers to keep, as key=value (%(default)s)")
    parser.add_argument("--socket", default=DEFAULT_SOCKET, help="Unix socket of the engine (%(default)s)")
    parser.add_argument("--pid-file", default=PID_FILE, help="noted and locked while running (%(default)s)")
    parser.add_argument("--state-file", default=STATE_FILE, help="what operators stopped (%(default)s)")


def run(options: argparse.Namespace) -> NoReturn:
    """Carry out ``tripod-host keep`` until SIGTERM or SIGINT.

    Raises:
        Refused: Another keeper holds the pid file.
    """
    end_on_request()
    with single_instance(options.pid_file, options.version):
        Supervisor(Engine(options.socket), label=options.label, state_file=options.state_file).run()
