# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The last packets that were dropped, or would have been, for whoever asks the policy's socket."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from .._samples import feed
from .._samples.sample import Sample, facts
from .._xdp.policy_assignment import Assignment
from .._xdp.request import pin_directory

_log = logging.getLogger("tripod-host")

Options = Mapping[str, Any]


def recent(known: Mapping[str, Assignment], options: Options) -> list[dict[str, Any]]:
    """Return the newest samples that the kernel still has, the newest first; none is taken for this.

    Args:
        known: Which policy judges which NIC.
        options: Which NIC, reason and part (null for any), and how many at most.
    """
    samples = heapq.nlargest(options["limit"], _requested(known, options), key=lambda sample: sample.time)
    return [facts(sample) for sample in samples]


def _requested(known: Mapping[str, Assignment], options: Options) -> Iterator[Sample]:
    for name, one in known.items():
        if options["interface"] not in (None, name):
            continue
        parts = {slot: part for part, slot in one.slots.items()}
        try:
            found = feed.history(name, f"{pin_directory(one.pin_root, name)}/maps", parts)
        except (OSError, ValueError) as error:
            _log.debug("%s gives no samples: %s", name, error)
            continue
        for sample in found:
            reasons, ids = (sample.reason, sample.would_reason), (sample.part, sample.would_part)
            if options["reason"] in (None, *reasons) and options["part"] in (None, *ids):
                yield sample
