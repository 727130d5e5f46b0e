# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Programs that are run to their end: the one door to them, for modules and for the agent, which is none."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping, Sequence


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    text: str = "",
    timeout: float | None = None,
    pass_fds: Collection[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Return what a program printed and its status, whatever it is.

    Args:
        command: Program and arguments.
        environment: All of its variables.
        text: What it reads.
        timeout: Seconds that it may take; it is killed then.
        pass_fds: Descriptors that it gets, such as those of a lock that it is to hold.

    Raises:
        OSError: It cannot be started.
        TimeoutExpired: Its time was over.
    """
    # Ansible's run_command is a module's, and this is the agent's too.
    return subprocess.run(  # pylint: disable=ansible-bad-function
        list(command),
        env=dict(environment),
        input=text,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=timeout,
        pass_fds=tuple(pass_fds),
    )
