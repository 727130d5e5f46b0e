# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a module's options request of a policy, with the files that they name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .._core.converge import CoreError, Invalid
from .._policy.merge import INVENTORY
from .._policy.request import parse, without_none
from .policy_assignment import own_policy
from .policy_entries import parse_entries, read_file
from .policy_lists import digest, read_text
from .policy_set import DesiredPolicy
from .policy_short import to_document
from .policy_tests import read_tests


def from_options(options: Mapping[str, Any]) -> DesiredPolicy:
    """Return what a module's options request; files that lists name are read.

    Raises:
        Invalid: A file cannot be read, an option is malformed, or nobody knows the policy's name.
    """
    present = options["state"] == "present"
    staged = options.get("staged") or {}
    document, texts = _with_texts(without_none(options["policy"] or {}) if present else {}, staged)
    short = options.get("entries") is not None or options.get("src")
    if short and present:
        src = options["src"]
        lines = read_file(staged.get(src, src)) if src else ()
        document = to_document(parse_entries(options["entries"] or (), lines), INVENTORY)
    name, interfaces = options["name"], options["interfaces"]
    if name is None:
        if not short or len(interfaces) != 1:
            raise Invalid(
                "name: which policy is it? Only one interface's own, of entries or src, needs no name: "
                f"give one for {', '.join(interfaces) or 'no interface'}"
            )
        name = own_policy(interfaces[0])
    try:
        tests = read_tests(options.get("tests") or () if present else (), document, staged)
    except Invalid as error:
        # All at once: what is wrong with the policy itself is told along.
        reasons = [*error.facts["reasons"], *_faults(document, texts)]
        raise Invalid(f"nothing was changed: {'; '.join(reasons)}", reasons=reasons) from error
    return DesiredPolicy(
        name,
        interfaces,
        document,
        texts,
        tests,
        pin_root=options["pin_root"],
        state_directory=options["state_dir"],
    )


def _faults(document: Mapping[str, Any], texts: Mapping[str, bytes]) -> list[str]:
    try:
        parse(document, texts, now=time.time())
    except CoreError as error:
        return error.facts.get("reasons") or [str(error)]
    return []


def _with_texts(document: Mapping[str, Any], staged: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a document whose lists name the digests of their files, and the files' texts."""
    texts: dict[str, bytes] = {}
    lists = document.get("lists")
    if not isinstance(lists, list):
        return dict(document), {}
    found = []
    for number, one in enumerate(lists):
        path = one.get("file") if isinstance(one, Mapping) else None
        if isinstance(path, str):
            text = read_text(staged.get(path, path), f"lists[{number}].file")
            texts[digest(text)] = text
            one = {**one, "sha256": digest(text)}
        found.append(one)
    return {**document, "lists": found}, texts
