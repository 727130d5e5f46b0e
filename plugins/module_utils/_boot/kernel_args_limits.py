# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What stands against a request of boot arguments: the boot loader, the kernel's limits, and what others set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .._core.cpulist import format_cpulist, parse_flagged_cpulist
from .kernel_args_plan import FIRST_LIST_WINS, FIRST_WINS, others_arguments, predicted
from .kernel_args_repeated import contradict
from .kernel_args_request import plain
from .kernel_args_state import BootState

_MOST_CHARACTERS = 2047  # COMMAND_LINE_SIZE of x86 and arm64, less the final NUL


def limits(desired: Sequence[str], state: BootState) -> Iterator[str]:
    """Yield what this host cannot do."""
    if state.obstacle:
        yield state.obstacle
    # GRUB puts the kernel's own path first, and quotes around what has blanks.
    image = [token for token in state.running if token.startswith("BOOT_IMAGE=")]
    tokens = [f'"{token}"' if " " in token else token for token in (*image, *predicted(desired, state))]
    size = len(" ".join(tokens))
    if size > _MOST_CHARACTERS:
        yield f"the next boot's arguments would have {size} characters, the kernel reads {_MOST_CHARACTERS}: give fewer"


def refusals(desired: Sequence[str], state: BootState, beside_plan: bool = False) -> Iterator[str]:
    """Yield what others set so that ours would have no effect, and what ours would take from others.

    Args:
        desired: The arguments that are ours.
        state: The host.
        beside_plan: Whether the CPU plan that is saved is the one that the host is to have.
    """
    ours = plain(desired)
    keys = {token.partition("=")[0] for token in ours}
    last = {one.token for one in state.foreign if one.last}
    for token, where in others_arguments(state):
        key = token.partition("=")[0]
        if token in last:
            continue  # The kernel ignores theirs.
        if key in FIRST_WINS and keys.intersection(FIRST_WINS):
            yield f"{where} sets {token}, and the kernel ignores what comes after it: remove it there"
        elif key in FIRST_LIST_WINS and any(contradict(token, other) for other in ours if other.startswith(f"{key}=")):
            yield f"{where} sets {token}, and the kernel ignores another {key} that comes after it: remove it there"
    if beside_plan and state.planned:
        for token in ours:
            key, _equals, value = token.partition("=")
            if key in FIRST_LIST_WINS and parse_flagged_cpulist(value) != state.planned:
                yield (
                    f"{token}: the CPU plan of this host (cpu_isolation) isolates {format_cpulist(state.planned)}: "
                    "leave it out, or change that plan first"
                )
