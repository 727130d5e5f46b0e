# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What may be requested of kernel variables: their names in one form, and their values as the kernel shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .._core.converge import Findings, Invalid
from .sysctl_groups import contradictions

_NAME = re.compile(r"[A-Za-z0-9_][\w.:@/-]*", re.ASCII)
_SWAP = str.maketrans("./", "/.")


def parse(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as the kernel shows them, by their names with dots.

    Raises:
        Invalid: A name or a value is malformed, with all reasons.
    """
    findings = Findings()
    parsed: dict[str, str] = {}
    for requested, value in values.items():
        name = canonical(str(requested))
        if not _NAME.fullmatch(name) or ".." in name or name.endswith("."):
            findings.add(f"{requested!r} is no name of a kernel variable, such as net.core.somaxconn")
        elif name in parsed:
            findings.add(f"{name} is requested twice: give it one value")
        elif isinstance(value, (dict, list)) or value is None or not str(value).strip() or "\n" in str(value):
            findings.add(f"{name}: {value!r} is no value; give a number or one line of text, fields parted by blanks")
        else:
            parsed[name] = str(int(value)) if isinstance(value, bool) else folded(str(value))
    for reason in contradictions(parsed):
        findings.add(reason)
    findings.raise_if_any(Invalid, "sysctl: nothing was changed")
    return parsed


def canonical(name: str) -> str:
    """Return a name with dots between its parts; a dot within a part, as of a VLAN's name, is then a slash.

    Source: sysctl.d(5): where the first separator is a slash, slashes separate and dots are left as they are.
    """
    first = re.search(r"[./]", name)
    return swapped(name) if first and first[0] == "/" else name


def swapped(name: str) -> str:
    """Return a name with dots for slashes and slashes for dots."""
    return name.translate(_SWAP)


def folded(text: str) -> str:
    """Return a value with its blanks folded: the kernel parts fields by tabs, people by spaces."""
    return " ".join(text.split())
