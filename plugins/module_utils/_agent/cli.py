# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""``tripod-host``: what the collection leaves on a host to look after it between two runs of Ansible."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from .._core.converge import CoreError
from .._core.system import UMASK
from .._nic import recording
from . import guard_command, policy_command, reapply, supervisor, watch
from .command import Command

PROGRAM = "tripod-host"


COMMANDS: Mapping[str, Command] = {
    "apply": Command("reapply what is requested of the host", reapply.add_arguments, reapply.run_apply),
    "status": Command("say what is as requested and what differs", reapply.add_status_arguments, reapply.run_status),
    "diff": Command("show what apply would change", reapply.add_status_arguments, reapply.run_diff),
    "inspect": Command("show what a NIC is like, as JSON", recording.add_arguments, recording.run),
    "guard": Command("arm, confirm, revert or list guards", guard_command.add_arguments, guard_command.run),
    "policy": Command("show policies, try and change them", policy_command.add_arguments, policy_command.run),
    "watch": Command("reapply to links that come up; revert what nobody confirms", watch.add_arguments, watch.run),
    "keep": Command(
        "start containers that died without anybody requesting it", supervisor.add_arguments, supervisor.run
    ),
}


def parser(version: str) -> argparse.ArgumentParser:
    """Return the command line of the agent.

    Args:
        version: Digest of the sources that it was built from.
    """
    line = f"{PROGRAM} {version}"
    top = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    top.add_argument("--version", action="version", version=line)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, one in COMMANDS.items():
        command = commands.add_parser(name, help=one.summary, description=one.run.__doc__)
        one.add_arguments(command)
        command.set_defaults(run=one.run, version=version)
    commands.add_parser("version", help="say which sources this is built from").set_defaults(
        run=lambda _options: _say(line)
    )
    return top


def _say(line: str) -> int:
    sys.stdout.write(f"{line}\n")
    return 0


def main(arguments: Sequence[str] | None = None, version: str = "unpacked") -> int:
    """Run one command of the agent and return the exit status.

    Args:
        arguments: The command line, without the program; by default this process's.
        version: Digest of the sources that it was built from.
    """
    options = parser(version).parse_args(arguments)
    os.umask(UMASK)
    # The journal has its own clock.
    plain = "%(levelname)s: %(message)s" if "JOURNAL_STREAM" in os.environ else "%(asctime)s %(levelname)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=plain, stream=sys.stderr)
    try:
        return options.run(options) or 0
    except CoreError as error:
        logging.getLogger(PROGRAM).error("%s", error)
        return 1
