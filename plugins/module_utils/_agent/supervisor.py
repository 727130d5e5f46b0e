# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The container supervisor: start again what died without anybody requesting it.

Docker counts ``docker kill`` as a stop on request, so no restart policy brings such a container back. The engine's
events tell the two apart: ``docker stop`` ends in the event ``stop``, and a kill does not.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import queue
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

from .._core.backoff import Backoff
from .._core.system import Host
from .._deploy.engine_socket import DEFAULT_SOCKET
from .daemon import end_on_request, single_instance
from .engine_api import Container, EngineApi, EngineError, Event
from .ledger import Ledger, verdict
from .reapply import path

LABEL = "org.tripod.collection=tripod.baremetal"
PID_FILE = "/run/tripod-keep/keep.pid"
STATE_FILE = "/run/tripod-keep/keep.json"

log = logging.getLogger("tripod-host")


class Supervisor:
    """Follows the engine's events and acts on what the ledger says is due.

    Args:
        engine: The engine.
        label: Which containers are ours.
        host: The machine that the state file is on.
        state_file: Where what operators stopped is saved for the next supervisor. It belongs below ``/run``: after a
            boot the engine starts everything whose policy is ``always``, stopped before or not.
        backoff: Between tries to start a container.
        reconnect: Between tries to reach the engine.
    """

    def __init__(
        self,
        engine: EngineApi,
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
        self._since = 1  # Everything that the engine still holds; 0 would mean nothing.

    def run(self) -> NoReturn:
        """Supervise containers until a signal ends the process, through every outage of the engine."""
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
            log.info("supervising the containers with label %s", self.label)
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
                self.ledger.done(id_)
            elif decision == "wait":
                self.ledger.retry(id_, time.monotonic())
            else:
                self._start(container)

    def _start(self, container: Container) -> None:
        log.info("starting %s (exited with status %d)", container.name, container.exit_status)
        problem = self.engine.start(container.id)
        if problem is None:
            self.ledger.done(container.id)
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
    parser.add_argument("--label", default=LABEL, help="containers to supervise, as key=value (%(default)s)")
    parser.add_argument("--socket", default=DEFAULT_SOCKET, type=path, help="Unix socket of the engine (%(default)s)")
    parser.add_argument("--pid-file", default=PID_FILE, type=path, help="noted and locked while running (%(default)s)")
    parser.add_argument("--state-file", default=STATE_FILE, type=path, help="what operators stopped (%(default)s)")


def run(options: argparse.Namespace) -> NoReturn:
    """Carry out ``tripod-host keep`` until SIGTERM or SIGINT.

    Raises:
        Refused: Another supervisor holds the pid file.
    """
    end_on_request()
    with single_instance(options.pid_file, options.version):
        Supervisor(EngineApi(options.socket), label=options.label, state_file=options.state_file).run()
