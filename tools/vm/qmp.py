"""QEMU's control socket: the power switch, the reset button, the cables and the snapshots."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..console import Failure

SECONDS = 20
# QEMU answers nobody while it writes or reads the guest's memory, of which there are gigabytes.
JOB_SECONDS = 300


def execute(directory: Path, command: str, **arguments: Any) -> Any:
    """Run one QMP command and return its answer.

    Args:
        directory: The VM's, where ``qmp.sock`` is.
        command: e.g. ``system_reset``.
        arguments: Of the command.

    Raises:
        Failure: QEMU does not listen, does not answer in time, or refuses.
    """
    with _connection(directory, command, SECONDS) as stream:
        return _ask(stream, command, **arguments)


def run_job(directory: Path, command: str, **arguments: Any) -> None:
    """Run a QMP command that starts a job, and wait for the job's end.

    Args:
        directory: The VM's.
        command: e.g. ``snapshot-save``; it takes a ``job-id``.
        arguments: Of the command.

    Raises:
        Failure: QEMU refuses, or the job fails or does not end in time.
    """
    end = time.monotonic() + JOB_SECONDS
    with _connection(directory, command, JOB_SECONDS) as stream:
        _ask(stream, command, **{"job-id": command, **arguments})
        while True:
            [job] = [one for one in _ask(stream, "query-jobs") if one["id"] == command]
            if job["status"] == "concluded":
                break
            if time.monotonic() > end:
                raise Failure(f"{directory.name}: QEMU's '{command}' is still {job['status']} after {JOB_SECONDS} s")
            time.sleep(0.1)
        _ask(stream, "job-dismiss", id=command)
    if error := job.get("error"):
        raise Failure(f"{directory.name}: QEMU's '{command}' failed: {error}")


@contextmanager
def _connection(directory: Path, command: str, seconds: float) -> Iterator[Any]:
    # By the directory's descriptor, as a socket's path may only be 107 bytes long.
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(f"/proc/self/fd/{descriptor}/qmp.sock")
            with connection.makefile("rw", encoding="utf-8") as stream:
                stream.readline()
                _ask(stream, "qmp_capabilities")
                yield stream
    except OSError as error:
        raise Failure(f"{directory.name}: QEMU does not take '{command}': {error.strerror or error}") from error
    finally:
        os.close(descriptor)


def _ask(stream: Any, command: str, **arguments: Any) -> Any:
    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    stream.flush()
    while line := stream.readline():
        answer = json.loads(line)
        if "error" in answer:
            raise Failure(f"QEMU refuses '{command}': {answer['error']['desc']}")
        if "return" in answer:
            return answer["return"]
    raise OSError("the connection was closed")
