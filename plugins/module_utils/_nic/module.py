# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The options and the answer of the ``nic`` module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._core.converge import Change, CoreError, converge, describe, exit_arguments
from .._core.lock import changing
from .._core.module import Answer
from .._core.system import Host
from .._guard import arm
from .hints import hints
from .parse import parse_all
from .resource import KIND, Nics, State, facts
from .state_file import forgetting

RSS = {
    "equal": {"type": "int"},
    "weights": {"type": "list", "elements": "int"},
    "table": {"type": "list", "elements": "int"},
    "default": {"type": "bool", "default": False},
    "key": {"type": "str", "no_log": False},
    "function": {"type": "str"},
    "hash_fields": {"type": "dict"},
}
FLOW_RULE = {
    "flow_type": {"type": "str", "required": True},
    "match": {"type": "dict"},
    "queue": {"type": "int"},
    "drop": {"type": "bool", "default": False},
    "location": {"type": "int"},
}
NAPI = {
    "defer_hard_irqs": {"type": "int"},
    "gro_flush_timeout": {"type": "int"},
    "threaded": {"type": "bool"},
}
IRQ = {
    "placement": {"type": "raw", "default": "local"},
    "cpus": {"type": "str"},
    "avoid": {"type": "str"},
    "other": {"type": "str"},
}
NIC = {
    "name": {"type": "str"},
    "pci": {"type": "str"},
    "mac": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "up": {"type": "bool"},
    "mtu": {"type": "int"},
    "txqueuelen": {"type": "int"},
    **{name: {"type": "dict"} for name in ("rings", "channels", "coalesce", "features", "pause", "private_flags")},
    "napi": {"type": "dict", "options": NAPI},
    "rss": {"type": "dict", "options": RSS},
    "flow_rules": {"type": "list", "elements": "dict", "options": FLOW_RULE},
    "flow_rule_locations": {"type": "str"},
    "irq": {"type": "dict", "options": IRQ},
    "xps": {"type": "raw"},
    "rps": {"type": "dict", "options": {"cpus": {"type": "str"}, "flow_entries": {"type": "int"}}},
}
OPTIONS: dict[str, Any] = {
    "nics": {
        "type": "list",
        "elements": "dict",
        "options": NIC,
        "required_one_of": [("name", "pci", "mac")],
    },
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    **arm.OPTIONS,
}
REQUIRED_IF = [("state", "present", ["nics"])]


def answer(options: Mapping[str, Any], host: Host, check: bool) -> Answer:
    """Bring NICs to their declarations, under guard where that may cut the host off."""
    armed: list[arm.Guard | None] = []

    def protect(changes: Sequence[Change], state: State) -> None:
        interfaces, restores = resource.restores(changes, state)
        if interfaces:
            mode, timeout = options["guard"], options["guard_timeout"]
            armed.append(arm.protect(host, KIND, interfaces, restores, mode, timeout))

    try:
        requests = parse_all(options["nics"]) if options["state"] == "present" else forgetting(host)
        resource = Nics(requests)
        # The agent reapplies the old state file when a link comes up, so it has to wait until the new one is stored.
        with changing(host, check):
            outcome = converge(resource, requests, host, check=check, before_apply=protect)
    except CoreError as error:
        error.facts.setdefault("guard", _guard_facts(armed))
        raise
    disruptive = [describe(change) for change in outcome.changes if change.disrupts]
    results = {"disruptive": disruptive, "guard": _guard_facts(armed), "nics": facts(outcome.state)}
    return Answer(exit_arguments(outcome, **results), [*resource.warnings, *_warnings(outcome.state)])


def _warnings(state: State) -> list[str]:
    touched = [target for target in state.targets if target.touched]
    return [f"{one.name}: {hint}" for one in touched for hint in hints(one.request, state.current.nics[one.name])]


def _guard_facts(armed: Sequence[arm.Guard | None]) -> dict[str, Any] | None:
    return next((guard.facts for guard in armed if guard), None)
