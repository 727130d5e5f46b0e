# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The options and the answer of the ``preflight`` module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .._boot.driver_module import DRIVER
from .._core.findings import ERROR, WARNING, render
from .._core.module import Answer
from .._core.system import Host
from .._cpu.module import ASSIGNMENT
from .._deploy.container_limits import LIMITS
from .._deploy.service_users import USER
from .._hugepages.module import RESERVATIONS
from .._xdp.request import INTERFACE, PIN_ROOT
from .limits import check
from .request import DEFAULT_FEATURES, FEATURES, from_options
from .state import read

PORT = {
    "port": {"type": "int", "required": True},
    "name": {"type": "str", "required": True},
    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
    "variable": {"type": "str", "default": ""},
    "address": {"type": "str", "default": "0.0.0.0"},
    "addresses": {"type": "list", "elements": "str", "default": []},
}
SPACE = {
    "path": {"type": "path", "required": True},
    "need_bytes": {"type": "int", "required": True},
    "what": {"type": "str", "required": True},
}
ENTRY = {
    "prefix": {"type": "str", "required": True},
    "action": {"type": "str", "choices": ["drop", "pass"], "default": "drop"},
}
HUGEPAGES = {
    "reservations": RESERVATIONS,
    "keep": {"type": "str", "default": "512M"},
}
CPU_PLAN = {
    "housekeeping": {"type": "str"},
    "housekeeping_cores": {"type": "int"},
    "isolated": {"type": "str"},
    "isolation": {"type": "list", "elements": "str"},
    "split_cores": {"type": "bool"},
    "governor": {"type": "str"},
    "assignments": {
        "type": "list",
        "elements": "dict",
        "options": ASSIGNMENT,
    },
}
COMMAND = {"name": {"type": "str", "required": True}, "package": {"type": "str", "required": True}}
OPTIONS: dict[str, Any] = {
    "distributions": {"type": "list", "elements": "str", "default": ["debian 12", "debian 13"]},
    "untested_distributions": {"type": "list", "elements": "str", "default": ["ubuntu 24.04"]},
    "architectures": {"type": "list", "elements": "str", "default": ["x86_64", "aarch64"]},
    "kernel": {"type": "str", "default": "6.1"},
    "memory_bytes": {"type": "int", "default": 0},
    "ports": {"type": "list", "elements": "dict", "default": [], "options": PORT},
    "disk": {"type": "list", "elements": "dict", "default": [], "options": SPACE},
    "interfaces": {"type": "list", "elements": "str", "default": []},
    "pending_interfaces": {"type": "list", "elements": "str", "default": []},
    "features": {
        "type": "list",
        "elements": "str",
        "choices": list(FEATURES),
        "default": list(DEFAULT_FEATURES),
    },
    "commands": {"type": "list", "elements": "dict", "default": [], "options": COMMAND},
    "policy": {"type": "list", "elements": "dict", "default": [], "options": ENTRY},
    "policies": {"type": "dict", "default": {}},
    "xdp": {"type": "list", "elements": "dict", "default": [], "options": INTERFACE},
    "pin_root": {"type": "path", "default": PIN_ROOT},
    "nics": {"type": "list", "elements": "dict", "default": []},
    "drivers": {"type": "list", "elements": "dict", "default": [], "options": DRIVER},
    "hugepages": {"type": "dict", "default": {}, "options": HUGEPAGES},
    "cpu_plan": {"type": "dict", "default": {}, "options": CPU_PLAN},
    "boot_arguments": {"type": "list", "elements": "str", "default": []},
    "sysctls": {"type": "dict", "default": {}},
    "users": {"type": "list", "elements": "dict", "default": [], "options": USER},
    "containers": {"type": "list", "elements": "dict", "default": [], "options": LIMITS},
    "bridges": {"type": "list", "elements": "str", "default": []},
    "workers": {"type": "list", "elements": "dict", "default": []},
    "worker_capabilities": {"type": "list", "elements": "str", "default": []},
    "container_label": {"type": "str", "default": "org.tripod.collection=tripod.baremetal"},
    "docker_socket": {"type": "path", "default": "/run/docker.sock"},
    "fail": {"type": "bool", "default": True},
}


def answer(options: Mapping[str, Any], host: Host, _check: bool) -> Answer:
    """Hold the host against what will be requested of it; nothing is ever changed."""
    needs = from_options(options)
    findings = check(needs, read(host, needs, options["container_label"], options["docker_socket"]))
    errors = sum(finding.severity == ERROR for finding in findings)
    table = render(findings) if findings else ""
    reported = {"passed": not errors, "findings": [asdict(finding) for finding in findings], "table": table}
    if errors and options["fail"]:
        return Answer(reported, failure=f"{errors} of {len(findings)} findings stand in the way\n{table}")
    warnings = [
        f"{finding.subject}: {finding.found}; needed: {finding.limit}; {finding.remedy}"
        for finding in findings
        if finding.severity == WARNING
    ]
    return Answer({"changed": False, **reported}, warnings)
