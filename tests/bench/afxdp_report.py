"""What ``tests.bench.afxdp`` has found, as lines: rates, costs, and ratios beside their goals."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.xdp_stream import machine

HANDLERS = ("sink", "forward")
BATCH = 64
BATCHES = (18, 32, 64, 256, 1024)
OF_C = {"sink": 1.0, "forward": 0.9}
OF_XDP_DROP = 0.67
SHARE = 0.3
OF_RATE = 0.95  # of a rate: what has to be sent for anything to be said of it, and received of that
COLLECTIONS = 10  # of garbage, at least, for anything to be said of them
ALLOCATIONS = 1e-3  # of a packet


@dataclass(frozen=True)
class Way:
    """A receiver.

    Attributes:
        language: ``Go`` or ``C``.
        handler: What it does with packets.
        batch: How many it takes at once.
        spin: Whether it never sleeps.
    """

    language: str
    handler: str
    batch: int = BATCH
    spin: bool = False

    def __str__(self) -> str:
        return f"{self.handler}, {self.language}, {'spin' if self.spin else 'poll'}"


@dataclass(frozen=True)
class Result:
    """What a receiver did.

    Attributes:
        sent: Packets that it was sent.
        lost: Those that no receiver has seen: NICs lose some, veth pairs none.
        seconds: How long they were sent.
        lasted: How long it ran.
        packets: How many it handled.
        forwarded: How many it sent on.
        dropped: How many the kernel had no room for.
        cpu: The receiver's CPU time (ns).
        mode: How packets came to it, as the kernel says.
        allocations: How often it allocated.
        batches: How many it handled.
        late: What a batch of a thousand took longer than (ns).
        collections: Of garbage.
        pause: The longest of them (ns): how long nothing of Go ran.
        sites: Allocations by who did them, where that is watched.
    """

    sent: int
    lost: int
    seconds: float
    lasted: float
    packets: int
    forwarded: int
    dropped: int
    cpu: int
    mode: str
    allocations: int = 0
    batches: int = 0
    late: int = 0
    collections: int = 0
    pause: int = 0
    sites: Mapping[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Packets in a second."""
        return self.packets / self.seconds

    @property
    def share(self) -> float:
        """Of a CPU."""
        return self.cpu / self.lasted / 1e9


def report(packets: int, drops: Sequence[float], found: Mapping[Way, Sequence[Result]]) -> Iterator[str]:
    """Yield what all rounds have found.

    Args:
        packets: How many each receiver was sent.
        drops: Packets in a second that XDP_DROP took, by round.
        found: Results of receivers, by round.
    """
    yield machine()
    modes = "/".join(sorted({one.mode for results in found.values() for one in results}))
    rounds = f"medians of {len(drops)} interleaved rounds of {packets} packets of 60 bytes"
    yield f"{rounds}, batches of {BATCH}, {modes} mode"
    yield f"{'XDP_DROP':18} {statistics.median(drops) / 1e6:6.2f} million packets a second"
    for way, results in found.items():
        if way.batch == BATCH:
            yield f"{way!s:18} {_described(results)}"
    for way in found:
        if way.language == "Go" and way.batch == BATCH:
            yield from _ratios(way, drops, found)
    for batch in BATCHES:
        yield f"sink, Go, batches of {batch:4}: {_described(found[Way('Go', 'sink', batch)])}"


def _described(results: Sequence[Result]) -> str:
    """Say rate and cost."""
    rate, cost, share, full, lost = (
        statistics.median(values)
        for values in zip(
            *(
                (one.rate, one.cpu / one.packets, one.share, one.dropped / one.sent, one.lost / one.sent)
                for one in results
            ),
            strict=True,
        )
    )
    gone = f", {lost:4.0%} were lost by NICs" if lost else ""
    cpu = f"{cost:5.0f} ns of CPU each, {share:4.0%} of a CPU"
    return f"{rate / 1e6:6.2f} million packets a second, {cpu}, {full:4.0%} found no room{gone}"


def _ratios(way: Way, drops: Sequence[float], found: Mapping[Way, Sequence[Result]]) -> Iterator[str]:
    """Yield ratios with their goals, of medians of rounds' own ratios."""
    ours, peer = found[way], found[Way("C", way.handler, spin=way.spin)]
    ratio = statistics.median(one.rate / other.rate for one, other in zip(ours, peer, strict=True))
    yield _compared(f"{way} to C", ratio, OF_C[way.handler])
    if way.handler == "sink":
        ratio = statistics.median(one.rate / rate for one, rate in zip(ours, drops, strict=True))
        yield _compared(f"{way} to XDP_DROP", ratio, OF_XDP_DROP)


def _compared(what: str, ratio: float, goal: float) -> str:
    return f"{what}: {ratio:.2f} (goal: {goal:.2f}){'' if ratio >= goal else '  MISSED'}"


def slow_lines(rate: int, found: Mapping[Way, Result]) -> Iterator[str]:
    """Yield what receivers took of a CPU at a slow rate of packets a second."""
    for way, one in found.items():
        yield f"at {rate} packets a second, {way}: {one.share:.0%} of a CPU, {one.dropped} dropped"


def paced_lines(rate: float, found: Mapping[Way, Sequence[Result]]) -> Iterator[str]:
    """Yield what receivers that sleep took of a CPU at one rate for all: what the one in C has reached by ``poll``."""
    yield f"at {rate / 1e6:.2f} million packets a second, the rate of {Way('C', 'sink')}:"
    for way, results in found.items():
        share, sent, came = (
            statistics.median(values)
            for values in zip(*((one.share, one.sent / one.seconds, one.rate) for one in results), strict=True)
        )
        goal, missed = "", ""
        if way.language == "Go":
            goal = f" (goal: {SHARE:.0%} at most, and nearly all received)"
            missed = "  MISSED" if share > SHARE or came < OF_RATE * sent else ""
        if sent < OF_RATE * rate:
            missed = "  NOT SAID: fewer were sent"
        yield f"  {way}: {share:.0%} of a CPU{goal}, {came / 1e6:.2f} of {sent / 1e6:.2f} million received{missed}"


def watched_lines(way: Way, plain: Result, collected: Result, heap: Result) -> Iterator[str]:
    """Yield what a receiver has seen of itself: with garbage collected again and again, and of what it allocates."""
    late = f"99.9 % of {plain.batches} batches took {way} {plain.late} ns at most"
    yield f"{late}, beside {plain.collections} collections of garbage in {plain.lasted:.1f} s, as it has them by itself"
    # The bounds of buckets are twice as long as those before.
    missed = "" if 0 < collected.late <= 2 * plain.late else "  MISSED: no more than a bucket later"
    if collected.collections < COLLECTIONS or collected.collections * 1000 > collected.batches:
        missed = "  NOT SAID: too few collections, or too many for what 99.9 % of batches can tell"
    forced = f"{collected.collections} that were forced in {collected.lasted:.1f} s, the longest {collected.pause} ns"
    yield f"99.9 % of {collected.batches} batches took it {collected.late} ns at most, beside {forced}{missed}"
    allocations = sum(heap.sites.values())
    # Go itself allocates now and then, and the profile does when it is taken.
    missed = "" if allocations / heap.packets < ALLOCATIONS else "  MISSED: 0 are allowed"
    yield f"{allocations} allocations, of {heap.packets} packets of {way} in {heap.seconds:.0f} s{missed}"
    for site, count in sorted(heap.sites.items(), key=lambda item: -item[1]):
        yield f"{count:6} {site}"
