"""QEMU's control socket: the power switch, the reset button and the cables."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from ..console import Failure

SECONDS = 20


def execute(directory: Path, command: str, **arguments: Any) -> Any:
    """Run one QMP command and return its answer.

    Args:
        directory: The VM's, where ``qmp.sock`` is.
        command: e.g. ``system_reset``.
        arguments: Of the command.

    Raises:
        Failure: QEMU does not listen, does not answer in time, or refuses.
    """
    # By the directory's descriptor, as a socket's path may only be 107 bytes long.
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(f"/proc/self/fd/{descriptor}/qmp.sock")
            with connection.makefile("rw", encoding="utf-8") as stream:
                stream.readline()
                _ask(stream, {"execute": "qmp_capabilities"})
                return _ask(stream, {"execute": command, "arguments": arguments})
    except OSError as error:
        raise Failure(f"{directory.name}: QEMU does not take '{command}': {error.strerror or error}") from error
    finally:
        os.close(descriptor)


def _ask(stream: Any, request: dict[str, Any]) -> Any:
    stream.write(json.dumps(request) + "\n")
    stream.flush()
    while line := stream.readline():
        answer = json.loads(line)
        if "error" in answer:
            raise Failure(f"QEMU refuses '{request['execute']}': {answer['error']['desc']}")
        if "return" in answer:
            return answer["return"]
    raise OSError("the connection was closed")
