"""What the API answers of the host, its workers and its packets; see shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from .shapes import Shape


class WorkerQueue(Shape):
    """A queue that a worker serves."""

    queue: int
    cpu: int
    mode: str = Field(description="How packets come: zero-copy, copy or generic.")
    stalled: bool = Field(description="Its thread does not come back; its packets go to the network stack meanwhile.")


class Worker(Shape):
    """Threads that have the packets of queues of a NIC past the network stack."""

    name: str
    nic: str
    state: str = Field(description="running, stopped or failed; newer releases may have others.")
    reason: str | None = Field(description="Why it failed, with the way out.")
    handler: str
    queues: list[WorkerQueue]
    memory: str | None = Field(description="Where its packets lie.")
    memory_fallback: str | None = Field(description="Why they do not lie where they were requested to.")


class WorkerList(Shape):
    """All workers, by name."""

    workers: list[Worker]


class HandlerStats(Shape):
    """What became of the packets of one handler; each is in one of consumed, sent, forwarded and dropped."""

    handler: str
    packets: int
    bytes: int
    consumed: int
    sent: int
    forwarded: int
    dropped: dict[str, int] = Field(description="By reason.")


class KernelStats(Shape):
    """Packets that the kernel had no place for; see XDP_STATISTICS."""

    dropped: int
    ring_full: int
    fill_empty: int
    invalid_fill: int
    invalid_tx: int


class QueueStats(Shape):
    """A queue that a worker serves, or has served since go-backend began."""

    worker: str
    nic: str
    queue: int
    fill_level: int
    rx_level: int
    tx_level: int
    completion_level: int
    frames: int
    free_frames: int
    retries: int
    busy_ns: int = Field(description="For how long its thread worked rather than slept (nanoseconds).")
    kernel: KernelStats
    handlers: list[HandlerStats]


class WorkerStats(Shape):
    """What became of packets."""

    timestamp: datetime
    queues: list[QueueStats]


class Backend(Shape):
    """What a worker that balances sends flows to."""

    worker: str
    name: str
    address: str
    alive: bool
    reason: str | None = Field(description="Why its last check failed.")
    share: float = Field(description="Of all flows, those that are its own now: 0 to 1.")
    weight: int
    packets: int
    since: datetime = Field(description="When it came to be alive or not.")


class Backends(Shape):
    """Backends of workers, by worker."""

    backends: list[Backend]


class Sampled(Shape):
    """What is told of a packet that was dropped, or would have been."""

    time: datetime
    interface: str
    queue: int
    verdict: str
    reason: str
    part: str | None = Field(description="What decided it, such as rule:no-snmp.")
    would: str | None = Field(description="What the first part in observe mode would have made of it.")
    would_reason: str | None
    would_part: str | None
    length: int = Field(description="Of the frame (bytes).")
    source: str | None
    destination: str | None
    protocol: int | None
    source_port: int | None
    destination_port: int | None
    vlan: int | None


class Drop(Sampled):
    """A packet that was dropped, or would have been."""

    frame: str = Field(description="Its first bytes (hex).")


class Drops(Shape):
    """Samples of packets, the newest first; counters have the true numbers."""

    drops: list[Drop]


class KeptDrop(Sampled):
    """A packet that was dropped, or would have been, as it is kept."""

    id: int
    lost: int = Field(description="Samples that were lost between the one before and this one.")


class KeptDrops(Shape):
    """A page of the samples that are kept of a host, the newest first; counters have the true numbers."""

    drops: list[KeptDrop]
    next: int | None = Field(description="What to ask for `before` to go on; null at the end.")


class Hugepages(Shape):
    """The pool of one page size."""

    size: int = Field(description="Of a page (bytes).")
    total: int
    free: int


class Node(Shape):
    """A NUMA node."""

    id: int
    cpus: list[int]
    memory_total: int = Field(description="Bytes.")
    memory_free: int = Field(description="Bytes.")
    hugepages: list[Hugepages]
    distance: list[int] = Field(description="To each node, itself included; 10 is local.")


class Cpus(Shape):
    """The host's CPUs."""

    online: list[int]
    present: list[int]
    isolated: list[int]
    nohz_full: list[int]
    siblings: list[list[int]] = Field(description="Hardware threads that share a core.")


class Nic(Shape):
    """A network interface; null is what nobody knows."""

    name: str
    kind: str | None
    driver: str | None
    pci_address: str | None
    numa_node: int | None
    mac: str | None
    mtu: int | None
    up: bool
    operstate: str | None
    speed_mbps: int | None
    queues: dict[str, Any] | None
    channels: dict[str, Any] | None
    rings: dict[str, Any] | None
    irqs: list[dict[str, Any]]
    xdp: dict[str, Any] = Field(description="What its driver can do, and which programs it runs.")


class Topology(Shape):
    """What the host is made of."""

    host: str
    release: str = Field(description="The kernel's.")
    nodes: list[Node]
    cpus: Cpus
    nics: list[Nic]


class HostInterface(Shape):
    """An interface with a program, or one that a policy judges or a worker serves."""

    name: str
    mode: str | None = Field(description="Of the program; null where it runs none of ours.")
    policies: list[str]
    workers: list[str]


class Host(Shape):
    """A host of the data plane."""

    host: str = Field(description="By which the query `host` names it.")
    name: str | None = Field(description="What it calls itself; null while its agent does not answer.")
    target: str = Field(description="Where its control service is asked.")
    reachable: bool
    status: str
    release: str | None = Field(description="The kernel's.")
    interfaces: list[HostInterface]
    missing: list[str] = Field(description="What did not answer, in words; the rest is good all the same.")


class Hosts(Shape):
    """The hosts of the data plane."""

    hosts: list[Host]


class Setting(Shape):
    """A setting of this service."""

    name: str
    value: str = Field(description="Numbers and yes or no as JSON writes them.")
    variable: str | None = Field(description="By which the deployment sets it; null of what the release fixes.")
    description: str


class Settings(Shape):
    """What this service was told when it began; it changes with a deployment."""

    settings: list[Setting]
