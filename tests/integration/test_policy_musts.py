"""What operators count on: a way in, observing without harm, counters that live on, refusals that change nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_options

from tests.integration import frames, lab
from tests.integration.policy_site import NIC, PEER, PolicySite
from tests.integration.test_xdp_policy import BLOCKED, DROPPING, OTHER, PACKETS, Bench
from tests.support.machine import eventually

HERE, THERE, PORT = "192.0.2.1", "192.0.2.2", "7001"
TIMEOUT, PATIENCE = 5.0, 20.0  # seconds: the shortest that a guard takes, and what a revert may take after it
SERVE = f"import socket; s = socket.create_server(('{HERE}', {PORT})); [s.accept()[0].close() for _ in iter(int, 1)]"
CONNECT = f"import socket; socket.create_connection(('{HERE}', {PORT}), 1).close()"


@contextmanager
def person(site: PolicySite) -> Iterator[list[str]]:
    """Somebody at the far end of the cable, with an address; gives the command line that leads to him."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    server = None
    try:
        eventually(lambda: Path(f"/proc/{holder.pid}/comm").read_text() == "sleep\n", 5)
        there = ["nsenter", "--target", str(holder.pid), "--net"]
        site.run("ip", "address", "add", f"{HERE}/24", "dev", NIC)
        site.run("ip", "link", "set", PEER, "netns", str(holder.pid))
        for words in (["address", "add", f"{THERE}/24", "dev", PEER], ["link", "set", PEER, "up"]):
            subprocess.run([*there, "ip", *words], check=True)
        server = subprocess.Popen([*site.within, sys.executable, "-c", SERVE])
        yield there
    finally:
        for process in (server, holder):
            if process:
                process.kill()
                process.wait()


def gets_in(there: list[str]) -> bool:
    return not subprocess.run([*there, sys.executable, "-c", CONNECT], capture_output=True, check=False).returncode


@pytest.fixture
def policy_machine(tmp_path, xdp_object) -> Iterator[PolicySite]:
    with closing(PolicySite(tmp_path, xdp_object)) as made:
        yield made


def test_who_locks_himself_out_by_a_rule_is_let_in_again_by_the_guard(policy_machine):
    site = policy_machine
    site.attach()
    site.declare({"default": "pass"})
    site.start("watch")
    with person(site) as there:
        eventually(lambda: gets_in(there), 30)
        changed = site.declare(
            {"rules": [{"id": "no-tcp", "protocol": "tcp", "action": "drop"}]}, guard="always", guard_timeout=TIMEOUT
        )
        assert changed.result["guard"]["armed"]
        assert not gets_in(there)
        eventually(lambda: gets_in(there), TIMEOUT + PATIENCE)
        # With a trusted prefix the same rule stays, and so does he.
        kept = {"trusted": [{"prefix": THERE}], "rules": [{"id": "no-tcp", "protocol": "tcp", "action": "drop"}]}
        site.declare(kept, guard="never")
        assert gets_in(there)
        assert not site.declare(kept, guard="never").changed


@pytest.fixture
def bench(cable, pin_root, tmp_path, xdp_object) -> Bench:
    made = Bench(cable, pin_root, tmp_path / "host.d")
    made.attach(xdp_object)
    return made


def test_nothing_in_observe_mode_ever_drops_a_packet(bench):
    observed: dict[str, Any] = {
        "lists": [{"name": "bogons", "action": "drop", "mode": "observe", "prefixes": ["203.0.113.0/24"]}],
        "rules": [{"id": "no-udp", "protocol": "udp", "action": "drop", "mode": "observe"}],
        "limits": [{"name": "few", "packets": "1/h", "burst": 1, "every_packet": True, "mode": "observe"}],
        "default": "pass",
    }
    bench.apply(observed)
    for source in (BLOCKED, OTHER, BLOCKED):
        assert bench.fate(source)[0] == "pass"
    counted = lab.read_counters(Path(bench.pin("maps/counters")))
    assert {verdict for verdict, _reason in counted} == {"pass"}
    # One word, and each of them does.
    for part, only, fate in (
        ("lists", BLOCKED, ("drop", "list_drop")),
        ("rules", OTHER, ("drop", "rule_drop")),
    ):
        bench.apply({**observed, part: [{**one, "mode": "enforce"} for one in observed[part]]})
        assert bench.fate(only) == fate
    bench.apply({**observed, "limits": [{**one, "mode": "enforce"} for one in observed["limits"]]})
    with bench.cable.sender() as sender:
        sender.send(frames.of(OTHER))
    assert bench.fate(OTHER) == ("drop", "limit")


def test_what_was_counted_is_the_same_after_every_kind_of_replacement(bench):
    parts: dict[str, Any] = {
        "lists": [
            {"name": "bogons", "action": "drop", "prefixes": ["203.0.113.0/24"]},
            {"name": "guests", "action": "limit:few", "prefixes": ["192.0.2.0/24"]},
        ],
        "rules": [{"id": "no-udp", "protocol": "udp", "destination_port": 4001, "source": OTHER, "action": "drop"}],
        "limits": [{"name": "few", "packets": "1/h", "burst": 1}],
        "services": [{"name": "some", "protocol": "udp", "port": 4001, "action": "pass"}],
    }
    bench.apply(parts)
    with bench.cable.sender() as sender:
        for source in (BLOCKED, OTHER, "192.0.2.9"):
            lab.put(sender, *[frames.ethernet(frames.IPV4, frames.ipv4(source))] * PACKETS)
    names = ("list:bogons", "list:guests", "rule:no-udp", "limit:few", "service:some")
    before = {name: bench.hits(name) for name in names}
    assert [before[name] for name in names] == [PACKETS, PACKETS, PACKETS, PACKETS - 1, 1]
    many = {"name": "many", "prefixes": [f"10.{one >> 8}.{one & 255}.0/25" for one in range(40_000)]}
    program = bench.program()
    more = {"name": "x", "prefixes": ["10.0.0.0/8"]}
    for lists in ([*parts["lists"], more], [many, *parts["lists"]], parts["lists"]):
        bench.apply({**parts, "lists": lists})
        assert {name: bench.hits(name) for name in names} == before
    assert bench.program() != program, "one of them outgrew the program"
    bench.apply({**parts, "lists": [{**one, "mode": "observe"} for one in parts["lists"]]})
    assert {name: bench.hits(name) for name in names} == before


def from_file(path: Path, **more: object) -> dict[str, object]:
    """The document and texts of a list that comes from a file, as the module reads them."""
    document = {"lists": [{"name": "feed", "file": str(path), **more}]}
    desired = policy_options.from_options(
        {"name": "edge", "interfaces": [], "policy": document, "state": "present", "pin_root": "/p", "state_dir": "/s"}
    )
    return {"document": desired.document, "texts": desired.texts}


def test_a_feed_of_one_percent_of_garbage_is_named_line_by_line_and_changes_nothing(bench, tmp_path):
    bench.apply(DROPPING)
    inner = bench.inner()
    lines = [f"10.{one >> 8}.{one & 255}.0/24" for one in range(10_000)]
    for place in range(0, 10_000, 100):
        lines[place] = ("<html>", "10.0.0.1/33", "300.1.2.3", "2001:db8::/129", "10.1.2.3-10.1.2.9")[place // 100 % 5]
    path = tmp_path / "feed.txt"
    path.write_text("\n".join(lines))
    with pytest.raises(Invalid) as refused:
        bench.apply(**from_file(path))
    reasons = refused.value.facts["reasons"]
    assert "line 1: " in reasons[0]
    assert "<html>" in reasons[0]
    assert "line 101: " in reasons[1]
    assert reasons[-1].endswith("more lines")
    named = len(reasons) - 1
    assert f"and {100 - named} more lines" in reasons[-1]
    assert bench.inner() == inner
    assert bench.fate(BLOCKED) == ("drop", "list_drop")
    path.write_text("\n".join(line for place, line in enumerate(lines) if place % 100))
    bench.apply(**from_file(path))
    assert bench.fate("10.1.1.1") == ("drop", "list_drop")


def test_one_prefix_more_than_a_million_is_refused_and_changes_nothing(bench, tmp_path):
    bench.apply(DROPPING)
    inner = bench.inner()
    path = tmp_path / "feed.txt"
    path.write_text("\n".join(f"{11 + (one >> 16)}.{one >> 8 & 255}.{one & 255}.1" for one in range(1_000_001)))
    with pytest.raises(Invalid, match=r"1000001 prefixes in all > the limit 1000000.*leave some out"):
        bench.apply(**from_file(path))
    assert bench.inner() == inner
    assert bench.fate(BLOCKED) == ("drop", "list_drop")
