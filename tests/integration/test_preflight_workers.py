"""What preflight says of workers on a real kernel, of a veth as it is and as it is declared to become."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse_all
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.nic import Xdp, read_nics
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.workers import (
    WorkersDeclared,
    check_workers,
    read_workers,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired, pin_directory

from tests.integration import lab

NIC = "afx0"
POLICIES = {"default": {"services": [{"name": "all", "protocol": "udp", "action": "afxdp:edge"}]}}


@pytest.fixture
def near() -> Iterator[None]:
    with lab.namespace() as namespace, lab.inside(namespace):
        queues = ("numrxqueues", "4", "numtxqueues", "4")
        lab.ip("link", "add", NIC, *queues, "type", "veth", "peer", "name", "peer0", *queues)
        yield


def findings(
    nics: list[dict[str, Any]] | None = None, mode: str = "native", site: dict[str, Any] | None = None, **worker: Any
) -> list[tuple[str, str]]:
    declared = WorkersDeclared(
        **(site or {}),
        workers=[{"name": "edge", "nic": NIC, "queues": [2, 3], "handler": "sink", **worker}],
        interfaces=[{"name": NIC, "mode": mode}],
        policies=POLICIES,
        pin_root="/sys/fs/bpf/tripod-none",
    )
    seen = read_nics(Host(), [Xdp(NIC, mode)], parse_all(nics or []))
    return [(one.severity, one.found) for one in check_workers(read_workers(Host(), declared, seen))]


def test_a_veth_gives_native_copy(near: None) -> None:
    assert findings() == [("info", "native copy: veth claims none")]
    assert findings(mode="generic", generic=True) == [
        ("info", "generic, as its XDP program is: each packet is copied twice")
    ]


def test_what_is_declared_of_the_nic_counts(near: None) -> None:
    one, two, _mode = findings([{"name": NIC, "channels": {"rx": 2, "tx": 2}}])
    assert (one[0], two[0]) == ("error", "error")
    assert f"queue 2 of {NIC}: it has 2" in one[1]
    [mtu, _mode] = findings([{"name": NIC, "mtu": 9000}])
    assert f"MTU 9000 of {NIC}" in mtu[1]
    lab.ip("link", "set", NIC, "mtu", "9000")
    assert len(findings([{"name": NIC, "mtu": 1500}])) == 1


def test_sizes_that_are_declared_count_and_what_is_no_size_is_for_others_to_say(near: None) -> None:
    pages = {"reservations": [{"node": 0, "size": "1G", "count": 3}], "memory": "64M"}
    assert findings(site=pages, hugepages="1G", node=0) == findings()
    [missing, _mode] = findings(
        site={"reservations": [{"node": 0, "size": "many", "count": 3}]}, hugepages="1G", node=0
    )
    assert "workers need 1 huge pages of 1G on node 0, which has" in missing[1]
    [memory, _mode] = findings(site={"memory": "64M"})
    assert "go_backend_memory 64 MiB is too little" in memory[1]
    assert findings(site={"memory": "much"}) == findings()


def test_a_map_of_sockets_that_is_not_there_is_reported(
    cable: lab.Cable, xdp_object: Path, pin_root: Path, tmp_path: Path
) -> None:
    desired = Desired(cable.nic, object=str(xdp_object), pin_root=str(pin_root), state_directory=str(tmp_path))
    converge(XdpProgram(desired), desired, Host())
    declared = WorkersDeclared(
        workers=[{"name": "edge", "nic": cable.nic, "queues": [0], "handler": "sink"}],
        interfaces=[{"name": cable.nic}],
        policies=POLICIES,
        pin_root=str(pin_root),
    )
    seen = read_nics(Host(), [Xdp(cable.nic)], [])
    sockets = Path(pin_directory(str(pin_root), cable.nic)) / "maps" / "xsks"
    assert read_workers(Host(), declared, seen).sockets == {}
    with bpf.pinned(str(sockets.with_name("counters"))) as other:
        sockets.unlink()
        assert "without the pin" in read_workers(Host(), declared, seen).sockets[cable.nic]
        bpf.pin(other, str(sockets))
    assert "of another layout: percpu_array of " in read_workers(Host(), declared, seen).sockets[cable.nic]
