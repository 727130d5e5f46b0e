# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What the agent counts, in the text format that Prometheus' node exporter collects from files."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

FILE = "metrics.prom"  # beside the pid file
_MODE = 0o644
# Of the watch: name -> label, help. All are counters since it began.
COUNTERS: Mapping[str, tuple[str, str]] = {
    "patrols": ("", "Rounds in which the watch took fingerprints of the interfaces."),
    "reattached": ("interface", "XDP programs attached again to an interface that was made anew."),
    "drifts": ("interface", "Rounds that found something changed which no event had announced."),
    "reapplied": ("resource", "Times that a state file was applied again because the host differed from it."),
    "failures": ("resource", "Times that a state file could not be applied or checked."),
}


@dataclass(frozen=True)
class Family:
    """A metric with all of its series.

    Attributes:
        values: Each series' labels, and its number.
        kind: ``counter`` or ``gauge``.
    """

    name: str
    help: str
    values: Sequence[tuple[Mapping[str, str], float]]
    kind: str = "counter"


class Metrics:
    """What the watch did: counters that outlast nothing but are always readable; for several threads.

    Args:
        path: The file; None keeps them in memory alone.
        found: Returns what is told beside them, found anew each time.
    """

    def __init__(self, path: str | None = None, found: Callable[[], Iterable[Family]] = tuple) -> None:
        self._path, self._found = path, found
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
            replace(self._path, self.text())

    def text(self) -> str:
        """Return all of them."""
        held = sorted(self._values.items())
        counted = [
            Family(
                f"tripod_watch_{name}_total",
                help_text,
                [({label: value} if label else {}, number) for (one, value), number in held if one == name],
            )
            for name, (label, help_text) in COUNTERS.items()
        ]
        return render([*counted, *self._found()])


def render(families: Iterable[Family]) -> str:
    """Return metrics as text.

    Source: Prometheus, "Exposition formats", text-based format 0.0.4.
    """
    lines = []
    for family in families:
        lines += [f"# HELP {family.name} {_on_one_line(family.help)}", f"# TYPE {family.name} {family.kind}"]
        for labels, number in family.values:
            pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())
            lines.append(f"{family.name}{{{pairs}}} {number}" if pairs else f"{family.name} {number}")
    return "\n".join(lines) + "\n"


def _on_one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape(value: str) -> str:
    return _on_one_line(value).replace('"', '\\"')


def replace(path: str, text: str) -> None:
    """Put a file of metrics in the place of the one before, where that can be done."""
    # Nothing that only counts may stop what it counts, such as a full /run.
    try:
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.new", path)
    except OSError:
        return
