# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Guards on the command line: arm the rollback timer before risky work, confirm it over a new connection, or revert."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from .._core.system import Host
from .._guard import outcome, record
from .._guard.arm import TIMEOUT, arm_host
from .reapply import RESTORERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    arm = actions.add_parser("arm", help="restore links and state files unless this is confirmed in time")
    arm.add_argument("interfaces", nargs="*", metavar="INTERFACE", help="by default those of your connection")
    arm.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds to confirm in (%(default)g)")
    arm.add_argument("--subject", default="operator", help="its name; the same name extends it (%(default)s)")
    for name, what in (("confirm", "leave the changes in place"), ("revert", "restore now what was before")):
        actions.add_parser(name, help=what).add_argument("id", nargs="?", help="by default all that are armed")
    actions.add_parser("list", help="show the guards of this host as JSON")


def run(options: argparse.Namespace) -> int:
    """Carry out an action; 1 where a revert could not restore something."""
    host = Host()
    if options.action == "arm":
        guard = arm_host(host, options.interfaces, options.timeout, options.subject)
        sys.stdout.write(
            f"guard {guard.id} is armed: confirm it from a new connection within {guard.remaining:.0f} s "
            f"with 'tripod-host guard confirm {guard.id}'\n"
        )
        return 0
    if options.action == "confirm":
        return _say([f"guard {one.id} is confirmed" for one in outcome.confirm(host, options.id)])
    if options.action == "revert":
        reverted = outcome.revert(host, RESTORERS, options.id)
        _say([record.summary(one) for one in reverted])
        return int(any(one.errors for one in reverted))
    json.dump([record.facts(one) for one in record.records(host)], sys.stdout, indent=2)
    return _say([""])


def _say(lines: Sequence[str]) -> int:
    sys.stdout.writelines(f"{line}\n" for line in lines or ["there is no guard"])
    return 0
