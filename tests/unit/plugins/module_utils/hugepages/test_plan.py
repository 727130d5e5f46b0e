"""Huge pages, modes and mounts planned on recorded state."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.plan import (
    boot_arguments,
    reboot_reasons,
    warnings,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.resource import Hugepages
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.hugetlbfs import Mount

from .nodes import G, M, desired, planned, pool


def test_frees_pages_first_and_takes_large_ones_before_small_ones(kernel):
    host = kernel(**pool(0, M, 64, 64), **pool(1, G, 1, 1))
    requested = desired((1, M, 8), (0, M, 32), (0, G, 1), (1, G, 0))
    assert planned(requested, host) == [
        "pages 1 1G: 1 -> 0",
        "pages 0 2M: 64 -> 32",
        "pages 0 1G: 0 -> 1",
        "pages 1 2M: 0 -> 8",
    ]


def test_only_what_is_requested_is_compared(kernel):
    host = kernel(**pool(0, M, 64, 64))
    assert planned(desired((1, M, 0)), host) == []
    assert planned(desired(transparent={"enabled": "always"}), host) == []


def test_absent_restores_the_original_modes(kernel):
    host = kernel()
    held = {**desired(transparent={"enabled": "madvise"}).as_body(), "original": {"transparent": {"enabled": "never"}}}
    state_store.store(host, state_store.StateFile("hugepages", "hugepages", held))
    assert planned(Desired(present=False), host) == ["transparent enabled: always -> never"]


def test_boot_arguments_are_ordered_and_per_node(kernel):
    state = Hugepages(Desired()).read(kernel())
    requested = desired((1, M, 512), (0, G, 1), (1, G, 1), (0, M, 0), at_boot=(M, G), default_size=G)
    tokens = ["default_hugepagesz=1G", "hugepagesz=1G", "hugepages=0:1,1:1", "hugepagesz=2M", "hugepages=1:512"]
    assert boot_arguments(requested, state) == tokens
    assert "the default huge page is 2 MiB, 1 GiB is requested" in reboot_reasons(requested, state)
    assert reboot_reasons(requested, replace(state, default_size=None))[-1].startswith(
        "the default huge page is unknown"
    )
    assert warnings(requested, state) == []
    old = replace(state, release="5.15.0-91-generic")
    assert boot_arguments(requested, old)[1:3] == ["hugepagesz=1G", "hugepages=2"]
    assert "kernel 5.15.0-91-generic cannot reserve huge pages per node at boot" in warnings(requested, old)[0]
    assert warnings(Desired(), old) == []
    assert boot_arguments(desired((0, G, 0)), state) == []
    assert boot_arguments(Desired(present=False), state) == []
    assert reboot_reasons(Desired(present=False), state) == []


def test_mounts_are_planned_with_their_units(kernel):
    host = kernel()
    mount = Mount("/dev/hugepages-1G", G, 0o1770, 0, 10002)
    assert planned(desired(mounts=(mount,)), host) == [
        "mount /dev/hugepages-1G: absent -> pagesize=1G,mode=1770,uid=0,gid=10002",
        "unit dev-hugepages\\x2d1G.mount: absent -> present",
    ]


def test_a_mount_of_ours_that_is_no_longer_named_goes(kernel):
    mounts = "hugetlbfs /srv hugetlbfs rw,pagesize=2M 0 0\n"
    host = kernel(**{"/proc/self/mounts": mounts, "/srv/.keep": ""})
    mount = Mount("/srv", M)
    held = {**desired(mounts=(mount, Mount("/gone", M))).as_body(), "original": {}}
    state_store.store(host, state_store.StateFile("hugepages", "hugepages", held))
    [step] = planned(Desired(), host)
    assert step.startswith("mount /srv: pagesize=2M")
    assert step.endswith("-> absent")
