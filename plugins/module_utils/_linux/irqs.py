# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The interrupts of a NIC: found through its device, never by the interface's name, and each with its queue."""

from __future__ import annotations

import errno
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core.converge import ApplyFailed
from .._core.cpulist import format_cpulist, parse_cpulist
from .._core.system import Host
from .irq_names import IDLE, OTHER, QUEUE, Owner, sort_out
from .netlink_socket import GENERIC, NetlinkError, Socket, attribute, generic, generic_attributes, read_int, u32

PROC = "/proc/irq"
SYSFS = "/sys/kernel/irq"

# Documentation/netlink/specs/netdev.yaml
_QUEUE_GET, _QUEUE_ID, _QUEUE_IFINDEX, _QUEUE_NAPI = 10, 1, 2, 4
_NAPI_GET, _NAPI_IFINDEX, _NAPI_ID, _NAPI_IRQ = 11, 1, 2, 3


@dataclass(frozen=True)
class Irq:
    """One interrupt.

    Attributes:
        number: Of this boot, and of this load of the driver.
        name: What the driver calls it.
        queue: Which queue it serves; None for none.
        duty: What it is for, of QUEUE, OTHER, IDLE and UNKNOWN; empty where only the queue says it.
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
    duty: str = ""

    @property
    def serves(self) -> str:
        """What it is for, of QUEUE, OTHER, IDLE and UNKNOWN."""
        return self.duty or implied(self.queue)

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


def implied(queue: int | None) -> str:
    """Return what an interrupt is for where only its queue is said."""
    return OTHER if queue is None else QUEUE


def read(
    host: Host, device: str | None, queues: Mapping[int, int] | None = None, owner: Owner | None = None
) -> tuple[Irq, ...]:
    """Return the interrupts that a device's driver has requested, by number; none while the interface is down.

    Args:
        host: The machine.
        device: Its directory in sysfs; None for a NIC without hardware of its own.
        queues: Queue by interrupt, where the kernel says; otherwise the names do.
        owner: Whose they are, for the names.
    """
    if device is None:
        return ()
    owner = owner or Owner()
    owner = replace(owner, ports=max(len(host.list(f"{device}/net")), 1))
    found = _distinct(by_name([irq for number in _numbers(host, device) if (irq := _read(host, number))], owner))
    reported = {irq.number: queues[irq.number] for irq in found if queues and irq.number in queues}
    return tuple(_as_reported(irq, reported) for irq in found) if reported else tuple(found)


def by_name(irqs: Sequence[Irq], owner: Owner | None = None) -> list[Irq]:
    """Return interrupts with what their names say of them."""
    duties = sort_out([irq.name for irq in irqs], owner or Owner())
    return [_serving(irq, duty, queue) for irq, (duty, queue) in zip(irqs, duties)]


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


def _distinct(irqs: Sequence[Irq]) -> list[Irq]:
    """Return interrupts with names of their own, as some drivers give one name to all."""
    seen: Counter[str] = Counter()
    named = []
    for irq in irqs:
        seen[irq.name] += 1
        named.append(irq if seen[irq.name] == 1 else replace(irq, name=f"{irq.name} ({seen[irq.name]})"))
    return named


def _as_reported(irq: Irq, queues: Mapping[int, int]) -> Irq:
    """Return an interrupt as the kernel tells, who knows all that serve queues; only for the others names speak."""
    if irq.number in queues:
        return _serving(irq, QUEUE, queues[irq.number])
    return _serving(irq, IDLE if irq.serves == QUEUE else irq.serves, None)


def _serving(irq: Irq, duty: str, queue: int | None) -> Irq:
    return replace(irq, queue=queue, duty="" if duty == implied(queue) else duty)


def _numbers_of(body: bytes) -> dict[int, int]:
    return {kind: read_int(value) for kind, value in generic_attributes(body)}
