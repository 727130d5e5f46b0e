# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What an operator should know of one NIC though nothing stands in the way."""

from __future__ import annotations

from collections.abc import Iterator

from . import coalesce, napi, resolve
from .request import Request
from .state import NicState


def hints(request: Request, nic: NicState) -> Iterator[str]:
    """Yield what is left where it is, and what only the attempt will show."""
    if request.irq is not None:
        yield from _interrupts_left(nic)
    untold = coalesce.unknown(request.coalesce, nic.settings)
    if untold:
        yield f"coalesce {', '.join(untold)}: which values its driver takes shows only when they are set"
    yield from napi.hints(request.napi, nic.napi)


def _interrupts_left(nic: NicState) -> Iterator[str]:
    unknown = resolve.unknown_irqs(nic)
    if unknown:
        yield (
            f"interrupts {', '.join(unknown)} stay where they are: what they serve is not known, as the kernel does "
            f"not tell and {nic.settings.driver or 'its driver'} is not known to name any so"
        )
    if nic.shares_irqs:
        yield (
            f"its interrupts are those of {nic.pci}, which other devices share; they stay where they are: place those "
            "by hand, or use another NIC"
        )
