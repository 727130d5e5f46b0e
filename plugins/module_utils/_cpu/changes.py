# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""From a CPU plan to the settings that differ on a host, and to what requires a reboot. Functions of data only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._core import state_store
from .._core.converge import Change, Findings
from .._core.cpulist import format_cpulist, parse_cpulist
from .._core.state_store import StateFile
from .plan import Plan, resolve
from .request import Cpus, Request
from .state import KIND, State

_AFFINITY = re.compile(r"^CPUAffinity=(\S.*)$", re.MULTILINE)


def plan_changes(desired: Request | None, state: State, save: bool) -> list[Change]:
    """Return the settings that differ, then the state file.

    Args:
        desired: What is requested; None for no plan of ours.
        state: The host.
        save: Whether the state file is written.
    """
    if desired is None:
        return _plan_removal(state)
    plan = resolve(desired, state.topology, Findings())
    changes = [
        *_plan_drop_in(plan, state),
        *_plan_mask(("irq", "default_smp_affinity"), state.irq_default, plan.housekeeping, state.topology.online),
        *_plan_workqueues(plan, state),
        *_plan_governors(dict.fromkeys(sorted(state.governors), plan.governor), state),
    ]
    if save:
        changes += state_store.plan(state.state_file, StateFile(KIND, KIND, _body(desired, plan, state)))
    return changes


def with_originals(changes: Sequence[Change]) -> StateFile | None:
    """Return the state file as it must be before the first step: original values outlive a run that is cut."""
    for change in changes:
        if change.path[0] == "state file" and change.after is not None:
            held = change.before or {}
            body = {**held, "original": change.after["original"]}
            return StateFile(KIND, KIND, body) if body["original"] != held.get("original") else None
    return None


def reboot_reasons(plan: Plan, state: State) -> list[str]:
    """Return why a reboot is required, computed from the running system; empty where it was booted with the plan."""
    reasons = [f"boot argument {token} is requested, {found}" for token, found in _unbooted(plan, state)]
    if state.manager is not None and state.manager & state.topology.online != plan.housekeeping:
        # Neither a daemon-reexec nor a restart of services does: see update_cpu_affinity() in systemd's main.c.
        reasons.append(
            f"systemd runs on CPUs {format_cpulist(state.manager)}, and {format_cpulist(plan.housekeeping)} are "
            "requested: it sets its affinity, which every service takes over, at boot only"
        )
    return reasons


def disagreements(plan: Plan, state: State) -> Iterator[str]:
    """Yield where the kernel did not do what its boot arguments request; another reboot would not help."""
    for token in plan.boot_arguments:
        key = token.partition("=")[0]
        others = [other for other in state.cmdline if other.partition("=")[0] == key and other != token]
        if token in state.cmdline and others:
            yield f"the kernel was booted with {token} and also {' '.join(others)}; remove what is not of this plan"
    if _unbooted(plan, state):
        return
    for name, found in (("domain", state.isolated), ("nohz_full", state.nohz_full)):
        if name in plan.isolation and found != plan.isolated:
            yield (
                f"the kernel was booted for {name} on CPUs {format_cpulist(plan.isolated)}, and has it on "
                f"{format_cpulist(found) or 'none'}; its log (dmesg) says why"
            )


def drop_in_text(cpus: str) -> str:
    """Return what systemd is to read, without its last newline."""
    # Lists of several files add up, so the first line empties what came before.
    return "\n".join(("# Of the collection tripod.baremetal.", "[Manager]", "CPUAffinity=", f"CPUAffinity={cpus}"))


def _body(desired: Request, plan: Plan, state: State) -> dict[str, Any]:
    """Return the plan with its CPUs listed: a CPU that goes offline must not move the others' duties."""
    original: dict[str, Any] = {}
    if state.irq_default is not None:
        original["irq_default"] = format_cpulist(state.irq_default)
    if plan.governor:
        original["governors"] = {str(cpu): found.current for cpu, found in sorted(state.governors.items())}
    return {
        "housekeeping": format_cpulist(plan.housekeeping),
        "isolated": format_cpulist(plan.isolated),
        "isolation": list(plan.isolation),
        "split_cores": desired.split_cores,
        "governor": plan.governor,
        "assignments": [{"name": name, "cpus": format_cpulist(cpus)} for name, cpus in plan.assignments.items()],
        # What was saved first stays the original.
        "original": {**original, **state.original},
    }


def _plan_drop_in(plan: Plan, state: State) -> Iterator[Change]:
    desired = format_cpulist(plan.housekeeping)
    if state.manager is not None and state.drop_in != drop_in_text(desired):
        yield Change(("systemd", "CPUAffinity"), _affinity(state.drop_in), desired)


def _plan_mask(path: tuple[str, ...], found: Cpus | None, desired: Cpus, online: Cpus) -> Iterator[Change]:
    # Bits of CPUs that could be plugged in come and go with the boot arguments; only online CPUs count.
    if found is not None and found & online != desired & online:
        yield Change(path, format_cpulist(found), format_cpulist(desired))


def _plan_workqueues(plan: Plan, state: State) -> Iterator[Change]:
    # A write moves every unbound worker pool at once, and has been seen to freeze a cluster's heartbeats. It is left to
    # a reboot where one is required: the kernel starts with the right mask where it isolates, else the agent sets it
    # early.
    if not _unbooted(plan, state):
        yield from _plan_mask(("workqueue", "cpumask"), state.workqueues, plan.housekeeping, state.topology.online)


def _plan_governors(desired: Mapping[int, str | None], state: State) -> Iterator[Change]:
    for cpu, name in desired.items():
        found = state.governors.get(cpu)
        if name and found and found.current != name:
            yield Change(("governor", f"cpu{cpu}"), found.current, name)


def _plan_removal(state: State) -> list[Change]:
    changes = []
    if state.drop_in is not None:
        changes.append(Change(("systemd", "CPUAffinity"), _affinity(state.drop_in), None))
    original = state.original
    if "irq_default" in original:
        desired = frozenset(parse_cpulist(original["irq_default"]))
        changes += _plan_mask(("irq", "default_smp_affinity"), state.irq_default, desired, state.topology.online)
    governors = {int(cpu): name for cpu, name in original.get("governors", {}).items()}
    changes += _plan_governors(governors, state)
    if state.state_file:
        changes.append(Change(("state file", KIND), dict(state.state_file.body), None))
    return changes


def _unbooted(plan: Plan, state: State) -> list[tuple[str, str]]:
    """Return the boot arguments that the running kernel was not given, each with what it was given."""
    found = []
    for token in plan.boot_arguments:
        if token not in state.cmdline:
            key = token.partition("=")[0]
            running = [other for other in state.cmdline if other.partition("=")[0] == key]
            found.append((token, f"the kernel runs with {' '.join(running)}" if running else "the kernel runs without"))
    return found


def _affinity(drop_in: str | None) -> str | None:
    if drop_in is None:
        return None
    found = _AFFINITY.findall(drop_in)
    return found[-1] if found and drop_in == drop_in_text(found[-1]) else "edited by hand"
