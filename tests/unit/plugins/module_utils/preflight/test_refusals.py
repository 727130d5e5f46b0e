"""What other modules would refuse, as findings at once."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._core.findings import ERROR
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.resource import Nics
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.refusals import Requested, check_requested

NODE = "/sys/devices/system/node"
CPU = "/sys/devices/system/cpu"
# Two nodes of two CPUs and 2 GiB each.
MACHINE = {
    f"{NODE}/online": "0-1\n",
    **{
        f"{NODE}/node{node}/{name}": text
        for node in (0, 1)
        for name, text in {
            "cpulist": f"{2 * node}-{2 * node + 1}\n",
            "distance": "10 21\n" if node == 0 else "21 10\n",
            "meminfo": f"Node {node} MemTotal: 2097152 kB\nNode {node} MemFree: 1572864 kB\n",
            "hugepages/hugepages-2048kB/nr_hugepages": "0\n",
            "hugepages/hugepages-2048kB/free_hugepages": "0\n",
            "hugepages/hugepages-2048kB/surplus_hugepages": "0\n",
        }.items()
    },
    "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "0\n",
    f"{CPU}/online": "0-3\n",
    f"{CPU}/present": "0-3\n",
    **{f"{CPU}/cpu{cpu}/topology/thread_siblings_list": f"{cpu}\n" for cpu in range(4)},
    "/proc/sys/kernel/osrelease": "6.12.9-amd64\n",
    "/proc/sys/net/core/somaxconn": "4096\n",
    "/proc/cmdline": "quiet\n",
}


@pytest.mark.parametrize(
    "requested",
    [
        Requested(),
        Requested(reservations=[{"node": 1, "size": "2M", "count": 256}], keep=512 << 20),
        Requested(cpu_plan={"housekeeping": "0-1", "isolated": "rest"}),
        Requested(sysctls={"net.core.somaxconn": 8192}),
        # Without CPUs for anybody there is no plan, whatever its flags say.
        Requested(cpu_plan={"isolation": ["nohz_full"], "governor": "performance"}),
    ],
)
def test_what_the_host_can_do_gives_no_finding(machine, requested):
    assert list(check_requested(machine(MACHINE), requested)) == []


@pytest.mark.parametrize(("housekeeping", "contradicted"), [("0-1", True), ("0", False), ("0-9", False)])
def test_boot_arguments_that_contradict_the_cpu_plan_beside_them_are_a_finding(machine, housekeeping, contradicted):
    plan = {"housekeeping": housekeeping, "isolated": "rest", "isolation": ["nohz_full"]}
    requested = Requested(cpu_plan=plan, boot_arguments=["nohz_full=1-3"])
    found = [one.found for one in check_requested(machine(MACHINE), requested) if one.subject == "boot arguments"]
    assert any("nohz_full=1-3 and nohz_full=2-3 contradict each other" in words for words in found) is contradicted


def test_every_reason_of_every_module_is_a_finding(machine):
    requested = Requested(
        nics=[{"name": "ens1", "mtu": "large"}, {"rings": {"rx": 4096}}],
        drivers=[{"name": "no/such"}, {"name": "igb", "minimum_version": "not a version"}],
        reservations=[{"node": 7, "size": "2M", "count": 1}, {"node": 0, "size": "2M", "count": 9999}],
        cpu_plan={"isolated": "0-9"},
        boot_arguments=["quiet splash"],
        sysctls={"net.core.nope": 1, "vm.nr_hugepages": 4},
    )
    found = list(check_requested(machine(MACHINE), requested))
    assert {one.severity for one in found} == {ERROR}
    subjects = [one.subject for one in found]
    for subject in ("NICs", "huge pages", "CPU plan", "kernel variables"):
        assert subjects.count(subject) >= 2, found
    assert {"drivers", "boot arguments"} <= set(subjects)
    words = " ".join(one.found for one in found)
    for word in ("node 7 does not exist", "node 0: 9999 pages of 2 MiB", "4-9 are not online"):
        assert word in words
    assert requested.nic_requests() == []


def test_a_size_that_is_none_is_a_finding_too(machine):
    (finding,) = check_requested(machine(MACHINE), Requested(reservations=[{"size": "huge", "count": 1}]))
    assert "'huge' is no size" in finding.found


def test_an_error_without_a_list_of_reasons_is_one_reason(machine, monkeypatch):
    def refuse(_self, _host):
        raise Impossible("the NICs cannot be read: run as root")

    monkeypatch.setattr(Nics, "read", refuse)
    (finding,) = check_requested(machine(MACHINE), Requested(nics=[{"name": "ens1"}]))
    assert (finding.subject, finding.found) == ("NICs", "the NICs cannot be read: run as root")
    assert finding.remedy == "correct nic_interfaces"
