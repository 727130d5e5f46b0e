"""Mounting bpffs and making the pin root: what is read and planned."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.bpffs import Bpffs, BpffsState, PinRoot

DESIRED = PinRoot("/sys/fs/bpf", "/sys/fs/bpf/tripod", 10002)


@pytest.mark.parametrize(
    ("mounts", "mounted"),
    [
        ("", False),
        ("sysfs /sys sysfs rw 0 0\n", False),
        ("bpf /sys/fs/bpf bpf rw 0 0\n", True),
        ("none /sys/fs/bpf bpf rw 0 0\ntmpfs /sys/fs/bpf tmpfs rw 0 0\n", False),
        ("bpf /sys/fs/bpf/deeper bpf rw 0 0\n", False),
    ],
)
def test_reads_what_paths_lead_into(tmp_path, mounts, mounted):
    host = Host(tmp_path)
    host.write_atomically("/proc/mounts", mounts)
    assert Bpffs(DESIRED).read(host).mounted is mounted


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        (BpffsState(False), ["type", "state", "group", "mode"]),
        (BpffsState(True), ["state", "group", "mode"]),
        (BpffsState(True, 0, 0o700), ["group", "mode"]),
        (BpffsState(True, 10002, 0o755), ["mode"]),
        (BpffsState(True, 10002, 0o750), []),
    ],
)
def test_plans_only_what_differs(state, steps):
    assert [change.path[1] for change in Bpffs(DESIRED).plan(DESIRED, state)] == steps


def test_refuses_a_directory_elsewhere():
    desired = PinRoot("/sys/fs/bpf", "/sys/fs/bpfx/tripod", 0)
    with pytest.raises(Invalid, match="not below"):
        Bpffs(desired).validate(desired, BpffsState(True))


def test_refuses_a_kernel_without_it(tmp_path):
    desired = PinRoot(str(tmp_path / "absent"), str(tmp_path / "absent" / "tripod"), 0)
    with pytest.raises(Impossible, match="no BPF file system"):
        Bpffs(desired).validate(desired, BpffsState(False))
