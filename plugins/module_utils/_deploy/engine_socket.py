# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The Docker Engine's own socket: whether it answers, and which containers run."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.parse
from typing import Any

from .._core.converge import ApplyFailed

DEFAULT_SOCKET = "/run/docker.sock"
PING_TIMEOUT = 5.0  # seconds


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket.

    Args:
        path: The socket.
        timeout: Seconds that connecting, and each wait for an answer, may take; None for no limit.
    """

    def __init__(self, path: str, timeout: float | None = PING_TIMEOUT) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def answers(path: str) -> bool:
    """Whether an engine says that it is well on a Unix socket."""
    connection = UnixConnection(path)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def list_containers(path: str, label: str) -> list[dict[str, Any]]:
    """Return the running containers with a label as the engine lists them; none where no engine answers.

    Args:
        path: Unix socket of the engine.
        label: ``key=value``.

    Source: Docker Engine API, ``GET /containers/json``.
    """
    query = urllib.parse.urlencode({"filters": json.dumps({"label": [label]})})
    connection = UnixConnection(path)
    try:
        connection.request("GET", f"/containers/json?{query}")
        answer = connection.getresponse()
        containers: list[dict[str, Any]] = json.loads(answer.read()) if answer.status == http.HTTPStatus.OK else []
        return containers
    except (OSError, http.client.HTTPException):
        return []
    finally:
        connection.close()


def send_signal(path: str, container: str, signal: str) -> None:
    """Send a signal to the main process of a container.

    Args:
        path: Unix socket of the engine.
        container: Its name.
        signal: Such as ``HUP``.

    Raises:
        ApplyFailed: No engine answers, or it refused; with its words.

    Source: Docker Engine API, ``POST /containers/{id}/kill``.
    """
    connection = UnixConnection(path)
    try:
        connection.request("POST", f"/containers/{urllib.parse.quote(container, safe='')}/kill?signal={signal}")
        answer = connection.getresponse()
        words = answer.read().decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise ApplyFailed(f"SIG{signal} to {container}: no engine answers at {path}: {error}") from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.NO_CONTENT:
        raise ApplyFailed(f"SIG{signal} to {container}: the engine refuses: {words or answer.reason}")
