"""Huge pages as a host's files show them."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.plan import boot_arguments, warnings
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.resource import Hugepages, bring
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.state import Pool

from .nodes import G, M, desired, planned, pool


def test_reads_nodes_pools_and_modes(kernel):
    state = Hugepages(Desired()).read(kernel(**pool(1, M, 12, 8, 2)))
    assert sorted(state.pools) == [(0, M), (0, G), (1, M), (1, G)]
    assert (state.pools[1, M].reserved, state.pools[1, M].used) == (10, 4)
    assert state.memory[1].total == 2022404 << 10
    assert state.memory[0].largest_free == 4 << 20
    assert state.memory[1].largest_free == 2 << 20
    assert state.transparent["defrag"].chosen == "madvise"
    assert state.default_size == M
    assert state.fstab == {"/"}


def test_a_machine_without_numa_is_node_0(machine):
    host = machine(
        {
            "/proc/meminfo": "MemTotal:        4015140 kB\nMemFree:   1000 kB\n",
            "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "3\n",
            "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "3\n",
            "/sys/kernel/mm/hugepages/other": "",
            "/proc/sys/kernel/osrelease": "6.12.1\n",
        }
    )
    state = Hugepages(Desired()).read(host)
    assert state.pools == {(0, M): Pool(3, 3)}
    assert state.default_size is None
    assert planned(desired((0, M, 4)), host) == ["pages 0 2M: 3 -> 4"]
    assert boot_arguments(desired((0, M, 4), at_boot=(M,)), state) == ["hugepagesz=2M", "hugepages=4"]
    assert warnings(desired((0, M, 4), at_boot=(M,)), state) == []


def test_holders_end_while_we_look(kernel, monkeypatch):
    host = kernel(**pool(0, M, 64, 58), **{"/proc/41/numa_maps": ""})
    read = Host.read

    def failing(self, path):
        if path.endswith("numa_maps"):
            raise ProcessLookupError
        return read(self, path)

    monkeypatch.setattr(Host, "read", failing)
    with pytest.raises(Refused, match="files of a hugetlbfs mount"):
        bring(desired((0, M, 4)), host)
