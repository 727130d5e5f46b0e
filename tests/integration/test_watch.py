"""What the watch does of its own, by packets, clock and CPU time: NICs made anew, and changes without an event."""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf

from tests.integration import lab
from tests.integration.agent_site import ENTRIES, NIC, PATIENCE, PEER, Site
from tests.support.machine import eventually

WINDOW = 0.1  # seconds in which a NIC that was made anew may let blocked sources through
BLOCKED, MAGIC = "203.0.113.7", b"tripod-watch-test"
ROUND = 5.0  # seconds between two rounds of the watch
COST = 0.002  # of a core
MEASURED = 60.0  # seconds
NICS = 8


def frame() -> bytes:
    """UDP from a blocked source."""
    payload = struct.pack("!HHHH", 4000, 4001, 8 + len(MAGIC), 0) + MAGIC
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, 17, 0, *map(socket.inet_aton, (BLOCKED, "192.0.2.1"))
    )
    return b"\xff" * 6 + b"\x02" * 6 + b"\x08\x00" + header + payload


class Traffic:
    """Sends from a blocked source into the cable, whenever there is one, and notes what arrives at the NIC."""

    def __init__(self, site: Site) -> None:
        self.arrived: list[float] = []
        self.sent = 0
        self._ended = threading.Event()
        with open(f"/proc/{site.holder.pid}/ns/net") as namespace, lab.inside(namespace.fileno()):
            self._near = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            self._far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._near.settimeout(0.1)
        self._threads = [threading.Thread(target=one) for one in (self._receive, self._send)]

    def _receive(self) -> None:
        while not self._ended.is_set():
            try:
                content, (name, _protocol, kind, *_rest) = self._near.recvfrom(2048)
            except (TimeoutError, OSError):
                continue
            if name == NIC and kind != socket.PACKET_OUTGOING and content.endswith(MAGIC):
                self.arrived.append(time.monotonic())

    def _send(self) -> None:
        content = frame()
        while not self._ended.is_set():
            try:
                self._far.sendto(content, (PEER, 0))
                self.sent += 1
            except OSError:  # there is no such interface, or it is down
                time.sleep(0.0001)

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._near.close()
        self._far.close()


def recreate(site: Site) -> float:
    """Delete the NIC and make it anew, up and running from its first millisecond; return when that began."""
    site.run("ip", "link", "delete", NIC)
    ends = "numrxqueues 2 numtxqueues 2"
    lines = [f"link add {NIC} up {ends} type veth peer name {PEER} {ends}", f"link set {PEER} up"]
    site.run("sh", "-c", f"printf '%s\\n' {' '.join(repr(line) for line in lines)} > /run/batch")
    begin = time.monotonic()
    site.run("ip", "-batch", "/run/batch")
    return begin


def test_a_nic_made_anew_blocks_within_a_tenth_of_a_second(site, xdp_object):
    site.install()
    site.declare(xdp_object)
    for _attempt in range(3):
        with Traffic(site) as traffic:
            begin = recreate(site)
            eventually(lambda: site.program() is not None, PATIENCE)
            time.sleep(1)
            sent = traffic.sent
            time.sleep(0.5)
        assert traffic.sent > sent, "nothing was sent that could have passed"
        passed = traffic.arrived
        window = passed[-1] - begin if passed else 0.0
        print(f"{len(passed)} of {traffic.sent} passed, the last {window * 1000:.0f} ms after the NIC was made")
        assert window < WINDOW
    assert site.policy() == len(ENTRIES)
    eventually(lambda: site.metric("reattached") == 3, PATIENCE)
    eventually(lambda: site.tripod_host("status").returncode == 0, PATIENCE)


def test_a_nic_made_anew_waits_for_nobody_who_changes_other_things(site, xdp_object):
    site.install()
    site.declare(xdp_object)
    with site.busy():
        with Traffic(site) as traffic:
            begin = recreate(site)
            time.sleep(1)
        assert site.program() is not None
        assert not traffic.arrived or traffic.arrived[-1] - begin < WINDOW


def test_where_nothing_is_pinned_any_more_the_program_is_loaded_at_once(site, xdp_object):
    site.install()
    site.declare(xdp_object)
    site.run("ip", "link", "delete", NIC)
    site.run("rm", "-rf", f"{site.pins}/{NIC}")
    site.cable(NIC, PEER)
    took = eventually(lambda: site.program() is not None and site.policy() == len(ENTRIES), PATIENCE)
    print(f"{took * 1000:.0f} ms")
    eventually(lambda: "its program was attached" in site.log.read_text(), PATIENCE)


def test_another_program_under_the_pin_is_not_attached_unseen(site, xdp_object):
    """What the state file does not speak of goes the whole way."""
    site.install()
    site.declare(xdp_object)
    loaded = site.program()
    site.run("sh", "-c", f'sed -i \'s/"id": {loaded}/"id": 1/\' /etc/tripod/host.d/xdp-{NIC}.json')
    recreate(site)
    eventually(lambda: site.program() not in (None, loaded), PATIENCE)
    eventually(lambda: site.tripod_host("status").returncode == 0, PATIENCE)


def test_a_link_that_somebody_detached_is_attached_again_and_that_is_said(site, xdp_object):
    site.install()
    site.declare(xdp_object)
    time.sleep(ROUND + 1)
    with bpf.pinned(str(site.pins / NIC / "link")) as descriptor:
        bpf.detach_link(descriptor)
    assert site.program() is None
    took = eventually(lambda: site.program() is not None, PATIENCE)
    assert took < 2 * ROUND
    eventually(lambda: f"{NIC} changed without an event (XDP program)" in site.log.read_text(), PATIENCE)
    # The log has a round's line before its metrics are written.
    eventually(lambda: (site.metric("drifts"), site.metric("reapplied")) == (1, 1), PATIENCE)
    time.sleep(ROUND + 2)
    assert site.metric("drifts") == 1, "what was restored is as it was left"


@pytest.mark.full
def test_a_link_detached_before_the_first_round_is_attached_again(site, xdp_object):
    site.install()
    site.declare(xdp_object)
    with bpf.pinned(str(site.pins / NIC / "link")) as descriptor:
        bpf.detach_link(descriptor)
    eventually(lambda: site.program() is not None, PATIENCE)


def gro(site: Site) -> bool:
    return "generic-receive-offload: on" in site.run("ethtool", "-k", NIC)


@pytest.mark.parametrize(
    ("part", "change", "is_back"),
    [
        ("link settings", f"ip link set {NIC} mtu 1500", lambda site: site.mtu() == 1400),
        pytest.param("driver settings", f"ethtool -K {NIC} gro on", lambda site: not gro(site), marks=pytest.mark.full),
        pytest.param(
            "interrupts or queues",
            f"echo 1 > /sys/class/net/{NIC}/queues/rx-0/rps_cpus",
            lambda site: site.rps() == "2",
            marks=pytest.mark.full,
        ),
    ],
)
def test_settings_that_somebody_changes_by_hand_are_restored(site, part, change, is_back):
    site.install()
    settings = {"name": NIC, "mtu": 1400, "features": {"rx-gro": False}, "rps": {"cpus": "1"}}
    assert site.module("nic", nics=[settings]).changed
    eventually(lambda: site.metric("patrols") >= 2, PATIENCE)
    assert is_back(site)
    site.run("sh", "-c", change)
    assert not is_back(site)
    eventually(lambda: is_back(site), PATIENCE)
    eventually(lambda: f"{NIC} changed without an event ({part})" in site.log.read_text(), PATIENCE)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, all of its threads, to the nanosecond."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


@pytest.mark.full
def test_looking_after_eight_nics_costs_next_to_nothing(site, xdp_object):
    site.install()
    nics = [f"xdp{number}" for number in range(NICS)]
    for number in range(1, NICS):
        site.cable(f"xdp{number}", f"peer{number}")
    for name in nics:
        assert site.module("xdp_program", interface=name, object=str(xdp_object), pin_root=str(site.pins)).changed
    settings = {"mtu": 1400, "features": {"rx-gro": False}, "rps": {"cpus": "1"}}
    assert site.module("nic", nics=[{"name": name, **settings} for name in nics]).changed
    time.sleep(3 * ROUND)
    pid, rounds = site.pid(), site.metric("patrols")
    begin, before = time.monotonic(), cpu_seconds(pid)
    time.sleep(MEASURED)
    share = (cpu_seconds(pid) - before) / (time.monotonic() - begin)
    rounds = site.metric("patrols") - rounds
    print(f"{share:.4%} of a core, {rounds} rounds")
    assert rounds >= MEASURED / ROUND - 2
    assert share < COST
