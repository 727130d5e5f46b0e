"""Guards with the real agent, on a machine of their own: its network, its /run, its /etc and its /var/lib."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import zipapp
from ansible_collections.tripod.baremetal.plugins.module_utils._guard import record

from tests.support.machine import Machine, eventually
from tests.support.modules import Run

NIC, PEER = "xdp0", "peer0"
ADDRESS, GATEWAY = "198.51.100.2/24", "198.51.100.1"
TIMEOUT = 5.0  # the shortest that a guard takes
LONGER = 20.0  # one in which a slow machine can confirm
PATIENCE = 10.0  # seconds that a revert may take after its deadline
STATE_FILE = f"/etc/tripod/host.d/xdp-{NIC}.json"


class Guarded(Machine):
    """A NIC that has an address, a default route and a policy route, and an agent that can be killed.

    Args:
        folder: Where the agent's archive and log go.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.agent = folder / "tripod-host"
        self.agent.write_bytes(zipapp.build(zipapp.sources(), sys.executable))
        self.agent.chmod(0o755)
        self.log = folder / "watch.log"
        self.pins = Path(f"/sys/fs/bpf/tripod-guard-{os.getpid()}")
        self.watch: subprocess.Popen[bytes] | None = None
        self.cable(NIC, PEER)
        self.run("ip", "address", "add", ADDRESS, "dev", NIC)
        self.run("ip", "address", "add", "2001:db8::2/64", "dev", NIC, "nodad")
        self.run("ip", "route", "add", "default", "via", GATEWAY)
        self.run("ip", "route", "add", "203.0.113.0/24", "via", GATEWAY, "metric", "7", "mtu", "1400")
        self.run("ip", "-6", "route", "add", "default", "via", "2001:db8::1")

    def guard(self, state: str, check: bool = False, **options: Any) -> Run:
        return self.module("change_guard", check, state=state, **options)

    def xdp(self, source: Path, **options: Any) -> Run:
        return self.module("xdp_program", interface=NIC, object=str(source), pin_root=str(self.pins), **options)

    def start(self) -> None:
        command = [*self.within, str(self.agent), "watch", "--pid-file", "/run/watch.pid"]
        with open(self.log, "ab") as log:
            self.watch = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self.watch
        self.watch.kill()
        self.watch.wait()
        self.watch = None

    def state(self) -> dict[str, Any]:
        """What iproute2, and not the code under test, says of the NIC."""
        return {
            "up": "UP" in self.ip("link", "show", "dev", NIC)[0]["flags"],
            "mtu": self.ip("link", "show", "dev", NIC)[0]["mtu"],
            "addresses": {
                one["local"]
                for one in self.ip("address", "show", "dev", NIC)[0]["addr_info"]
                if one["scope"] == "global"
            },
            "routes": sorted(
                json.dumps({key: value for key, value in one.items() if key != "flags"}, sort_keys=True)
                for family in ("-4", "-6")
                for one in self.ip(family, "route", "show", "dev", NIC)
                if not one["dst"].startswith("fe80")
            ),
        }

    def program(self) -> int | None:
        return self.ip("link", "show", "dev", NIC)[0].get("xdp", {}).get("prog", {}).get("id")

    def left(self) -> list[str]:
        """Files of guards, and pins that are no interface's."""
        search = ["find", record.DIRECTORY, record.RUNTIME, "-type", "f", "!", "-name", "lock"]
        found = subprocess.run([*self.within, *search], capture_output=True, text=True, check=False).stdout.split()
        return found + [str(path) for path in self.pins.glob("*~*")]

    def close(self) -> None:
        if self.watch:
            self.kill()
        super().close()
        subprocess.run(["rm", "-rf", str(self.pins)], check=True)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_a_link_that_is_taken_down_comes_back_with_all_its_routes(machine):
    before = machine.state()
    assert len(before["routes"]) >= 5
    machine.start()
    armed = machine.guard("armed", interfaces=[NIC], timeout=TIMEOUT)
    assert armed.changed
    assert armed.result["guard"]["armed"]
    machine.run("ip", "link", "set", NIC, "down", "mtu", "1300")
    assert machine.state()["routes"] == []
    took = eventually(lambda: machine.state() == before, TIMEOUT + PATIENCE)
    assert took < TIMEOUT + 2, "the agent checks about once a second"
    late = machine.guard("confirmed", id=armed.result["guard"]["id"])
    assert late.failed
    assert "was reverted at" in late.result["msg"]
    assert f"{NIC} is back to up" in late.result["msg"]
    assert machine.guard("reported", check=True).changed
    drift = machine.module("host_drift_info").result
    assert drift["drifted"]
    assert "nobody confirmed" in drift["components"]["change_guard"]["changes"][0]
    assert drift["parts"] == drift["components"], "the former name"
    reported = machine.guard("reported")
    assert [one["state"] for one in reported.result["guards"]] == ["reverted"]
    assert "nobody confirmed within 5 s" in reported.output
    [guard] = reported.result["guards"]
    assert guard["story"] == guard["summary"], "the former name"
    again = machine.guard("settled")
    assert "state: settled is called reported" in again.output
    assert not again.changed
    assert again.result["guards"] == []
    assert not machine.module("host_drift_info").result["drifted"]


def test_what_is_confirmed_stays_and_leaves_nothing(machine):
    machine.start()
    armed = machine.guard("armed", interfaces=[NIC], timeout=LONGER)
    machine.run("ip", "link", "set", NIC, "mtu", "1300")
    planned = machine.guard("confirmed", check=True)
    assert planned.changed
    assert machine.guard("confirmed", id=armed.result["guard"]["id"]).changed
    assert machine.left() == []
    time.sleep(LONGER)
    assert machine.state()["mtu"] == 1300
    assert not machine.guard("confirmed").changed


def test_an_agent_that_is_killed_keeps_the_deadline_when_it_is_back(machine):
    machine.start()
    machine.guard("armed", interfaces=[NIC], timeout=TIMEOUT)
    before = machine.state()
    machine.run("ip", "address", "flush", "dev", NIC)
    machine.kill()
    time.sleep(TIMEOUT)
    assert machine.state() != before, "nobody was there to revert"
    machine.start()
    eventually(lambda: machine.state() == before, PATIENCE)


def test_nothing_is_changed_where_no_agent_watches(machine, xdp_object):
    refused = machine.xdp(xdp_object, guard="always", guard_timeout=TIMEOUT)
    assert refused.failed
    assert "no tripod-host watches this host" in refused.result["msg"]
    assert machine.program() is None
    assert machine.left() == []
    assert not machine.pins.exists() or not list(machine.pins.iterdir())


def test_a_controller_on_the_host_itself_needs_no_guard(machine, xdp_object):
    attached = machine.xdp(xdp_object)
    assert not attached.failed
    assert attached.result["guard"] is None
    assert machine.left() == []


def test_a_first_program_is_taken_off_again(machine, xdp_object):
    machine.start()
    attached = machine.xdp(xdp_object, guard="always", guard_timeout=TIMEOUT)
    assert attached.result["guard"]["armed"]
    assert machine.program()
    eventually(lambda: machine.program() is None, TIMEOUT + PATIENCE)
    eventually(lambda: not (machine.pins / NIC).exists(), PATIENCE)
    machine.guard("reported")
    assert not any(path for path in machine.left() if "archive" not in path)
    listed = subprocess.run([*machine.within, "ls", STATE_FILE], check=False, capture_output=True, text=True)
    assert "No such file" in listed.stderr


@pytest.mark.parametrize(
    "change",
    [
        "newer",
        pytest.param("generic", marks=pytest.mark.full),
        pytest.param("detached", marks=pytest.mark.full),
        pytest.param("smaller", marks=pytest.mark.full),
    ],
)
def test_a_program_comes_back_with_its_maps_and_entries(machine, xdp_object, newer_object, smaller_object, change):
    own = xdp_object.with_name("in-use.bpf.o")
    own.write_bytes(xdp_object.read_bytes())
    machine.xdp(own)
    machine.module(
        "xdp_map", interface=NIC, pin_root=str(machine.pins), entries=[{"prefix": "203.0.113.0/24", "action": "drop"}]
    )
    before = machine.program(), machine.run("cat", STATE_FILE), _pins(machine)
    root = machine.pins.stat()
    machine.start()
    options = {
        "newer": {"source": newer_object, "pin_group": 65534},
        "generic": {"source": own, "mode": "generic"},
        "detached": {"source": own, "state": "detached"},
        "smaller": {"source": smaller_object, "incompatible_maps": "recreate"},
    }[change]
    changed = machine.xdp(**options, guard="always", guard_timeout=TIMEOUT)
    assert not changed.failed, changed.output
    assert changed.result["guard"]["armed"]
    assert machine.program() != before[0]
    own.unlink()  # the object is not what it takes
    eventually(lambda: machine.program() == before[0], TIMEOUT + PATIENCE)
    eventually(lambda: machine.guard("reported").result["guards"], PATIENCE)
    assert (machine.program(), machine.run("cat", STATE_FILE), _pins(machine)) == before
    assert (machine.pins.stat().st_gid, machine.pins.stat().st_mode) == (root.st_gid, root.st_mode)
    own.write_bytes(xdp_object.read_bytes())
    assert not machine.xdp(own).changed


def _pins(machine: Guarded) -> dict[str, tuple[int, int, int, int]]:
    found = {}
    for path in sorted(machine.pins.rglob("*")):
        status = path.stat()
        # The inode is the object's where nothing was pinned anew.
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, path.is_dir() or _number(path))
    return found


def _number(path: Path) -> int:
    if path.name == "link":
        # One that was detached can only be made anew. bpftool 7.5 can't show one by its pin: it fails, silently.
        return 0
    kind = "prog" if path.name == "prog" else "map"
    shown = subprocess.run(["bpftool", "-j", kind, "show", "pinned", path], capture_output=True, text=True, check=True)
    return json.loads(shown.stdout)["id"]


def test_policy_entries_come_back(machine, xdp_object):
    machine.xdp(xdp_object)
    first, second = ({"prefix": prefix} for prefix in ("203.0.113.0/24", "0.0.0.0/0"))
    options = {"interface": NIC, "pin_root": str(machine.pins)}
    machine.module("xdp_map", **options, entries=[first])
    machine.start()
    changed = machine.module("xdp_map", **options, entries=[second], guard="always", guard_timeout=TIMEOUT)
    assert changed.result["guard"]["armed"]
    assert (changed.result["added"], changed.result["removed"]) == (1, 1)
    eventually(lambda: machine.guard("reported").result["guards"], TIMEOUT + PATIENCE)
    assert not machine.module("xdp_map", **options, entries=[first]).changed


def test_the_program_of_somebody_else_comes_back(machine, xdp_object, hollow_object):
    machine.run("ip", "link", "set", "dev", NIC, "xdpdrv", "object", str(hollow_object), "program", "tripod_xdp")
    foreign = machine.program()
    machine.start()
    taken = machine.xdp(xdp_object, guard="always", guard_timeout=TIMEOUT, replace_foreign=True)
    assert taken.result["guard"]["armed"]
    assert machine.program() != foreign
    eventually(lambda: machine.program() == foreign, TIMEOUT + PATIENCE)


@pytest.mark.full
def test_a_confirmed_program_leaves_no_pins_of_the_guard(machine, xdp_object, newer_object):
    machine.xdp(xdp_object)
    machine.start()
    machine.xdp(newer_object, guard="always", guard_timeout=LONGER)
    assert machine.left()
    number = machine.program()
    assert machine.guard("confirmed").changed
    assert machine.left() == []
    time.sleep(LONGER)
    assert machine.program() == number


def test_the_next_run_reverts_at_once_what_a_crashed_one_left(machine, xdp_object):
    machine.start()
    machine.xdp(xdp_object, guard="always", guard_timeout=600)
    assert machine.program()
    reported = machine.guard("reported")
    assert "its own run never confirmed" in reported.output
    assert machine.program() is None


def test_a_playbook_can_revert_at_once(machine):
    machine.start()
    before = machine.state()
    machine.guard("armed", interfaces=[NIC], timeout=600)
    machine.run("ip", "address", "flush", "dev", NIC)
    assert machine.guard("reverted", check=True).changed
    assert machine.state() != before
    assert machine.guard("reverted").result["guards"][0]["state"] == "reverted"
    assert machine.state() == before


def test_the_command_line_arms_lists_and_reverts(machine):
    machine.start()
    before = machine.state()
    said = machine.run(str(machine.agent), "guard", "arm", NIC, "--timeout", "60")
    [guard] = json.loads(machine.run(str(machine.agent), "guard", "list"))
    assert guard["id"] in said
    assert (guard["state"], guard["subject"]) == ("armed", "operator")
    machine.run("ip", "link", "set", NIC, "down")
    assert f"{NIC} is back to up" in machine.run(str(machine.agent), "guard", "revert")
    assert machine.state() == before
    confirm = [*machine.within, str(machine.agent), "guard", "confirm"]
    refused = subprocess.run(confirm, check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "was reverted" in refused.stderr
