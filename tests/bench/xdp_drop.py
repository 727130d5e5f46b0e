"""Drop a flood of 100,000 sources that 100,000 prefixes hold, and compare packets per CPU second with release 1.0.0.

Usage (as root): python -m tests.bench.xdp_drop OBJECT [ROUNDS [PACKETS]]

A veth pair on one CPU: frames are redirected to its far end in batches of 64, so that the near end's poll and program
are nearly all that the CPU does. Prints the best round of each program, and the ratio.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf

from tests.bench import xdp_policies, xdp_programs
from tests.bench.xdp_stream import MOST_SOURCES, Stream, compiled, machine, pinned_to
from tests.integration import lab

PREFIXES = 100_000
BATCH = 64
GOAL = 3.0
_LIVE_FRAMES = 1 << 1
_CONTEXT = struct.Struct("=6I")  # struct xdp_md


def send(stream: Stream, packets: int, interface: int) -> None:
    """Let the kernel send packets, each with the next source, from an interface of this namespace."""
    context = ctypes.create_string_buffer(_CONTEXT.pack(0, len(stream.frame), 0, interface, 0, 0), _CONTEXT.size)
    lab.run_program(
        stream.program,
        stream.frame,
        packets,
        flags=_LIVE_FRAMES,
        batch_size=BATCH,
        ctx_in=ctypes.addressof(context),
        ctx_size_in=_CONTEXT.size,
    )


def softirq_clock(cpu: int) -> Callable[[], int]:
    """Return what tells the CPU time of the thread that takes over a CPU's polls when there are many (ns)."""
    [thread] = [
        path.parent
        for path in Path("/proc").glob("[0-9]*/comm")
        if path.read_text(encoding="utf-8").strip() == f"ksoftirqd/{cpu}"
    ]
    return lambda: int((thread / "schedstat").read_text(encoding="ascii").split()[0])


def dropped(nic: str) -> int:
    """Return how many packets the programs of a veth have dropped."""
    words = subprocess.run(["ethtool", "-S", nic], check=True, capture_output=True, text=True).stdout
    return sum(int(number) for number in re.findall(r"rx_queue_\d+_xdp_drops: (\d+)", words))


@contextlib.contextmanager
def attached(program: int, nic: str) -> Iterator[None]:
    """Let a program judge what an interface receives."""
    link = bpf.create_xdp_link(program, socket.if_nametoindex(nic), "native")
    try:
        yield
    finally:
        os.close(link)


def main() -> None:
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    packets = int(sys.argv[3]) if len(sys.argv) > 3 else 2_000_000
    cpu = max(os.sched_getaffinity(0))
    entries = xdp_policies.prefixes(PREFIXES, 4)
    sources = xdp_policies.sources(MOST_SOURCES, 4, entries, hit=True)
    driver = compiled("sources.bpf.c")
    content = Path(sys.argv[1]).read_bytes()
    best: dict[str, float] = {}
    with contextlib.ExitStack() as stack, pinned_to(cpu):
        cable = stack.enter_context(lab.cable(queues=1))
        with lab.inside(cable.far):
            peer = socket.if_nametoindex(cable.peer)
        stream = stack.enter_context(Stream(driver, 4, sources, interface=peer))
        programs = {
            "XDP_DROP": stack.enter_context(xdp_programs.nothing(1)),
            "release 1.0.0": stack.enter_context(xdp_programs.released(entries)),
            "this": stack.enter_context(xdp_programs.ours(content, xdp_policies.acl(entries))),
        }
        clock = softirq_clock(cpu)
        for _round in range(rounds):
            for name, program in programs.items():
                with attached(program, cable.nic):
                    before = dropped(cable.nic)
                    begin = time.thread_time_ns() + clock()
                    with lab.inside(cable.far):
                        send(stream, packets, peer)
                    spent = time.thread_time_ns() + clock() - begin
                    missed = packets - (dropped(cable.nic) - before)
                if missed:
                    raise SystemExit(f"{name}: {missed} of {packets} packets were not dropped")
                best[name] = max(best.get(name, 0.0), packets * 1e9 / spent)
    print(machine())
    print(f"{MOST_SOURCES} sources in {PREFIXES} prefixes, all dropped; best of {rounds} rounds of {packets} packets")
    for name, rate in best.items():
        print(f"{name:14} {rate / 1e6:6.2f} million packets per CPU second, {1e9 / rate:7.1f} ns each")
    ratio = best["this"] / best["release 1.0.0"]
    print(f"ratio to release 1.0.0: {ratio:.1f} (goal: {GOAL:.1f}){'' if ratio >= GOAL else '  MISSED'}")


if __name__ == "__main__":
    main()
