"""Packets from outside, through the real driver: filtered by its native XDP, and counted to the last one."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.frames import IPV4, ethernet, ipv4
from tests.support.site import eventually

NIC, CABLE = "ens1", "igb0"
COUNTERS = f"/sys/fs/bpf/tripod/{NIC}/maps/counters"
DROPPED, PASSED = "203.0.113.7", "198.51.100.7"
# verdict * 16 + reason, of files/bpf/tripod_xdp.h: XDP_DROP for list_drop, XDP_PASS for no_rule
DROP, PASS = 1 * 16 + 2, 2 * 16 + 0
PACKETS = 500


def counted(host: Any, index: int, pin: str = COUNTERS) -> int:
    """Return the packets of one counter, on all CPUs, as bpftool(8) reads it."""
    held = json.loads(host.check_output(f"bpftool --json map lookup pinned {pin} key {index} 0 0 0"))
    return sum(one["value"]["packets"] for one in held["formatted"]["values"])


def test_the_program_runs_in_the_driver(host):
    [link] = json.loads(host.check_output(f"ip -j -d link show dev {NIC}"))
    assert link["xdp"]["mode"] == 1, "XDP_ATTACHED_DRV of linux/if_link.h"


def test_packets_from_outside_are_filtered_and_counted(host, outside):
    cable = outside(CABLE)
    before = counted(host, DROP), counted(host, PASS)
    frames = {one: ethernet(IPV4, ipv4(one), destination=cable.target) for one in (DROPPED, PASSED)}
    # The emulated NIC loses what comes faster than the guest takes it.
    cable.send(*[frames[DROPPED]] * PACKETS, per_second=500)
    cable.send(*[frames[PASSED]] * PACKETS, per_second=500)
    eventually("every dropped packet is counted", lambda: counted(host, DROP) - before[0] == PACKETS, 30)
    # The guest hears neighbours too, so there can be more of these.
    eventually("every passed packet is counted", lambda: counted(host, PASS) - before[1] >= PACKETS, 30)
    assert counted(host, DROP) - before[0] == PACKETS
