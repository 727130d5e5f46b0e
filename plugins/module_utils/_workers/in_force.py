# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether go-backend runs what its file of workers says: asked over its health port, and brought there by SIGHUP."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core.converge import ApplyFailed, Change, Impossible
from .._core.system import Host
from .._deploy.engine_socket import DEFAULT_SOCKET, send_signal

_PATH = "/workers"
_REQUEST_SECONDS, _PAUSE_SECONDS = 5.0, 0.2
_DIGITS = 12  # of a digest that is shown


@dataclass(frozen=True)
class Serving:
    """What go-backend says.

    Attributes:
        digest: Of the file that it read last, SHA-256 in hexadecimal; empty before the first.
        fault: Why it did not take that file; empty where it did.
        workers: One for each queue, with ``name``, ``nic``, ``queue``, ``mode`` and ``cpu``.
    """

    digest: str = ""
    fault: str = ""
    workers: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class State:
    """What is in force, beside what is to be: the digest of the file."""

    file: str = ""
    serving: Serving = field(default_factory=Serving)

    @property
    def is_followed(self) -> bool:
        """Whether go-backend took the file as it is now."""
        return self.serving.digest == self.file and not self.serving.fault


@dataclass(frozen=True)
class InForce:
    """The resource for ``converge``; desired is nothing beside the file.

    Attributes:
        path: The file.
        container: Name of go-backend's.
        address, port: Where it answers for its health.
        timeout: Seconds that it may take to follow.
        socket: The engine's.
    """

    path: str
    container: str
    address: str
    port: int
    timeout: float
    socket: str = DEFAULT_SOCKET

    def read(self, host: Host) -> State:
        """Return what the file is, and what is in force.

        Raises:
            Impossible: go-backend does not answer, or is of a release without workers.
        """
        text = host.read(self.path)
        if text is None:
            raise Impossible(f"{self.path} is not there: give workers, which it is written for")
        return State(hashlib.sha256(host.path(self.path).read_bytes()).hexdigest(), self.serving())

    def validate(self, _desired: None, _state: State) -> None:
        """Nothing can be wrong with it."""

    def plan(self, _desired: None, state: State) -> list[Change]:
        """Return the one step there is, where it runs by another file than that of now."""
        if state.is_followed:
            return []
        held = state.serving.fault or state.serving.digest[:_DIGITS] or None
        return [Change((self.container, "workers"), held, state.file[:_DIGITS])]

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Let it read its file, and wait until it has.

        Raises:
            ApplyFailed: It did not take the file, or does not follow; with its own words.
        """
        before = self.read(host)
        send_signal(self.socket, self.container, "HUP")
        end = time.monotonic() + self.timeout
        while True:
            state = self.read(host)
            if state.is_followed:
                return
            said = state.serving
            # A file that it had refused before may be refused no more, as for pages that were free only now.
            refused = said.fault and said.digest == state.file
            if (refused and before.serving.digest != state.file) or time.monotonic() > end:
                why = said.fault if refused else f"it has not read it within {self.timeout:g} s of SIGHUP: see its log"
                raise ApplyFailed(f"{self.container} does not follow {self.path}, and goes on as before: {why}")
            time.sleep(_PAUSE_SECONDS)

    def has_workers(self) -> bool:
        """Whether it runs and has a file of workers."""
        try:
            said = self.serving()
        except Impossible:
            return False
        return bool(said.digest or said.fault)

    def serving(self) -> Serving:
        """Return what go-backend says of its workers.

        Raises:
            Impossible: It does not answer, or says something else.
        """
        where = f"http://{self.address}:{self.port}{_PATH}"
        connection = http.client.HTTPConnection(self.address, self.port, timeout=_REQUEST_SECONDS)
        try:
            connection.request("GET", _PATH)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Impossible(f"{self.container} does not answer at {where} ({error}): start it first") from error
        finally:
            connection.close()
        try:
            said = json.loads(content) if answer.status == http.HTTPStatus.OK else {}
            return Serving(said["file_sha256"], said["fault"], said["workers"])
        except (ValueError, KeyError, TypeError) as error:
            raise Impossible(
                f"{where} says {answer.status}, and nothing of workers: bring the image of go-backend to this release"
            ) from error
