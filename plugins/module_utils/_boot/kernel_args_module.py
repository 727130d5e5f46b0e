# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The options and the answer of the ``kernel_args`` module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.converge import converge, exit_arguments
from .._core.module import Answer
from .._core.system import Host
from .kernel_args_plan import facts
from .kernel_args_resource import KernelArguments

OPTIONS: dict[str, Any] = {"arguments": {"type": "list", "elements": "str", "required": True}}


def answer(options: Mapping[str, Any], host: Host, check: bool) -> Answer:
    """Bring the boot arguments to the list."""
    desired = options["arguments"]
    # A run that only checks has saved no new CPU plan before this one, so the saved one may be about to change.
    outcome = converge(KernelArguments(desired, beside_plan=not check), desired, host, check=check)
    reported = facts(desired, outcome.state, check)
    return Answer(exit_arguments(outcome, **reported), reported["conflicts"])
