"""The benchmark of workers with NICs that an operator names: it takes them whole or not at all, and gives them back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject

from tests.bench import afxdp_wire
from tests.bench.afxdp_report import Result, Way, paced_lines, report, watched_lines
from tests.bench.xdp_stream import compiled
from tests.integration import lab


@pytest.fixture
def ports():
    """Two NICs of one namespace that a cable joins, down."""
    with lab.namespace() as made, lab.inside(made):
        lab.ip("link", "add", "near0", "type", "veth", "peer", "name", "far0")
        yield "near0", "far0"


def test_what_keeps_nics_from_being_taken_is_said_at_once(ports):
    near, far = ports
    lab.ip("address", "add", "192.0.2.7/24", "dev", near)
    lab.ip("link", "add", "bridge0", "type", "bridge")
    lab.ip("link", "set", far, "master", "bridge0")
    with pytest.raises(SystemExit) as refused:
        afxdp_wire.check(near, far)
    assert str(refused.value).splitlines() == [
        "near0 has 192.0.2.7: take a NIC that nothing else uses, or its addresses off for the time",
        "far0 is of bridge0: take it out for the time (ip link set far0 nomaster)",
    ]
    with pytest.raises(SystemExit, match="none0: there is no NIC of this name") as refused:
        afxdp_wire.check("none0", "none0")
    assert "none0 is NIC and PEER" in str(refused.value)


def test_nics_are_given_back_as_they_were(ports):
    near, far = ports
    before = state(ports)
    afxdp_wire.check(near, far)
    with BpfObject(compiled("afxdp.bpf.c"), "afxdp.bpf.o") as opened:
        opened.load("drop", {})
        with afxdp_wire.cabled(near, far, opened.program("drop")) as wire:
            assert (wire.nic, wire.peer, wire.onward) == (*ports, None)
            assert [one["address"] for name in ports for one in lab.ip("link", "show", "dev", name)] == list(
                wire.stations
            )
            during = state(ports)
    assert [up for up, _silent, _program in during] == [True, True]
    assert [silent for _up, silent, _program in during] == ["1", "1"]
    assert [program for _up, _silent, program in during] == [False, True]
    assert state(ports) == before


def state(names):
    """Return whether NICs are up, silent, and have a program."""
    found = []
    for name in names:
        [link] = lab.ip("-d", "link", "show", "dev", name)
        silent = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").read_text(encoding="ascii").strip()
        found.append(("UP" in link["flags"], silent, "xdp" in link))
    return found


def test_a_goal_that_is_missed_is_said():
    def result(rate, cpu=100, **more):
        return Result(rate, 0, 1.0, 1.0, rate, 0, 0, cpu * rate, "copy", **more)

    found = {
        Way(language, handler, spin=spin): [result(rate)]
        for handler in ("sink", "forward")
        for spin in (False, True)
        for language, rate in (("C", 1000), ("Go", 950))
    }
    found |= {Way("Go", "sink", batch): [result(900)] for batch in (18, 32, 256, 1024)}
    lines = list(report(1000, [1200.0], found))
    assert "sink, Go, poll to C: 0.95 (goal: 1.00)  MISSED" in lines
    assert "forward, Go, poll to C: 0.95 (goal: 0.90)" in lines
    assert "sink, Go, spin to XDP_DROP: 0.79 (goal: 0.67)" in lines
    way = Way("Go", "sink")
    million = 1_000_000
    for rate, cpu, received, said in (
        (million, 290, million, ""),
        (million, 310, million, "  MISSED"),
        (million, 290, million * 9 // 10, "  MISSED"),
        (million * 9 // 10, 310, million * 9 // 10, "  NOT SAID: fewer were sent"),
    ):
        peer, own = result(million, 900), replace(result(rate, cpu), packets=received)
        lines = list(paced_lines(million, {Way("C", "sink"): [peer], way: [own]}))
        assert lines[:2] == [
            "at 1.00 million packets a second, the rate of sink, C, poll:",
            "  sink, C, poll: 90% of a CPU, 1.00 of 1.00 million received",
        ]
        assert lines[2].partition("million received")[2] == said


def test_what_a_worker_has_seen_of_itself_is_said_where_it_can_be():
    def result(packets=1, **more):
        return Result(packets, 0, 1.0, 1.0, packets, 0, 0, 100, "copy", **{"batches": 50_000, **more})

    way, plain, heap = Way("Go", "sink"), result(late=1024), result(10_000_000, sites={})
    for late, collections, batches, said in (
        (2048, 50, 50_000, ""),
        (4096, 50, 50_000, "MISSED"),
        (-1, 50, 50_000, "MISSED"),
        (2048, 9, 50_000, "NOT SAID"),
        (4096, 51, 50_000, "NOT SAID"),
    ):
        collected = result(late=late, collections=collections, batches=batches, pause=70_000)
        first, second, allocated = watched_lines(way, plain, collected, heap)
        assert "0 collections of garbage in 1.0 s, as it has them by itself" in first
        assert f"beside {collections} that were forced in 1.0 s, the longest 70000 ns" in second
        assert second.partition(" ns  ")[2].partition(":")[0] == said
        assert "MISSED" not in allocated
    *_late, allocated, site = watched_lines(way, plain, plain, result(1000, sites={"runtime.x": 7}))
    assert "MISSED" in allocated
    assert site.split() == ["7", "runtime.x"]
