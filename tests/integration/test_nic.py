"""NICs on a real kernel, with ethtool(8), iproute2 and sysfs as the second readers.

A veth has channels, features, MTU, XPS and RPS, and lacks the rest, so that it shows how refusals read.
"""

from __future__ import annotations

import logging
import re
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.patrol import PLACEMENT, Patrol
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    Impossible,
    Incomplete,
    Invalid,
    Outcome,
    converge,
    describe,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import irqs
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.irqs import Irq
from ansible_collections.tripod.baremetal.plugins.module_utils._nic import resource as nic
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse_all
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.resource import Nics
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state_file import forgetting

from tests.integration import lab
from tests.support.modules import run_module

NIC = "nic0"
PLAN = {
    "mtu": 9000,
    "txqueuelen": 500,
    "channels": {"rx": 2, "tx": "2"},
    "features": {"gro": True, "tso": False},
    "xps": ["0", ""],
    "rps": {"cpus": "0"},
}


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def make() -> None:
    queues = ("numrxqueues", "4", "numtxqueues", "4")
    run("ip", "link", "add", NIC, *queues, "type", "veth", "peer", "name", "peer0", *queues)
    run("ip", "link", "set", "peer0", "up")
    run("ip", "link", "set", NIC, "up")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A machine of its own: a network namespace, the sysfs that shows it, and a place for state files."""
    with lab.namespace() as namespace, lab.inside(namespace):
        (tmp_path / "sys").mkdir()
        (tmp_path / "proc").symlink_to("/proc")
        run("mount", "-t", "sysfs", "sysfs", str(tmp_path / "sys"))
        try:
            make()
            yield Host(tmp_path)
        finally:
            run("umount", str(tmp_path / "sys"))


def bring(host: Host, *options: dict[str, Any], check: bool = False) -> Outcome:
    requests = parse_all(options)
    return converge(Nics(requests), requests, host, check=check)


def seen(host: Host) -> dict[str, Any]:
    """Return what others than the code under test see."""
    link = lab.ip("link", "show", "dev", NIC)[0]
    channels = run("ethtool", "-l", NIC).partition("Current hardware settings:")[2]
    features = run("ethtool", "-k", NIC)
    queues = f"/sys/class/net/{NIC}/queues"
    return {
        "mtu": link["mtu"],
        "txqueuelen": link["txqlen"],
        "up": "UP" in link["flags"],
        "channels": [int(count) for count in re.findall(r"(?:RX|TX):\s+(\d+)", channels)],
        "gro": "generic-receive-offload: on" in features,
        "tso": "tcp-segmentation-offload: on" in features,
        "xps": [host.read(f"{queues}/{name}/xps_cpus") for name in host.list(queues) if name.startswith("tx")],
        "rps": [host.read(f"{queues}/{name}/rps_cpus") for name in host.list(queues) if name.startswith("rx")],
    }


def napi(host: Host) -> list[str | None]:
    names = ("napi_defer_hard_irqs", "gro_flush_timeout", "threaded")
    return [host.read(f"/sys/class/net/{NIC}/{name}") for name in names]


def lines(outcome: Outcome) -> Sequence[str]:
    return [describe(change) for change in outcome.changes]


def test_a_plan_is_predicted_applied_and_right_from_then_on(host: Host) -> None:
    before = seen(host)
    predicted = bring(host, {"name": NIC, **PLAN}, check=True)
    assert seen(host) == before
    assert not host.exists("/etc/tripod")
    applied = bring(host, {"name": NIC, **PLAN})
    assert lines(applied) == lines(predicted)
    after = seen(host)
    assert [mask.strip("0,") or "0" for mask in (*after.pop("xps"), *after.pop("rps"))] == ["1", "0", "1", "1"]
    assert after == {"mtu": 9000, "txqueuelen": 500, "up": True, "channels": [2, 2], "gro": True, "tso": False}
    assert bring(host, {"name": NIC, **PLAN}).changes == []


def test_absent_puts_back_what_was_before_the_first_change(host: Host) -> None:
    before = seen(host)
    bring(host, {"name": NIC, "mtu": 1400})
    bring(host, {"name": NIC, **PLAN})
    bring(host, {"name": NIC, "mtu": 2000, "up": False})
    assert seen(host)["mtu"] == 2000
    bring(host, {"name": NIC, "state": "absent"})
    assert seen(host) == before
    assert host.list("/etc/tripod/host.d") == []
    assert bring(host, {"name": NIC, "state": "absent"}).changes == []


def test_everything_that_stands_in_the_way_is_reported_before_anything_changes(host: Host) -> None:
    before = seen(host)
    with pytest.raises(Impossible, match="nothing was changed") as reported:
        bring(host, {"name": NIC, "mtu": 1400, "rings": {"rx": 64}, "channels": {"rx": 9}}, {"name": "nosuch"})
    assert [reason.partition(";")[0] for reason in reported.value.facts["reasons"]] == [
        "there is no NIC of name nosuch",
        f"{NIC}: 9 rx channels > hardware maximum 4",
        f"{NIC}: veth has no rings to set",
    ]
    assert seen(host) == before
    assert not host.exists("/etc/tripod")


def test_a_nic_is_asked_for_once(host: Host) -> None:
    with pytest.raises(Invalid, match="nic0 is requested 2 times"):
        bring(host, {"name": NIC, "mtu": 1400}, {"name": NIC, "mtu": 1500})


def test_a_state_file_brings_a_nic_back_that_was_made_anew(host: Host) -> None:
    bring(host, {"name": NIC, **PLAN})
    desired = seen(host)
    run("ip", "link", "del", NIC)
    make()
    assert seen(host) != desired
    state_file = state_store.load(host, "nic")
    assert state_file is not None
    predicted = nic.reapply(state_file.body, host, check=True)
    assert seen(host) != desired
    assert nic.reapply(state_file.body, host, only=["other"]).changes == []
    assert lines(nic.reapply(state_file.body, host, only=[NIC])) == lines(predicted)
    assert seen(host) == desired
    assert state_store.load(host, "nic") == state_file
    assert nic.reapply(state_file.body, host).changes == []


def test_a_reapply_goes_on_without_a_nic_that_is_gone(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    bring(host, {"name": NIC, "mtu": 1400}, {"name": "peer0", "mtu": 1400})
    state_file = state_store.load(host, "nic")
    assert state_file is not None
    run("ip", "link", "set", "peer0", "name", "other0")
    run("ip", "link", "set", NIC, "mtu", "1500")
    with caplog.at_level(logging.WARNING):
        nic.reapply(state_file.body, host)
    assert seen(host)["mtu"] == 1400
    assert "left out: there is no NIC of name peer0" in caplog.text


def test_one_nic_whose_request_can_no_longer_be_met_leaves_the_other_at_its_own(host: Host) -> None:
    bring(host, {"name": NIC, **PLAN}, {"name": "peer0", "mtu": 9000, "channels": {"rx": 2, "tx": 2}, "up": True})
    desired = seen(host)
    state_file = state_store.load(host, "nic")
    assert state_file is not None
    run("ip", "link", "del", NIC)
    # The hardware of today has fewer queues than that of the request, and the peer comes down.
    four, one = (("numrxqueues", count, "numtxqueues", count) for count in ("4", "1"))
    run("ip", "link", "add", NIC, *four, "type", "veth", "peer", "name", "peer0", *one)
    run("ip", "link", "set", NIC, "up")
    for check in (True, False):
        with pytest.raises(Incomplete) as caught:
            nic.reapply(state_file.body, host, check=check)
        assert list(caught.value.failures) == ["peer0"]
        assert "peer0: 2 rx channels > hardware maximum 1" in caught.value.failures["peer0"]
    assert seen(host) == desired
    [peer] = lab.ip("link", "show", "dev", "peer0")
    assert (peer["mtu"], "UP" in peer["flags"]) == (9000, True), "it has all that can be met"
    assert state_store.load(host, "nic") == state_file


def test_a_nic_that_is_gone_can_be_forgotten(host: Host) -> None:
    bring(host, {"name": NIC, "mtu": 1400}, {"name": "peer0", "mtu": 1400})
    run("ip", "link", "set", "peer0", "name", "other0")
    bring(host, {"name": "peer0", "state": "absent"})
    state_file = state_store.load(host, "nic")
    assert state_file is not None
    assert list(state_file.body["nics"]) == list(state_file.body["original"]) == [NIC]
    with pytest.raises(Impossible, match="there is no NIC of name peer0"):
        bring(host, {"name": "peer0", "state": "absent"})


def test_all_that_is_saved_is_restored_without_naming_any(host: Host) -> None:
    before = seen(host)
    bring(host, {"name": NIC, **PLAN}, {"name": "peer0", "mtu": 1400})
    run("ip", "link", "set", "peer0", "name", "other0")
    requests = forgetting(host)
    converge(Nics(requests), requests, host)
    assert seen(host) == before
    assert host.list("/etc/tripod/host.d") == []
    assert forgetting(host) == []


def test_what_a_guard_reapplies_is_what_was_before(host: Host) -> None:
    before = seen(host)
    requests = parse_all([{"name": NIC, **PLAN}])
    resource = Nics(requests)
    held = []
    converge(
        resource, requests, host, before_apply=lambda changes, state: held.append(resource.restores(changes, state))
    )
    [(interfaces, [restore])] = held
    assert interfaces == [NIC]
    assert seen(host) != before
    nic.reapply(restore.body, host)
    assert seen(host) == before


def test_a_state_file_that_nobody_can_read_is_reported(host: Host) -> None:
    host.write_atomically(
        state_store.path("nic"), '{"format": 1, "kind": "nic", "nics": {"x": {"name": "x", "mtu": "y"}}}'
    )
    with pytest.raises(Invalid, match=r"/etc/tripod/host.d/nic.json: .*'y' is no number .*; correct or remove it"):
        bring(host, {"name": NIC, "mtu": 1400})


def test_queues_of_another_namespaces_sysfs_are_refused(host: Host) -> None:
    elsewhere = Host()
    if elsewhere.exists(f"/sys/class/net/{NIC}"):
        pytest.skip(f"this machine has a {NIC} of its own")
    requests = parse_all([{"name": NIC, "xps": "auto"}])
    with pytest.raises(Impossible, match="this is the sysfs of another network namespace"):
        converge(Nics(requests), requests, elsewhere, check=True)


def test_queues_are_polled_as_requested_and_as_before_again(host: Host) -> None:
    before = napi(host)
    assert before == ["0", "0", "0"]
    requested = {
        "name": NIC,
        "features": {"gro": True},
        "napi": {"defer_hard_irqs": 2, "gro_flush_timeout": 200000, "threaded": True},
    }
    bring(host, requested)
    assert napi(host) == ["2", "200000", "1"]
    assert f"napi/{NIC}-" in run("ps", "-eo", "comm")
    assert bring(host, requested).changes == []
    state_file = state_store.load(host, "nic")
    assert state_file is not None
    patrol = Patrol(host)
    patrol.accept([NIC])
    assert patrol.differences([NIC]) == {}
    host.write_attribute(f"/sys/class/net/{NIC}/gro_flush_timeout", "0")
    assert patrol.differences([NIC]) == {NIC: [PLACEMENT]}
    assert [change.path for change in nic.reapply(state_file.body, host).changes] == [
        (NIC, "napi", "gro_flush_timeout")
    ]
    bring(host, {"name": NIC, "state": "absent"})
    assert napi(host) == before
    assert f"napi/{NIC}-" not in run("ps", "-eo", "comm")


def test_threads_for_queues_that_nobody_polls_are_refused_with_the_way_out(host: Host) -> None:
    with pytest.raises(ApplyFailed, match="no queue of it is polled now: request up, and of a veth gro or an XDP"):
        bring(host, {"name": NIC, "napi": {"threaded": True}})
    assert napi(host) == ["0", "0", "0"]


def test_an_interrupt_that_the_kernel_manages_is_left_to_it() -> None:
    managed = [path for path in Path("/proc/irq").glob("*/smp_affinity") if not path.stat().st_mode & stat.S_IWUSR]
    if not managed:
        pytest.skip("no interrupt of this machine is managed by the kernel")
    number = int(managed[0].parent.name)
    held = Host().read(f"/proc/irq/{number}/smp_affinity_list")
    assert not irqs.move(Host(), Irq(number, "managed"), frozenset([0]))
    assert Host().read(f"/proc/irq/{number}/smp_affinity_list") == held


def test_the_module_as_ansible_runs_it(host: Host) -> None:
    options = {"nics": [{"name": NIC, "mtu": 9000, "channels": {"rx": 2, "tx": 2}}], "guard": "never"}
    predicted = run_module("nic", options, check=True)
    assert predicted.changed
    assert seen(host)["mtu"] == 1500
    try:
        made = run_module("nic", options)
        assert made.result["changes"] == predicted.result["changes"]
        assert re.search(r'\+ +"mtu": 9000', made.output)
        assert made.result["disruptive"] == []
        assert made.result["guard"] is None
        [nic] = made.result["nics"]
        assert (nic["name"], nic["driver"], nic["irqs"], nic["notes"]) == (NIC, "veth", [], [])
        assert not run_module("nic", options).changed
    finally:
        assert run_module("nic", {"nics": [{"name": NIC, "state": "absent"}], "guard": "never"}).changed
    assert seen(host)["mtu"] == 1500
