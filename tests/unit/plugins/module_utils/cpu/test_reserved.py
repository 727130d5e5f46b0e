"""CPUs that nobody gets unless they are named: what the CPU plan and the running kernel say."""

from __future__ import annotations

import json

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.cpulist import format_cpulist
from ansible_collections.tripod.baremetal.plugins.module_utils._core.state_store import StateFile
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.reserved import read_reserved
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.state import KIND
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.topology import read_cpus
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state import read_host

from .lab import CPU, LAB

DEFAULT = ["managed_irq", "nohz_full", "rcu_nocbs"]


def booted(words, **files):
    return {"/proc/cmdline": f"root=LABEL=ROOT {words}\n", **{f"{CPU}/{name}": text for name, text in files.items()}}


@pytest.mark.parametrize(
    ("files", "plan", "isolated", "without_rps"),
    [
        pytest.param({}, None, "", "", id="nothing"),
        pytest.param(booted("isolcpus=2-3", isolated="2-3\n"), None, "2-3", "2-3", id="off the scheduler"),
        pytest.param(booted("isolcpus=managed_irq,2-3", isolated="\n"), None, "2-3", "", id="managed interrupts only"),
        pytest.param(
            booted("isolcpus=managed_irq,2-3 nohz_full=2-3 rcu_nocbs=2-3", nohz_full="2-3\n"),
            None,
            "2-3",
            "2-3",
            id="the default isolation, by hand",
        ),
        pytest.param(booted("rcu_nocbs=1"), None, "1", "", id="callbacks"),
        pytest.param(booted("rcu_nocbs=all"), None, "", "", id="callbacks of all"),
        pytest.param(booted("rcu_nocbs=0-3"), None, "", "", id="callbacks of every CPU sets none apart"),
        pytest.param({}, {"isolated": "1-3", "isolation": DEFAULT}, "1-3", "1-3", id="planned, not booted yet"),
        pytest.param({}, {"isolated": "3", "isolation": ["managed_irq"]}, "3", "", id="planned, without the tick's"),
        pytest.param({}, {"isolated": "", "isolation": DEFAULT}, "", "", id="a plan that isolates none"),
        pytest.param(
            booted("nohz_full=2", nohz_full="2\n"), {"isolated": "3", "isolation": DEFAULT}, "2-3", "2-3", id="both"
        ),
    ],
)
def test_reserved_cpus(machine, files, plan, isolated, without_rps):
    host = machine({**LAB, **files})
    if plan is not None:
        state_store.store(host, StateFile(KIND, KIND, json.loads(json.dumps(plan))))
    found = read_reserved(host, read_cpus(host))
    assert (format_cpulist(found.isolated), format_cpulist(found.without_rps)) == (isolated, without_rps)


def test_the_planner_of_interrupts_reads_them(machine):
    host = machine({**LAB, **booted("nohz_full=2-3 rcu_nocbs=2-3", nohz_full="2-3\n")})
    topology = read_host(host, {}).topology
    assert (sorted(topology.isolated), sorted(topology.without_rps)) == ([2, 3], [2, 3])
