"""Huge pages, their mounts and modes on the real kernel; everything is as it was at the end."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.modules import run_module

POOL = Path("/sys/devices/system/node/node0/hugepages/hugepages-2048kB")
DEFRAG = Path("/sys/kernel/mm/transparent_hugepage/defrag")
MAP_HUGETLB_2M = 0x40000 | 21 << 26  # linux/mman.h


def reserved() -> int:
    return int((POOL / "nr_hugepages").read_text())


@pytest.fixture
def before() -> Iterator[int]:
    """Pages of node 0 before the test, which must be the same after it."""
    if not POOL.exists():
        pytest.skip(f"this kernel has no {POOL}")
    if Path("/etc/tripod/host.d/hugepages.json").exists():
        pytest.skip("the huge pages of this machine are declared already")
    count, mode = reserved(), DEFRAG.read_text()
    yield count
    assert not run_module("hugepages", {"state": "absent"}).failed
    assert (reserved(), DEFRAG.read_text()) == (count, mode)


def test_pages_mount_and_mode_come_and_go(before: int, tmp_path: Path) -> None:
    mount = tmp_path / "huge"
    options = {
        "reservations": [{"size": "2M", "count": before + 8}],
        "mounts": [{"path": str(mount), "size": "2M", "mode": "1770", "group": "10002", "limit": "8M"}],
        "transparent": {"defrag": "defer"},
    }
    predicted = run_module("hugepages", options, check=True)
    assert predicted.changed
    assert reserved() == before
    assert not mount.exists()
    made = run_module("hugepages", options)
    assert made.result["changes"] == predicted.result["changes"]
    assert reserved() == before + 8
    status = mount.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o1770, 10002)
    assert os.statvfs(mount).f_bsize == 2 << 20
    assert os.statvfs(mount).f_blocks == 4
    assert "[defer]" in DEFRAG.read_text()
    assert not run_module("hugepages", options).changed
    # Another limit takes another mount.
    options["mounts"][0]["limit"] = "4M"
    assert run_module("hugepages", options).changed
    assert os.statvfs(mount).f_blocks == 2
    assert run_module("hugepages", {"state": "absent"}).changed
    assert not os.path.ismount(mount)
    assert not run_module("hugepages", {"state": "absent"}).changed


def test_pages_in_use_are_reported_with_their_user(before: int) -> None:
    assert not run_module("hugepages", {"reservations": [{"size": "2M", "count": before + 8}]}).failed
    with mmap.mmap(-1, 4 << 21, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_HUGETLB_2M) as memory:
        for place in range(0, len(memory), 2 << 20):
            memory[place] = 1
        refused = run_module("hugepages", {"reservations": [{"size": "2M", "count": 0}]})
    assert refused.failed
    assert f"process {os.getpid()}): 4" in refused.result["msg"]
    assert reserved() == before + 8


def test_more_than_the_memory_is_refused(before: int) -> None:
    refused = run_module("hugepages", {"reservations": [{"size": "2M", "count": 1 << 30}]})
    assert refused.failed
    assert "node 0: 1073741824 pages of 2 MiB take 2048 TiB, the node has" in refused.result["msg"]
    assert reserved() == before


def test_a_mount_in_use_stays_and_is_reported(before: int, tmp_path: Path) -> None:
    mount = tmp_path / "huge"
    assert not run_module("hugepages", {"mounts": [{"path": str(mount), "size": "2M"}]}).failed
    descriptor = os.open(mount / "held", os.O_CREAT | os.O_RDWR)
    try:
        busy = run_module("hugepages", {"mounts": []})
    finally:
        os.close(descriptor)
    assert busy.failed
    assert "whoever has files in it open keeps it busy" in busy.result["msg"]
    assert os.path.ismount(mount)
