# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What reading a host brings to light, as a table for people and as data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ERROR, WARNING, INFO = "error", "warning", "info"
SEVERITIES = (ERROR, WARNING, INFO)
_COLUMNS = (("severity", 8), ("subject", 24), ("found", 34), ("limit", 24), ("remedy", 32))


@dataclass(frozen=True)
class Finding:
    """One thing that stands in the way, or may, or is worth knowing.

    Attributes:
        severity: ``error``, ``warning`` or ``info``.
        subject: What it is about.
        found: What is there.
        limit: What is needed.
        remedy: The way out.
    """

    severity: str
    subject: str
    found: str
    limit: str
    remedy: str


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, errors first; each severity in the order given."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def render(findings: Iterable[Finding]) -> str:
    """Return the findings as a text table, long cells wrapped."""
    rows = [[name if name != "limit" else "needed" for name, _width in _COLUMNS]]
    rows += [[getattr(finding, name) for name, _width in _COLUMNS] for finding in findings]
    lines = [_row(row) for row in rows]
    lines.insert(1, "  ".join("-" * width for _name, width in _COLUMNS))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    wrapped = [
        textwrap.wrap(cell, width, break_on_hyphens=False) or [""] for cell, (_name, width) in zip(cells, _COLUMNS)
    ]
    height = max(len(cell) for cell in wrapped)
    lines = []
    for at in range(height):
        parts = [(cell[at] if at < len(cell) else "").ljust(width) for cell, (_name, width) in zip(wrapped, _COLUMNS)]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
