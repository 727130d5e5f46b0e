# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The options and the answer of the ``driver`` module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.converge import converge, exit_arguments
from .._core.module import Answer
from .._core.system import Host
from .driver_plan import facts, warnings
from .driver_request import Driver
from .driver_resource import Drivers
from .driver_tools import LiveDriverTools

DRIVER = {
    "name": {"type": "str", "required": True},
    "options": {"type": "dict", "default": {}},
    "minimum_version": {"type": "str"},
    "minimum_firmware": {"type": "str"},
    "xdp_features": {"type": "list", "elements": "str", "default": []},
}
OPTIONS: dict[str, Any] = {
    "drivers": {"type": "list", "elements": "dict", "required": True, "options": DRIVER},
}


def answer(options: Mapping[str, Any], host: Host, check: bool) -> Answer:
    """Give drivers their options, and compare them with what is required of them."""
    desired = [Driver.from_option(one) for one in options["drivers"]]
    outcome = converge(Drivers(desired, LiveDriverTools()), desired, host, check=check)
    return Answer(exit_arguments(outcome, **facts(desired, outcome.state, check)), warnings(outcome.changes, check))
