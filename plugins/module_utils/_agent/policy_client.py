# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""One request to the policy's socket, and its result."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .._core.converge import CoreError, Impossible
from .._core.errors import reason
from .policy_errors import KINDS

TIMEOUT = 120.0  # seconds; a policy of a million prefixes takes a while to compile
_CHUNK = 1 << 16


def call(path: str, op: str, **options: Any) -> dict[str, Any]:
    """Have an operation carried out and return its result.

    Args:
        path: Of the socket.
        op: The operation.
        options: Its properties.

    Raises:
        Impossible: Nobody listens.
        CoreError: What the agent answered; of the kind that it was there.
    """
    request = json.dumps({"id": 1, "op": op, **options}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(path)
        except OSError as error:
            raise Impossible(
                f"{path}: {reason(error)}; is tripod-policy running, and are you root? (the role host_agent starts it)"
            ) from error
        with suppress(BrokenPipeError):  # refused before it was read whole; the answer says why
            connection.sendall(request)
        return _result(_line(connection, path))


def _line(connection: socket.socket, path: str) -> Mapping[str, Any]:
    received = bytearray()
    try:
        while not received.endswith(b"\n"):
            chunk = connection.recv(_CHUNK)
            if not chunk:
                raise Impossible(f"{path}: the agent closed the connection without an answer; its log has the reason")
            received += chunk
    except OSError as error:
        raise Impossible(f"{path}: {reason(error)}") from error
    answer: Mapping[str, Any] = json.loads(received)
    return answer


def _result(answer: Mapping[str, Any]) -> dict[str, Any]:
    if answer["ok"]:
        return dict(answer["result"])
    refused = answer["error"]
    kind = next((one for one, name in KINDS.items() if name == refused["kind"]), CoreError)
    raise kind(refused["message"], kind=refused["kind"], reasons=refused["reasons"])
