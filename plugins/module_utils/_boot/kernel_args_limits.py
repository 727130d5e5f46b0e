# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What stands against a request of boot arguments: the boot loader, the kernel's limits, and what others set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .kernel_args_plan import FIRST_WINS, others_arguments, predicted
from .kernel_args_state import BootState

_MOST_CHARACTERS = 2047  # COMMAND_LINE_SIZE of x86 and arm64, less the final NUL


def limits(desired: Sequence[str], state: BootState) -> Iterator[str]:
    """Yield what this host cannot do."""
    if state.obstacle:
        yield state.obstacle
    size = len(" ".join(predicted(desired, state)))
    if size > _MOST_CHARACTERS:
        yield f"the next boot's arguments would have {size} characters, the kernel reads {_MOST_CHARACTERS}: give fewer"


def refusals(desired: Sequence[str], state: BootState) -> Iterator[str]:
    """Yield what others set so that ours would have no effect."""
    keys = {token.partition("=")[0] for token in desired}
    for token, where in others_arguments(state):
        if token.partition("=")[0] in FIRST_WINS and keys.intersection(FIRST_WINS):
            yield f"{where} sets {token}, and the kernel ignores what comes after it: remove it there"
