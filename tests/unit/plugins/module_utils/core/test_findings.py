"""Findings as a table for people."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._core.findings import ERROR, Finding, render


def test_the_table_wraps_long_cells_and_has_no_trailing_blanks():
    table = render([Finding(ERROR, "memory", "1 GiB", "2 GiB", "a remedy whose words need more than a single line")])
    lines = table.splitlines()
    assert lines[0].split() == ["severity", "subject", "found", "needed", "remedy"]
    assert lines[2].split()[:6] == ["error", "memory", "1", "GiB", "2", "GiB"]
    assert len(lines) == 4
    assert lines[3].lstrip() == "than a single line"
    assert lines[2].index("a remedy") == lines[3].index("than")
    assert all(line == line.rstrip() for line in lines)
