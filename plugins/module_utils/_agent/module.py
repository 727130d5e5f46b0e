# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The options and the answer of the ``host_agent`` module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.converge import converge, exit_arguments
from .._core.module import Answer
from .._core.state_store import DIRECTORY
from .._core.system import Host
from .export_request import Export
from .resource import ARCHIVE, COMMAND, LOG, PYTHON, RUN, HostAgent, Request, describe_change
from .supervisor import LABEL

OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "path": {"type": "path", "default": ARCHIVE},
    "command": {"type": "path", "default": COMMAND},
    "python": {"type": "path", "default": PYTHON},
    "label": {"type": "str", "default": LABEL},
    "state_dir": {"type": "path", "default": DIRECTORY},
    "run_dir": {"type": "path", "default": RUN},
    "log_dir": {"type": "path", "default": LOG},
    "sample_rate": {"type": "int", "default": Export.rate},
    "ipfix_collector": {"type": "str", "default": Export.collector},
    "ipfix_port": {"type": "int", "default": Export.port},
    "ipfix_domain": {"type": "int", "default": Export.domain},
    "policy_uid": {"type": "int"},
}


def answer(options: Mapping[str, Any], host: Host, check: bool) -> Answer:
    """Install the agent and its services, or remove them."""
    request = Request(
        present=options["state"] == "present",
        path=options["path"],
        command=options["command"],
        python=options["python"],
        label=options["label"],
        state_dir=options["state_dir"],
        run_directory=options["run_dir"],
        log_directory=options["log_dir"],
        exported=Export(
            options["sample_rate"], options["ipfix_collector"], options["ipfix_port"], options["ipfix_domain"]
        ),
        policy_uid=options["policy_uid"],
    )
    outcome = converge(HostAgent(request), request, host, check=check)
    state = outcome.state
    services = {
        name: {"enabled": one.enabled, "pid": one.process.pid if one.process else None}
        for name, one in state.services.items()
    }
    reported = {"version": state.version, "service_manager": state.manager, "services": services}
    changes = [describe_change(change) for change in outcome.changes]
    return Answer({**exit_arguments(outcome), "changes": changes, **reported})
