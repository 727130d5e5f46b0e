# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The interrupts of a NIC: found through its device, never by the interface's name, and each with its queue."""

from __future__ import annotations

import errno
import re
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core.converge import ApplyFailed
from .._core.cpulist import format_cpulist, parse_cpulist
from .._core.system import Host
from .netlink_socket import GENERIC, NetlinkError, Socket, attribute, generic, generic_attributes, read_int, u32

PROC = "/proc/irq"
SYSFS = "/sys/kernel/irq"

# Documentation/netlink/specs/netdev.yaml
_QUEUE_GET, _QUEUE_ID, _QUEUE_IFINDEX, _QUEUE_NAPI = 10, 1, 2, 4
_NAPI_GET, _NAPI_IFINDEX, _NAPI_ID, _NAPI_IRQ = 11, 1, 2, 3

# How drivers name the vectors of queues; what matches none of them serves the link, a mailbox or the like. The number
# only orders them, as tg3 counts from 1 and others leave gaps.
_QUEUE_NAMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<way>tx-?rx|rx-?tx)-(?P<number>\d+)$",  # igb, igc, ixgbe, i40e, iavf, ice, bnxt_en, tg3, vmxnet3, nfp, ena
        r"(?P<way>rx|tx)-(?P<number>\d+)$",  # the same with channels of one direction
        r"-(?P<way>input|output)\.(?P<number>\d+)$",  # virtio_net
        r"-(?P<way>virtqueues)$",  # virtio_net without a vector for each queue
        r"_(?P<way>comp)(?P<number>\d+)@",  # mlx5_core
        r"(?P<way>-fp)-(?P<number>\d+)$",  # bnx2x, qede
        r"-(?P<way>ntfy-block\.)(?P<number>\d+)$",  # gve, older
        r"-(?P<way>ntfy-blk)(?P<number>\d+)@",  # gve
        r"_(?P<way>q)(?P<number>\d+)(@|$)",  # mana
    )
)
_GVE = "ntfy"  # the first half of gve's vectors sends, the second receives


@dataclass(frozen=True)
class Irq:
    """One interrupt.

    Attributes:
        number: Of this boot, and of this load of the driver.
        name: What the driver calls it.
        queue: Which queue it serves; None for none.
        cpus: Those that may handle it.
        effective: Those that do; None where the kernel does not say.
        movable: Whether its CPUs can be chosen; not for those that the kernel manages itself.
    """

    number: int
    name: str
    queue: int | None = None
    cpus: frozenset[int] = frozenset()
    effective: frozenset[int] | None = None
    movable: bool = True

    @property
    def pending(self) -> bool:
        """Whether the interrupt moves to its new CPUs only when it next fires."""
        return self.effective is not None and not self.effective <= self.cpus

    def facts(self) -> dict[str, Any]:
        """Return what a module reports of it."""
        return {
            "irq": self.number,
            "name": self.name,
            "queue": self.queue,
            "cpus": format_cpulist(self.cpus),
            "effective": None if self.effective is None else format_cpulist(self.effective),
            "movable": self.movable,
            "pending": self.pending,
        }


def read(host: Host, device: str | None, queues: Mapping[int, int] | None = None) -> tuple[Irq, ...]:
    """Return the interrupts that a device's driver has requested, by number; none while the interface is down.

    Args:
        host: The machine.
        device: Its directory in sysfs; None for a NIC without hardware.
        queues: Queue by interrupt, where the kernel says; otherwise the names do.
    """
    if device is None:
        return ()
    found = [irq for number in _numbers(host, device) if (irq := _read(host, number))]
    assigned = [replace(irq, queue=(queues or {}).get(irq.number)) for irq in found]
    if all(irq.queue is None for irq in assigned):
        assigned = by_name(found)
    return tuple(assigned)


def by_name(irqs: Sequence[Irq]) -> list[Irq]:
    """Return interrupts with the queues that their names give."""
    ways: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for place, irq in enumerate(irqs):
        match = next((match for pattern in _QUEUE_NAMES if (match := pattern.search(irq.name))), None)
        if match:
            ways[match["way"].lower()].append((int(match.groupdict().get("number") or 0), place))
    if not ways and len(irqs) == 1:  # a NIC of one vector
        return [replace(irqs[0], queue=0)]
    queue_at = {}
    for way, members in ways.items():
        half = len(members) // 2 if way.startswith(_GVE) else len(members)
        for rank, (_number, place) in enumerate(sorted(members)):
            queue_at[place] = rank % half if half else rank
    return [replace(irq, queue=queue_at.get(place)) for place, irq in enumerate(irqs)]


def read_queues(index: int) -> dict[int, int] | None:
    """Return the queue of each interrupt, as the driver reported it to the kernel.

    Args:
        index: Interface index.

    Returns:
        None where kernel (before 6.8) or driver do not say.

    Raises:
        NetlinkError: The kernel refused for another reason.
    """
    with Socket(GENERIC) as conversation:
        family = conversation.family("netdev")
        if family is None:
            return None
        try:
            queues = conversation.dump(family, generic(_QUEUE_GET, attribute(_QUEUE_IFINDEX, u32(index))))
            napis = conversation.dump(family, generic(_NAPI_GET, attribute(_NAPI_IFINDEX, u32(index))))
        except NetlinkError as error:
            if error.errno == errno.EOPNOTSUPP:
                return None
            raise
    return match_queues(map(_numbers_of, queues), map(_numbers_of, napis)) or None


def match_queues(queues: Iterator[Mapping[int, int]], napis: Iterator[Mapping[int, int]]) -> dict[int, int]:
    """Return the queue of each interrupt, joined through the NAPI instance that polls the one for the other."""
    irqs = {napi[_NAPI_ID]: napi[_NAPI_IRQ] for napi in napis if napi.get(_NAPI_IRQ)}
    return {irqs[queue[_QUEUE_NAPI]]: queue[_QUEUE_ID] for queue in queues if queue.get(_QUEUE_NAPI) in irqs}


def move(host: Host, irq: Irq, cpus: frozenset[int]) -> bool:
    """Let an interrupt be handled on these CPUs.

    Returns:
        False for an interrupt that cannot be moved, as the kernel manages it itself.

    Raises:
        ApplyFailed: The kernel refused.
    """
    try:
        host.write_attribute(f"{PROC}/{irq.number}/smp_affinity_list", format_cpulist(cpus))
    except OSError as error:
        if error.errno in (errno.EIO, errno.EPERM, errno.EACCES):
            return False
        words = {
            errno.ENOSPC: "these CPUs have no interrupt vector left: name more CPUs, or use fewer channels",
            errno.EINVAL: "none of these CPUs is online",
        }.get(error.errno or 0, error.strerror)
        raise ApplyFailed(f"irq {irq.number} ({irq.name}) -> CPUs {format_cpulist(cpus)}: {words}") from error
    return True


def _numbers(host: Host, device: str) -> list[int]:
    vectors = sorted(int(name) for name in host.list(f"{device}/msi_irqs"))
    legacy = host.read_int(f"{device}/irq")
    return vectors or ([legacy] if legacy else [])


def _read(host: Host, number: int) -> Irq | None:
    base = f"{PROC}/{number}"
    cpus = host.read(f"{base}/smp_affinity_list")
    name = (host.read(f"{SYSFS}/{number}/actions") or "").strip()
    if cpus is None or not name:  # a vector that the driver has not requested, or has freed
        return None
    effective = host.read(f"{base}/effective_affinity_list")
    return Irq(
        number,
        name,
        cpus=frozenset(parse_cpulist(cpus)),
        # Empty while nothing has been delivered yet.
        effective=frozenset(parse_cpulist(effective)) if effective else None,
        # From 6.11 on the kernel takes the right to write from what it manages; before, only the attempt shows it.
        movable=bool(host.path(f"{base}/smp_affinity").stat().st_mode & stat.S_IWUSR),
    )


def _numbers_of(body: bytes) -> dict[int, int]:
    return {kind: read_int(value) for kind, value in generic_attributes(body)}
