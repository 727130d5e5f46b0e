# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A NIC's state as JSON: for an operator to read, and for the planner to be tested on."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from .._core.converge import Impossible
from .._core.system import Host
from .._linux.netlink import links
from .state import read_nic


def record(name: str, host: Host) -> dict[str, Any]:
    """Return the state of a NIC of this network namespace, with the kernel that reported it.

    Raises:
        Impossible: There is no such interface, or it cannot be read.
    """
    table = links()
    found = next((link for link in table if link.name == name), None)
    if found is None:
        raise Impossible(f"{name}: there is no such interface; there are {', '.join(link.name for link in table)}")
    return {"source": f"Linux {os.uname().release}", "nic": read_nic(host, found, table).to_json()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``inspect``."""
    parser.add_argument("nic", help="an interface's name")


def run(options: argparse.Namespace) -> int:
    """Print all that the kernel and the driver report of a NIC, as JSON."""
    sys.stdout.write(json.dumps(record(options.nic, Host()), indent=2) + "\n")
    return 0
