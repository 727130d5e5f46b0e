# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Counter slots: each part keeps its own over every replacement of the policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count

# Slot 0 is none.
FIRST_SLOT = 1


def slot_name(kind: str, name: str) -> str:
    """Return what a part is called where slots are kept; ``kind`` is ``list``, ``rule``, ``limit`` or ``service``."""
    return f"{kind}:{name}"


def assign(names: Iterable[str], former: Mapping[str, int]) -> dict[str, int]:
    """Return the slot of each part.

    What is freed is not given anew here: until it is replaced, the former policy still counts there.

    Args:
        names: Of all parts.
        former: Slots of the policy that is replaced.
    """
    taken = set(former.values())
    free = (slot for slot in count(FIRST_SLOT) if slot not in taken)
    return {name: former[name] if name in former else next(free) for name in names}
