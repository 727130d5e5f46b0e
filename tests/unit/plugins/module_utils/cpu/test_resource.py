"""A CPU plan brought to a host with two nodes: planned, applied to its files, booted, reapplied and removed."""

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
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.changes import disagreements, reboot_reasons
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.plan import resolve
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.request import parse_request
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.resource import CpuIsolation, reapply

from .lab import CPU, GOVERNORS, IRQ, LAB, LINKS, NODE, WORKQUEUE

DROP_IN, STATE_FILE = "/etc/systemd/system.conf.d/tripod.conf", "/etc/tripod/host.d/cpu_isolation.json"
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


def found_on(host, **options):
    request = parse_request({**OPTIONS, **options})
    state = CpuIsolation(request).read(host)
    plan = resolve(request, state.topology, Findings())
    return reboot_reasons(plan, state), list(disagreements(plan, state))


def lines(outcome):
    return [describe(change) for change in outcome.changes if change.path[0] != "state file"]


def test_a_plan_reaches_systemd_and_interrupts_at_once_and_is_saved(lab):
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


def test_check_mode_predicts_and_touches_nothing(lab):
    predicted = bring(lab, check=True)
    assert lab.read(IRQ) == "f"
    assert not lab.exists(DROP_IN)
    assert predicted.changes == bring(lab).changes


def test_what_a_boot_brings_is_seen_in_the_running_system(lab):
    bring(lab)
    reasons, disagree = found_on(lab)
    assert [reason.split(" is requested, ")[0] for reason in reasons[:-1]] == [
        f"boot argument {token}" for token in BOOTED.split()
    ]
    assert "systemd runs on CPUs 0-3, and 0-1 are requested" in reasons[-1]
    assert disagree == []
    boot(lab)
    assert found_on(lab) == ([], [])
    assert not bring(lab).changed


def test_another_plan_requires_another_reboot(lab):
    boot(lab)
    reasons, _disagree = found_on(lab, housekeeping="0-2", assignments=[])
    assert reasons[0] == (
        "boot argument isolcpus=managed_irq,3 is requested, the kernel runs with isolcpus=managed_irq,2-3"
    )
    assert "systemd runs on CPUs 0-1, and 0-2 are requested" in reasons[-1]


def test_arguments_that_do_not_do_what_they_say_are_reported_and_require_no_reboot(lab):
    boot(lab, BOOTED + " irqaffinity=3", nohz_full="(null)")
    reasons, disagree = found_on(lab)
    assert reasons == []
    assert disagree[0].startswith("the kernel was booted with irqaffinity=0-1 and also irqaffinity=3")
    assert "has it on none" in disagree[1]
    boot(lab, "isolcpus=domain,2-3 irqaffinity=0-1")
    assert "the kernel was booted for domain on CPUs 2-3" in found_on(lab, isolation=["domain"])[1][0]


def test_kernel_work_is_moved_only_where_no_reboot_is_required(lab):
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
    assert [reason for reason in found_on(host)[0] if "systemd" in reason] == []


def test_a_drop_in_edited_by_hand_is_rewritten(lab):
    bring(lab)
    lab.write_atomically(DROP_IN, lab.read(DROP_IN) + "\nCPUAffinity=3\n")
    assert lines(bring(lab)) == ["systemd CPUAffinity: edited by hand -> 0-1"]


def test_a_host_without_these_settings_has_none_of_them_planned(machine):
    bare = {path: text for path, text in LAB.items() if path not in (IRQ, WORKQUEUE, "/proc/1/status")}
    host = machine(bare, LINKS)
    assert lines(bring(host, isolation=[])) == []
    assert json.loads(host.read(STATE_FILE))["original"] == {}
    assert [change.path for change in remove(host).changes] == [("state file", "cpu_isolation")]


def test_the_governor_is_set_on_every_cpu_and_restored(machine):
    host = machine({**LAB, **GOVERNORS}, LINKS)
    assert lines(bring(host, governor="performance"))[-1] == "governor cpu3: schedutil -> performance"
    assert [host.read(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor") for cpu in range(4)] == ["performance"] * 4
    assert json.loads(host.read(STATE_FILE))["original"]["governors"]["0"] == "performance"
    remove(host)
    assert [host.read(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor") for cpu in range(4)] == [
        "performance",
        *["schedutil"] * 3,
    ]


def test_a_governor_that_is_not_requested_is_left_alone(machine):
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


def test_without_its_configuration_the_kernel_shows_it_by_a_file(machine):
    bare = {path: text for path, text in LAB.items() if not path.startswith("/boot")}
    assert bring(machine(bare, LINKS), check=True).changed


def test_a_kernel_without_tickless_cpus_is_reported(machine):
    bare = {path: text for path, text in LAB.items() if path != f"{CPU}/nohz_full" and not path.startswith("/boot")}
    with pytest.raises(Impossible, match="CONFIG_NO_HZ_FULL"):
        bring(machine(bare, LINKS))


def test_a_nic_that_is_not_there_has_no_place(lab):
    with pytest.raises(Impossible, match="there is no NIC ens9"):
        bring(lab, assignments=[{"name": "a", "cores": 1, "nic": "ens9"}])


def test_absence_restores_the_original_values_and_touches_nothing_else(lab):
    bring(lab)
    boot(lab)
    bring(lab, housekeeping="0", assignments=[])  # what was saved first stays the original
    assert lines(remove(lab)) == ["systemd CPUAffinity: 0 -> absent", "irq default_smp_affinity: 0 -> 0-3"]
    assert lab.read(IRQ) == "f"
    assert not lab.exists(DROP_IN)
    assert not lab.exists(STATE_FILE)
    assert not remove(lab).changed


def test_a_host_without_a_plan_of_ours_stays_as_it_is(lab):
    assert remove(lab).changes == []


def test_a_state_file_is_reapplied_to_the_same_state(lab):
    bring(lab)
    body = {key: value for key, value in json.loads(lab.read(STATE_FILE)).items() if key not in ("format", "kind")}
    boot(lab, workqueues="f")
    lab.path(IRQ).write_text("f\n")
    predicted = reapply(body, lab, check=True)
    assert lab.read(IRQ) == "f"
    done = reapply(body, lab)
    assert done.changes == predicted.changes
    assert lines(done) == ["irq default_smp_affinity: 0-3 -> 0-1", "workqueue cpumask: 0-3 -> 0-1"]
    assert not reapply(body, lab).changed


def test_a_link_that_comes_up_concerns_no_cpu(lab):
    bring(lab)
    lab.path(IRQ).write_text("f\n")
    assert not reapply(json.loads(lab.read(STATE_FILE)), lab, only=["ens1"]).changed
    assert lab.read(IRQ) == "f"


def test_reapplying_leaves_out_cpus_that_went_away_and_says_so(lab, caplog):
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
