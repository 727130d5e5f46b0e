"""Drop a flood of 100,000 sources that 100,000 prefixes hold, and compare packets per CPU second with release 1.0.0.

Usage (as root): python -m tests.bench.xdp_drop OBJECT [ROUNDS [PACKETS]]

A veth pair between two CPUs: one redirects frames to its far end, all the time; the other does nothing but poll the
near end and run its program, as the CPU of a queue does in a flood, and is what is measured. What it cannot keep up
with is lost before the program. Prints the best round of each program, and the ratio.
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

from tests.bench import xdp_policies, xdp_programs
from tests.bench.xdp_stream import MOST_SOURCES, Stream, attached, compiled, machine, pinned_to
from tests.integration import lab

PREFIXES = 100_000
BATCH = 64
SETTLED = 0.05  # seconds until the last packets are polled
LEAST = 0.02  # of the packets; of fewer the start of a round would be too much
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


@contextlib.contextmanager
def polled_by(cpu: int, nic: str) -> Iterator[Callable[[], int]]:
    """Have one thread of the kernel on one CPU poll an interface of this namespace; yield its CPU time (ns)."""
    _set_threaded(nic, on=True)
    try:
        [thread] = [
            path.parent
            for path in Path("/proc").glob("[0-9]*/comm")
            if path.read_text(encoding="utf-8").startswith(f"napi/{nic}-")
        ]
        os.sched_setaffinity(int(thread.name), {cpu})
        yield lambda: int((thread / "schedstat").read_text(encoding="ascii").split()[0])
    finally:
        _set_threaded(nic, on=False)


def _set_threaded(nic: str, on: bool) -> None:
    # A file system of its own, as the one that is mounted shows the interfaces of another namespace.
    script = f"mount -t sysfs sysfs /sys && echo {on:d} > /sys/class/net/{nic}/threaded"
    subprocess.run(["unshare", "--mount", "sh", "-c", script], check=True)


def dropped(nic: str) -> int:
    """Return how many packets the programs of a veth have dropped."""
    words = subprocess.run(["ethtool", "-S", nic], check=True, capture_output=True, text=True).stdout
    return sum(int(number) for number in re.findall(r"rx_queue_\d+_xdp_drops: (\d+)", words))


def main() -> None:
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    packets = int(sys.argv[3]) if len(sys.argv) > 3 else 2_000_000
    near, far = sorted(os.sched_getaffinity(0))[-2:]
    entries = xdp_policies.prefixes(PREFIXES, 4)
    sources = xdp_policies.sources(MOST_SOURCES, 4, entries, xdp_policies.Sent.HIT)
    driver = compiled("sources.bpf.c")
    content = Path(sys.argv[1]).read_bytes()
    best: dict[str, float] = {}
    with contextlib.ExitStack() as stack, pinned_to(far):
        cable = stack.enter_context(lab.cable(queues=1))
        with lab.inside(cable.far):
            peer = socket.if_nametoindex(cable.peer)
        stream = stack.enter_context(Stream(driver, 4, sources, interface=peer))
        programs = {
            "XDP_DROP": stack.enter_context(xdp_programs.nothing(1)),
            "release 1.0.0": stack.enter_context(xdp_programs.released(entries)),
            "this": stack.enter_context(xdp_programs.ours(content, xdp_policies.acl(entries))),
        }
        for _round in range(rounds):
            for name, program in programs.items():
                with attached(program, cable.nic), polled_by(near, cable.nic) as clock:
                    before, begin = dropped(cable.nic), clock()
                    with lab.inside(cable.far):
                        send(stream, packets, peer)
                    time.sleep(SETTLED)
                    spent, count = clock() - begin, dropped(cable.nic) - before
                if count < LEAST * packets:
                    raise SystemExit(f"{name}: {count} of {packets} packets were dropped by the program")
                best[name] = max(best.get(name, 0.0), count * 1e9 / spent)
    print(machine())
    print(
        f"{MOST_SOURCES} sources in {PREFIXES} prefixes, all dropped; best of {rounds} rounds of {packets} packets sent"
    )
    for name, rate in best.items():
        print(f"{name:14} {rate / 1e6:6.2f} million packets per CPU second, {1e9 / rate:7.1f} ns each")
    ratio = best["this"] / best["release 1.0.0"]
    print(f"ratio to release 1.0.0: {ratio:.1f} (goal: {GOAL:.1f}){'' if ratio >= GOAL else '  MISSED'}")


if __name__ == "__main__":
    main()
