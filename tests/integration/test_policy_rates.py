"""What limits let through of many sources on two CPUs at once, by the clock, and of one in a flood of ten million.

A program gives each run another source and calls ours, so that two processes, each on a CPU of its own, offer millions
of packets a second in real time. ``TRIPOD_LIMITS_SECONDS=10`` is the whole of it, without it each takes a second.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, bpf_map
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_run import RunOptions
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.clock import hz
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.libbpf import library
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.called import OURS, fill

from tests.integration import frames as f
from tests.integration import lab
from tests.support.policy_run import Loaded

SECONDS = float(os.environ.get("TRIPOD_LIMITS_SECONDS", "1"))
WHOLE = SECONDS >= 10
FLOOD = 10_000_000 if WHOLE else 1_000_000
CPUS = sorted(os.sched_getaffinity(0))[:2]
FIRST, LIMITED = 0x0A000000, 0xC6336401  # 10.0.0.0, 198.51.100.1
FRAME = f.ethernet(f.IPV4, f.ipv4("10.0.0.0"))
TICK = 0.001  # seconds between two batches
_STATE = struct.Struct("=6I")


@dataclass(frozen=True)
class Offered:
    """What a process offered.

    Attributes:
        sent: Packets.
        idle: Seconds in which it offered nothing, as the machine did something else.
    """

    sent: int
    idle: float


class Flood:
    """Our program under a policy, behind one that gives packets their sources."""

    def __init__(self, ours: Loaded, program: int, state: int, slots: Mapping[str, int]) -> None:
        self.ours, self.slots = ours, slots
        self._program, self._state = program, state

    def aim(self, count: int, every: int = 0) -> None:
        """Set how many sources there are, and after how many packets the limited one comes."""
        cpus = library().libbpf_num_possible_cpus()
        # Each CPU begins elsewhere, so that both are at different sources at a time.
        values = (_STATE.pack(FIRST, count, cpu * count // cpus, every, LIMITED, 0) for cpu in range(cpus))
        assert bpf_map.update(self._state, [(bytes(4), b"".join(values))]) == 1

    def offer(self, cpu: int, rate: float, seconds: float, patience: float) -> Offered:
        """Offer packets in this process, so many a second; what was missed is not made up for."""
        os.sched_setaffinity(0, {cpu})
        options = RunOptions(sz=ctypes.sizeof(RunOptions), data_in=FRAME, data_size_in=len(FRAME))
        sent, idle, part = 0, 0.0, 0.0
        began = before = time.monotonic()
        while before - began < seconds:
            time.sleep(TICK)
            now = time.monotonic()
            gap, before = now - before, now
            # All of it: a bucket that was full, as each is at the beginning, gained nothing from its first moment on.
            idle += gap if gap > patience else 0.0
            part += rate * min(gap, patience)
            options.repeat, part = int(part), part % 1
            if options.repeat:
                options.data_size_out = 0
                assert library().bpf_prog_test_run_opts(self._program, ctypes.byref(options)) == 0
                sent += options.repeat
        return Offered(sent, idle)

    def exhaust(self, cpu: int, packets: int) -> Offered:
        """Offer so many packets as fast as it can."""
        os.sched_setaffinity(0, {cpu})
        for _batch in range(packets // 10_000):
            lab.run_program(self._program, FRAME, 10_000)
        return Offered(packets, 0)


@contextmanager
def flood(content: bytes, source: bytes, policy: Mapping[str, Any]) -> Iterator[Flood]:
    compiled = compile_policy(parse(policy), hz=hz(), seed=bytes(range(16)))
    with ExitStack() as held:
        ours = held.enter_context(Loaded(content, compiled, tracing=False))
        gives = held.enter_context(BpfObject(source, "flood.o"))
        gives.load("flood", {"extensions": ours.map("extensions")})
        fill(ours.map("extensions"), {OURS: ours.program})
        yield Flood(ours, gives.program("flood"), gives.map("floods"), compiled.slots)


def side_by_side(calls: Sequence[Callable[[], Offered]]) -> list[Offered]:
    """Run each in a process of its own, at the same time."""
    readers = []
    for call in calls:
        reading, writing = os.pipe()
        if os.fork() == 0:
            try:
                made = call()
                os.write(writing, json.dumps([made.sent, made.idle]).encode())
            finally:
                os._exit(0)
        os.close(writing)
        readers.append(reading)
    found = []
    for reading in readers:
        with os.fdopen(reading, "rb") as pipe:
            found.append(Offered(*json.loads(pipe.read())))
        os.wait()
    return found


@pytest.fixture(scope="module")
def content(xdp_object: Path) -> bytes:
    return xdp_object.read_bytes()


@pytest.fixture(scope="module")
def giver(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("flood") / "flood.bpf.o"
    source = Path(__file__).parent / "objects" / "flood.bpf.c"
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-c", str(source), "-o", str(path)], check=True)
    return path.read_bytes()


@pytest.mark.skipif(len(CPUS) < 2, reason="two CPUs that charge the same buckets are what is tried")
@pytest.mark.parametrize("offered", [0.5, 2, 10])
@pytest.mark.parametrize(("sources", "rate"), [(1, 10), (1, 10_000), (100, 1000), (10_000, 100)])
def test_a_limit_by_source_delivers_its_rate(content, giver, capsys, sources, rate, offered):
    span = 0.5  # seconds of the rate that a burst holds
    limit = {"name": "l", "every_packet": True, "packets": f"{rate}/s", "burst": int(rate * span)}
    with flood(content, giver, {"limits": [limit]}) as made:
        made.aim(sources)
        each = offered * rate * sources / len(CPUS)
        began = time.monotonic()
        done = side_by_side([partial(made.offer, cpu, each, SECONDS, span / 5) for cpu in CPUS])
        elapsed = time.monotonic() - began
        counted = made.ours.counters()
    sent, delivered = sum(one.sent for one in done), counted["pass", "no_rule"]
    assert sent == sum(counted.values())
    # A bucket that nobody asks while it is full gains nothing: that much less may have come.
    most = sources * rate * (elapsed + span)
    least = sources * rate * (SECONDS - min(one.idle for one in done) + span)
    with capsys.disabled():
        print(f" [{sources} x {rate}/s, offered {sent / elapsed:.0f}/s: {delivered / min(sent, most):.3f}]", end="")
    one_each = sources if rate < 100 else 0  # a packet is more than 5 % of so few
    assert 0.95 * min(sent, least) - one_each <= delivered <= 1.05 * min(sent, most) + one_each


@pytest.mark.skipif(len(CPUS) < 2, reason="the flood has a CPU of its own")
@pytest.mark.parametrize("burst", [1, 100])
def test_a_flood_of_spoofed_sources_frees_nobody_and_takes_no_memory(content, giver, capsys, burst):
    rate = 100
    policy = {
        "lists": [{"name": "slow", "action": "limit:slow", "prefixes": ["198.51.100.1"]}],
        "limits": [
            {"name": "slow", "packets": f"{rate}/s", "burst": burst},
            {"name": "all", "packets": "100k/s", "burst": 10_000, "every_packet": True},
        ],
    }
    with flood(content, giver, policy) as made:
        made.aim(FLOOD, every=10)
        before = memory(made.ours)
        began = time.monotonic()
        side_by_side([partial(made.exhaust, cpu, FLOOD) for cpu in CPUS])
        elapsed = time.monotonic() - began
        met, exceeded = (made.ours.hits()[made.slots[part]][0] for part in ("list:slow", "limit:slow"))
        assert memory(made.ours) == before
    delivered = met - exceeded
    with capsys.disabled():
        print(f" [{met / elapsed:.0f}/s offered, {delivered / (rate * elapsed + burst):.3f} of the rate]", end="")
    assert met > 3 * rate * elapsed, "the machine was too slow to exceed anything"
    assert delivered <= 1.1 * (rate * elapsed + burst)
    assert delivered >= min(burst, met)


def memory(ours: Loaded) -> int:
    """What the map of buckets takes (bytes), as the kernel has it."""
    buckets = ours.map("buckets")
    [words] = [
        line.split()[1] for line in Path(f"/proc/self/fdinfo/{buckets}").read_text().splitlines() if "memlock" in line
    ]
    assert bpf.map_info(buckets).layout.type == "array"
    return int(words)
