# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The options and the answer of the ``afxdp_workers`` module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._core.converge import CoreError, converge, exit_arguments
from .._core.cpulist import parse_cpulist
from .._core.module import Answer
from .._core.names import absolute_path
from .._core.sizes import parse_size
from .._core.system import Host
from .._deploy.engine_socket import DEFAULT_SOCKET
from .._xdp.request import INTERFACE
from . import limits
from .file import WorkersFile
from .in_force import InForce
from .request import WORKER, Worker, parse
from .site import Reader, Site

PATH = "/etc/tripod/workers/workers.json"
SERVICE = {
    "container": {"type": "str", "required": True},
    "address": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "required": True},
    "required": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 30},
    "docker_socket": {"type": "path", "default": DEFAULT_SOCKET},
}
OPTIONS: dict[str, Any] = {
    "workers": {"type": "list", "elements": "dict", "options": WORKER, "required": True},
    "interfaces": {"type": "list", "elements": "dict", "options": INTERFACE, "default": []},
    "policies": {"type": "dict", "default": {}},
    "path": {"type": "path", "default": PATH},
    "group": {"type": "int", "default": 0},
    "cpus": {"type": "str", "default": ""},
    "memory": {"type": "str", "default": ""},
    "pids": {"type": "int", "default": 0},
    "service": {"type": "dict", "options": SERVICE},
}


def answer(options: Mapping[str, Any], host: Host, check: bool) -> Answer:
    """Write the file of workers, and have go-backend follow it where it runs already."""
    workers = parse(options["workers"])
    path = absolute_path(options["path"])
    reader = Reader(
        nics=sorted({name for worker in workers for name in worker.nics}),
        interfaces=options["interfaces"],
        policies=options["policies"],
        cpus=frozenset(parse_cpulist(options["cpus"])) if options["cpus"] else None,
        memory=parse_size(options["memory"]) if options["memory"] else None,
        pids=options["pids"] or None,
    )
    resource = WorkersFile(path, options["group"], workers, reader, check)
    outcome = converge(resource, workers, host, check=check)
    site = outcome.state.site
    said = _warnings(workers, site, check)
    running: Sequence[Mapping[str, Any]] = []
    if options["service"] and workers and not (check and outcome.changed):
        service = dict(options["service"])
        required = service.pop("required") and not check
        follower = InForce(path, socket=service.pop("docker_socket"), **service)
        try:
            if required or follower.has_workers():
                followed = converge(follower, None, host, check=check)
                outcome = replace(outcome, changes=[*outcome.changes, *followed.changes])
                running = followed.state.serving.workers
        except CoreError as error:
            if required:
                raise
            said.append(str(error))
    facts = exit_arguments(outcome, **_needs(workers, site), workers=[dict(one) for one in running])
    return Answer(facts, said)


def _needs(workers: Sequence[Worker], site: Site) -> dict[str, Any]:
    """Return what a container must have for its workers."""
    on = limits.nodes(workers, site)
    # Docker's seccomp profile leaves binding memory to SYS_NICE; with one node's memory alone nothing is to be bound.
    capabilities = ["NET_RAW", "IPC_LOCK", *(["SYS_NICE"] if len(on) > 1 else [])] if workers else []
    return {
        "capabilities": capabilities,
        "memory_nodes": ",".join(map(str, limits.container_nodes(workers, site))),
        "threads": limits.threads(workers),
    }


def _warnings(workers: Sequence[Worker], site: Site, check: bool) -> list[str]:
    # An earlier step of the same run, such as that of a NIC's channels, would have brought it by then.
    missing = (
        [f"{reason} (unless an earlier step brings it)" for reason in limits.faults(workers, site)] if check else []
    )
    return [*missing, *limits.warnings(workers, site)]
