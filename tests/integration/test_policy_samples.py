"""What a policy drops, as people and their tools see it: lines, captures, flows at a collector, metrics."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.libbpf import library as libbpf
from ansible_collections.tripod.baremetal.plugins.module_utils._samples import collector as ipfix
from ansible_collections.tripod.baremetal.plugins.module_utils._samples.flows import Flows
from ansible_collections.tripod.baremetal.plugins.module_utils._samples.sample import Sample
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_assignment, policy_flips
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_set import DesiredPolicy, PolicySet
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import frames, lab
from tests.integration.conftest import REPOSITORY
from tests.support.exports import Collector, read_pcapng
from tests.support.machine import eventually

NIC = lab.Cable.nic
IP_FREEBIND = 15  # linux/in.h
RULE, LIST = "rule:no-snmp", "list:scanners"
POLICY: dict[str, Any] = {
    "lists": [{"name": "scanners", "action": "drop", "mode": "observe", "prefixes": ["203.0.113.0/24"]}],
    "rules": [{"id": "no-snmp", "protocol": "udp", "destination_port": 161, "action": "drop"}],
}
COMMAND = """\
import sys
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import cli
sys.exit(cli.main(sys.argv[1:], "test"))
"""


def udp(port: int, source: str = "192.0.2.9", length: int = 0) -> bytes:
    payload = struct.pack("!HHHH", 4000, port, 8 + length, 0) + bytes(length)
    return frames.ethernet(frames.IPV4, frames.ipv4(source, payload))


SNMP, DNS, WEB = udp(161), udp(53, "203.0.113.7"), udp(80)


class Judged:
    """A NIC that a policy judges, and the agent's commands for it."""

    def __init__(self, laid: lab.Cable, pins: Path, folder: Path) -> None:
        self.laid, self.pins, self.folder = laid, pins, folder
        self.state = folder / "host.d"
        self.sender = laid.sender()

    def attach(self, source: Path, present: bool = True) -> None:
        """Attach the program, or detach it."""
        places = {"pin_root": str(self.pins), "state_directory": str(self.state)}
        desired = Desired(NIC, present, object=str(source), **places)
        converge(XdpProgram(desired), desired, Host())

    def apply(self, document: dict[str, Any]) -> None:
        """Put a policy in force."""
        places = {"pin_root": str(self.pins), "state_directory": str(self.state)}
        desired = DesiredPolicy("edge", [NIC], document, **places)
        converge(PolicySet(desired), desired, Host())

    def send(self, *sent: bytes) -> None:
        lab.put(self.sender, *sent)

    def command(self, name: str, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Begin a command of the agent in this network."""
        places = ["--state-dir", str(self.state), "--pid-file", str(self.folder / name / "pid")]
        command = [sys.executable, "-c", COMMAND, "policy", name, *places, *words]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / ".cache/collections")}
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment, **options}
        return subprocess.Popen(command, **given)

    def listens(self, tap: int) -> bool:
        """Whether a tap is open, as the kernel sees it."""
        with bpf.pinned(str(self.pins / NIC / "maps" / "control")) as descriptor:
            value = ctypes.create_string_buffer(320)
            assert libbpf().bpf_map_lookup_elem(descriptor, struct.pack("=I", 0), value) == 0
        return struct.unpack_from("=II", value.raw, 64 + 128 * tap) != (0, 0)

    def metric(self, name: str, **labels: str) -> float | None:
        """Return the value of a series in the exporter's file."""
        file = self.folder / "export" / "metrics.prom"
        series = f"{name}{{{','.join(f'{one}={json.dumps(value)}' for one, value in labels.items())}}} "
        lines = file.read_text().splitlines() if file.exists() else []
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(series)), None)

    @contextlib.contextmanager
    def watching(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Somebody watches; the tap is open."""
        process = self.command("watch", *words)
        try:
            eventually(lambda: process.poll() is not None or self.listens(1), 10)
            assert process.poll() is None, process.communicate()
            yield process
        finally:
            process.terminate()
            process.wait(10)


class Listener(Collector):
    """A collector at the far end of the cable."""

    PLACE = ("192.0.2.2", 4739)

    def __init__(self, laid: lab.Cable) -> None:
        super().__init__()
        self._laid = laid
        with lab.inside(laid.far):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Before there is an address, too.
        self._socket.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        self._socket.bind(self.PLACE)

    def listen(self, seconds: float) -> None:
        self._socket.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            self.take(self._socket.recv(65536))

    def until(self, true: Callable[[], bool], seconds: float) -> list[dict[str, Any]]:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, self.records
            self.listen(0.2)
        return self.records

    def close(self) -> None:
        self._socket.close()

    def again(self) -> Listener:
        return Listener(self._laid)


def connect(laid: lab.Cable) -> None:
    """Give both ends addresses."""
    with lab.inside(laid.near):
        lab.ip("address", "add", "192.0.2.1/24", "dev", NIC)
    with lab.inside(laid.far):
        lab.ip("address", "add", f"{Listener.PLACE[0]}/24", "dev", laid.peer)


@pytest.fixture
def exporting(judged: Judged) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Listener]]]:
    """Start an exporter that sends to a collector at the far end."""
    connect(judged.laid)
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> tuple[subprocess.Popen[bytes], Listener]:
        listener = Listener(judged.laid)
        started.append(judged.command("export", "--ipfix", Listener.PLACE[0], *words, stderr=None))
        eventually(lambda: started[-1].poll() is not None or judged.listens(0), 10)
        return started[-1], listener

    yield start
    for process in started:
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture
def judged(cable: lab.Cable, xdp_object: Path, pin_root: Path, tmp_path: Path) -> Judged:
    made = Judged(cable, pin_root, tmp_path)
    made.attach(xdp_object)
    made.apply(POLICY)
    return made


def test_lines_name_rule_and_packet_of_drops_and_of_what_would_be_dropped(judged):
    with judged.watching("--count", "2") as process:
        judged.send(WEB, SNMP, DNS)
        out, err = process.communicate(timeout=10)
    lines = out.decode().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        f"{NIC} drop rule_drop rule:no-snmp 192.0.2.9:4000 > 198.51.100.1:161 udp length 42",
        f"{NIC} pass no_rule (would drop: list_drop list:scanners) 203.0.113.7:4000 > 198.51.100.1:53 udp length 42",
    ]
    assert err.decode() == "2 samples\n"
    assert process.returncode == 0
    assert not judged.listens(1)


def test_json_of_one_rule_alone(judged):
    with judged.watching("--json", "--count", "3", "--id", LIST) as process:
        before = time.time_ns()
        judged.send(*[SNMP, DNS] * 3)
        out, _err = process.communicate(timeout=10)
    found = [json.loads(line) for line in out.decode().splitlines()]
    assert [one["would_part"] for one in found] == [LIST] * 3
    assert {one["part"] for one in found} == {None}
    assert all(before <= one["time"] <= time.time_ns() for one in found)
    assert found[0]["frame"] == DNS.hex()


def test_a_capture_that_another_reader_reads(judged):
    file = judged.folder / "drops.pcapng"
    with judged.watching("--pcapng", str(file), "--for", "2s") as process:
        long = udp(161, length=1000)
        judged.send(SNMP, long, DNS)
        process.communicate(timeout=10)
    found = read_pcapng(file.read_bytes())
    assert [one["frame"] for one in found.packets] == [SNMP, long[:128], DNS]
    assert found.packets[1]["length"] == len(long)
    assert [one["comments"][0] for one in found.packets] == [
        *["verdict=drop reason=rule_drop part=rule:no-snmp"] * 2,
        "verdict=pass reason=no_rule would=drop would_reason=list_drop would_part=list:scanners",
    ]
    assert found.lost == {NIC: 0}
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_kernel_takes_no_more_than_the_rate(judged):
    with judged.watching("--json", "--rate", "50") as process:
        begin = time.monotonic()
        while time.monotonic() - begin < 2.0:
            judged.send(SNMP)
        seconds = time.monotonic() - begin
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    came = len(out.splitlines())
    # A burst of one second's, and what accrued since.
    assert 50 * seconds * 0.9 <= came <= 50 * (seconds + 1) * 1.1
    # The signal may come between a line and its counting.
    assert err.decode() in (f"{came} samples\n", f"{came - 1} samples\n")
    assert process.returncode == 0


@pytest.mark.full
def test_an_exporter_and_a_watcher_take_what_each_asks_for(judged, exporting):
    exporter, _collector = exporting()
    with judged.watching("--json", "--id", LIST, "--count", "2") as process:
        judged.send(*[SNMP, DNS] * 2)
        out, _err = process.communicate(timeout=10)
    assert [json.loads(line)["would_part"] for line in out.splitlines()] == [LIST] * 2
    eventually(lambda: judged.metric("tripod_samples_taken_total", interface=NIC) == 4, 20)
    assert exporter.poll() is None


def test_flows_of_drops_at_a_collector(judged, exporting):
    _exporter, collector = exporting("--ipfix-domain", "77")
    judged.send(*[SNMP] * 3, udp(161, "192.0.2.10"), DNS, WEB)
    found = collector.until(lambda: sum(one["packetDeltaCount"] for one in collector.records) == 5, 10)
    by_source = {one["sourceIPv4Address"]: one for one in found if one["packetDeltaCount"]}
    assert by_source.keys() == {"192.0.2.9", "192.0.2.10", "203.0.113.7"}
    drop, observed = by_source["192.0.2.9"], by_source["203.0.113.7"]
    assert (drop["firewallEvent"], drop["forwardingStatus"]) == (3, 130)
    assert (drop["interfaceName"], drop["selectorName"]) == (NIC, f"rule_drop {RULE}")
    assert (drop["destinationIPv4Address"], drop["destinationTransportPort"]) == ("198.51.100.1", 161)
    assert (observed["firewallEvent"], observed["selectorName"]) == (4, f"list_drop {LIST}")
    assert abs(drop["flowEndMilliseconds"] / 1000 - time.time()) < 10
    assert collector.lost == {77: 0}
    assert collector.unknown == 0


def test_a_collector_that_comes_back_gets_templates_at_once_and_nobody_waited_for_it(judged, exporting):
    exporter, collector = exporting()
    collector.close()
    for _second in range(3):
        judged.send(SNMP)
        time.sleep(1.1)
    later = collector.again()
    deadline = time.monotonic() + 20
    while not later.records and time.monotonic() < deadline:
        judged.send(SNMP)
        later.listen(0.5)
    assert later.records
    assert later.unknown == 0
    assert exporter.poll() is None


def test_flows_are_counted_while_there_is_no_way_and_sent_with_templates_once_there_is(cable):
    flows, sender = Flows(10), ipfix.Collector(*Listener.PLACE, 3)
    listener = Listener(cable)
    frame = udp(161)
    with lab.inside(cable.near):
        for second in range(4):
            flows.add(Sample(0, NIC, 1, 0, len(frame), frame, "drop", "ban", ""))
            if second == 2:
                connect(cable)
            sender.send(flows.take(), second)
    assert (sender.sent, sender.unsent) == (2, 2)
    listener.until(lambda: len(listener.records) == 2, 10)
    assert listener.unknown == 0


def test_a_collector_that_never_answers_is_waited_for_by_nobody(cable):
    """Nobody answers for its address, so the kernel keeps what it can and refuses the rest."""
    connect(cable)
    flows, sender = Flows(1000), ipfix.Collector("192.0.2.77", 4739, 3)
    with lab.inside(cable.near):
        begin = time.monotonic()
        for _round in range(100):
            for number in range(100):
                frame = udp(161, f"192.0.2.{number}")
                flows.add(Sample(0, NIC, 1, 0, len(frame), frame, "drop", "ban", ""))
            sender.send(flows.take(), 0)
    assert sender.sent + sender.unsent == 10_000
    assert time.monotonic() - begin < 10


def test_metrics_of_each_part(judged, exporting):
    exporting()
    before = time.time()
    judged.send(*[SNMP] * 3, DNS)
    labels = {"interface": NIC, "part": "rule", "id": "no-snmp"}
    eventually(lambda: judged.metric("tripod_policy_packets_total", **labels) == 3, 20)
    assert judged.metric("tripod_policy_bytes_total", **labels) == 3 * len(SNMP)
    assert judged.metric("tripod_policy_observed_packets_total", **labels) == 0
    assert before - 1 <= judged.metric("tripod_policy_last_hit_timestamp_seconds", **labels) <= time.time()
    labels = {"interface": NIC, "part": "list", "id": "scanners"}
    assert judged.metric("tripod_policy_observed_packets_total", **labels) == 1
    assert judged.metric("tripod_policy_packets_total", **labels) == 0


def test_history_is_what_the_exporter_took_before(judged, exporting):
    exporting()
    judged.send(SNMP, DNS)
    eventually(lambda: judged.metric("tripod_samples_taken_total", interface=NIC) == 2, 20)
    process = judged.command("watch", "--history", "--json", "--for", "500ms", "--reason", "rule_drop")
    out, _err = process.communicate(timeout=10)
    assert [json.loads(line)["part"] for line in out.splitlines()] == [RULE]
    # Nobody took them away by that, and nobody has to watch.
    assignment = policy_assignment.load(Host(), NIC, str(judged.state))
    seen = policy_flips.recent(assignment, 60)
    assert [one.frame for one in seen] == [SNMP, DNS]
    assert policy_flips.recent(assignment, 0) == []
    assert judged.listens(0)


def test_a_rule_that_came_while_somebody_watches_is_named(judged):
    with judged.watching("--json", "--count", "1") as process:
        judged.apply(
            {**POLICY, "rules": [*POLICY["rules"], {**POLICY["rules"][0], "id": "ntp", "destination_port": 123}]}
        )
        time.sleep(1.5)
        judged.send(udp(123))
        out, _err = process.communicate(timeout=10)
    assert json.loads(out)["part"] == "rule:ntp"


def test_a_program_that_is_detached_and_attached_again_is_followed(judged, exporting, xdp_object):
    exporter, collector = exporting()
    judged.attach(xdp_object, present=False)
    time.sleep(1.5)
    assert exporter.poll() is None
    judged.attach(xdp_object)
    judged.apply(POLICY)
    eventually(lambda: judged.listens(0), 10)
    judged.send(SNMP)
    collector.until(lambda: any(one["selectorName"] == f"rule_drop {RULE}" for one in collector.records), 10)
    assert exporter.poll() is None


def test_a_watcher_that_is_killed_is_in_nobodys_way(judged):
    with judged.watching() as process:
        process.kill()
    assert judged.listens(1), "nobody is there to close it"
    with judged.watching("--count", "1") as process:
        eventually(lambda: judged.send(SNMP) or process.poll() is not None, 10)
        assert process.communicate()[1] == b"1 sample\n"
    assert not judged.listens(1)


def test_a_second_watcher_is_refused_with_the_first_ones_number(judged):
    with judged.watching() as first:
        second = judged.command("watch")
        _out, err = second.communicate(timeout=10)
    assert second.returncode == 1
    assert f"process {first.pid}" in err.decode()
    assert "one tap for people" in err.decode()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--id", "rule:none"), "'rule:none' is no part of the policy; there are list:scanners, rule:no-snmp"),
        (
            ("eth9",),
            f"no policy judges eth9: name a policy in xdp_interfaces, or one of the NICs that have one ({NIC})",
        ),
        (("--pcapng", "/absent/file"), "the capture cannot be written to /absent/file: No such file or directory"),
        (("--rate", "0"), "'0' is no number of at least 1"),
        (("--for", "soon"), "'soon' is no duration such as 500ms, 30s, 10m or 1h"),
    ],
)
def test_what_cannot_be_watched_is_refused_with_what_can(judged, words, message):
    process = judged.command("watch", *words)
    _out, err = process.communicate(timeout=10)
    assert process.returncode != 0
    assert message in err.decode()
