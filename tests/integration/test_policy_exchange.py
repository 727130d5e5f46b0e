"""Policies of 100,000 prefixes exchanged under traffic: no packet is judged by a mix, uncounted, or kept waiting.

``TRIPOD_EXCHANGES=100`` is the whole of it; without it there are ten.
"""

from __future__ import annotations

import dataclasses
import os
import select
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.clock import hz
from ansible_collections.tripod.baremetal.plugins.module_utils._policy import layout
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import Compiled, compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_in_force

from tests.integration import frames as f
from tests.integration import lab
from tests.support.policy_run import Loaded

EXCHANGES = int(os.environ.get("TRIPOD_EXCHANGES", "10"))
PREFIXES = 100_000
STALL = 0.05  # seconds
SOURCE, OTHERS = "198.51.100.1", (("198.51.100.0", 4000), ("198.51.100.2", 4002))


def compiled(number: int, former: Compiled | None = None) -> Compiled:
    """One of two policies that pass a packet by a rule on two of its fields, and drop all else.

    A field's value stands for a set of rules by its number. In the one policy the numbers of our packet's source and
    port come after those of another's, in the other before them, so that in any mix they mean the other's rule.
    """
    source, port = OTHERS[number]
    ours = {"id": "ours", "source": SOURCE, "protocol": "udp", "destination_port": 4001, "action": "pass"}
    other = {"id": "other", "source": source, "protocol": "udp", "destination_port": port, "action": "drop"}
    prefixes = [f"10.{one >> 12 & 255}.{one >> 4 & 255}.{(one & 15) << 4 | number << 3}/29" for one in range(PREFIXES)]
    policy = {
        "lists": [{"name": "many", "action": "drop", "prefixes": prefixes}],
        "rules": [ours, other],
        "default": "drop",
    }
    slots, bounds = (former.slots, former.bounds) if former else (None, None)
    return compile_policy(parse(policy), hz=hz(), seed=bytes(16), slots=slots, bounds=bounds)


class Apart:
    """Something that a process of its own does until its result is requested.

    Args:
        call: Does it; is given what says that it is to end, and returns a number.
    """

    def __init__(self, call: Callable[[Callable[[], bool]], float]) -> None:
        self._reading, writing = os.pipe()
        ending, self._end = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._end)
            try:
                os.write(writing, struct.pack("=d", call(lambda: bool(select.select([ending], [], [], 0)[0]))))
            finally:
                os._exit(0)
        os.close(writing)
        os.close(ending)

    def result(self) -> float:
        """End it, and return its number."""
        os.write(self._end, b".")  # those who came later have this end, too: it is not closed by closing ours
        os.close(self._end)
        [number] = struct.unpack("=d", os.read(self._reading, 8))
        os.close(self._reading)
        os.waitpid(self._child, 0)
        return float(number)


def longest_gap(cpu: int) -> Callable[[Callable[[], bool]], float]:
    """Look at the clock of a CPU before anybody else may run there, and return how long it stood still (seconds)."""

    def watch(ended: Callable[[], bool]) -> float:
        os.sched_setaffinity(0, {cpu})
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        except PermissionError:  # a group that may have none
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, 0, -20)
        worst, before = 0.0, time.monotonic()
        while not ended():
            time.sleep(0.001)
            now = time.monotonic()
            worst, before = max(worst, now - before), now
        return worst

    return watch


def sender(cable: lab.Cable) -> Callable[[Callable[[], bool]], float]:
    """Send a packet that both policies pass, as fast as it goes, and return how often."""
    frame = f.ethernet(f.IPV4, f.ipv4(SOURCE))

    def send(ended: Callable[[], bool]) -> int:
        sent = 0
        with cable.sender() as socket:
            while not ended():
                lab.put(socket, *[frame] * 64)
                sent += 64
        return sent

    return send


@pytest.fixture
def judged(cable, xdp_object) -> Iterator[tuple[Loaded, list[Compiled]]]:
    first = compiled(0)
    second = compiled(1, first)
    assert first.bounds == second.bounds
    with Loaded(Path(xdp_object).read_bytes(), first, tracing=False) as ours:
        link = bpf.create_xdp_link(ours.program, netlink.link(cable.nic).index, "native")
        try:
            yield ours, [second, first]
        finally:
            os.close(link)


def longest_gap_while(call: Callable[[], None]) -> float:
    """Return for how long a CPU stood still at the most while something was done (seconds)."""
    watchers = [Apart(longest_gap(cpu)) for cpu in sorted(os.sched_getaffinity(0))]
    time.sleep(0.2)
    call()
    return max(one.result() for one in watchers)


def test_no_packet_is_judged_by_a_mix_or_lost_and_no_cpu_stands_still(cable, judged, capsys):
    ours, policies = judged

    def exchange() -> None:
        for number in range(EXCHANGES):
            with policy_in_force.made(policies[number % 2]) as inner:
                policy_in_force.put(ours.map("policy"), ours.map("hits"), inner, [])

    before, counted = cable.packets_sent(), sum(ours.counters().values())
    sending = Apart(sender(cable))
    quiet = longest_gap_while(lambda: time.sleep(1))
    began = time.monotonic()
    busy = longest_gap_while(exchange)
    seconds = time.monotonic() - began
    sent = int(sending.result())
    verdicts = ours.counters()
    with capsys.disabled():
        each = f"{seconds / EXCHANGES * 1000:.0f} ms each"
        print(f" [{EXCHANGES} x {PREFIXES}, {each}, {sent} packets, longest gap {busy * 1000:.1f} ms", end="")
        print(f", {quiet * 1000:.1f} without]", end="")
    assert sent > 100 * EXCHANGES
    # Each of our packets is passed by the one rule, and what else there is comes from the kernel, which sends no UDP.
    assert verdicts["pass", "rule_pass"] == sent
    assert sum(verdicts.values()) - counted == cable.packets_sent() - before
    # A machine that has less than one CPU for us stands still by itself.
    assert busy < max(STALL, 2 * quiet)


def test_the_two_policies_contradict_each_other(judged):
    """What the test above relies on: half of one with half of the other drops the packet."""
    ours, [second, first] = judged
    frame = f.ethernet(f.IPV4, f.ipv4(SOURCE))
    ports = slice(layout.OFFSETS["destination_port"], layout.OFFSETS["length"])
    sets = slice(first.bounds["sets"], first.bounds["sets"] + first.bounds["sets_count"] * layout.TABLES["sets"].size)
    for one, other in ((first, second), (second, first)):
        ours.judge_by(one)
        assert lab.run_program(ours.program, frame) == lab.VERDICTS.index("pass")
        for table in (ports, sets):
            mixed = bytearray(one.data)
            mixed[table] = other.data[table]
            ours.judge_by(dataclasses.replace(one, data=mixed))
            assert lab.run_program(ours.program, frame) == lab.VERDICTS.index("drop"), table
