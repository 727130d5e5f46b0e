"""Bans in the real map, judged by real packets."""

from __future__ import annotations

import shutil
import statistics
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_bans import MAXIMUM, Bans
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_client import call
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_places import BanMaps, Trusted
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_server import Server
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_service import PolicyService
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Refused, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.record import boot_clock
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.ban_map import BanMap, Entry, key
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_set import DesiredPolicy, PolicySet
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import frames, lab

NIC = lab.Cable.nic
BANNED, OTHER = "203.0.113.9", "203.0.113.10"
PACKETS = 50


class Bench:
    """A NIC with our program, and the agent's bans for it."""

    def __init__(self, cable: lab.Cable, root: Path, directory: Path, source: Path) -> None:
        self.cable, self.root, self.directory, self.source = cable, root, directory, source
        self.states = directory / "host.d"
        self.attach()
        self.bans = self.start()

    def attach(self) -> None:
        desired = Desired(
            NIC, object=str(self.source), pin_root=str(self.root), state_directory=str(self.states), mode="generic"
        )
        converge(XdpProgram(desired), desired, Host())

    def start(self) -> Bans:
        """The agent, started (again)."""
        states = str(self.states)
        bans = Bans(Host(), BanMaps(Host(), states), Trusted(Host(), states), str(self.directory / "bans.journal"))
        bans.tend()
        return bans

    def ban(self, address: str, seconds: float = 600):
        return self.bans.ban(address, seconds, "api", "test", "")

    @property
    def pins(self) -> Path:
        return self.root / NIC

    def held(self) -> dict[bytes, Entry]:
        table = BanMap(str(self.pins))
        try:
            return table.entries()
        finally:
            table.close()

    def announced(self) -> int:
        """What the program is told of how many there are."""
        table = BanMap(str(self.pins))
        try:
            return table._count[0]
        finally:
            table.close()

    def fate(self, source: str) -> tuple[str, str]:
        """What becomes of packets of a source: the verdict and reason that were counted for all of them."""
        with self.cable.sender() as sender:
            return lab.fate(self.pins / "maps/counters", sender, frames.of(source), PACKETS)


@pytest.fixture
def bench(cable, pin_root, tmp_path, xdp_object):
    return Bench(cable, pin_root, tmp_path, xdp_object)


@pytest.mark.parametrize("source", [BANNED, "2001:db8::9", "::ffff:203.0.113.9"])
def test_what_comes_from_a_banned_address_is_dropped_and_nothing_else(bench, source):
    assert bench.fate(source) == ("pass", "no_rule")
    bench.ban(source)
    assert bench.fate(source) == ("drop", "ban")
    assert bench.fate(OTHER) == bench.fate("2001:db8::a") == ("pass", "no_rule")
    [one] = bench.bans.page(10)
    assert one["packets"] == PACKETS
    bench.bans.unban(source)
    assert bench.fate(source) == ("pass", "no_rule")
    assert (bench.held(), bench.announced()) == ({}, 0)


def test_a_ban_runs_out_to_the_moment_though_nobody_sweeps(bench):
    counters = bench.pins / "maps/counters"
    made = bench.ban(BANNED, 2)

    def dropped():
        return lab.read_counters(counters).get(("drop", "ban"), 0)

    last, first = 0.0, None
    with bench.cable.sender() as sender:
        while first is None:
            before, begun = dropped(), boot_clock()
            sender.send(frames.of(BANNED))
            ended = boot_clock()
            if dropped() > before:
                last = begun
            else:
                first = ended
            assert begun < made.until + 1, "it does not end"
            time.sleep(0.002)
    assert last < made.until <= first
    assert first - last < 0.1
    assert key(BANNED) in bench.held(), "it was swept out before its end was seen"
    bench.bans.tend()
    assert (bench.held(), bench.announced(), len(bench.bans)) == ({}, 0, 0)


def test_bans_go_along_to_maps_that_are_new(bench):
    bench.ban(BANNED)
    (bench.pins / "link").unlink()
    shutil.rmtree(bench.pins)
    bench.attach()
    assert bench.fate(BANNED) == ("pass", "no_rule")
    bench.bans.tend()
    assert bench.fate(BANNED) == ("drop", "ban")
    bench.bans.unban(BANNED)
    assert bench.fate(BANNED) == ("pass", "no_rule")


def test_bans_outlive_the_agent_and_what_it_did_not_note_goes(bench):
    bench.ban(BANNED)
    # As if it had been killed between the map and the journal.
    table = BanMap(str(bench.pins))
    table.put({key(OTHER): Entry(int((boot_clock() + 600) * 1e9), 2)}, 2)
    table.close()
    assert bench.fate(OTHER) == ("drop", "ban")
    bench.bans = bench.start()
    assert bench.fate(BANNED) == ("drop", "ban")
    assert bench.fate(OTHER) == ("pass", "no_rule")
    assert bench.announced() == 1


def test_a_ban_reaches_past_every_policy_but_what_is_trusted(bench):
    document = {
        "trusted": [{"prefix": "203.0.113.0/28"}],
        "lists": [{"name": "friends", "action": "pass", "prefixes": ["198.51.100.0/24"]}],
    }
    desired = DesiredPolicy("edge", [NIC], document, pin_root=str(bench.root), state_directory=str(bench.states))
    converge(PolicySet(desired), desired, Host())
    assert bench.fate("198.51.100.7") == ("pass", "list_pass")
    bench.ban("198.51.100.7")
    assert bench.fate("198.51.100.7") == ("drop", "ban")
    with pytest.raises(Refused, match=r"203\.0\.113\.9 is in the trusted prefix 203\.0\.113\.0/28 of policy edge"):
        bench.ban(BANNED)
    assert bench.fate(BANNED) == ("pass", "trusted")


def test_a_map_is_full_with_as_many_bans_as_there_may_be(bench):
    table = BanMap(str(bench.pins))
    try:
        assert table.limit == MAXIMUM
        entry = Entry(1, 2)
        table.put({key(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"): entry for n in range(MAXIMUM)}, MAXIMUM)
        with pytest.raises(OSError, match="No space left"):
            table.put({key(BANNED): entry}, MAXIMUM)
    finally:
        table.close()
    # None of them is one of the agent's, and all have run out.
    bench.bans = bench.start()
    assert (bench.held(), bench.announced()) == ({}, 0)


def test_a_ban_takes_less_than_ten_milliseconds_by_the_socket(bench, tmp_path):
    service = PolicyService(Host(), bench.bans, str(bench.states))
    path, ended = str(tmp_path / "policy.sock"), threading.Event()
    server = Server(path, 0, [], service.handle)
    thread = threading.Thread(target=server.run, args=(ended,))
    thread.start()
    try:
        for number in range(2000):
            bench.ban(f"10.1.{number >> 8}.{number & 255}")
        taken = []
        for number in range(100):
            for op, options in (("ban", {"seconds": 60}), ("unban", {})):
                begun = time.perf_counter()
                call(path, op, address=f"192.0.2.{number}", **options)
                taken.append(time.perf_counter() - begun)
    finally:
        ended.set()
        thread.join()
    # The machine may do other things at the same time; what a ban itself takes is the middle.
    assert statistics.median(taken) < 0.010, f"median {statistics.median(taken) * 1000:.1f} ms"
