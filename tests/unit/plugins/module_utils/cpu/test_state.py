"""CPUs and the places of NICs as a host's files show them."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.request import parse_request
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.resource import CpuIsolation

from .lab import LAB, LINKS


@pytest.mark.parametrize(
    ("nic", "node"),
    [("ens1", 1), ("0000:81:00.0", 1), ("52:54:00:00:00:01", 1), ("52:54:00:00:00:02", None), ("lo", None)],
)
def test_a_nic_has_a_place_whatever_it_is_called_by(machine, nic, node):
    request = parse_request({"isolated": "3", "assignments": [{"name": "a", "cores": 1, "nic": nic}]})
    assert CpuIsolation(request).read(machine(LAB, LINKS)).topology.nics == {nic: node}


def test_a_cpu_that_reports_no_siblings_is_a_core_of_its_own(machine):
    host = machine({path: text for path, text in LAB.items() if "/cpu3/" not in path}, LINKS)
    assert CpuIsolation(None).read(host).topology.cores == [frozenset({cpu}) for cpu in range(4)]
