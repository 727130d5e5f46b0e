# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a host's state files declare to other components: for runs that leave out the component itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core import state_store
from .._core.converge import CoreError, Impossible, Invalid
from .._core.system import Host
from .._cpu import module as cpu_module
from .._cpu.state import KIND as CPU_ISOLATION
from .._hugepages import plan as hugepages_plan
from .._hugepages.request import Desired
from .._hugepages.resource import Hugepages
from .._hugepages.state import KIND as HUGEPAGES


def declared(host: Host) -> dict[str, dict[str, Any]]:
    """Return the boot arguments, the reasons to reboot and the CPUs of containers, by component.

    Raises:
        Invalid: A state file is there and not understood: what it declares must not pass for nothing.
        Impossible: The host cannot follow what it declares any more.
    """
    return {CPU_ISOLATION: _cpu_isolation(host), HUGEPAGES: _hugepages(host)}


def _cpu_isolation(host: Host) -> dict[str, Any]:
    body = _body(host, CPU_ISOLATION)
    if body is None:
        return {"declared": False, "boot_arguments": [], "reboot_reasons": [], "containers": {}}
    options = {"state": "present", **{name: body.get(name) for name in cpu_module.OPTIONS if name != "state"}}
    try:
        facts = cpu_module.answer(options, host, True).facts
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _not_understood(CPU_ISOLATION, error) from error
    except CoreError as error:
        raise Impossible(f"the CPU plan in {state_store.path(CPU_ISOLATION)}: {error}") from error
    return {
        "declared": True,
        **{name: facts[name] for name in ("boot_arguments", "reboot_reasons", "containers")},
    }


def _hugepages(host: Host) -> dict[str, Any]:
    body = _body(host, HUGEPAGES)
    if body is None:
        return {"declared": False, "boot_arguments": [], "reboot_reasons": []}
    try:
        desired = Desired.from_body(body)
        # Whether the pages fit just now is for the component itself: what the next boot reserves does not depend on it.
        facts = hugepages_plan.facts(desired, Hugepages(desired).read(host))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _not_understood(HUGEPAGES, error) from error
    except CoreError as error:
        raise Impossible(f"the huge pages in {state_store.path(HUGEPAGES)}: {error}") from error
    return {"declared": True, **{name: facts[name] for name in ("boot_arguments", "reboot_reasons")}}


def _body(host: Host, name: str) -> Mapping[str, Any] | None:
    found = state_store.load(host, name)
    if found is None and host.exists(state_store.path(name)):
        raise Invalid(
            f"{state_store.path(name)} is there and cannot be understood: run the role {name} again, which writes it"
        )
    return found.body if found else None


def _not_understood(name: str, error: Exception) -> Invalid:
    return Invalid(
        f"{state_store.path(name)} is not understood ({error!r}): run the role {name} again, which writes it"
    )
