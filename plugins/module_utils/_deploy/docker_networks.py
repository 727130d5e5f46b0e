# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Docker's networks as `community.docker.docker_network` returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def first_range(results: Sequence[Mapping[str, Any]], name: str, *required: str) -> Mapping[str, str]:
    """Return the first address range of a network; an empty one where the network does not exist yet.

    Args:
        results: Of a loop over the module.
        name: Of the network.
        required: Keys of Docker's ``IPAM.Config`` that the range has to have.
    """
    for result in results:
        network = result.get("network") or {}
        if network.get("Name") == name:
            for config in (network.get("IPAM") or {}).get("Config") or []:
                if all(config.get(key) for key in required):
                    return config
    return {}
