# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a host cannot give workers of packets, each with the limit and the way out, and what an operator should know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .._core.cpulist import format_cpulist
from .._core.sizes import human_size, size_token
from .._deploy.container_limits import LEAST_MEMORY, LEAST_PIDS
from . import modes
from .request import PIECES, Worker
from .site import ANY_NODE, Port, Site

_ETHERNET = 14 + 4  # header and one VLAN tag
_FRAGMENTS = (6, 6)  # the first kernel with packets in several frames
# Of a queue that is captured from (ringSize in internal/capture), and of the capture before, until it is collected.
CAPTURE = 2 * (4 << 20)


def faults(workers: Sequence[Worker], site: Site) -> Iterator[str]:
    """Yield what this host cannot do."""
    for worker in workers:
        for name in worker.nics:
            yield from (f"{worker}: {reason}" for reason in _nic_faults(worker, name, site))
        yield from (f"{worker}: {reason}" for reason in _host_faults(worker, site))
    yield from _page_faults(workers, site)
    yield from _memory_faults(workers, site)
    yield from _thread_faults(workers, site)
    yield from _service_faults(workers, site)


def warnings(workers: Sequence[Worker], site: Site) -> Iterator[str]:
    """Yield what is no fault, and perhaps not what was meant."""
    for worker in workers:
        if not any(worker.name == one.worker and set(worker.nics) & set(one.interfaces) for one in site.services):
            yield (
                f"{worker}: no service of a policy of {worker.nic} sends packets to it (action afxdp:{worker.name}), "
                "so it gets none until one does"
            )
        for name in worker.nics:
            yield from _unreached(worker, site.nics.get(name))
    shared = Counter(cpu for worker in workers for cpu in worker.cpus)
    for cpu, count in sorted(shared.items()):
        if count > 1:
            yield f"CPU {cpu} is given to {count} threads of workers, which wait for each other there"
    served = {name for worker in workers for name in worker.nics}
    known = {worker.name for worker in workers}
    for one in site.services if workers else ():
        if one.worker not in known and not served.intersection(one.interfaces):
            yield (
                f"policy {one.policy}: service {one.name} names worker {one.worker}, which go_backend_workers has not; "
                "its packets go on to the stack, unless another process has its sockets there"
            )


def nodes(workers: Sequence[Worker], site: Site) -> list[int]:
    """Return the NUMA nodes that the workers' memory is to be on; none where all may be anywhere."""
    return sorted({node for worker in workers for node in [_node(worker, site)] if node != ANY_NODE})


def container_nodes(workers: Sequence[Worker], site: Site) -> list[int]:
    """Return the NUMA nodes of the container's memory: the one that workers are to be on, else all.

    None where there is nothing to choose. Where there are several they are always named: a container that has had one
    keeps it while nobody names others. Who may be anywhere goes along, as binding memory takes a capability more.
    """
    if not workers or len(site.nodes) < 2:
        return []
    on = nodes(workers, site)
    return on if len(on) == 1 else sorted(site.nodes)


def _node(worker: Worker, site: Site) -> int:
    if worker.node is not None:
        return worker.node
    port = site.nics.get(worker.nic)
    return ANY_NODE if port is None or port.node is None else port.node


def _nic_faults(worker: Worker, name: str, site: Site) -> Iterator[str]:
    port = site.nics.get(name)
    if port is None:
        yield f"there is no NIC {name}: correct its name, or make it first"
        return
    if port.program is None:
        yield f"{name} is not to have our XDP program, which hands packets to workers: add it to xdp_interfaces"
    for queue in worker.queues:
        if queue >= port.queues:
            yield (
                f"queue {queue} of {name}: it has {port.queues}, 0 to {port.queues - 1}: give it more channels "
                "(nic_interfaces), or serve fewer"
            )
    yield from _mode_faults(worker, port, site.kernel)
    longest = port.mtu + _ETHERNET
    if longest > worker.room and not worker.multi_buffer:
        yield (
            f"MTU {port.mtu} of {name}: packets of {longest} bytes do not fit into the {worker.room} that a frame has "
            "room for: request multi_buffer, a smaller headroom, or lower the MTU"
        )
    elif longest > worker.room * PIECES:
        yield f"MTU {port.mtu} of {name}: packets of {longest} bytes do not fit into {PIECES} frames of {worker.room}"


def _mode_faults(worker: Worker, port: Port, kernel: tuple[int, ...]) -> Iterator[str]:
    best = modes.offered(port, kernel)
    if best == modes.GENERIC and not worker.generic:
        yield (
            f"the XDP program of {port.name} runs in generic mode, where each packet is copied twice: attach it "
            "natively (xdp_interfaces), or accept it (generic: true)"
        )
    elif worker.mode == modes.ZERO_COPY and best != modes.ZERO_COPY:
        what = port.driver or "its driver"
        why = f", as the device does not offer {' and '.join(port.device_lacks)}" if port.device_lacks else ""
        yield f"{what} of {port.name} has no zero-copy mode{why}: request auto or copy"
    elif worker.mode == modes.ZERO_COPY and worker.multi_buffer and port.zero_copy_frames == 1:
        yield f"{port.name} has a zero-copy mode for packets of one frame: leave multi_buffer out or request auto"


def _host_faults(worker: Worker, site: Site) -> Iterator[str]:
    if worker.multi_buffer and site.kernel < _FRAGMENTS:
        found = ".".join(map(str, site.kernel))
        yield f"multi_buffer needs Linux {'.'.join(map(str, _FRAGMENTS))}, and this is {found}: leave it out"
    offline = set(worker.cpus) - site.online
    if offline:
        yield f"CPUs {format_cpulist(offline)} are not online; there are {format_cpulist(site.online)}"
    outside = set(worker.cpus) - offline - (site.cpus if site.cpus is not None else site.online)
    if outside:
        yield (
            f"CPUs {format_cpulist(outside)} are not among those that the CPU plan gives go-backend, "
            f"{format_cpulist(site.cpus or ())}: change cpu_isolation_assignments, or leave cpus out"
        )
    if worker.node not in (None, ANY_NODE) and worker.node not in site.nodes:
        yield f"node {worker.node} has no memory; nodes {format_cpulist(site.nodes)} have"


def _page_faults(workers: Sequence[Worker], site: Site) -> Iterator[str]:
    need: Counter[tuple[int, int]] = Counter()
    for worker in workers:
        if worker.page and not worker.hugepages_fallback:
            need[_node(worker, site), worker.page] += worker.memory // worker.page
    for (node, page), count in sorted(need.items()):
        there = sum(total for (of, size), total in site.pages.items() if size == page and node in (of, ANY_NODE))
        if there < count:
            where = "this host" if node == ANY_NODE else f"node {node}"
            yield (
                f"workers need {count} huge pages of {size_token(page)} on {where}, which has {there}: reserve them "
                "(hugepages_reservations), take fewer or smaller rings, or allow others (hugepages_fallback: true)"
            )


def _memory_faults(workers: Sequence[Worker], site: Site) -> Iterator[str]:
    # Huge pages are not counted by the limit of a container's memory.
    frames = sum(worker.memory for worker in workers if not worker.page or worker.hugepages_fallback)
    captures, service = CAPTURE * threads(workers), LEAST_MEMORY["go_backend"]
    if site.memory is not None and workers and (taken := frames + captures + service) > site.memory:
        yield (
            f"workers take {human_size(frames)} for packets and up to {human_size(captures)} for captures, and the "
            f"service {human_size(service)}: go_backend_memory {human_size(site.memory)} is too little: set it to "
            f"{-(-taken >> 20)}M or more, or take huge pages for packets, which it does not count"
        )


def threads(workers: Sequence[Worker]) -> int:
    """Return how many threads workers take, one for each queue."""
    return sum(len(worker.queues) for worker in workers)


def _thread_faults(workers: Sequence[Worker], site: Site) -> Iterator[str]:
    taken = threads(workers)
    # The runtime of Go ends the whole service where it gets no thread.
    if site.pids is not None and taken and taken + LEAST_PIDS > site.pids:
        yield (
            f"workers take {taken} threads, one for each queue, and the service up to {LEAST_PIDS}: go_backend_pids "
            f"{site.pids} is too little: set it to {taken + LEAST_PIDS} or more"
        )


def _service_faults(workers: Sequence[Worker], site: Site) -> Iterator[str]:
    for one in site.services:
        for interface in one.interfaces:
            serving = {worker.name for worker in workers if interface in worker.nics}
            if serving and one.worker not in serving:
                yield (
                    f"policy {one.policy}: service {one.name} names worker {one.worker}, and those of {interface} are "
                    f"{', '.join(sorted(serving))}"
                )


def _unreached(worker: Worker, port: Port | None) -> Iterator[str]:
    if port is None or port.reached is None:
        return
    idle = [queue for queue in worker.queues if queue < port.queues and queue not in port.reached]
    if idle:
        yield (
            f"{worker}: neither RSS nor a flow rule of {port.name} sends packets to queues {format_cpulist(idle)}: "
            "change rss or flow_rules in nic_interfaces"
        )
