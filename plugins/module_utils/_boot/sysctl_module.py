# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The options and the answer of the ``sysctl`` module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.converge import converge, exit_arguments
from .._core.module import Answer
from .._core.system import Host
from .sysctl_plan import warnings
from .sysctl_request import parse
from .sysctl_resource import Sysctls

OPTIONS: dict[str, Any] = {"variables": {"type": "dict", "required": True}}


def answer(options: Mapping[str, Any], host: Host, check: bool) -> Answer:
    """Bring the variables to their values."""
    desired = parse(options["variables"])
    resource = Sysctls(desired)
    outcome = converge(resource, desired, host, check=check)
    overridden = warnings(outcome.state, desired)
    return Answer(exit_arguments(outcome, overridden=overridden), [*overridden, *resource.warnings])
