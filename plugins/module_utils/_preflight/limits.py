# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether a host can take what is planned for it: every finding at once, a pure function of what was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._core.converge import Invalid
from .._core.findings import ERROR, WARNING, Finding, by_severity
from .._core.sizes import human_size
from .._core.versions import parse_version
from .._xdp.policy_entries import parse_entries
from .listeners import Holder, Listener
from .nic import check_nics
from .policies import check_policies
from .request import Port, Requirements, Space
from .state import FileSystem, Snapshot
from .workers import check_workers

BPFFS = "/sys/fs/bpf"


def check(needs: Requirements, seen: Snapshot) -> list[Finding]:
    """Return every finding, errors first."""
    findings = [
        *_check_system(needs, seen),
        *_check_ports(needs.ports, seen.holders),
        *_check_space(needs.space, seen.file_systems),
        *_check_interfaces(needs, seen),
        *_check_features(needs, seen),
        *_check_commands(needs, seen),
        *_check_policy(needs.policy),
        *check_policies(needs.policies, seen.hz, *(seen.peer or ())),
        *seen.refusals,
        *check_nics(needs.xdp, seen.nics),
        *check_workers(seen.workers),
    ]
    return by_severity(findings)


def _check_system(needs: Requirements, seen: Snapshot) -> Iterator[Finding]:
    supported = ", ".join(needs.distributions)
    if seen.distribution not in needs.distributions:
        untested = seen.distribution in needs.untested
        yield Finding(
            WARNING if untested else ERROR,
            "distribution",
            (seen.distribution or "no /etc/os-release") + (" (untested)" if untested else ""),
            supported,
            "go on with care" if untested else "use a supported distribution",
        )
    if seen.architecture not in needs.architectures:
        yield Finding(
            ERROR, "architecture", seen.architecture, ", ".join(needs.architectures), "use a supported machine"
        )
    kernel, oldest = parse_version(seen.kernel), parse_version(needs.kernel)
    if oldest and (kernel is None or kernel < oldest):
        yield Finding(ERROR, "kernel", seen.kernel, f"{needs.kernel} or newer", "install and boot a newer kernel")
    if seen.memory < needs.memory:
        yield Finding(
            ERROR, "memory", human_size(seen.memory), human_size(needs.memory), "add memory, or use a larger machine"
        )
    if seen.missing_capabilities:
        lacking = ", ".join(seen.missing_capabilities)
        yield Finding(ERROR, "privileges", f"without {lacking}", "root", "run the play with become: true")


def _check_ports(ports: Sequence[Port], holders: Mapping[Listener, Holder]) -> Iterator[Finding]:
    for index, port in enumerate(ports):
        subject = f"port {port} ({port.name})"
        for other in ports[:index]:
            if (other.number, other.protocol) == (port.number, port.protocol) and _overlap(other.address, port.address):
                yield Finding(ERROR, subject, f"also that of {other.name}", "one service per port", _set_another(port))
        for listener, holder in holders.items():
            if (
                (listener.port, listener.protocol) == (port.number, port.protocol)
                and _overlap(listener.address, port.address)
                and not holder.ours
            ):
                yield Finding(
                    ERROR,
                    subject,
                    f"{holder} listens on {_endpoint(listener)}",
                    "free, or a service of ours",
                    f"stop it, or {_set_another(port)}",
                )


def _check_space(space: Sequence[Space], file_systems: Mapping[str, FileSystem]) -> Iterator[Finding]:
    for device in dict.fromkeys(found.device for found in file_systems.values()):
        here = [one for one in space if file_systems[one.path].device == device]
        found = file_systems[here[0].path]
        need = sum(one.need for one in here)
        if found.free < need:
            yield Finding(
                ERROR,
                f"disk at {found.path}",
                f"{human_size(found.free)} free",
                f"{human_size(need)}: " + ", ".join(f"{one.what} {human_size(one.need)}" for one in here),
                f"free {human_size(need - found.free)}, or mount a larger disk there",
            )


def _check_interfaces(needs: Requirements, seen: Snapshot) -> Iterator[Finding]:
    for name in dict.fromkeys(needs.interfaces):
        if name not in seen.interfaces and name not in needs.pending_interfaces:
            yield Finding(
                ERROR,
                f"interface {name}",
                f"absent; there are {', '.join(seen.interfaces)}",
                "present",
                "correct its name, or make it first",
            )


def _check_features(needs: Requirements, seen: Snapshot) -> Iterator[Finding]:
    words = {
        "btf": ("no /sys/kernel/btf/vmlinux", "kernel type information", "boot a kernel with CONFIG_DEBUG_INFO_BTF=y"),
        "bpffs": (f"neither on {BPFFS} nor known", "the bpf file system", "boot a kernel with CONFIG_BPF_SYSCALL=y"),
        "iommu": (
            "no IOMMU group",
            "an IOMMU, which vfio needs",
            "turn it on in the firmware (VT-d, AMD-Vi); on Intel also boot with intel_iommu=on",
        ),
        "nf_tables": (
            "no answer of the kernel's packet filter",
            "nf_tables, for the table that keeps others from the containers",
            "boot a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET; or keep others out by other means, set "
            "firewall_state to absent, and leave nf_tables out of preflight_features",
        ),
        "cgroup": ("nothing at /sys/fs/cgroup", "control groups, mounted", "mount cgroup2 there (systemd does it)"),
    }
    for name in needs.features:
        if name not in seen.features:
            yield Finding(ERROR, f"kernel feature {name}", *words[name])
    if seen.jit is False:
        yield Finding(
            WARNING,
            "BPF compiler",
            "net.core.bpf_jit_enable is 0",
            "1",
            "set the sysctl to 1, or XDP programs are interpreted",
        )


def _check_commands(needs: Requirements, seen: Snapshot) -> Iterator[Finding]:
    for command in needs.commands:
        if command.name not in seen.commands:
            yield Finding(
                ERROR, f"command {command.name}", "not found", "in the path", f"install the package {command.package}"
            )


def _check_policy(policy: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    try:
        parse_entries(policy)
    except Invalid as error:
        for reason in error.facts["reasons"]:
            yield Finding(ERROR, "XDP policy", reason, "valid prefixes, each once", "correct the entry in xdp_acl")


def _overlap(one: str, other: str) -> bool:
    wildcards = ("0.0.0.0", "::")
    if one in wildcards or other in wildcards:
        # A socket on :: takes IPv4 too, and 0.0.0.0 leaves IPv6 alone.
        return "::" in (one, other) or (":" in one) == (":" in other)
    return one == other


def _endpoint(listener: Listener) -> str:
    address = f"[{listener.address}]" if ":" in listener.address else listener.address
    return f"{address}:{listener.port}"


def _set_another(port: Port) -> str:
    return f"set {port.variable} to another port" if port.variable else "choose another port"
