# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Policy entries as operators give them: a list of options, and a file with a prefix and an action a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._core.converge import Findings, Invalid
from .._policy.prefix import Prefix, parse_prefix
from .._policy.schema import ACTIONS
from .policy_lists import read_text

DEFAULT_ACTION = "drop"
_REASONS_SHOWN = 20

# The option of the modules that take entries.
ENTRIES: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "prefix": {"type": "str", "required": True},
        "action": {"type": "str", "choices": sorted(ACTIONS), "default": DEFAULT_ACTION},
    },
}

# Place, prefix, action.
Given = tuple[str, str, str]


def parse_entries(options: Sequence[Mapping[str, Any]], lines: Sequence[Given] = ()) -> dict[Prefix, str]:
    """Return action by prefix.

    Args:
        options: Of a module.
        lines: From ``read_file``.

    Raises:
        Invalid: Prefixes or actions are malformed, or prefixes are given twice; each is named with its place.
    """
    findings = Findings()
    places: dict[Prefix, str] = {}
    entries: dict[Prefix, str] = {}
    for place, text, action in (*_places(options), *lines):
        try:
            prefix = parse_prefix(text)
        except ValueError as error:
            findings.add(f"{place}: {error}")
            continue
        if action not in ACTIONS:
            findings.add(f"{place}: {text!r}: action {action!r} is not one of {', '.join(sorted(ACTIONS))}")
            continue
        if prefix in entries:
            words = "is given twice" if entries[prefix] == action else "is given with two actions"
            findings.add(f"{places[prefix]} and {place}: {prefix} {words}; leave one")
            continue
        places[prefix] = place
        entries[prefix] = action
    shorten(findings)
    findings.raise_if_any(Invalid, "policy entries are not valid, nothing was changed")
    return entries


def read_file(path: str, named: str = "src") -> list[Given]:
    """Return the entries of a file: each line a prefix and, behind blanks, an action; what follows a # is a comment.

    Args:
        path: Of the file.
        named: The option or variable that names it.

    Raises:
        Invalid: It cannot be read, or a line has more than two words; each line is named.
    """
    try:
        text = read_text(path, named).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(f"{named}: {path} is no text in UTF-8: byte {error.start} is wrong") from error
    findings = Findings()
    given: list[Given] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        if len(words) > 2:
            findings.add(
                f"{path} line {number}: {' '.join(words)!r} has {len(words)} words: give a prefix and an action"
            )
        elif words:
            given.append((f"{path} line {number}", words[0], words[1] if len(words) > 1 else DEFAULT_ACTION))
    shorten(findings)
    findings.raise_if_any(Invalid, "policy entries are not valid, nothing was changed")
    return given


def _places(options: Sequence[Mapping[str, Any]]) -> Iterator[Given]:
    for place, option in enumerate(options):
        yield f"entries[{place}]", option["prefix"], option["action"]


def shorten(findings: Findings) -> None:
    """Keep a message readable where thousands of entries share one mistake."""
    hidden = len(findings.reasons) - _REASONS_SHOWN
    if hidden > 0:
        findings.reasons[_REASONS_SHOWN:] = [f"and {hidden} more"]
