# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The options and the answer of the ``cpu_isolation`` module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.converge import Findings, converge, exit_arguments
from .._core.module import Answer
from .._core.system import Host
from .changes import disagreements, reboot_reasons
from .plan import cpusets, resolve, table, warnings
from .request import ISOLATION, parse_request
from .resource import CpuIsolation

ASSIGNMENT = {
    "name": {"type": "str", "required": True},
    "cpus": {"type": "str"},
    "cores": {"type": "int"},
    "node": {"type": "int"},
    "nic": {"type": "str"},
}
OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "housekeeping": {"type": "str"},
    "housekeeping_cores": {"type": "int"},
    "isolated": {"type": "str"},
    "isolation": {
        "type": "list",
        "elements": "str",
        "choices": list(ISOLATION),
        "default": ["managed_irq", "nohz_full", "rcu_nocbs"],
    },
    "split_cores": {"type": "bool", "default": False},
    "governor": {"type": "str"},
    "assignments": {"type": "list", "elements": "dict", "default": [], "options": ASSIGNMENT},
}


def answer(options: Mapping[str, Any], host: Host, check: bool) -> Answer:
    """Share the CPUs out, and report what the plan means for others."""
    request = parse_request(options) if options["state"] == "present" else None
    outcome = converge(CpuIsolation(request), request, host, check=check)
    rows, arguments, containers, reasons, warned = [], [], {}, [], []
    if request:
        topology = outcome.state.topology
        plan = resolve(request, topology, Findings())
        rows, arguments, containers = table(plan, topology), plan.boot_arguments, cpusets(plan, topology.nodes)
        reasons = reboot_reasons(plan, outcome.state)
        warned = [*warnings(plan, topology), *disagreements(plan, outcome.state)]
    reported = exit_arguments(
        outcome,
        plan=rows,
        boot_arguments=arguments,
        containers=containers,
        reboot_required=bool(reasons),
        reboot_reasons=reasons,
        advice=warned,
    )
    return Answer(reported, warned)
