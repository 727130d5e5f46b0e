"""Every module, refused by the system: without root, with a full disk, on a disk that is read-only."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import lock
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host

from tests.support import forked

ROOT = Path(__file__).parents[2]
NOBODY = 65534
SIZE = "512k"
PINS = "/sys/fs/bpf/tripod-refused"
VARIABLE = "net.core.somaxconn"
# Options that let each module get as far as it can.
CALLS: dict[str, dict[str, Any]] = {
    "afxdp_workers": {"workers": [], "path": "/etc/tripod-refused/workers.json"},
    "base_image": {"name": "tripod/nothing:0", "source": "debian"},
    "bpffs": {"mount": "/sys/fs/bpf", "path": PINS},
    "change_guard": {"state": "armed", "interfaces": ["lo"]},
    "cpu_isolation": {"housekeeping": "0", "isolation": []},
    "docker_daemon": {"socket": "/run/none/docker.sock", "pid_file": "/run/none/docker.pid", "log": "/etc/none.log"},
    "driver": {"drivers": [{"name": "veth", "options": {}}]},
    "firewall": {"networks": [{"name": "refused", "bridge": "refused0", "subnets": ["100.64.9.0/24"]}]},
    "host_agent": {"path": "/etc/tripod-refused/tripod-host", "command": "/etc/tripod-refused/command"},
    "host_drift_info": {"sysctl": {"variables": {VARIABLE: 5555}}},
    "host_plan_info": {},
    "host_topology_info": {},
    "hugepages": {"reservations": [], "transparent": {"enabled": "always"}},
    "image_build": {"images": [{"name": "none", "context": "/etc/none"}]},
    "json_file": {"path": "/etc/tripod-refused.json", "values": {"a": 1}},
    "kernel_args": {"arguments": ["mitigations=auto"]},
    "marchproxy_files": {"directory": "/etc/tripod-refused", "app_name": "tripod"},
    # Nobody listens at the port of that name.
    "marchproxy_import": {
        "api": "http://127.0.0.1:9",
        "app_name": "tripod",
        "token": "none",
        "backup": "/etc/tripod-refused/backup.json",
    },
    "nginx_front": {
        "config": "/etc/tripod-refused/nginx",
        "certificate": "/etc/none.crt",
        "key": "/etc/none.key",
        "secret_file": "/etc/none.secret",
    },
    "nic": {"nics": [{"name": "lo", "mtu": 60000}], "guard": "never"},
    "owned_tree": {"path": "/etc/tripod-refused", "user": 564, "former": [10004]},
    "preflight": {},
    "secret_files": {
        "secrets": [{"name": "a", "copies": [{"path": "/etc/tripod-refused/a"}]}],
    },
    "service_users": {"users": [{"name": "tripod-refused", "uid": 599}]},
    "sysctl": {"variables": {VARIABLE: 5555}},
    "veth_pair": {"name": "refused0", "peer": "refused1", "peer_netns": "refused"},
    "xdp_map": {"interface": "lo", "entries": [], "state": "exact", "guard": "never"},
    "xdp_policy": {"name": "refused", "interfaces": ["lo"], "policy": {}, "guard": "never"},
    "xdp_program": {"interface": "lo", "object": "/etc/none.o", "guard": "never"},
    "xdp_trace": {"duration": 1},
}
LIVE = ("/proc/sys/net/core/somaxconn", "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/irq/default_smp_affinity")


def as_nobody() -> None:
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def place(tmp_path: Path) -> Callable[[], None]:
    def prepare() -> None:
        forked.unshare()
        for directory in ("/etc", "/var/lib"):
            forked.cover(directory, str(tmp_path / directory.replace("/", "-")), SIZE)

    return prepare


def full(tmp_path: Path) -> Callable[[], None]:
    def prepare() -> None:
        place(tmp_path)()
        for directory in ("/etc", "/var/lib"):
            forked.fill(str(tmp_path / directory.replace("/", "-")))

    return prepare


def read_only(tmp_path: Path) -> Callable[[], None]:
    def prepare() -> None:
        place(tmp_path)()
        for directory in ("/etc", "/var/lib"):
            forked.make_read_only(directory)

    return prepare


@pytest.fixture(autouse=True)
def _pins() -> Any:
    """The BPF file system is the kernel's, whose room no full disk takes."""
    yield
    with suppress(FileNotFoundError):
        os.rmdir(PINS)


@pytest.fixture(autouse=True)
def _live() -> Any:
    """Live values stay as they are where they could not be saved."""
    there = [path for path in LIVE if os.path.exists(path)]
    before = [Path(path).read_text() for path in there]
    yield
    after = [Path(path).read_text() for path in there]
    for path, text in zip(there, before, strict=True):
        if Path(path).read_text() != text:
            Path(path).write_text(text.partition("[")[2].partition("]")[0] or text)
    assert after == before


def in_words(found: dict[str, Any]) -> str:
    """What a module said; never a traceback."""
    assert "traceback" not in found, found["traceback"]
    assert "exception" not in found, found
    said = str(found.get("msg", ""))
    assert not found.get("failed") or said
    assert not said.startswith(("Unsupported parameters", "missing required", "value of")), said
    assert "Errno" not in said, f"a number is no word: {said}"
    return said


def test_the_table_has_every_module():
    """But those that only document an action, which meets no host."""
    modules, actions = (
        {path.stem for path in (ROOT / "plugins" / kind).glob("*.py") if path.stem[0] != "_"}
        for kind in ("modules", "action")
    )
    assert set(CALLS) == modules - actions


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_without_root_it_says_so(name, check):
    said = in_words(forked.answer(name, CALLS[name], as_nobody, check))
    assert "root is refused" not in said


@pytest.mark.parametrize("name", ["hugepages", "sysctl", "bpffs", "json_file", "secret_files", "host_agent", "nic"])
def test_who_is_not_root_is_sent_to_become_root(name):
    assert "run as root" in in_words(forked.answer(name, CALLS[name], as_nobody))


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"base_image", "image_build"}))
@pytest.mark.parametrize("disk", [full, read_only], ids=["full", "read-only"])
def test_a_disk_that_takes_nothing_is_named(name, disk, tmp_path):
    said = in_words(forked.answer(name, CALLS[name], disk(tmp_path)))
    if name in ("hugepages", "sysctl", "json_file", "secret_files", "marchproxy_files", "host_agent"):
        assert ("full" if disk is full else "read-only") in said
    assert "run as root" not in said


def test_what_was_changed_before_the_disk_was_full_is_given_back_or_named(tmp_path):
    """The variable is this network's own, so the child reads it."""

    def answer_and_read() -> None:
        full(tmp_path)()

    found = forked.answer("sysctl", CALLS["sysctl"], answer_and_read)
    assert found["failed"]
    assert "nothing was changed" in found["msg"]
    assert found["stands"] == []


def test_two_runs_at_once_wait_for_each_other(tmp_path):
    """Whatever changes the kernel, the boot or services holds one lock."""
    free = [
        "base_image",
        "image_build",
        "json_file",
        "secret_files",
        "marchproxy_files",
        "marchproxy_import",
        "change_guard",
        "host_drift_info",
        "host_plan_info",
        "host_topology_info",
        "preflight",
        "xdp_trace",
    ]

    def prepare() -> None:
        place(tmp_path)()
        lock.PATIENCE = 0.2

    with lock.alone(Host()):
        for name in sorted(set(CALLS) - set(free)):
            said = in_words(forked.answer(name, CALLS[name], prepare))
            assert f"process {os.getpid()} has been changing this host" in said, f"{name}: {said}"
