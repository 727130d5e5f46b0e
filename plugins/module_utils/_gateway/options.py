# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""How Ansible takes services, mappings and hosts, in modules' options and in the roles' variables that become them.

No choices here: Ansible would stop at the first bad value, and the core reports every one.
"""

from __future__ import annotations

from typing import Any

SERVICE: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "ip_fqdn": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "protocol": {"type": "str", "default": "http"},
    "collection": {"type": "str"},
    "auth_type": {"type": "str", "default": "none"},
    "tls_enabled": {"type": "bool", "default": False},
    "tls_verify": {"type": "bool"},
    "health_check_enabled": {"type": "bool", "default": True},
    "health_check_path": {"type": "str", "default": "/healthz"},
    "health_check_interval": {"type": "int", "default": 30},
}
# Of a host's own, which need no address.
HOST_SERVICE = {**SERVICE, "ip_fqdn": {"type": "str"}, "published": {"type": "str"}}
HOST: dict[str, dict[str, Any]] = {
    "host": {"type": "str", "required": True},
    "address": {"type": "str", "default": ""},
    "fallback": {"type": "str", "default": ""},
    "services": {"type": "list", "elements": "dict", "required": True, "options": HOST_SERVICE},
}
MAPPING: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str", "default": ""},
    "source_services": {"type": "list", "elements": "str", "required": True},
    "dest_services": {"type": "list", "elements": "str", "required": True},
    "listen_port": {"type": "int", "required": True},
    "protocol": {"type": "str", "default": "https"},
    "path_prefix": {"type": "str", "default": "/"},
}
