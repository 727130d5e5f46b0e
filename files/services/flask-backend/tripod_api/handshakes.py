"""What gRPC says of handshakes that failed, in this service's log.

It says so on standard error alone, in a form of its own, and at a weight that it is to be told of before it begins.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from logging import getLogger

logger = getLogger(__name__)

# For the environment of a process that has not begun yet.
VERBOSITY = ("GRPC_VERBOSITY", "INFO")
FAILED = re.compile(r"Handshake failed with error \w+: (?:error:\w+:SSL routines:OPENSSL_internal:)?(.+)")
ADVICE = "is not suitable for production"
# The same reason is not logged again for so long (seconds), and of reasons so many are remembered.
QUIET = 10.0
REASONS = 16


def in_the_log() -> None:
    """Read this process's standard error from now on: failed handshakes go to the log, and all else where it went."""
    reader, writer = os.pipe()
    former = os.dup(2)
    os.dup2(writer, 2)
    os.close(writer)

    def run() -> None:
        say = _once()
        with os.fdopen(reader, errors="replace") as lines, os.fdopen(former, "w", buffering=1) as out:
            for line in lines:
                if failed := FAILED.search(line):
                    say(failed[1].strip())
                elif ADVICE not in line:
                    out.write(line)

    threading.Thread(target=run, name="stderr", daemon=True).start()


def _once() -> Callable[[str], None]:
    """Return what logs a reason, unless it did so of late: whoever reaches the port can make it fail."""
    said: dict[str, float] = {}

    def say(reason: str) -> None:
        moment = time.monotonic()
        if reason in said and moment < said[reason] + QUIET:
            return
        if len(said) >= REASONS:
            said.clear()
        said[reason] = moment
        logger.warning("a TLS handshake of gRPC failed", extra={"reason": reason})

    return say
