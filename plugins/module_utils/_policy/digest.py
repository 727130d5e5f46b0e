# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What makes two policies the same, told without compiling them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from .layout import POLICY_ABI
from .model import Policy, Text
from .prefix_set import PrefixSet

# Of the compiler: goes up where the same policy makes other tables.
REVISION = 2


def policy_digest(policy: Policy, *, hz: int, seed: bytes) -> bytes:
    """Return what tells a compiled policy from every other: SHA-256, 32 bytes.

    Args:
        policy: Without what has ended; see ``Policy.at``.
        hz: Ticks of the host's clock in a second.
        seed: The host's secret.
    """
    subject = [POLICY_ABI, REVISION, hz, hashlib.sha256(seed).hexdigest(), policy]
    return hashlib.sha256(json.dumps(subject, default=_plain, sort_keys=True).encode()).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, PrefixSet):
        return value.sha256() if value else ""
    if isinstance(value, Text):
        return value.sha256
    return {one.name: getattr(value, one.name) for one in dataclasses.fields(value) if one.compare}
