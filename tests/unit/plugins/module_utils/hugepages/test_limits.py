"""Reasons against a request of huge pages, given before anything is changed."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Invalid, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.resource import bring
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.hugetlbfs import Mount

from .nodes import G, M, desired, planned, pool


@pytest.mark.parametrize(
    ("requested", "kind", "words"),
    [
        (desired((0, M, 1), (0, M, 2)), Invalid, "node 0: pages of 2 MiB are requested twice"),
        (desired((0, M, -1)), Invalid, "a count is 0 or more"),
        (desired(transparent={"khugepaged": "1"}), Invalid, "not one of enabled, defrag"),
        (desired(mounts=(Mount("/mnt", M), Mount("/mnt", G))), Invalid, "mounted twice"),
        (desired(mounts=(Mount("mnt", M),)), Invalid, "an absolute path"),
        (desired(mounts=(Mount("/mnt/a b", M),)), Invalid, "an absolute path"),
        (desired(mounts=(Mount("/mnt/../sys", M),)), Invalid, "/mnt/../sys is another way to write /sys"),
        (desired(mounts=(Mount("/mnt/", M),)), Invalid, "/mnt/ is another way to write /mnt"),
        (desired(mounts=(Mount("/mnt", M, limit=M + 1),)), Invalid, "no multiple of its pages of 2 MiB"),
        (desired((0, 16 << 20, 1)), Impossible, "no huge pages of 16 MiB: it has 2 MiB, 1 GiB"),
        (desired(default_size=16 << 20), Impossible, "no huge pages of 16 MiB"),
        (desired((2, M, 1)), Impossible, "node 2 does not exist: this machine has 0, 1"),
        (desired((1, G, 2)), Impossible, "node 1: 2 pages of 1 GiB take 2 GiB, the node has 1.9 GiB"),
        (desired((1, G, 1), (1, M, 500)), Impossible, "500 pages of 2 MiB and 1 pages of 1 GiB take 2 GiB"),
        (desired((0, G, 1), (1, G, 1), keep=2 << 30), Impossible, "must be left with 2 GiB"),
        (desired(transparent={"enabled": "some"}), Impossible, "some is not one of always, madvise, never"),
        (desired(mounts=(Mount("/", M),)), Invalid, "absolute path"),
    ],
)
def test_refuses_before_anything_is_changed(kernel, requested, kind, words):
    host = kernel()
    with pytest.raises(kind, match=words):
        bring(requested, host)
    assert host.written == []


def test_a_kernel_without_transparent_huge_pages_says_so(kernel):
    host = kernel(**{"/sys/kernel/mm/transparent_hugepage/enabled": ""})
    with pytest.raises(Impossible, match="no transparent huge pages"):
        bring(desired(transparent={"enabled": "never"}), host)


@pytest.mark.parametrize(
    ("mount", "more", "words"),
    [
        (Mount("/srv", M), {"/proc/self/mounts": "tmpfs /srv tmpfs rw 0 0\n"}, "type tmpfs is mounted there"),
        (Mount("/dev/hugepages", G), {}, "somebody else mounted huge pages of 2 MiB there"),
        (Mount("/dev/hugepages", M, limit=M), {}, "somebody else mounted"),
        (Mount("/srv", M), {"/etc/fstab": "nodev /srv hugetlbfs rw 0 0\n"}, "is in /etc/fstab"),
        (
            Mount("/srv", M),
            {"/etc/systemd/system/srv.mount": "x", "/etc/systemd/system/local-fs.target.wants/srv.mount": "x"},
            "srv.mount is not ours",
        ),
    ],
)
def test_leaves_mounts_of_others_alone(kernel, mount, more, words):
    host = kernel(**more)
    with pytest.raises(Refused, match=words):
        bring(desired(mounts=(mount,)), host)
    assert host.written == []


def test_pages_in_use_are_not_taken_away(kernel):
    maps = "7f00 default file=/anon_hugepage huge dirty=6 N0=6 kernelpagesize_kB=2048\n"
    host = kernel(
        **pool(0, M, 64, 58),
        **{"/proc/41/numa_maps": maps, "/proc/41/comm": "dpdk\n", "/proc/42/numa_maps": "7f01 default\n"},
    )
    with pytest.raises(Refused, match=r"6 pages of 2 MiB are in use, 4 would be left \(dpdk \(process 41\): 6\)"):
        bring(desired((0, M, 4)), host)
    assert planned(desired((0, M, 6)), host) == ["pages 0 2M: 64 -> 6"]


def test_pages_in_use_that_no_process_maps_are_reported(kernel):
    with pytest.raises(Refused, match="files of a hugetlbfs mount"):
        bring(desired((0, M, 4)), kernel(**pool(0, M, 64, 58)))


def test_promised_pages_are_kept(kernel):
    promised = {"/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages": "10\n"}
    host = kernel(**pool(0, M, 64, 64), **pool(1, M, 4, 4), **promised)
    with pytest.raises(Refused, match="0 are in use and 10 promised to programs that mapped them, 9 would be left"):
        bring(desired((0, M, 5)), host)
    assert planned(desired((0, M, 6)), host) == ["pages 0 2M: 64 -> 6"]
    assert planned(desired((0, M, 65)), host) == ["pages 0 2M: 64 -> 65"]
