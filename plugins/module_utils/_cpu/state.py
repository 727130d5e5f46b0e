# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""CPUs as a host has them: their topology, and everything that says what runs on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._core import state_store
from .._core.cpulist import parse_cpulist, parse_mask
from .._core.state_store import StateFile
from .._core.system import Host
from .._linux.systemd import in_charge
from .._linux.topology import CPUS, NETWORK, Node, read_cpus, read_kernel, read_nodes
from .request import Cpus

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


@dataclass(frozen=True)
class Topology:
    """The CPUs as the planner sees them.

    Attributes:
        nodes: NUMA nodes, by id.
        cores: Every online CPU, in groups that share a core, by their first CPU.
        nics: NUMA node of each NIC that a request names and that exists; None where the hardware does not say.
    """

    nodes: Sequence[Node]
    cores: Sequence[Cpus]
    nics: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def online(self) -> Cpus:
        """Every CPU in use."""
        return frozenset().union(*self.cores)

    @property
    def boot_cpu(self) -> int:
        """The CPU that the kernel starts on and keeps time with."""
        return min(self.online)


@dataclass(frozen=True)
class Governor:
    """How a CPU's frequency is chosen, and how it could be."""

    current: str
    available: Sequence[str]


@dataclass(frozen=True)
class State:
    """The host as it is.

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
        state_file: What was requested before, and the original values.
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

    @property
    def original(self) -> Mapping[str, Any]:
        """Values from before the first plan, as far as they are saved."""
        return self.state_file.body.get("original", {}) if self.state_file else {}


def read_state(host: Host, nics: Sequence[str]) -> State:
    """Read the CPUs and everything that says what runs on them.

    Args:
        host: The machine.
        nics: NICs (name, PCI address or MAC address) whose NUMA nodes matter.
    """
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
    # Without its configuration the kernel shows one kind only, by the file it would have.
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
