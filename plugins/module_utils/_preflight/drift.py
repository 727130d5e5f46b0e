# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether a host drifted from its whole plan: what each module would answer in check mode, in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._agent import module as agent_module
from .._agent.reapply import RESTORERS
from .._boot import driver_module, kernel_args_module, sysctl_module
from .._core.converge import CoreError, Invalid
from .._core.module import Answer, Responder
from .._core.system import Host
from .._cpu import module as cpu_module
from .._guard import outcome, record
from .._hugepages import module as hugepages_module
from .._nic import module as nic_module
from . import module as preflight_module


@dataclass(frozen=True)
class Component:
    """A component of the plan.

    Attributes:
        options: The argument specification of its module.
        answer: What the module answers.
        rules: Conditions on several options, as ``ArgumentSpecValidator`` takes them.
    """

    options: Mapping[str, Any]
    answer: Responder
    rules: Mapping[str, Any] = field(default_factory=dict)


# In the order in which playbooks/provision.yml brings them to the host.
COMPONENTS: Mapping[str, Component] = {
    "preflight": Component(preflight_module.OPTIONS, preflight_module.answer),
    "host_agent": Component(agent_module.OPTIONS, agent_module.answer),
    "cpu_isolation": Component(cpu_module.OPTIONS, cpu_module.answer),
    "hugepages": Component(hugepages_module.OPTIONS, hugepages_module.answer),
    "driver": Component(driver_module.OPTIONS, driver_module.answer),
    "sysctl": Component(sysctl_module.OPTIONS, sysctl_module.answer),
    "kernel_args": Component(kernel_args_module.OPTIONS, kernel_args_module.answer),
    "nic": Component(nic_module.OPTIONS, nic_module.answer, {"required_if": nic_module.REQUIRED_IF}),
}


@dataclass(frozen=True)
class Drift:
    """How one component differs from what was requested of it.

    Attributes:
        changes: What its module would change.
        reasons: Why it is not as planned besides: a refusal, a reboot that is needed.
        facts: What the module would exit with; empty where it would fail.
        warnings: What it would warn of.
    """

    changes: Sequence[str] = ()
    reasons: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    @property
    def drifted(self) -> bool:
        """Whether the host is not as requested of this component."""
        return bool(self.changes or self.reasons)


def check_drift(requested: Mapping[str, Mapping[str, Any]], host: Host) -> dict[str, Drift]:
    """Check every component that is requested, touching nothing.

    Args:
        requested: Options by name of a component, as its module takes them. What a boot is to bring for
            ``cpu_isolation`` and ``hugepages`` is added to the arguments of ``kernel_args``.
        host: The machine.

    Returns:
        What differs, by component, and under ``change_guard`` what an earlier run left there. A module that would fail
        is no error here: its words are a reason.
    """
    found = {"change_guard": _guards(host)}
    boot_arguments: list[str] = []
    for name, component in COMPONENTS.items():
        if name not in requested:
            continue
        options = dict(requested[name])
        if name == "kernel_args":
            options["arguments"] = [*options.get("arguments", ()), *boot_arguments]
        found[name] = _drift(name, component, options, host)
        boot_arguments += found[name].facts.get("boot_arguments", ())
    return found


def _guards(host: Host) -> Drift:
    try:
        return Drift(changes=[record.summary(one) for one in outcome.report(host, RESTORERS, check=True)])
    except CoreError as error:
        return Drift(reasons=[str(error)])


def _drift(name: str, component: Component, options: Mapping[str, Any], host: Host) -> Drift:
    try:
        answer = component.answer(_validated(name, component, options), host, True)
    except CoreError as error:
        return Drift(reasons=[str(error)])
    return Drift(_changes(answer), _reasons(answer), answer.facts, answer.warnings)


def _validated(name: str, component: Component, options: Mapping[str, Any]) -> Mapping[str, Any]:
    result = ArgumentSpecValidator(dict(component.options), **component.rules).validate(dict(options))
    if result.error_messages:
        raise Invalid(f"{name}: {'; '.join(result.error_messages)}")
    return result.validated_parameters


def _changes(answer: Answer) -> Sequence[str]:
    # Not every change has a line of its own.
    return answer.facts.get("changes", ()) or (["changes something"] if answer.facts.get("changed") else [])


def _reasons(answer: Answer) -> Sequence[str]:
    reboot = answer.facts.get("reboot_reasons", ())
    return [*filter(None, [answer.failure]), *reboot]
