# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What stands against a request of kernel variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .sysctl_state import FILE, SysctlState

_OF_OTHER_MODULES = {"vm.nr_hugepages": "hugepages", "vm.nr_hugepages_mempolicy": "hugepages"}


def limits(desired: Mapping[str, str], state: SysctlState) -> Iterator[str]:
    """Yield what this kernel cannot do."""
    for name in desired:
        if name in _OF_OTHER_MODULES:
            yield f"{name} is for the module {_OF_OTHER_MODULES[name]}, which knows of nodes: request it there"
        elif name in state.slash_forms:
            yield (
                f"{name}: this kernel has no such variable that can be read; where a part of a name has a dot, slashes "
                f"part it: write {state.slash_forms[name]}"
            )
        elif state.live[name] is None:
            yield f"{name}: this kernel has no such variable that can be read; check the name, or load its module first"
        elif name in state.fixed:
            yield f"{name} is {state.live[name]} and can only be read, {desired[name]} is requested: leave it out"


def refusals(desired: Mapping[str, str], state: SysctlState) -> Iterator[str]:
    """Yield what would harm files of others."""
    if state.foreign and desired:
        yield f"{FILE} is not ours: move it to another name"
