# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Boot arguments that are given more than once: those that add up, and those of which the kernel takes one.

Sources: Documentation/admin-guide/kernel-parameters.txt and the functions behind each argument in the Linux tree;
kernel-command-line(7) of systemd, dracut.cmdline(7), modprobe.d(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .._core.cpulist import parse_flagged_cpulist

# Every one of these counts, as the kernel, or who reads them in early user space, keeps a list.
_LISTS = """
    console earlycon video dyndbg ddebug_query acpi_osi acpi_mask_gpe initcall_blacklist clearcpuid cgroup_disable
    cgroup_enable cgroup_no_v1 crashkernel trace_event trace_instance thp_anon reserve reserve_mem memmap md raid
    ivrs_ioapic ivrs_hpet ivrs_acpihid virtio_mmio.device netdev hvc_iucv_allow blacklist ip nameserver vlan bond
    bridge team ifname bootdev modprobe.blacklist modules_load systemd.mask systemd.wants systemd.setenv
    systemd.set_credential systemd.set_credential_binary luks.name luks.uuid luks.key luks.options luks.data
"""
# Each value of these sets a flag of its own.
_FLAGS = """
    pci pcie_aspm iommu intel_iommu amd_iommu x86_iommu numa mce efi tsc reboot nmi_watchdog memblock fbcon
    slub_debug slab_debug
"""
_ADD_UP = frozenset((_LISTS + _FLAGS).split())
_ADD_UP_BELOW = ("rd.",)  # dracut's, which it reads as lists
_OFF, _ON = {"off", "0", "no", "n"}, {"on", "1", "yes", "y", "force"}
_CPU_LISTS = {"isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity"}
_PAGES, _PAGE_SIZE = "hugepages", "hugepagesz"


def adds_up(key: str) -> bool:
    """Whether an argument may be given several times with different values, and each counts."""
    key = _same(key)
    return key in _ADD_UP or key.endswith(".dyndbg") or key.startswith(_ADD_UP_BELOW)


def contradictions(tokens: Iterable[str]) -> Iterator[str]:
    """Yield every pair of arguments of which only one can be in effect."""
    seen: dict[str, list[str]] = {}
    for subject, token in _by_subject(tokens):
        given = seen.setdefault(subject, [])
        if token in given:
            continue
        against = [other for other in given if contradict(other, token)]
        of_size = f" ({subject})" if subject.startswith(f"{_PAGES} ") else ""
        if against:
            yield (
                f"{against[0]} and {token} contradict each other{of_size}, only one of them can be in effect: "
                "leave one out, or make one of the two"
            )
        given.append(token)


def contradict(one: str, other: str) -> bool:
    """Whether two arguments of one name cannot both be in effect."""
    (key, _equals, first), (_key, _other_equals, second) = one.partition("="), other.partition("=")
    if _same(key) in _CPU_LISTS:
        # The flags of isolcpus add up where the CPUs are the same.
        first_cpus, second_cpus = parse_flagged_cpulist(first), parse_flagged_cpulist(second)
        return first != second and (first_cpus is None or first_cpus != second_cpus)
    if adds_up(key):
        return (first in _OFF and second in _ON) or (first in _ON and second in _OFF)
    return first != second


def _by_subject(tokens: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each argument with what it decides; a count of huge pages is of the size before it."""
    size = ""
    for token in tokens:
        key, _equals, value = token.partition("=")
        key = _same(key)
        if key == _PAGE_SIZE:
            size = f" of {value.upper()}"
        elif key == _PAGES:
            yield key + size, token
        else:
            yield key, token


def _same(key: str) -> str:
    """Return an argument's name as the kernel compares it."""
    return key.replace("-", "_")
