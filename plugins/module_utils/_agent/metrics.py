# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What the watch did, counted, in the text format that Prometheus' node exporter collects from files."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

FILE = "metrics.prom"  # beside the pid file
_MODE = 0o644
# Name -> label, help. All are counters since the watch began.
COUNTERS: Mapping[str, tuple[str, str]] = {
    "patrols": ("", "Rounds in which the watch took fingerprints of the interfaces."),
    "reattached": ("interface", "XDP programs attached again to an interface that was made anew."),
    "drifts": ("interface", "Rounds that found something changed which no event had announced."),
    "reapplied": ("resource", "Times that a state file was applied again because the host differed from it."),
    "failures": ("resource", "Times that a state file could not be applied or checked."),
}


class Metrics:
    """Counters that outlast nothing but are always readable; for several threads.

    Args:
        path: The file; None keeps them in memory alone.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str], int] = {
            (name, ""): 0 for name, (label, _help) in COUNTERS.items() if not label
        }
        self._write()

    def count(self, name: str, label: str = "") -> None:
        """Add one, and write the file."""
        with self._lock:
            self._values[name, label] = self._values.get((name, label), 0) + 1
            self._write()

    def _write(self) -> None:
        if self._path:
            _replace(self._path, self.text())

    def text(self) -> str:
        """Return all of them.

        Source: Prometheus, "Exposition formats", text-based format 0.0.4.
        """
        lines = []
        for name, (label, help_text) in COUNTERS.items():
            metric = f"tripod_watch_{name}_total"
            lines += [f"# HELP {metric} {help_text}", f"# TYPE {metric} counter"]
            for (one, value), number in sorted(self._values.items()):
                if one == name:
                    labels = f'{{{label}="{_escape(value)}"}}' if label else ""
                    lines.append(f"{metric}{labels} {number}")
        return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _replace(path: str, text: str) -> None:
    # Nothing that only counts may stop the watch, such as a full /run.
    try:
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.new", path)
    except OSError:
        return
