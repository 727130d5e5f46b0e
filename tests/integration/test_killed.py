"""What changes the host, killed at every moment on the real kernel: mounts of huge pages and a veth.

Whatever comes next converges, the values from before are known, and nothing is left behind.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages import module as hugepages
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.resource import bring
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.hugetlbfs import Mount
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.resource import Nics
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state_file import forgetting

from tests.integration import test_nic
from tests.support import forked
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


@pytest.mark.parametrize("after", ["the same again", "absent at once"])
@pytest.mark.parametrize("what", ["first", "changed", "absent"])
def test_a_veth(host: Host, what: str, after: str) -> None:
    def run(options: dict[str, Any]) -> Any:
        return test_nic.bring(host, {"name": test_nic.NIC, **options})

    plan = test_nic.PLAN
    small = {"mtu": 1400, "channels": {"rx": 1, "tx": 1}}
    before, requested = {"first": (None, plan), "changed": (small, plan), "absent": (plan, None)}[what]

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


def test_a_mount_path_that_is_a_link_is_mounted_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    one = {"path": f"{tmp_path}/link/huge", "size": "2M", "mode": "0755", "owner": "0", "group": "0", "limit": None}
    options: dict[str, Any] = {
        **{"state": "present", "reservations": [], "at_boot": [], "default_size": None, "transparent": None},
        **{"mounts": [one], "drop_caches": False, "keep": "0"},
    }

    def mounts() -> list[str]:
        lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [fields[1] for fields in lines if fields[2] == "hugetlbfs" and fields[1].startswith(str(tmp_path))]

    def run_it() -> None:
        forked.unshare()
        forked.cover("/etc", str(tmp_path / "-etc"), "1m")
        assert hugepages.answer(options, Host(), False).facts["changed"]
        assert mounts() == [f"{tmp_path}/real/huge"]
        for _time in range(2):
            assert not hugepages.answer(options, Host(), False).facts["changed"]
        assert mounts() == [f"{tmp_path}/real/huge"]
        assert hugepages.answer({**options, "state": "absent"}, Host(), False).facts["changed"]
        assert mounts() == []

    forked.carry_out(run_it)
