"""The CPU plan after its boot, as the kernel and the processes show it: node 0 keeps house, node 1 is isolated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.metal.conftest import Playbook
from tests.metal.guest import allowed

ARGUMENTS = ["isolcpus=managed_irq,2-3", "nohz_full=2-3", "rcu_nocbs=2-3", "irqaffinity=0-1"]
IRQ_DEFAULT, WORKQUEUES = "/proc/irq/default_smp_affinity", "/sys/devices/virtual/workqueue/cpumask"
HOUSEKEEPING_MASK = 0x3
# Of each service that systemd started, by its main process.
SERVICES = r"""
for service in $(systemctl list-units --type=service --state=running --plain --no-legend | cut -d' ' -f1); do
  process=$(systemctl show --property MainPID --value "$service")
  sed -n "s/^Cpus_allowed_list:/$service/p" "/proc/$process/status"
done
"""


def mask(host: Any, path: str) -> int:
    return int(host.file(path).content_string.strip().replace(",", ""), 16)


def test_the_kernel_was_booted_with_the_plan_and_does_as_told(host):
    running = host.file("/proc/cmdline").content_string.split()
    assert [word for word in running if word in ARGUMENTS] == ARGUMENTS
    assert host.file("/sys/devices/system/cpu/nohz_full").content_string.strip() == "2-3"
    # Its log tells alone: threads for the callbacks are there for every CPU.
    assert "Offload RCU callbacks from CPUs: 2-3." in host.check_output("dmesg")


def test_systemd_and_every_service_keep_to_the_housekeeping_cpus(host):
    assert allowed(host, 1, "Cpus") == "0-1"
    services = dict(line.split() for line in host.check_output(SERVICES).splitlines())
    assert "ssh.service" in services
    assert {name: cpus for name, cpus in services.items() if cpus != "0-1"} == {}


def test_interrupts_and_kernel_work_keep_to_the_housekeeping_cpus(host):
    assert mask(host, IRQ_DEFAULT) == HOUSEKEEPING_MASK
    assert mask(host, WORKQUEUES) == HOUSEKEEPING_MASK


def test_what_somebody_changed_is_seen_and_put_back_by_the_agent(host):
    host.check_output(f"echo f > {WORKQUEUES} && echo f > {IRQ_DEFAULT}")
    differs = host.run("tripod-host diff --kind cpu_isolation --json")
    assert differs.rc == 2
    (found,) = json.loads(differs.stdout)
    assert found["changes"] == ["irq default_smp_affinity: 0-3 -> 0-1", "workqueue cpumask: 0-3 -> 0-1"]
    host.check_output("tripod-host apply --kind cpu_isolation")
    assert mask(host, IRQ_DEFAULT) == HOUSEKEEPING_MASK
    assert mask(host, WORKQUEUES) == HOUSEKEEPING_MASK


@pytest.mark.full
def test_isolating_every_cpu_is_refused_and_changes_nothing(host, playbook: Playbook):
    state_file = "/etc/tripod/host.d/cpu_isolation.json"
    before = host.file(state_file).content_string
    greedy = {"cpu_isolation_housekeeping": "", "cpu_isolation_isolated": "0-3", "cpu_isolation_assignments": []}
    reported = playbook("playbooks/provision.yml", "--tags", "cpu_isolation", "-e", json.dumps(greedy), fails=True)
    (failed,) = [
        answer
        for play in reported["plays"]
        for task in play["tasks"]
        for answer in task["hosts"].values()
        if answer.get("failed")
    ]
    assert failed["reasons"] == [
        "isolated: 0-3 is every CPU that is online; at most 1-3 can be, as CPU 0 must keep house"
    ]
    assert host.file(state_file).content_string == before
    assert mask(host, IRQ_DEFAULT) == HOUSEKEEPING_MASK
