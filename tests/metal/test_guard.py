"""An operator cuts off the only way in, and the host gives it back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.metal.guest import failures, warnings
from tests.support.bpf_object import xdp_object
from tests.support.site import eventually

PLAYBOOK = "tests/playbooks/guard.yml"
TIMEOUT = 30  # seconds; an emulated machine takes its time to say that it is done
LONGER = 180  # one in which it can confirm
PROMISE = 10  # seconds after the deadline
DROP, PASS = 1, 2
TRIALS = int(os.environ.get("TRIPOD_GUARD_TRIALS", "1"))
RECORDS = "/var/lib/tripod/guard"


@pytest.fixture
def management(host: Any) -> str:
    """The interface of the default route, by which all of this runs."""
    [route] = json.loads(host.check_output("ip -j route show default"))
    return route["dev"]


def state(host: Any, interface: str) -> dict[str, Any]:
    """What iproute2, and not the code under test, says of an interface."""
    [link] = json.loads(host.check_output(f"ip -j address show dev {interface}"))
    routes = json.loads(host.check_output(f"ip -j route show dev {interface}"))
    return {
        "up": "UP" in link["flags"],
        "xdp": link.get("xdp"),
        "addresses": sorted(one["local"] for one in link["addr_info"] if one["scope"] == "global"),
        "routes": sorted(json.dumps(one, sort_keys=True) for one in routes),
        "documents": host.run(f"sha256sum /etc/tripod/host.d/nic.json /etc/tripod/host.d/xdp-{interface}.json").stdout,
    }


def run(
    playbook: Any,
    interface: str,
    mistake: str,
    path: Path,
    verdict: int,
    fails: bool,
    attached: bool = True,
    crash: bool = False,
) -> dict[str, Any]:
    path.write_bytes(xdp_object(verdict))
    variables = {
        "guard_interface": interface,
        "guard_mistake": mistake,
        "guard_object": str(path),
        "guard_timeout": TIMEOUT if fails and not crash else LONGER,
        "guard_crash": crash,
        "guard_state": "attached" if attached else "detached",
    }
    return playbook(PLAYBOOK, "-e", json.dumps(variables), fails=fails)


def records(host: Any) -> list[dict[str, Any]]:
    program = f"import glob, json; print(json.dumps([json.load(open(one)) for one in glob.glob('{RECORDS}/*.json')]))"
    return json.loads(host.check_output(f'python3 -c "{program}"'))


@pytest.mark.parametrize("trial", range(TRIALS))
@pytest.mark.parametrize("mistake", ["program", pytest.param("link", marks=pytest.mark.full)])
def test_the_host_gives_back_its_only_way_in(host, playbook, management, tmp_path, capsys, mistake, trial):
    before = state(host, management)
    reported = run(playbook, management, mistake, tmp_path / "drop.bpf.o", DROP, fails=True)
    assert f"nobody confirmed within {TIMEOUT} s" in failures(reported)
    assert "was reverted at" in failures(reported)
    [record] = records(host)
    took = record["ended"] - record["created"]
    with capsys.disabled():  # a figure for whoever reads the log
        print(f" guard of {TIMEOUT} s, trial {trial}, {mistake}: back after {took:.1f} s ", end="")
    assert TIMEOUT <= took <= TIMEOUT + PROMISE
    assert record["state"] == "reverted"
    assert record["errors"] == []
    assert state(host, management) == before


def test_the_next_run_reports_once_what_was_reverted(host, playbook):
    [record] = records(host)
    assert record["id"] in warnings(playbook("playbooks/provision.yml", "--tags", "host_agent"))
    assert records(host) == []


@pytest.mark.full
def test_a_confirmed_change_leaves_nothing(host, playbook, management, tmp_path):
    before = state(host, management)
    run(playbook, management, "program", tmp_path / "pass.bpf.o", PASS, fails=False)
    try:
        assert state(host, management)["xdp"]
        assert host.check_output(f"find {RECORDS} /run/tripod/guard -maxdepth 1 -type f ! -name lock") == ""
        assert host.check_output("find /sys/fs/bpf -name '*~*'") == ""
    finally:
        run(playbook, management, "program", tmp_path / "pass.bpf.o", PASS, fails=False, attached=False)
    assert state(host, management) == before


@pytest.mark.full
@pytest.mark.usefixtures("put_back")
def test_the_next_run_tells_of_a_crashed_one_and_takes_its_change_back(host, playbook, management, tmp_path):
    before = state(host, management)
    run(playbook, management, "program", tmp_path / "pass.bpf.o", PASS, fails=True, crash=True)
    [record] = records(host)
    assert (record["state"], bool(state(host, management)["xdp"])) == ("armed", True)
    reported = playbook("playbooks/provision.yml", "--tags", "host_agent")
    assert record["id"] in warnings(reported)
    assert "its own run never confirmed" in warnings(reported)
    assert records(host) == []
    assert state(host, management) == before


@pytest.mark.full
@pytest.mark.usefixtures("put_back")
def test_a_reboot_before_the_confirmation_takes_the_change_back(host, playbook, management, tmp_path, vm):
    before = state(host, management)
    run(playbook, management, "program", tmp_path / "pass.bpf.o", PASS, fails=True, crash=True)
    assert state(host, management)["documents"] != before["documents"]
    vm.reset()
    # The record of a guard is read by the boot's first service, long before anybody can log in.
    eventually("the guard is over", lambda: [one["state"] for one in records(host)] == ["reverted"], 120)
    [record] = records(host)
    assert "the host rebooted before it was confirmed" in record["report"]
    assert state(host, management) == before
    playbook("playbooks/provision.yml", "--tags", "host_agent")
    assert records(host) == []
