"""Weigh a worker of go-backend beside a receiver of the same shape in C, and beside XDP_DROP, in the same run.

Usage (as root):
    python -m tests.bench.afxdp [--nic NIC --peer PEER] [--receiver FILE] [--seconds SECONDS] [ROUNDS [PACKETS]]

A veth pair in native copy mode, or two NICs of this host that a cable joins: the kernel sends packets on one CPU as
fast as it can, and the receiver has another one for itself. Rounds of all receivers are interleaved and medians count.
``forward`` sends what it receives by a second pair. Every packet is accounted for: sent = received + dropped by the
kernel for want of room; between NICs, what these lose is said. Prints packets in a second, CPU time a packet, the cost
by the size of batches, the share of a CPU, how late a batch is while garbage is collected, and what a worker allocates
in a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject

from tests.bench import afxdp_wire
from tests.bench.afxdp_report import (
    BATCH,
    BATCHES,
    HANDLERS,
    Result,
    Way,
    paced_lines,
    report,
    slow_lines,
    watched_lines,
)
from tests.bench.xdp_stream import ROOT, attached, compiled, pinned_to, put
from tests.integration import frames, lab
from tests.support import go_backend

LIVE_FRAMES = 1 << 1
SEND_BATCH = 64
SLOW_RATE = 100_000
PACED_SECONDS, WATCHED_SECONDS = 4.0, 10.0
# At a rate of millions: each call ends with waiting for all CPUs, some 20 ms, in which nothing is sent.
BURST = 2_000_000
_CONTEXT = struct.Struct("=6I")  # struct xdp_md


@dataclass
class Bench:
    """The wire, the programs, and what is sent.

    Attributes:
        opened: Object of ``afxdp.bpf.c``, by the program of it that is loaded.
        wire: What packets go over.
        cpus: The generator's and the receiver's.
        commands: Receivers by language.
    """

    opened: dict[str, BpfObject]
    wire: afxdp_wire.Wire
    cpus: tuple[int, int]
    commands: dict[str, Path]
    frame: bytes = field(init=False)

    def __post_init__(self) -> None:
        packet = frames.ipv4("192.0.2.1")
        made = bytes.fromhex("".join(self.wire.stations[:2]).replace(":", "")) + struct.pack("!H", frames.IPV4)
        self.frame = (made + frames.summed(packet)).ljust(60, b"\0")

    def send(self, packets: int) -> int:
        """Let the kernel send packets from the far end, and return how many."""
        with lab.inside(self.wire.far):
            peer = afxdp_wire.index(self.wire)
            context = ctypes.create_string_buffer(_CONTEXT.pack(0, len(self.frame), 0, peer, 0, 0), _CONTEXT.size)
            lab.run_program(
                self.opened["send"].program("send"),
                self.frame,
                packets,
                flags=LIVE_FRAMES,
                batch_size=min(SEND_BATCH, packets),
                ctx_in=ctypes.addressof(context),
                ctx_size_in=_CONTEXT.size,
            )
        return packets

    def paced(self, rate: float, at_once: int, seconds: float = PACED_SECONDS) -> int:
        """Send packets at a rate, some at once, and return how many."""
        begin, sent = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < seconds:
            if sent < passed * rate:
                sent += self.send(at_once)
            else:
                time.sleep(at_once / rate / 4)
        return sent

    def steadily(self, seconds: float) -> int:
        """Send packets as fast as it goes for some time, and return how many."""
        begin, sent = time.monotonic(), 0
        while time.monotonic() - begin < seconds:
            sent += self.send(100_000)
        return sent

    def dropped_by_xdp(self, packets: int) -> float:
        """Return packets in a second that a program drops."""
        with attached(self.opened["drop"].program("drop"), self.wire.nic):
            before, begin = self.wire.received(), time.monotonic()
            self.send(packets)
            seconds = time.monotonic() - begin
            return (packets if self.wire.is_lossless else self.wire.received() - before) / seconds

    def received(
        self,
        way: Way,
        packets: int = 0,
        seconds: float = 0.0,
        watch: str = "",
        rate: float = SLOW_RATE,
        at_once: int = SEND_BATCH,
    ) -> Result:
        """Return what a receiver did.

        Args:
            way: The receiver.
            packets: How many it is sent; 0 are as many as go in some seconds, or those of a rate.
            seconds: How long it is sent packets.
            watch: What it looks at of itself (``internal/receiver``).
            rate: Packets in a second.
            at_once: How many of these come at once.
        """
        with self._running(way, watch) as receiver:
            begin = time.monotonic()
            sent = self.send(packets) if packets else self.steadily(seconds) if seconds else self.paced(rate, at_once)
            took = time.monotonic() - begin
            # What waits in its ring is the receiver's still.
            time.sleep(0.1)
            lasted = time.monotonic() - begin
            receiver.stdin.close()
            said = json.loads(receiver.stdout.readline())
        if way.handler == "forward" and said["forwarded"] != said["packets"]:
            raise SystemExit(f"{way}: {said['forwarded']} of {said['packets']} packets were forwarded")
        lost = sent - said["packets"] - said["dropped"]
        if lost and self.wire.is_lossless:
            raise SystemExit(f"{way}: {lost} of {sent} packets are not accounted for")
        if not said["packets"]:
            raise SystemExit(
                f"{way}: no packet came to {self.wire.nic}: is it cabled to {self.wire.peer}, and does the driver of "
                f"{self.wire.peer} send for XDP (ndo_xdp_xmit)?"
            )
        return Result(sent, lost, took, lasted, **said)

    @contextlib.contextmanager
    def _running(self, way: Way, watch: str) -> Iterator[Any]:
        hand_over = self.opened["hand_over"]
        sockets = hand_over.map("sockets")
        words = [
            self.commands[way.language],
            way.handler,
            self.cpus[1],
            way.batch,
            int(way.spin),
            sockets,
            self.wire.nic,
        ]
        if way.handler == "forward":
            assert self.wire.onward
            words += [self.wire.onward[0], *self.wire.stations]
        with (
            attached(hand_over.program("hand_over"), self.wire.nic),
            subprocess.Popen(
                [str(word) for word in words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=[sockets],
                env={**os.environ, "RECEIVER_WATCH": watch},
                preexec_fn=lambda: os.sched_setaffinity(0, set(self.cpus)),
            ) as receiver,
        ):
            assert receiver.stdout
            if receiver.stdout.readline() != "ready\n":
                raise SystemExit(f"{way}: the receiver did not start")
            yield receiver


@contextlib.contextmanager
def built(receiver: Path | None) -> Iterator[dict[str, Path]]:
    """Build both receivers, but for the one in C where there is one: ``make bench-afxdp`` builds it in an image."""
    with tempfile.TemporaryDirectory() as scratch:
        if not receiver:
            receiver = Path(scratch, "receiver-C")
            source = ROOT / "tests" / "bench" / "afxdp_receiver.c"
            flags = ["-O2", "-Wall", "-Wextra", "-Werror"]
            subprocess.run(["clang", *flags, "-o", str(receiver), str(source), "-lxdp", "-lbpf"], check=True)
        yield {"Go": go_backend.build(Path(scratch), "./internal/receiver"), "C": receiver}


@contextlib.contextmanager
def bench(nic: str = "", peer: str = "", receiver: Path | None = None) -> Iterator[Bench]:
    """Lay the cables, or take the NICs that are named, and load the programs."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise SystemExit(f"CPU {cpus[0]} alone may be used, and two are needed: the generator's and the receiver's")
    named = bool(nic or peer)
    if named:
        afxdp_wire.check(nic, peer)
    content = compiled("afxdp.bpf.c")
    with contextlib.ExitStack() as stack:
        # Before there is another network, which may lead nowhere.
        commands = stack.enter_context(built(receiver))
        opened = {}
        for program in ("send", "drop", "hand_over"):
            opened[program] = stack.enter_context(BpfObject(content, "afxdp.bpf.o"))
            opened[program].load(program, {})
        drop = opened["drop"].program("drop")
        wire = stack.enter_context(afxdp_wire.cabled(nic, peer, drop) if named else afxdp_wire.veth(drop))
        put(opened["send"].map("interface"), struct.pack("=I", afxdp_wire.index(wire)))
        stack.enter_context(pinned_to(cpus[0]))
        yield Bench(opened, wire, (cpus[0], cpus[-1]), commands)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="What a worker of AF_XDP receives and forwards, beside a receiver in C."
    )
    parser.add_argument("rounds", type=int, nargs="?", default=5)
    parser.add_argument("packets", type=int, nargs="?", default=5_000_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long allocations are watched")
    parser.add_argument("--nic", default=os.environ.get("NIC", ""), help="what receives; veth pairs without")
    parser.add_argument("--peer", default=os.environ.get("PEER", ""), help="what sends to it")
    parser.add_argument("--receiver", type=Path, help="the receiver in C, where it has been built")
    options = parser.parse_args()
    if bool(options.nic) != bool(options.peer):
        raise SystemExit("NIC and PEER go together: the NIC that receives, and the one that is cabled to it")
    drops: list[float] = []
    found: dict[Way, list[Result]] = {}
    with bench(options.nic, options.peer, options.receiver) as b:
        handlers = [handler for handler in HANDLERS if handler != "forward" or b.wire.onward]
        ways = [
            Way(language, handler, spin=spin)
            for handler in handlers
            for spin in (False, True)
            for language in ("C", "Go")
        ]
        ways += [Way("Go", "sink", batch) for batch in BATCHES if batch != BATCH]
        for _round in range(options.rounds):
            drops.append(b.dropped_by_xdp(options.packets))
            for way in ways:
                found.setdefault(way, []).append(b.received(way, options.packets))
        slow = [Way("Go", "sink"), Way("C", "sink"), Way("Go", "sink", spin=True)]
        slowly = {way: b.received(way) for way in slow}
        # What sleeps until packets come, at a rate that is the same for both.
        sleepers = [Way("C", "sink"), Way("Go", "sink")]
        rate = statistics.median(one.rate for one in found[sleepers[0]])
        paced: dict[Way, list[Result]] = {}
        for _round in range(options.rounds):
            for way in sleepers:
                paced.setdefault(way, []).append(b.received(way, rate=rate, at_once=BURST))
        last = Way("Go", handlers[-1])
        plain, collected = (b.received(last, seconds=WATCHED_SECONDS, watch=watch) for watch in ("", "collect"))
        heap = b.received(last, seconds=options.seconds, watch="heap")
    for line in (
        *report(options.packets, drops, found),
        *slow_lines(SLOW_RATE, slowly),
        *paced_lines(rate, paced),
        *watched_lines(last, plain, collected, heap),
    ):
        print(line)


if __name__ == "__main__":
    main()
