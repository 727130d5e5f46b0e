"""NICs of real drivers brought to a plan and back, with ethtool(8) and procfs as the second readers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.full
PLUGINS = Path(__file__).parents[2] / "plugins"
ARCHIVE = "/run/tripod-test-nic.zip"
# Runs in the guest, with state files of its own: those of the host under test are not these tests'.
RUNNER = r"""
import json, os, subprocess, sys
from module_utils._nic import resource as nic
from module_utils._core.converge import CoreError, converge, describe
from module_utils._core.system import Host
from module_utils._nic.parse import parse_all

os.makedirs("/etc/tripod", exist_ok=True)
os.makedirs("/run/tripod-test-nic", exist_ok=True)
os.unshare(os.CLONE_NEWNS)
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "--bind", "/run/tripod-test-nic", "/etc/tripod"], check=True)
requests = parse_all(json.loads(sys.argv[1]))
try:
    outcome = converge(nic.Nics(requests), requests, Host(), check=len(sys.argv) > 2)
except CoreError as error:
    print(json.dumps({"reasons": error.facts.get("reasons", [str(error)])}))
else:
    changes = [describe(one) for one in outcome.changes if one.path[0] != "state file"]
    print(json.dumps({"changes": changes, "nics": nic.facts(outcome.state)}))
"""
Bring = Callable[..., dict[str, Any]]
IGB = {
    "name": "ens1",
    "up": True,
    "channels": {"combined": 8},
    "rings": {"rx": 1024, "tx": 512},
    "coalesce": {"rx_usecs": 20},
    "rss": {"equal": 3, "hash_fields": {"udp4": "sdfn"}},
    "irq": {"cpus": "2-3", "avoid": "0"},
    "xps": "auto",
}
VMXNET3 = {"name": "ens2", "up": True, "rings": {"rx": 512, "tx": 1024}, "irq": {"cpus": "2-3"}}


@pytest.fixture(scope="module")
def bring(host, vm, tmp_path_factory) -> Iterator[Bring]:
    """Bring the guest's NICs to a plan; return the changes and what the NICs are, or the reasons against."""
    archive = shutil.make_archive(str(tmp_path_factory.mktemp("guest") / "utils"), "zip", PLUGINS, "module_utils")
    assert vm.copy(archive, f":{ARCHIVE}") == 0

    def run(*nics: dict[str, Any], check: bool = False) -> dict[str, Any]:
        words = (ARCHIVE, RUNNER, json.dumps(nics))
        command = "PYTHONPATH=%s python3 -c %s %s" + (" check" if check else "")
        return json.loads(host.check_output(command, *words))

    # It keeps the NICs as the host's own state files request, which these tests go against.
    watched = host.service("tripod-watch").is_running
    if watched:
        host.check_output("systemctl stop tripod-watch")
    try:
        yield run
    finally:
        host.check_output("rm --recursive --force %s /run/tripod-test-nic", ARCHIVE)
        if watched:
            host.check_output("systemctl start tripod-watch")


def settings(host: Any) -> str:
    """Return everything that the tests change, as ethtool(8) and iproute2 show it."""
    commands = ["ethtool -g ens1", "ethtool -l ens1", "ethtool -c ens1", "ethtool -n ens1 rx-flow-hash udp4"]
    commands += ["ethtool -g ens2", "cat /sys/class/net/ens1/queues/tx-*/xps_cpus", "ip -br link show ens1"]
    return host.check_output("; ".join(commands))


def test_two_drivers_come_to_a_plan_and_back(bring: Bring, host: Any) -> None:
    before = settings(host)
    predicted = bring(IGB, VMXNET3, check=True)
    assert settings(host) == before
    made = bring(IGB, VMXNET3)
    try:
        assert made["changes"] == predicted["changes"]
        shown = settings(host)
        assert [word in shown for word in ("RX:\t\t\t1024", "Combined:\t8", "rx-usecs:\t20", "L4 bytes 2 & 3")] == [
            True
        ] * 4
        queues = [irq for nic in made["nics"] for irq in nic["irqs"] if irq["queue"] is not None]
        assert len(queues) == 12
        for irq in queues:
            assert host.check_output("cat /proc/irq/%s/smp_affinity_list", str(irq["irq"])) == irq["cpus"]
            assert irq["cpus"] in ("2", "3"), "one CPU of node 1 for each queue"
        assert bring(IGB, VMXNET3)["changes"] == []
    finally:
        bring({"name": "ens1", "state": "absent"}, {"name": "ens2", "state": "absent"})
    assert settings(host) == before


def test_what_the_hardware_cannot_do_is_reported_with_its_limit(bring: Bring, host: Any) -> None:
    before = settings(host)
    requested = {
        "name": "ens1",
        "rings": {"rx": 100000},
        "channels": {"combined": 9},
        "features": {"ntuple": True},
        "flow_rules": [{"flow_type": "udp4", "match": {"dst_port": 53}, "queue": 1}],
    }
    assert bring(requested, {"name": "ens2", "pci": "0000:81:00.0"})["reasons"] == [
        "name ens2, pci 0000:81:00.0 are not one NIC: name ens2 is ens2, but pci 0000:81:00.0 is ens1",
        "ens1: 9 combined channels > hardware maximum 8",
        "ens1: rx ring 100000 > hardware maximum 4096",
        "ens1: feature rx-ntuple-filter (ntuple) is fixed off in igb",
        "ens1: flow rules: igb cannot steer flows (ntuple is fixed off)",
    ]
    assert settings(host) == before
