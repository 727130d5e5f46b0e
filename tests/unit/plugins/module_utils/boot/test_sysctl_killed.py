"""The kernel's variables, with the module killed at every moment: the next run converges, nothing is lost."""

from __future__ import annotations

import shutil

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_resource import Sysctls
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_state import FILE
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host

from tests.support.sweep import sweep

ORIGINAL = {"net.core.netdev_budget": "300", "net.core.somaxconn": "4096"}
RAISED = {"net.core.netdev_budget": "600", "net.core.somaxconn": "8192"}
ONE = {"net.core.somaxconn": "1024"}


def bring(host, desired):
    values = parse(desired)
    return converge(Sysctls(values), values, host)


def live(host):
    return {name: host.read(f"/proc/sys/{name.replace('.', '/')}") for name in ORIGINAL}


def prepare(root, before):
    shutil.rmtree(root, ignore_errors=True)
    host = Host(root)
    for name, value in ORIGINAL.items():
        path = host.path(f"/proc/sys/{name.replace('.', '/')}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    if before:
        bring(host, before)
    return host


@pytest.mark.parametrize(
    ("before", "desired"),
    [({}, RAISED), (RAISED, ONE), (ONE, RAISED), (RAISED, {})],
    ids=["first", "one dropped", "one added", "all dropped"],
)
def test_a_killed_run_is_finished_by_the_next(tmp_path, before, desired):
    host = prepare(tmp_path / "host", before)
    for _moment in sweep(lambda: bring(Host(tmp_path / "host"), desired), least=4):
        bring(host, desired)
        assert live(host) == {**ORIGINAL, **desired}
        left = [path.name for path in host.path("/etc").rglob("*") if path.is_file()]
        assert left == ([FILE.rpartition("/")[2]] if desired else [])
        assert not bring(host, desired).changed
        bring(host, {})
        assert live(host) == ORIGINAL, "original values outlive a kill"
        host = prepare(tmp_path / "host", before)
