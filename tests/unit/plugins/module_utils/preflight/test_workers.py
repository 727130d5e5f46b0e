"""What preflight says of workers: what stands in their way, the mode of each NIC, and what the host lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.findings import ERROR, INFO, WARNING
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.workers import (
    WorkersSnapshot,
    check_workers,
    malformed,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._workers.request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._workers.site import Port, Service, Site

WORKER = {"name": "edge", "nic": "ens1", "queues": [2, 3], "handler": "sink"}
ENS1 = Port("ens1", 4, driver="ice", features=frozenset({"basic", "xsk-zerocopy"}), program="native")
SITE = Site(
    nics={"ens1": ENS1},
    kernel=(6, 12),
    online=frozenset(range(4)),
    services=[Service("edge", "all", "edge", ("ens1",))],
)
SEEN = WorkersSnapshot(parse([WORKER]), SITE)


def found(seen):
    return [(one.severity, one.subject, one.found) for one in check_workers(seen)]


def test_a_host_without_workers_has_no_findings():
    assert found(WorkersSnapshot(site=SITE)) == []


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ({}, "zero-copy, by ice"),
        ({"features": frozenset({"basic"}), "driver": "igb"}, "native copy: igb claims none"),
        (
            {"features": None, "driver": "igb"},
            "native copy: igb is not known to have one, which Linux before 6.3 cannot tell",
        ),
        ({"features": None}, "zero-copy, by ice"),
        (
            {"driver": "virtio_net", "device_lacks": ("VIRTIO_F_ACCESS_PLATFORM",)},
            "native copy: virtio_net claims it and does without, as the device does not offer VIRTIO_F_ACCESS_PLATFORM",
        ),
    ],
)
def test_the_mode_of_each_nic_is_reported_in_advance(port, words):
    seen = replace(SEEN, site=replace(SITE, nics={"ens1": replace(ENS1, **port)}))
    assert found(seen) == [(INFO, "AF_XDP on ens1", words)]


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (17, "zero-copy, by ice"),
        (1, "native copy: ice has zero-copy for packets of one frame alone, and multi_buffer is requested"),
    ],
)
def test_packets_in_several_frames_are_copied_where_the_driver_says_so(frames, words):
    site = replace(SITE, nics={"ens1": replace(ENS1, zero_copy_frames=frames)})
    seen = WorkersSnapshot(parse([{**WORKER, "multi_buffer": True}]), site)
    assert found(seen) == [(INFO, "AF_XDP on ens1", words)]


@pytest.mark.parametrize(
    ("changes", "severity", "words"),
    [
        ({"site": replace(SITE, nics={"ens1": replace(ENS1, queues=3)})}, ERROR, "queue 3 of ens1: it has 3, 0 to 2"),
        ({"site": replace(SITE, nics={"ens1": replace(ENS1, program="generic")})}, ERROR, "runs in generic mode"),
        ({"site": replace(SITE, services=[])}, WARNING, "no service of a policy of ens1 sends packets to it"),
        ({"site": replace(SITE, kernel=(5, 10))}, ERROR, "Linux 5.10"),
        (
            {"site": replace(SITE, kernel=(6, 1))},
            INFO,
            "Linux 6.1, without packets in several frames (6.6) and checksums and launch times of packets sent (6.8)",
        ),
        ({"capabilities": ["BPF", "IPC_LOCK"]}, ERROR, "go_backend_capabilities without NET_RAW"),
        ({"capabilities": ["NET_RAW"]}, WARNING, "go_backend_capabilities without IPC_LOCK"),
        ({"sockets": {"ens1": "a program of ours without the pin"}}, INFO, "a program of ours without the pin"),
    ],
)
def test_what_is_missing_is_a_finding_beside_the_mode(changes, severity, words):
    others = [one for one in found(replace(SEEN, **changes)) if not one[2].startswith(("zero-copy", "generic"))]
    [(got, _subject, text)] = others
    assert got == severity
    assert words in text


def test_what_is_wrong_with_them_anywhere_is_found_before_any_host_is_met():
    texts = {**WORKER, "queues": ["2", "3"], "batch": "32"}
    assert malformed([texts]) == []
    assert malformed([{**texts, "frame_size": "3000", "handler": "router"}])[0].startswith(
        "worker edge: frame_size 3000: the kernel takes 2048 or 4096 bytes"
    )
    assert len(malformed([texts, texts])) == 3
    assert malformed([{**WORKER, "queue": 1}]) == [
        "go_backend_workers[0] (edge): there is no key queue; did you mean queues?"
    ]
