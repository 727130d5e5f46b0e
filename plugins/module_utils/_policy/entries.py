# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Entries of a policy's lists, those in files among them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .._core.converge import Findings
from .model import Policy, Text
from .prefix_set import EMPTY, PrefixSet, parse_prefixes
from .schema import MAX_PREFIXES

HEADLINE = "the policy is not valid, nothing was changed"
_COMMENT = re.compile(r"[#;].*")
SHOWN = 20


def read_entries(policy: Policy, findings: Findings) -> Mapping[str, PrefixSet]:
    """Return the prefixes of each list by its name.

    Args:
        policy: Whose lists.
        findings: Takes lines that are no prefixes, and lists that are longer than they may be.
    """
    entries = {}
    for one in policy.lists:
        prefixes = one.prefixes
        if one.text is not None:
            prefixes = prefixes.union(_read(one.text, findings))
        entries[one.name] = prefixes
        if one.max_entries is not None and len(prefixes) > one.max_entries:
            findings.add(
                f"{one.place}: {len(prefixes)} entries > its max_entries {one.max_entries}: raise it, or give fewer"
            )
    total = len(policy.trusted) + sum(map(len, entries.values()))
    if total > MAX_PREFIXES:
        longest = max(policy.lists, key=lambda one: len(entries[one.name]))
        findings.add(
            f"{total} prefixes in all > the limit {MAX_PREFIXES}; most of them, {len(entries[longest.name])}, are in "
            f"{longest.place}: leave some out, or put networks together"
        )
    return entries


def _read(text: Text, findings: Findings) -> PrefixSet:
    try:
        content = text.texts[text.sha256].decode()
    except UnicodeDecodeError as error:
        findings.add(f"{text.place} is no text in UTF-8: byte {error.start} is wrong")
        return EMPTY
    if "#" in content or ";" in content:
        content = _COMMENT.sub("", content)
    parsed = parse_prefixes(content.split())
    if parsed.faults:
        # Blanks and lines part prefixes alike; only a message needs the line.
        lines = [number for number, line in enumerate(content.split("\n"), 1) for _word in line.split()]
        for place, fault in parsed.faults[:SHOWN]:
            findings.add(f"{text.place} line {lines[place]}: {fault}")
        if len(parsed.faults) > SHOWN:
            findings.add(f"{text.place}: and {len(parsed.faults) - SHOWN} more lines")
    return parsed.prefixes
