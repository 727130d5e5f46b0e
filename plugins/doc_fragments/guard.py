# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options of the modules whose changes can cut the host off."""

    DOCUMENTATION = r"""
options:
  guard:
    description:
      - Whether the host reverts the change by itself unless M(tripod.baremetal.change_guard) confirms it over a new
        connection within O(guard_timeout).
      - V(auto) guards a change of an interface that carries the connection, also below a bond, a bridge or a VLAN.
      - Needs the host agent where a guard is armed, and is refused without one.
    type: str
    choices: [auto, always, never]
    default: auto
  guard_timeout:
    description: Seconds in which a guarded change has to be confirmed, 5 to 3600.
    type: float
    default: 60
"""
