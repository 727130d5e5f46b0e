# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The options and the answer of the ``firewall`` module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.converge import converge, exit_arguments
from .._core.module import Answer
from .._core.system import Host
from .request import PROTOCOLS, parse
from .resource import Firewall

HOST_PORT = {
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "protocol": {"type": "str", "choices": list(PROTOCOLS), "default": "tcp"},
}
NETWORK = {
    "name": {"type": "str", "required": True},
    "bridge": {"type": "str", "required": True},
    "subnets": {"type": "list", "elements": "str", "required": True},
    "published": {"type": "bool", "default": False},
    "host_ports": {"type": "list", "elements": "dict", "default": [], "options": HOST_PORT},
    "outside_ports": {"type": "list", "elements": "dict", "default": [], "options": HOST_PORT},
}
PROCESS = {
    "name": {"type": "str", "required": True},
    "uid": {"type": "int", "required": True},
    "local_ports": {"type": "list", "elements": "int", "default": []},
    "outside_ports": {"type": "list", "elements": "dict", "default": [], "options": HOST_PORT},
}
OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "networks": {"type": "list", "elements": "dict", "default": [], "options": NETWORK},
    "processes": {"type": "list", "elements": "dict", "default": [], "options": PROCESS},
}


def answer(options: Mapping[str, Any], host: Host, check: bool) -> Answer:
    """Make our table as requested, or remove it."""
    request = parse(options) if options["state"] == "present" else None
    outcome = converge(Firewall(request), request, host, check=check)
    return Answer(exit_arguments(outcome))
