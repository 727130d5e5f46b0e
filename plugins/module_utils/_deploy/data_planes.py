# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Hosts whose data planes one API serves: where each is asked, by which name it is known. Functions of data only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

SERVICE = "go-backend"
OPTION = "flask_backend_data_planes"
# Of roles/common, for hosts whose inventory says nothing of them.
PORT, CONFIG_DIR = 50051, "/etc/tripod"
# Where a container has its secrets.
MOUNTED = "/run/secrets"
SECRET = "policy_secret"


def certificate_name(host: str) -> str:
    """Return what the certificate of a host's data plane says which host it is by."""
    return f"{SERVICE}.{re.sub(r'[^a-z0-9._-]', '-', host.lower())}"


def reached_at(one: Mapping[str, Any], host: Mapping[str, Any]) -> str:
    """Return the address by which a data plane is reached, as far as the inventory has it.

    Args:
        one: An element of OPTION.
        host: That host's variables.
    """
    return str(one.get("address") or host.get("ansible_host") or one["name"])


def port_of(host: Mapping[str, Any]) -> int:
    """Return the port of a host's data plane."""
    return int(host.get("tripod_go_grpc_port") or PORT)


def of_socket(one: Mapping[str, Any]) -> str:
    """Return an address and a port as programs take them.

    Args:
        one: With ``address`` and ``port``.
    """
    address = str(one["address"])
    return f"[{address}]:{one['port']}" if ":" in address else f"{address}:{one['port']}"


def data_planes(requested: Sequence[Mapping[str, Any]], hosts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return where each data plane is asked, what it is known by, and where its secret is.

    Args:
        requested: OPTION.
        hosts: Variables of the hosts of the inventory, by name.
    """
    found = []
    for one in requested:
        name, host = one["name"], hosts[one["name"]]
        address, port = reached_at(one, host), port_of(host)
        found.append(
            {
                "name": name,
                "address": address,
                "port": port,
                "secret": f"{SECRET}_{name}",
                "secret_source": f"{host.get('tripod_config_dir') or CONFIG_DIR}/secrets/{SERVICE}/{SECRET}",
                "asked": {
                    "name": name,
                    "target": of_socket({"address": address, "port": port}),
                    "tls_name": certificate_name(name),
                    "secret_file": f"{MOUNTED}/{SECRET}_{name}",
                },
            }
        )
    return found
