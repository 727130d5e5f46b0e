# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which NUMA nodes are near, where a node has memory or devices but no CPUs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .topology import Node


def nearest_cpus(nodes: Sequence[Node], number: int, online: Collection[int]) -> set[int]:
    """Return the online CPUs of a node, or of those nearest to it that have any; empty for a node that is not there.

    Args:
        nodes: All, in the order of their ids.
        number: The node's id.
        online: CPUs that are.
    """
    home = next((node for node in nodes if node.id == number), None)
    if home is None:
        return set()
    of_node = {node.id: set(node.cpus) & set(online) for node in nodes}
    if of_node[number] or len(home.distance) != len(nodes):
        return of_node[number]
    away = {node.id: distance for node, distance in zip(nodes, home.distance) if of_node[node.id]}
    near = [one for one, distance in away.items() if distance == min(away.values())]
    return set().union(*(of_node[one] for one in near))
