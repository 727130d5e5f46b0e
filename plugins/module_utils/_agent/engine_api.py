# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The few calls of the Docker Engine API that the supervisor needs, and what the engine says of containers."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .._core.converge import CoreError
from .._deploy.engine_socket import UnixConnection

ANSWER_TIMEOUT = 60.0  # seconds; a start pulls up networks and mounts before it answers
EVENTS = ("die", "stop", "start", "destroy", "health_status")


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


class EngineError(CoreError):
    """The engine answered, but not with what was requested."""


class EngineApi:
    """The calls themselves.

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
            since: Where to begin (nanoseconds since the epoch). The engine holds its last 256 events.
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
