"""The CPU plan, with the module killed at every moment: the next run converges, nothing is lost or left."""

from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.request import parse_request
from ansible_collections.tripod.baremetal.plugins.module_utils._cpu.resource import CpuIsolation, reapply

from tests.support.sweep import hold

from .lab import CPU, GOVERNORS, IRQ, LAB, LINKS, WORKQUEUE

PLAN = {"housekeeping": "0-1", "isolation": [], "governor": "performance"}
OTHER = {"housekeeping": "0", "isolation": [], "governor": "schedutil"}
LESS = {"housekeeping": "0-1", "isolation": []}
STATE_FILE = "/etc/tripod/host.d/cpu_isolation.json"


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch):
    """A kill loses nothing that was written, so the disk is not waited for."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def bring(host, options):
    request = parse_request(options) if options else None
    return converge(CpuIsolation(request), request, host)


def make(root, before):
    shutil.rmtree(root, ignore_errors=True)
    host = Host(root)
    for path, text in {**LAB, **GOVERNORS}.items():
        host.path(path).parent.mkdir(parents=True, exist_ok=True)
        host.path(path).write_text(text)
    for path, target in LINKS.items():
        host.path(path).parent.mkdir(parents=True, exist_ok=True)
        host.path(path).symlink_to(target)
    if before:
        bring(host, before)
    return host


def settings(host):
    governors = [host.read(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor") for cpu in range(4)]
    masks = [int(host.read(path), 16) for path in (IRQ, WORKQUEUE)]
    return masks, governors


def traces(host):
    return {
        str(path.relative_to(host.root)): path.read_text() for path in host.path("/etc").rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("after", ["the same again", "absent at once", "the agent first"])
@pytest.mark.parametrize(
    ("before", "requested"),
    [(None, PLAN), (LESS, PLAN), (PLAN, OTHER), (PLAN, None)],
    ids=["first", "added", "changed", "absent"],
)
def test_a_killed_run_is_finished_by_the_next(tmp_path, before, requested, after):
    root = tmp_path / "host"
    fresh = settings(make(root, None))
    host = make(root, before)
    bring(host, requested)
    reached, kept = settings(host), traces(host)
    assert not bring(host, requested).changed
    make(root, before)

    def look():
        if after == "the agent first" and host.exists(STATE_FILE):
            held = CpuIsolation(None).read(host).state_file
            reapply(held.body, host)
        if after != "absent at once":
            bring(host, requested)
            assert settings(host) == reached
            assert traces(host) == kept
            assert not bring(host, requested).changed
        bring(host, None)
        assert settings(host) == fresh, "original values outlive a kill"
        assert traces(host) == {}
        assert not bring(host, None).changed

    hold(lambda: bring(Host(root), requested), look, lambda: make(root, before), least=12)
