"""A CPU plan on this machine, as Ansible applies and removes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.cpulist import parse_cpulist, parse_mask

from tests.support.modules import run_module

STATE_FILE = Path("/etc/tripod/host.d/cpu_isolation.json")
DEFAULT = Path("/proc/irq/default_smp_affinity")
ONLINE = Path("/sys/devices/system/cpu/online")
# Affinity alone: not every kernel that runs these tests can be booted with more.
PLAN = {"housekeeping_cores": 1, "isolation": [], "assignments": [{"name": "go-backend", "cores": 1}]}


@pytest.fixture
def cores() -> Iterator[None]:
    """A machine with a core to spare and no plan of its own, left as it was found."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a single CPU cannot be shared out")
    if STATE_FILE.exists():
        pytest.skip(f"this machine has a CPU plan of its own: {STATE_FILE}")
    before = DEFAULT.read_text()
    yield
    run_module("cpu_isolation", {"state": "absent"})
    assert DEFAULT.read_text() == before


@pytest.mark.usefixtures("cores")
def test_a_plan_is_predicted_applied_saved_and_removed() -> None:
    before = parse_mask(DEFAULT.read_text())
    predicted = run_module("cpu_isolation", PLAN, check=True)
    assert predicted.changed
    assert parse_mask(DEFAULT.read_text()) == before
    assert not STATE_FILE.exists()

    done = run_module("cpu_isolation", PLAN)
    assert done.result["changes"] == predicted.result["changes"]
    containers = done.result["containers"]
    assert parse_mask(DEFAULT.read_text()) == parse_cpulist(containers["default"]["cpuset_cpus"])
    assert parse_cpulist(containers["go-backend"]["cpuset_cpus"]).isdisjoint(parse_mask(DEFAULT.read_text()))
    assert done.result["reboot_required"]
    assert [reason for reason in done.result["reboot_reasons"] if "irqaffinity=" in reason]
    assert not run_module("cpu_isolation", PLAN).changed

    removed = run_module("cpu_isolation", {"state": "absent"})
    assert removed.changed
    assert parse_mask(DEFAULT.read_text()) == before
    assert not STATE_FILE.exists()
    assert not run_module("cpu_isolation", {"state": "absent"}).changed


def test_isolating_every_cpu_is_refused_with_the_limit() -> None:
    run = run_module("cpu_isolation", {"isolated": ONLINE.read_text().strip(), "isolation": []}, check=True)
    assert run.failed
    (reason,) = run.result["reasons"]
    assert "is every CPU that is online; at most" in reason
    assert "must keep house" in reason
