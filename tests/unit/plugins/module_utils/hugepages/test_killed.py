"""Huge pages, with the module killed at every moment: the next run converges, nothing is lost or left.

Mounts on the real kernel are in tests/integration/test_killed.py.
"""

from __future__ import annotations

import os
import re
import shutil

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.resource import bring
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import hugetlbfs

from tests.support.sweep import hold

from .nodes import Kernel, M, desired, files, folder, pool

MODES = "/sys/kernel/mm/transparent_hugepage"
THERE = hugetlbfs.Mount("/dev/hugepages", M)
NOTHING = Desired(present=False)
FIRST = {"transparent": {"enabled": "never", "defrag": "defer"}}


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch):
    """A kill loses nothing that was written, so the disk is not waited for."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Whole(Kernel):
    """A kernel whose counts change at once, and whose modes are shown with the chosen one in brackets."""

    def write_attribute(self, path, text):
        if path.startswith(MODES):
            words = re.sub(r"[\[\]]", "", self.read(path)).split()
            text = " ".join(f"[{word}]" if word == text else word for word in words) + "\n"
        elif path.endswith("/nr_hugepages"):
            count = int(text)
            Host.write_attribute(self, path, f"{self.read(path)}\n")  # a moment before
            for name in ("nr", "free"):
                self.path(f"{path.rpartition('/')[0]}/{name}_hugepages").write_text(f"{count}\n")
        Host.write_attribute(self, path, text)


def make(root, before):
    shutil.rmtree(root, ignore_errors=True)
    host = Whole(root)
    for path, text in files(**pool(0, M, 16, 16)).items():
        place = host.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    host.path("/dev/hugepages").chmod(0o755)
    if before:
        bring(before, host)
    return host


def settings(host):
    counts = {node: host.read_int(f"{folder(node, M)}/nr_hugepages") for node in (0, 1)}
    return counts, host.read(f"{MODES}/enabled"), host.read(f"{MODES}/defrag")


def traces(host):
    return sorted(
        str(path.relative_to(host.root))
        for path in host.path("/etc").rglob("*")
        if (path.is_symlink() or path.is_file()) and path.name != "fstab"
    )


ALL = desired((0, M, 8), (1, M, 64), mounts=(THERE,), **FIRST)
LESS = desired((1, M, 32), transparent={"enabled": "madvise"})
OTHER = desired((0, M, 4), (1, M, 8), mounts=(THERE,), transparent={"defrag": "never"})


@pytest.mark.parametrize("after", ["the same again", "absent at once"])
@pytest.mark.parametrize(
    ("before", "requested"),
    [(None, ALL), (LESS, ALL), (ALL, LESS), (ALL, OTHER), (ALL, NOTHING)],
    ids=["first", "added", "dropped", "changed", "absent"],
)
def test_a_killed_run_is_finished_by_the_next(tmp_path, before, requested, after):
    root = tmp_path / "host"
    fresh = settings(make(root, None))
    host = make(root, before)
    bring(requested, host)
    reached, kept = settings(host), traces(host)
    host = make(root, before)

    def look():
        if after == "the same again":
            bring(requested, host)
            assert settings(host) == reached
            assert traces(host) == kept
            assert not bring(requested, host).changed
        bring(NOTHING, host)
        assert settings(host) == fresh, "original values outlive a kill"
        assert traces(host) == []
        assert not bring(NOTHING, host).changed

    hold(lambda: bring(requested, Whole(root)), look, lambda: make(root, before), least=20)
