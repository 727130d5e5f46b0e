"""A CPU plan brought to a host with two nodes: planned, applied to its files, booted, replayed and taken back."""

from __future__ import annotations

import json

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    Findings,
    Impossible,
    converge,
    describe,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.plan import parse_request, resolve
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.resource import (
    CpuIsolation,
    disagreements,
    reapply,
    reboot_reasons,
)

CPU, NODE = "/sys/devices/system/cpu", "/sys/devices/system/node"
DROP_IN, STATE_FILE = "/etc/systemd/system.conf.d/tripod.conf", "/etc/tripod/host.d/cpu_isolation.json"
IRQ, WORKQUEUE = "/proc/irq/default_smp_affinity", "/sys/devices/virtual/workqueue/cpumask"
PCI = "/sys/devices/pci0000:80/0000:80:00.0/0000:81:00.0"
VIRTIO = "/sys/devices/pci0000:00/0000:00:05.0"
# Recorded from Debian 13 (Linux 6.12) with two sockets of two cores; the governors are those of acpi-cpufreq.
LAB = {
    f"{NODE}/online": "0-1\n",
    f"{NODE}/node0/cpulist": "0-1\n",
    f"{NODE}/node0/distance": "10 21\n",
    f"{NODE}/node0/meminfo": "Node 0 MemTotal:        2030324 kB\nNode 0 MemFree:         1737732 kB\n",
    f"{NODE}/node1/cpulist": "2-3\n",
    f"{NODE}/node1/distance": "21 10\n",
    f"{NODE}/node1/meminfo": "Node 1 MemTotal:        2015232 kB\nNode 1 MemFree:         1737732 kB\n",
    f"{CPU}/online": "0-3\n",
    f"{CPU}/isolated": "\n",
    f"{CPU}/nohz_full": "(null)\n",
    **{f"{CPU}/cpu{cpu}/topology/thread_siblings_list": f"{cpu}\n" for cpu in range(4)},
    "/proc/sys/kernel/osrelease": "6.12.9-amd64\n",
    "/proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz-6.12.9-amd64 root=LABEL=ROOT ro console=ttyS0\n",
    "/proc/1/status": "Name:\tsystemd\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n",
    "/run/systemd/system/made": "",
    "/boot/config-6.12.9-amd64": "CONFIG_CPU_ISOLATION=y\nCONFIG_NO_HZ_FULL=y\nCONFIG_RCU_NOCB_CPU=y\n",
    IRQ: "f\n",
    WORKQUEUE: "f\n",
    f"{PCI}/numa_node": "1\n",
    f"{PCI}/net/ens1/address": "52:54:00:00:00:01\n",
    f"{VIRTIO}/numa_node": "-1\n",
    f"{VIRTIO}/virtio1/net/enp0s5/address": "52:54:00:00:00:02\n",
    "/sys/devices/virtual/net/lo/address": "00:00:00:00:00:00\n",
}
LINKS = {
    "/sys/class/net/ens1": f"../../..{PCI}/net/ens1",
    "/sys/class/net/enp0s5": f"../../..{VIRTIO}/virtio1/net/enp0s5",
    "/sys/class/net/lo": "../../devices/virtual/net/lo",
    "/sys/bus/pci/devices/0000:81:00.0": f"../../../..{PCI}",
}
GOVERNORS = {
    f"{CPU}/cpu{cpu}/cpufreq/{name}": text
    for cpu in range(4)
    for name, text in (
        ("scaling_governor", "schedutil\n" if cpu else "performance\n"),
        ("scaling_available_governors", "performance schedutil\n"),
    )
}
FLAGS = ["managed_irq", "nohz_full", "rcu_nocbs"]
OPTIONS = {
    "housekeeping": "0-1",
    "isolation": FLAGS,
    "assignments": [{"name": "go-backend", "cores": 1, "nic": "ens1"}],
}
BOOTED = "isolcpus=managed_irq,2-3 nohz_full=2-3 rcu_nocbs=2-3 irqaffinity=0-1"


@pytest.fixture
def lab(machine):
    return machine(LAB, LINKS)


def bring(host, check=False, **options):
    request = parse_request({**OPTIONS, **options})
    return converge(CpuIsolation(request), request, host, check=check)


def remove(host):
    return converge(CpuIsolation(None), None, host)


def boot(host, arguments=BOOTED, manager="0-1", nohz_full="2-3", workqueues="3"):
    """Leave the host's files as a boot with these arguments does."""
    for path, text in {
        "/proc/cmdline": f"root=LABEL=ROOT ro {arguments}\n",
        "/proc/1/status": f"Cpus_allowed_list:\t{manager}\n",
        f"{CPU}/nohz_full": f"{nohz_full}\n",
        WORKQUEUE: f"{workqueues}\n",
        IRQ: "3\n",
    }.items():
        host.path(path).write_text(text)


def looked_at(host, **options):
    request = parse_request({**OPTIONS, **options})
    state = CpuIsolation(request).read(host)
    plan = resolve(request, state.topology, Findings())
    return reboot_reasons(plan, state), list(disagreements(plan, state))


def lines(outcome):
    return [describe(change) for change in outcome.changes if change.path[0] != "state file"]


def test_a_plan_reaches_systemd_and_interrupts_at_once_and_is_remembered(lab):
    done = bring(lab)
    assert lines(done) == ["systemd CPUAffinity: absent -> 0-1", "irq default_smp_affinity: 0-3 -> 0-1"]
    assert lab.read(IRQ) == "3"
    assert lab.read(DROP_IN).splitlines()[1:] == ["[Manager]", "CPUAffinity=", "CPUAffinity=0-1"]
    assert json.loads(lab.read(STATE_FILE)) == {
        "format": 1,
        "kind": "cpu_isolation",
        "housekeeping": "0-1",
        "isolated": "2-3",
        "isolation": FLAGS,
        "split_cores": False,
        "governor": None,
        "assignments": [{"name": "go-backend", "cpus": "2"}],
        "original": {"irq_default": "0-3"},
    }
    assert not bring(lab).changed


def test_check_mode_foretells_and_touches_nothing(lab):
    foretold = bring(lab, check=True)
    assert lab.read(IRQ) == "f"
    assert not lab.exists(DROP_IN)
    assert foretold.changes == bring(lab).changes


def test_what_a_boot_brings_is_seen_in_the_running_system(lab):
    bring(lab)
    reasons, disagree = looked_at(lab)
    assert [reason.split(" is wanted, ")[0] for reason in reasons[:-1]] == [
        f"boot argument {token}" for token in BOOTED.split()
    ]
    assert "systemd runs on CPUs 0-3, and 0-1 are wanted" in reasons[-1]
    assert disagree == []
    boot(lab)
    assert looked_at(lab) == ([], [])
    assert not bring(lab).changed


def test_another_plan_needs_another_boot(lab):
    boot(lab)
    reasons, _disagree = looked_at(lab, housekeeping="0-2", assignments=[])
    assert reasons[0] == (
        "boot argument isolcpus=managed_irq,3 is wanted, the kernel runs with isolcpus=managed_irq,2-3"
    )
    assert "systemd runs on CPUs 0-1, and 0-2 are wanted" in reasons[-1]


def test_arguments_that_do_not_do_what_they_say_are_told_and_need_no_boot(lab):
    boot(lab, BOOTED + " irqaffinity=3", nohz_full="(null)")
    reasons, disagree = looked_at(lab)
    assert reasons == []
    assert disagree[0].startswith("the kernel was booted with irqaffinity=0-1 and also irqaffinity=3")
    assert "has it on none" in disagree[1]
    boot(lab, "isolcpus=domain,2-3 irqaffinity=0-1")
    assert "the kernel was booted for domain on CPUs 2-3" in looked_at(lab, isolation=["domain"])[1][0]


def test_kernel_work_is_moved_only_where_no_boot_is_due(lab):
    done = bring(lab)
    assert [change for change in done.changes if change.path[0] == "workqueue"] == []
    boot(lab, workqueues="f")
    assert lines(bring(lab)) == ["workqueue cpumask: 0-3 -> 0-1"]
    assert lab.read(WORKQUEUE) == "3"


def test_bits_of_cpus_that_are_not_there_do_not_count(lab):
    boot(lab)
    lab.path(WORKQUEUE).write_text("ffff,fffffff3\n")
    lab.path(IRQ).write_text("f3\n")
    assert lines(bring(lab)) == ["systemd CPUAffinity: absent -> 0-1"]


def test_without_systemd_there_is_no_drop_in_and_no_reason_of_its(machine):
    host = machine({path: text for path, text in LAB.items() if not path.startswith("/run")}, LINKS)
    assert lines(bring(host)) == ["irq default_smp_affinity: 0-3 -> 0-1"]
    assert not host.exists(DROP_IN)
    assert [reason for reason in looked_at(host)[0] if "systemd" in reason] == []


def test_a_drop_in_edited_by_hand_is_written_again(lab):
    bring(lab)
    lab.write_atomically(DROP_IN, lab.read(DROP_IN) + "\nCPUAffinity=3\n")
    assert lines(bring(lab)) == ["systemd CPUAffinity: edited by hand -> 0-1"]


def test_a_host_without_these_settings_has_none_of_them_planned(machine):
    bare = {path: text for path, text in LAB.items() if path not in (IRQ, WORKQUEUE, "/proc/1/status")}
    host = machine(bare, LINKS)
    assert lines(bring(host, isolation=[])) == []
    assert json.loads(host.read(STATE_FILE))["original"] == {}
    assert [change.path for change in remove(host).changes] == [("state file", "cpu_isolation")]


def test_the_governor_is_set_on_every_cpu_and_put_back(machine):
    host = machine({**LAB, **GOVERNORS}, LINKS)
    assert lines(bring(host, governor="performance"))[-1] == "governor cpu3: schedutil -> performance"
    assert [host.read(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor") for cpu in range(4)] == ["performance"] * 4
    assert json.loads(host.read(STATE_FILE))["original"]["governors"]["0"] == "performance"
    remove(host)
    assert [host.read(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor") for cpu in range(4)] == [
        "performance",
        *["schedutil"] * 3,
    ]


def test_a_governor_that_is_not_asked_for_is_left_alone(machine):
    host = machine({**LAB, **GOVERNORS}, LINKS)
    assert [line for line in lines(bring(host)) if "governor" in line] == []
    assert "governors" not in json.loads(host.read(STATE_FILE))["original"]


def test_everything_that_the_host_cannot_do_comes_at_once(machine):
    host = machine({**LAB, "/boot/config-6.12.9-amd64": "CONFIG_CPU_ISOLATION=y\nCONFIG_RCU_NOCB_CPU=y\n"}, LINKS)
    with pytest.raises(Impossible) as caught:
        bring(host, isolated="1-9", housekeeping=None, governor="performance")
    reasons = caught.value.facts["reasons"]
    assert len(reasons) == 3
    for words in ("CPUs 4-9 are not online", "nohz_full: this kernel was built without CONFIG_NO_HZ_FULL", "cpufreq"):
        assert [reason for reason in reasons if words in reason]
    assert not host.exists(STATE_FILE)


def test_a_governor_that_is_not_there_has_those_that_are_named(machine):
    host = machine({**LAB, **GOVERNORS}, LINKS)
    with pytest.raises(Impossible, match="CPUs 0-3 have performance, schedutil; choose one of these"):
        bring(host, governor="powersave")


def test_without_its_configuration_the_kernel_tells_by_a_file(machine):
    bare = {path: text for path, text in LAB.items() if not path.startswith("/boot")}
    assert bring(machine(bare, LINKS), check=True).changed


def test_a_kernel_without_tickless_cpus_is_told(machine):
    bare = {path: text for path, text in LAB.items() if path != f"{CPU}/nohz_full" and not path.startswith("/boot")}
    with pytest.raises(Impossible, match="CONFIG_NO_HZ_FULL"):
        bring(machine(bare, LINKS))


@pytest.mark.parametrize(
    ("nic", "node"),
    [("ens1", 1), ("0000:81:00.0", 1), ("52:54:00:00:00:01", 1), ("52:54:00:00:00:02", None), ("lo", None)],
)
def test_a_nic_has_a_place_whatever_it_is_called_by(lab, nic, node):
    request = parse_request({"isolated": "3", "assignments": [{"name": "a", "cores": 1, "nic": nic}]})
    assert CpuIsolation(request).read(lab).topology.nics == {nic: node}


def test_a_nic_that_is_not_there_has_no_place(lab):
    with pytest.raises(Impossible, match="there is no NIC ens9"):
        bring(lab, assignments=[{"name": "a", "cores": 1, "nic": "ens9"}])


def test_a_cpu_that_tells_no_siblings_is_a_core_of_its_own(machine):
    host = machine({path: text for path, text in LAB.items() if "/cpu3/" not in path}, LINKS)
    assert CpuIsolation(None).read(host).topology.cores == [frozenset({cpu}) for cpu in range(4)]


def test_absence_puts_back_what_was_first_and_touches_nothing_else(lab):
    bring(lab)
    boot(lab)
    bring(lab, housekeeping="0", assignments=[])  # what was found first stays the original
    assert lines(remove(lab)) == ["systemd CPUAffinity: 0 -> absent", "irq default_smp_affinity: 0 -> 0-3"]
    assert lab.read(IRQ) == "f"
    assert not lab.exists(DROP_IN)
    assert not lab.exists(STATE_FILE)
    assert not remove(lab).changed


def test_a_host_without_a_plan_of_ours_stays_as_it_is(lab):
    assert remove(lab).changes == []


def test_a_document_is_replayed_to_the_same_state(lab):
    bring(lab)
    body = {key: value for key, value in json.loads(lab.read(STATE_FILE)).items() if key not in ("format", "kind")}
    boot(lab, workqueues="f")
    lab.path(IRQ).write_text("f\n")
    foretold = reapply(body, lab, check=True)
    assert lab.read(IRQ) == "f"
    done = reapply(body, lab)
    assert done.changes == foretold.changes
    assert lines(done) == ["irq default_smp_affinity: 0-3 -> 0-1", "workqueue cpumask: 0-3 -> 0-1"]
    assert not reapply(body, lab).changed


def test_a_link_that_comes_up_concerns_no_cpu(lab):
    bring(lab)
    lab.path(IRQ).write_text("f\n")
    assert not reapply(json.loads(lab.read(STATE_FILE)), lab, only=["ens1"]).changed
    assert lab.read(IRQ) == "f"


def test_a_replay_leaves_out_cpus_that_went_away_and_says_so(lab, caplog):
    bring(lab)
    before = lab.read(STATE_FILE)
    lab.path(f"{CPU}/online").write_text("0-2\n")
    lab.path(IRQ).write_text("7\n")
    lab.path(f"{NODE}/node1/cpulist").write_text("2\n")
    assert lines(reapply(json.loads(before), lab)) == ["irq default_smp_affinity: 0-2 -> 0-1"]
    assert "CPUs 3 of the CPU plan are not online" in caplog.text
    assert lab.read(STATE_FILE) == before


def test_a_setting_that_the_kernel_refuses_is_named(lab, monkeypatch):
    def refuse(path, text):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(lab, "write_attribute", refuse)
    with pytest.raises(ApplyFailed, match="irq default_smp_affinity -> 0-1: Invalid argument"):
        bring(lab)
