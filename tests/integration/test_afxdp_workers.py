"""The file of workers on a real kernel: the queues, the MTU and the modes are those of a veth."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._core.module import Answer
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._workers.module import OPTIONS, PATH, answer

from tests.integration import lab

NIC, GROUP = "afx0", 562
WORKER: dict[str, Any] = {"name": "edge", "nic": NIC, "queues": [2, 3], "handler": "sink"}
POLICIES = {"default": {"services": [{"name": "all", "protocol": "udp", "action": "afxdp:edge"}]}}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A machine of its own: a veth of four queues, and a place for files."""
    with lab.namespace() as namespace, lab.inside(namespace):
        (tmp_path / "sys").mkdir()
        (tmp_path / "proc").symlink_to("/proc")
        run("mount", "-t", "sysfs", "sysfs", str(tmp_path / "sys"))
        queues = ("numrxqueues", "4", "numtxqueues", "4")
        try:
            run("ip", "link", "add", NIC, *queues, "type", "veth", "peer", "name", "peer0", *queues)
            yield Host(tmp_path)
        finally:
            run("umount", str(tmp_path / "sys"))


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def write(host: Host, *workers: dict[str, Any], check: bool = False, **options: Any) -> Answer:
    given = {"interfaces": [{"name": NIC}], "policies": POLICIES, "group": GROUP, "workers": list(workers), **options}
    validated = ArgumentSpecValidator(OPTIONS).validate(given)
    assert validated.error_messages == []
    return answer(validated.validated_parameters, host, check)


def refusals(host: Host, *workers: dict[str, Any], **options: Any) -> list[str]:
    with pytest.raises(Impossible) as refused:
        write(host, *workers, **options)
    assert not host.exists(PATH), "nothing was changed"
    return refused.value.facts["reasons"]


def test_the_file_is_written_changed_and_removed(host: Host) -> None:
    assert write(host, WORKER, check=True).facts["changed"]
    assert not host.exists(PATH)
    made = write(host, WORKER)
    assert (made.facts["capabilities"], made.facts["threads"], made.warnings) == (["NET_RAW", "IPC_LOCK"], 2, [])
    status = os.stat(host.path(PATH))
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o640, 0, GROUP)
    assert json.loads(host.path(PATH).read_text()) == {"workers": [WORKER]}
    assert not write(host, WORKER).facts["changed"]
    changed = write(host, {**WORKER, "batch": 32}, {**WORKER, "name": "other", "queues": [0], "generic": True})
    assert [line.split(":")[0] for line in changed.facts["changes"]] == ["worker edge", "worker other"]
    host.path(PATH).chmod(0o644)
    assert write(host, WORKER).facts["changed"]
    assert os.stat(host.path(PATH)).st_mode & 0o7777 == 0o640
    gone = write(host)
    assert (gone.facts["changed"], gone.facts["capabilities"]) == (True, [])
    assert not host.exists(PATH)
    assert not write(host).facts["changed"]


def test_what_the_nic_cannot_do_is_refused_all_at_once(host: Host) -> None:
    run("ip", "link", "set", NIC, "mtu", "9000")
    assert refusals(host, {**WORKER, "queues": [3, 4], "mode": "zero-copy"}) == [
        f"worker edge: queue 4 of {NIC}: it has 4, 0 to 3: give it more channels (nic_interfaces), or serve fewer",
        f"worker edge: veth of {NIC} has no zero-copy mode: request auto or copy",
        f"worker edge: MTU 9000 of {NIC}: packets of 9018 bytes do not fit into the 3840 that a frame has room for: "
        "request multi_buffer, a smaller headroom, or lower the MTU",
    ]


def test_channels_count_rather_than_what_the_kernel_has_room_for(host: Host) -> None:
    run("ethtool", "-L", NIC, "rx", "2", "tx", "2")
    [first, second] = refusals(host, WORKER)
    assert f"queue 2 of {NIC}: it has 2, 0 to 1" in first
    assert f"queue 3 of {NIC}: it has 2, 0 to 1" in second


def test_memory_that_is_not_there_is_refused(host: Host) -> None:
    [pages] = refusals(host, {**WORKER, "hugepages": "1G", "frame_count": 1 << 24})
    assert "workers need 128 huge pages of 1G on this host, which has" in pages
    [memory] = refusals(host, WORKER, memory="64M")
    assert "go_backend_memory 64 MiB is too little: set it to 96M or more" in memory


def test_check_mode_says_what_is_missing_and_may_still_come(host: Host) -> None:
    foretold = write(host, {**WORKER, "nic": "later0"}, check=True)
    assert foretold.facts["changed"]
    assert foretold.warnings[0] == (
        "worker edge: there is no NIC later0: correct its name, or make it first (unless an earlier step brings it)"
    )
