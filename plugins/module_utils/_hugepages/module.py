# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The options and the answer of the ``hugepages`` module."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Mapping
from typing import Any

from .._core.converge import Invalid, exit_arguments
from .._core.module import Answer
from .._core.sizes import parse_size
from .._core.system import Host
from .._linux.hugetlbfs import Mount
from .plan import facts, warnings
from .request import TRANSPARENT_KEYS, Desired, Reservation
from .resource import bring, resolved

RESERVATIONS = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "node": {"type": "int", "default": 0},
        "size": {"type": "str", "required": True},
        "count": {"type": "int", "required": True},
    },
}
OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "reservations": RESERVATIONS,
    "at_boot": {"type": "list", "elements": "str", "default": ["1G"]},
    "default_size": {"type": "str"},
    "mounts": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "size": {"type": "str", "required": True},
            "mode": {"type": "str", "default": "0755"},
            "owner": {"type": "str", "default": "0"},
            "group": {"type": "str", "default": "0"},
            "limit": {"type": "str"},
        },
    },
    "transparent": {
        "type": "dict",
        "default": {},
        "options": {key: {"type": "str"} for key in TRANSPARENT_KEYS},
    },
    "drop_caches": {"type": "bool", "default": False},
    "keep": {"type": "str", "default": "512M"},
}


def answer(options: Mapping[str, Any], host: Host, check: bool) -> Answer:
    """Reserve huge pages now, and report what boot arguments are to reserve."""
    desired = resolved(_desired(options), host)
    outcome = bring(desired, host, check=check)
    return Answer(exit_arguments(outcome, **facts(desired, outcome.state)), warnings(desired, outcome.state))


def _desired(options: Mapping[str, Any]) -> Desired:
    return Desired(
        present=options["state"] == "present",
        reservations=[
            Reservation(one["node"], parse_size(one["size"]), one["count"]) for one in options["reservations"]
        ],
        at_boot=[parse_size(size) for size in options["at_boot"]],
        default_size=parse_size(options["default_size"]) if options["default_size"] else None,
        mounts=[_mount(one) for one in options["mounts"]],
        transparent={key: mode for key, mode in (options["transparent"] or {}).items() if mode},
        drop_caches=options["drop_caches"],
        keep=parse_size(options["keep"]),
    )


def _mount(options: Mapping[str, Any]) -> Mount:
    return Mount(
        path=options["path"],
        size=parse_size(options["size"]),
        mode=_mode(options["mode"]),
        uid=_number(options["owner"], "user", lambda name: pwd.getpwnam(name).pw_uid),
        gid=_number(options["group"], "group", lambda name: grp.getgrnam(name).gr_gid),
        limit=parse_size(options["limit"]) if options["limit"] else None,
    )


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise Invalid(f"mode {text!r} is none: give permission bits in octal, such as '1770'")
    return mode


def _number(text: str, kind: str, look_up: Callable[[str], int]) -> int:
    if text.isdigit():
        return int(text)
    try:
        return look_up(text)
    except KeyError:
        raise Invalid(f"{kind} {text!r} does not exist on this host: make it first, or give a number") from None
