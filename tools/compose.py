"""Compose 2, which starts the file for developers: this machine's, or one that is unpacked in the checkout."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

from .vm.base import SUITE, run_in_place, unpacked

# Compose 1, which Debian 12 has, knows neither the file's name for its project nor what waits until all are healthy.
LEAST = 2


def command() -> list[str] | None:
    """Return the words that start it; None where there is none, and none for this machine's architecture."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if _version(words) >= LEAST:
            return words
    if os.uname().machine != "x86_64":
        return None
    root = unpacked("compose", SUITE, "docker-compose")
    return list(run_in_place(root, "usr/libexec/docker/cli-plugins/docker-compose"))


def _version(words: Sequence[str]) -> int:
    try:
        told = subprocess.run([*words, "version", "--short"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return 0
    found = re.match(r"v?(\d+)\.", told.stdout)
    return int(found[1]) if found else 0
