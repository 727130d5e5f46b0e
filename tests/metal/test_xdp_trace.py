"""Packets that an XDP program aborts are lost to every counter of the network stack, and found by bcc."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.frames import IPV4, ethernet, ipv4
from tests.metal.test_vm import guest_name
from tests.support.bpf_object import xdp_object
from tools.vm.hardware import NICS

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("put_back")]
CABLE = "virtio0"
ABORTED = 0
OBJECT = "/var/tmp/aborted.bpf.o"
PER_SECOND = 20


@pytest.fixture
def nic(host, vm, tmp_path):
    """A NIC that aborts every packet, by the driver."""
    [mac] = [nic.mac for nic in NICS if nic.name == CABLE]
    name = guest_name(host, mac)
    (tmp_path / "aborted.bpf.o").write_bytes(xdp_object(ABORTED, "give_up"))
    assert vm.copy(str(tmp_path / "aborted.bpf.o"), f":{OBJECT}") == 0
    host.check_output(f"ip link set {name} up && ip link set dev {name} xdpdrv object {OBJECT} section xdp")
    yield name
    host.check_output(f"ip link set dev {name} xdpdrv off && rm {OBJECT}")


def test_aborted_packets_are_counted_by_nic_and_reason(playbook, outside, nic):
    cable = outside(CABLE)
    frame = ethernet(IPV4, ipv4("198.51.100.7"), destination=cable.target)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(playbook, "tests/playbooks/trace.yml", "-e", json.dumps({"trace_interface": nic}))
        # Installing, and compiling, take minutes in emulation; a quarter of an hour is more than they ever do.
        for _second in range(900):
            if run.done():
                break
            cable.send(*[frame] * PER_SECOND, per_second=PER_SECOND)
        reported = run.result()
    [result] = reported["plays"][0]["tasks"][-1]["hosts"].values()
    assert "xdp_exception" in result["events"]
    [count] = [one for one in result["counts"] if one["event"] == "xdp_exception"]
    assert (count["interface"], count["action"], count["program"]["name"]) == (nic, "aborted", "give_up")
    assert "the program gave up" in count["reason"]
    # Sent for as long as it watched.
    assert PER_SECOND * result["seconds"] * 0.5 < count["packets"] < PER_SECOND * result["seconds"] * 2
