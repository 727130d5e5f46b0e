"""A look at real drivers: whatever cannot be is found at once, with its limit, and nothing is changed."""

from __future__ import annotations

import json

import pytest

from tests.metal.guest import result_of

pytestmark = pytest.mark.full
LOOK = ("playbooks/provision.yml", "--tags", "preflight")
TASK = "tripod.baremetal.preflight : Check the host before anything is changed"


def look(playbook, fails=False, **variables):
    """Return the preflight's result."""
    reported = playbook(*LOOK, "-e", json.dumps(variables), fails=fails)
    return result_of(reported, TASK)


def settings(host):
    """Return what ethtool(8) and the kernel say, to be compared."""
    pages = "cat /sys/devices/system/node/node*/hugepages/*/nr_hugepages"
    return host.check_output(f"ethtool -g ens1; ethtool -l ens1; ethtool -k ens1; ip -br link; {pages}")


def test_the_scenario_itself_can_be_had(playbook):
    found = look(playbook)
    assert [one for one in found["findings"] if one["severity"] == "error"] == []
    assert not found["changed"]


@pytest.fixture(scope="module")
def refused(host, playbook):
    """The findings of a plan that this machine cannot follow."""
    before = settings(host)
    found = look(
        playbook,
        fails=True,
        nic_interfaces=[
            {"name": "ens1", "channels": {"combined": 9}, "rings": {"rx": 100000}, "features": {"ntuple": True}},
            {"name": "ens2", "mtu": 9000, "features": {"lro": True}},
            {"mac": "02:00:00:00:00:01"},
        ],
        xdp_interfaces=[{"name": "ens1", "mode": "offload"}, {"name": "ens2"}],
        kernel_drivers=[{"name": "igb", "minimum_version": "99.1", "xdp_features": ["hw-offload"]}],
        hugepages_reservations=[{"node": 1, "size": "2M", "count": 2000}, {"node": 7, "size": "2M", "count": 1}],
        cpu_isolation_housekeeping="",
        cpu_isolation_isolated="0-3",
        cpu_isolation_assignments=[],
        preflight_features=["btf", "bpffs", "cgroup", "iommu"],
    )
    assert settings(host) == before
    return found


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("NICs", "9 combined channels > hardware maximum 8"),
        ("NICs", "rx ring 100000 > hardware maximum 4096"),
        ("NICs", "(ntuple) is fixed off in igb"),
        ("NICs", "02:00:00:00:00:01"),
        ("XDP on ens1", "runs no program on the NIC"),
        ("XDP on ens2", "MTU 9000"),
        ("XDP on ens2", "large receive offload on"),
        ("drivers", "99.1"),
        ("drivers", "hw-offload"),
        ("huge pages", "node 1: "),
        ("huge pages", "node 7 does not exist"),
        ("CPU plan", "0-3 is every CPU that is online"),
        ("kernel feature iommu", "no IOMMU group"),
    ],
)
def test_every_reason_is_told(refused, subject, words):
    of_subject = [one for one in refused["findings"] if one["subject"] == subject]
    assert any(words in one["found"] for one in of_subject), refused["table"]
    assert all(one["severity"] == "error" and one["limit"] and one["remedy"] for one in of_subject)


def test_the_table_is_in_the_message(refused):
    assert refused["table"] in refused["msg"]
    assert not refused["changed"]


def test_the_management_nic_is_known(playbook):
    found = look(playbook, nic_interfaces=[{"name": "enp0s5", "mtu": 1500}], xdp_interfaces=[])
    reported = [one for one in found["findings"] if "enp0s5" in one["subject"]]
    assert {"session" in one["found"] for one in reported} == {True}, found["table"]
