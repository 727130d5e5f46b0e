"""What changes the host, killed at every moment on the real kernel: mounts of huge pages, a veth, GRUB's menu.

Whatever comes next converges, the values from before are known, and nothing is left behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.resource import bring
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.hugetlbfs import Mount
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse_all
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.resource import Nics
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state_file import forgetting

from tests.integration import test_kernel_args, test_nic
from tests.support import forked
from tests.support.machine import on_disk
from tests.support.sweep import hold

# A mount needs no pages, so that the machine's stay as they are.
SIZE = 2 << 20
host = test_nic.host  # the fixture


def traces(place: Path) -> list[str]:
    """Return files and links below a directory, which is an overlay's upper layer or a machine's /etc."""
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_symlink() or path.is_file())


@pytest.mark.parametrize("after", ["the same again", "absent at once"])
@pytest.mark.parametrize("what", ["first", "changed", "dropped", "absent"])
def test_mounts_of_huge_pages(tmp_path: Path, what: str, after: str) -> None:
    one, two = Mount(str(tmp_path / "one"), SIZE), Mount(str(tmp_path / "two"), SIZE, mode=0o1770, limit=SIZE)
    other = Mount(one.path, SIZE, uid=65534, limit=SIZE)
    none = Desired(present=False)
    both = Desired(mounts=(one, two))
    before, requested = {
        "first": (None, both),
        "changed": (both, Desired(mounts=(other, two))),
        "dropped": (both, Desired(mounts=(two,))),
        "absent": (both, none),
    }[what]
    upper = tmp_path / "-etc" / "upper"

    def mounted() -> list[str]:
        lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        found = [(fields[1], fields[3], os.stat(fields[1])) for fields in lines if fields[1].startswith(str(tmp_path))]
        return [
            f"{path} {options} {status.st_mode:o} {status.st_uid}"
            for path, options, status in found
            if path in (one.path, two.path)
        ]

    def again() -> None:
        bring(none, Host())
        if before:
            bring(before, Host())

    def look() -> None:
        if after == "the same again":
            bring(requested, Host())
            assert (mounted(), traces(upper)) == reached
            assert not bring(requested, Host()).changed
        bring(none, Host())
        assert mounted() == []
        assert traces(upper) == []
        assert not bring(none, Host()).changed

    reached: Any = None

    def sweep_it() -> None:
        nonlocal reached
        forked.unshare()
        forked.cover("/etc", str(tmp_path / "-etc"), "4m")
        again()
        bring(requested, Host())
        reached = mounted(), traces(upper)
        again()
        hold(lambda: bring(requested, Host()), look, again, least=10)

    forked.carry_out(sweep_it)


PLAN = {**test_nic.PLAN, "rps": {"cpus": "0", "flow_entries": 64}}


@pytest.mark.parametrize("after", ["the same again", "absent at once"])
@pytest.mark.parametrize("what", ["first", "changed", "absent"])
def test_a_veth(host: Host, what: str, after: str) -> None:
    run: Callable[[Any], Any] = lambda options: test_nic.bring(host, {"name": test_nic.NIC, **options})  # noqa: E731
    small = {"mtu": 1400, "channels": {"rx": 1, "tx": 1}}
    before, requested = {"first": (None, PLAN), "changed": (small, PLAN), "absent": (PLAN, None)}[what]

    def forget() -> Any:
        requests = forgetting(host)
        return converge(Nics(requests), requests, host)

    def go(options: Any) -> Any:
        return run(options) if options else forget()

    def again() -> None:
        forget()
        if before:
            run(before)

    fresh = test_nic.seen(host)
    again()
    go(requested)
    reached, kept = test_nic.seen(host), traces(host.path("/etc"))
    again()

    def look() -> None:
        if after == "the same again":
            go(requested)
            assert test_nic.seen(host) == reached
            assert traces(host.path("/etc")) == kept
            assert not go(requested).changed
        forget()
        assert test_nic.seen(host) == fresh
        assert traces(host.path("/etc")) == []
        assert not forget().changed

    hold(lambda: go(requested), look, again, least=10)
