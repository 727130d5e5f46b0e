"""Huge pages as a host's files show them."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.plan import boot_arguments, warnings
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.resource import Hugepages, bring
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.state import Pool, read_memory

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


@pytest.mark.parametrize(
    ("zones", "words"),
    [
        (["1 0 0 3 0 0 0 0 0 0 0"], "the largest free block is 32 KiB"),
        (["1 0 0", "0 0 0 0 0 0 0 0 0 0 2"], "blocks of 4 MiB are free, and the kernel lists none larger even where"),
        (["0 0 0 0 0 0 0 0 0 2"], "blocks of 2 MiB are free, and the kernel lists none larger even where"),
        (["0 0 0 0 0 0 0 0 0 0 0"], "the kernel lists no free block"),
        ([], "the kernel lists no free block"),
    ],
)
def test_of_free_memory_in_one_piece_no_more_is_claimed_than_is_listed(machine, zones, words):
    lines = [f"Node 0, zone   Zone{number}   {zone}\n" for number, zone in enumerate(zones)]
    host = machine({"/proc/buddyinfo": "".join(lines), "/proc/meminfo": "MemTotal: 1 kB\n"})
    assert dict(read_memory(host, False))[0].contiguous.startswith(words)


def test_this_machine_lists_no_block_beyond_what_it_could():
    for memory in dict(read_memory(Host(), False)).values():
        assert 0 < memory.largest_free <= memory.largest_listed


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
