# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The CPU plan on a host: service manager, interrupts, workqueues, governor, and what a boot is still to bring."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, Findings, Impossible, Outcome, converge
from .._core.cpulist import format_cpulist, format_mask, parse_cpulist, parse_mask
from .._core.state_store import StateFile
from .._core.system import Host
from .._linux.systemd import in_charge
from .._linux.topology import CPUS, NETWORK, read_cpus, read_kernel, read_nodes
from .plan import Cpus, Plan, Request, Topology, parse_request, resolve

KIND = "cpu_isolation"
DROP_IN = "/etc/systemd/system.conf.d/tripod.conf"
IRQ_DEFAULT = "/proc/irq/default_smp_affinity"
WORKQUEUES = "/sys/devices/virtual/workqueue/cpumask"
_PCI_DEVICES = "/sys/bus/pci/devices"
_KERNEL_OPTIONS = {
    "domain": "CONFIG_CPU_ISOLATION",
    "managed_irq": "CONFIG_CPU_ISOLATION",
    "nohz_full": "CONFIG_NO_HZ_FULL",
    "rcu_nocbs": "CONFIG_RCU_NOCB_CPU",
}
_AFFINITY = re.compile(r"^CPUAffinity=(\S.*)$", re.MULTILINE)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Governor:
    """How a CPU's frequency is chosen, and how it could be."""

    current: str
    available: Sequence[str]


@dataclass(frozen=True)
class State:
    """What is there.

    Attributes:
        topology: The CPUs.
        cmdline: Boot arguments of the running kernel.
        lacking: Of ISOLATION, with the kernel option that the running kernel was built without.
        isolated, nohz_full: CPUs that the kernel says it took off its scheduler, and off its timer tick.
        manager: CPUs that systemd may run on; None where another program is process 1.
        drop_in: Content of DROP_IN, if there.
        irq_default: CPUs of interrupts that nobody placed; None where the kernel has no such setting.
        workqueues: CPUs of kernel work bound to none; None likewise.
        governors: By CPU; empty without cpufreq.
        state_file: What was asked before.
    """

    topology: Topology
    cmdline: Sequence[str] = ()
    lacking: Mapping[str, str] = field(default_factory=dict)
    isolated: Cpus = frozenset()
    nohz_full: Cpus = frozenset()
    manager: Cpus | None = None
    drop_in: str | None = None
    irq_default: Cpus | None = None
    workqueues: Cpus | None = None
    governors: Mapping[int, Governor] = field(default_factory=dict)
    state_file: StateFile | None = None


class CpuIsolation:
    """Resource: the host follows a CPU plan, or, where the request is None, none of ours.

    Args:
        request: What is asked for.
        keep: Whether the request is kept as a document; not while that document is being replayed.
    """

    def __init__(self, request: Request | None, keep: bool = True) -> None:
        self.request = request
        self.keep = keep

    def read(self, host: Host) -> State:
        """Return the CPUs and everything that says what runs on them."""
        nics = [one.nic for one in self.request.assignments if one.nic] if self.request else []
        cpus, kernel = read_cpus(host), read_kernel(host)
        topology = Topology(read_nodes(host), _cores(cpus.online, cpus.siblings), dict(_nic_nodes(host, nics)))
        return State(
            topology=topology,
            cmdline=kernel.cmdline,
            lacking=_lacking(host, kernel.release),
            isolated=frozenset(cpus.isolated),
            nohz_full=frozenset(cpus.nohz_full),
            manager=_manager(host),
            drop_in=host.read(DROP_IN),
            irq_default=_mask(host, IRQ_DEFAULT),
            workqueues=_mask(host, WORKQUEUES),
            governors=dict(_governors(host, topology.online)),
            state_file=state_store.load(host, KIND),
        )

    def validate(self, desired: Request | None, state: State) -> None:
        """Raise Impossible with every reason why the host cannot follow the plan."""
        if desired is None:
            return
        wrong = Findings()
        resolve(desired, state.topology, wrong)
        for name in desired.isolation:
            if name in state.lacking:
                wrong.add(
                    f"isolation {name}: this kernel was built without {state.lacking[name]}; leave it out, or boot "
                    "another kernel"
                )
        for reason in _check_governor(desired.governor, state.governors):
            wrong.add(reason)
        wrong.raise_if_any(Impossible, "this host cannot follow the CPU plan")

    def plan(self, desired: Request | None, state: State) -> list[Change]:
        """Return the settings that differ, then the document."""
        if desired is None:
            return _plan_removal(state)
        plan = resolve(desired, state.topology, Findings())
        changes = [
            *_plan_drop_in(plan, state),
            *_plan_mask(("irq", "default_smp_affinity"), state.irq_default, plan.housekeeping, state.topology.online),
            *_plan_workqueues(plan, state),
            *_plan_governors(dict.fromkeys(sorted(state.governors), plan.governor), state),
        ]
        if self.keep:
            changes += state_store.plan(state.state_file, StateFile(KIND, KIND, _body(desired, plan, state)))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write each setting."""
        for change in changes:
            try:
                _apply(host, change)
            except OSError as error:
                raise ApplyFailed(f"{' '.join(change.path)} -> {change.after}: {error.strerror}") from error


def reboot_reasons(plan: Plan, state: State) -> list[str]:
    """Return what only a boot brings, computed from the running system; empty where it was booted with the plan."""
    reasons = [f"boot argument {token} is wanted, {found}" for token, found in _unbooted(plan, state)]
    if state.manager is not None and state.manager & state.topology.online != plan.housekeeping:
        # Neither a daemon-reexec nor a restart of services does: see update_cpu_affinity() in systemd's main.c.
        reasons.append(
            f"systemd runs on CPUs {format_cpulist(state.manager)}, and {format_cpulist(plan.housekeeping)} are "
            "wanted: it sets its affinity, which every service takes over, at boot only"
        )
    return reasons


def disagreements(plan: Plan, state: State) -> Iterator[str]:
    """Say where the kernel did not do what its boot arguments ask; another boot would not help."""
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


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the host to what a document asks; CPUs that are not online now are left out.

    Args:
        body: The document's.
        host: The machine.
        check: Plan only.
        only: Interfaces concerned; the CPU plan concerns none, so there is nothing to do but for None.
    """
    if only is not None:
        return Outcome((), None, checked=check)
    online = frozenset(read_cpus(host).online)
    # Containers keep the CPUs they were started with, so the assignments need no replay.
    request = replace(parse_request({**body, "assignments": ()}), split_cores=True)
    housekeeping, isolated = request.housekeeping or frozenset(), request.isolated or frozenset()
    absent = (housekeeping | isolated) - online
    if absent:
        _logger.warning("CPUs %s of the CPU plan are not online and are left out", format_cpulist(absent))
    request = replace(request, housekeeping=(housekeeping | (online - isolated)) & online, isolated=isolated & online)
    return converge(CpuIsolation(request, keep=False), request, host, check=check)


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
        # What was found first stays the original.
        "original": {**original, **_original(state)},
    }


def _original(state: State) -> Mapping[str, Any]:
    return state.state_file.body.get("original", {}) if state.state_file else {}


def _plan_drop_in(plan: Plan, state: State) -> Iterator[Change]:
    desired = format_cpulist(plan.housekeeping)
    if state.manager is not None and state.drop_in != _drop_in(desired):
        yield Change(("systemd", "CPUAffinity"), _affinity(state.drop_in), desired)


def _plan_mask(path: tuple[str, ...], found: Cpus | None, desired: Cpus, online: Cpus) -> Iterator[Change]:
    # Bits of CPUs that could be plugged in come and go with the boot arguments; only online CPUs count.
    if found is not None and found & online != desired & online:
        yield Change(path, format_cpulist(found), format_cpulist(desired))


def _plan_workqueues(plan: Plan, state: State) -> Iterator[Change]:
    # A write moves every unbound worker pool at once, and has been seen to freeze a cluster's heartbeats. While a boot
    # is due it is left to that: the kernel starts with the right mask where it isolates, or the replay sets it early.
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
    original = _original(state)
    if "irq_default" in original:
        desired = frozenset(parse_cpulist(original["irq_default"]))
        changes += _plan_mask(("irq", "default_smp_affinity"), state.irq_default, desired, state.topology.online)
    governors = {int(cpu): name for cpu, name in original.get("governors", {}).items()}
    changes += _plan_governors(governors, state)
    if state.state_file:
        changes.append(Change(("state file", KIND), dict(state.state_file.body), None))
    return changes


def _apply(host: Host, change: Change) -> None:
    what, name = change.path
    if what == "systemd":
        if change.after is None:
            host.remove(DROP_IN)
        else:
            host.write_atomically(DROP_IN, _drop_in(change.after) + "\n")
    elif what == "irq":
        host.write_attribute(IRQ_DEFAULT, format_mask(parse_cpulist(change.after)))
    elif what == "workqueue":
        host.write_attribute(WORKQUEUES, format_mask(parse_cpulist(change.after)))
    elif what == "governor":
        host.write_attribute(f"{CPUS}/{name}/cpufreq/scaling_governor", change.after)
    elif change.after is None:
        state_store.discard(host, KIND)
    else:
        state_store.store(host, StateFile(KIND, KIND, change.after))


def _unbooted(plan: Plan, state: State) -> list[tuple[str, str]]:
    """Return the boot arguments that the running kernel was not given, each with what it was given."""
    found = []
    for token in plan.boot_arguments:
        if token not in state.cmdline:
            key = token.partition("=")[0]
            running = [other for other in state.cmdline if other.partition("=")[0] == key]
            found.append((token, f"the kernel runs with {' '.join(running)}" if running else "the kernel runs without"))
    return found


def _check_governor(desired: str | None, governors: Mapping[int, Governor]) -> Iterator[str]:
    if desired is None:
        return
    if not governors:
        yield (
            f"governor {desired}: no CPU has cpufreq (a virtual machine, or frequencies left to the firmware); "
            "leave governor out"
        )
    for names in dict.fromkeys(tuple(found.available) for found in governors.values()):
        if desired not in names:
            cpus = format_cpulist(cpu for cpu, found in governors.items() if tuple(found.available) == names)
            yield f"governor {desired}: CPUs {cpus} have {', '.join(names)}; choose one of these"


def _drop_in(cpus: str) -> str:
    # Lists of several files add up, so the first line empties what came before.
    return "\n".join(("# Of the collection tripod.baremetal.", "[Manager]", "CPUAffinity=", f"CPUAffinity={cpus}"))


def _affinity(drop_in: str | None) -> str | None:
    if drop_in is None:
        return None
    found = _AFFINITY.findall(drop_in)
    return found[-1] if found and drop_in == _drop_in(found[-1]) else "edited by hand"


def _manager(host: Host) -> Cpus | None:
    if not in_charge(host):
        return None
    found = re.search(r"^Cpus_allowed_list:\s*(\S+)", host.read("/proc/1/status") or "", re.MULTILINE)
    return frozenset(parse_cpulist(found[1])) if found else None


def _mask(host: Host, path: str) -> Cpus | None:
    text = host.read(path)
    return frozenset(parse_mask(text)) if text else None


def _governors(host: Host, online: Cpus) -> Iterator[tuple[int, Governor]]:
    for cpu in sorted(online):
        folder = f"{CPUS}/cpu{cpu}/cpufreq"
        current = host.read(f"{folder}/scaling_governor")
        if current:
            yield cpu, Governor(current, (host.read(f"{folder}/scaling_available_governors") or "").split())


def _lacking(host: Host, release: str) -> dict[str, str]:
    """Return the kinds of isolation that the running kernel certainly cannot do."""
    built = host.read(f"/boot/config-{release}")
    if built is not None:
        return {name: option for name, option in _KERNEL_OPTIONS.items() if f"{option}=y" not in built.splitlines()}
    # Without its configuration the kernel tells of one kind only, by the file it would have.
    return {} if host.exists(f"{CPUS}/nohz_full") else {"nohz_full": _KERNEL_OPTIONS["nohz_full"]}


def _cores(online: Sequence[int], siblings: Sequence[Sequence[int]]) -> list[Cpus]:
    known = [frozenset(group) for group in siblings]
    alone = frozenset(online).difference(*known)
    return sorted([*known, *(frozenset({cpu}) for cpu in alone)], key=min)


def _nic_nodes(host: Host, names: Sequence[str]) -> Iterator[tuple[str, int | None]]:
    addresses = {host.read(f"{NETWORK}/{nic}/address"): nic for nic in host.list(NETWORK)}
    for name in names:
        nic = addresses.get(name.lower(), name)
        place = f"{_PCI_DEVICES}/{name}" if host.exists(f"{_PCI_DEVICES}/{name}") else f"{NETWORK}/{nic}"
        if host.exists(place):
            yield name, _node_of(host, host.path(place).resolve())


def _node_of(host: Host, device: Path) -> int | None:
    # A virtio NIC is a child of its PCI function, which alone knows the node.
    root = host.root.resolve()
    for part in (device, *device.parents):
        if part != root and (part / "numa_node").is_file():
            node = host.read_int("/" + str((part / "numa_node").relative_to(root)))
            return node if node is not None and node >= 0 else None
    return None
