"""Where the program is found and brought to again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import bpffs, program

from .programs import LINK, STATE_FILE


@pytest.mark.parametrize(
    ("mounts", "path", "found"),
    [
        ("1 0 0:1 / / rw - ext4 d rw\n2 1 0:2 / /sys/fs/bpf rw shared:1 - bpf bpf rw", "/sys/fs/bpf/tripod", True),
        (
            "1 0 0:1 / / rw - ext4 d rw\n2 1 0:2 / /sys/fs/bpf rw - bpf bpf rw\n3 2 0:3 / /sys rw - sysfs s rw",
            "/sys/x",
            False,
        ),
        ("1 0 0:1 / / rw - ext4 d rw\n2 1 0:2 / /sys/fs/bpf rw - bpf bpf rw", "/sys/fs/bpfother", False),
        ("1 0 0:1 / / rw - bpf d rw", "/anything", True),
        ("", "/sys/fs/bpf", False),
    ],
)
def test_bpffs_is_found_in_the_mount_table(tmp_path, mounts, path, found):
    host = Host(tmp_path)
    host.write_atomically("/proc/self/mountinfo", mounts)
    assert bpffs.on_bpffs(host, path) is found


BODY = {key: value for key, value in STATE_FILE.items() if key != "loaded"}


def test_a_reapply_leaves_out_what_it_is_not_about_and_what_is_absent(monkeypatch, tmp_path):
    monkeypatch.setattr(netlink, "links", lambda: [replace(LINK, bus_address="0000:82:00.0")])
    assert program.reapply(BODY, Host(tmp_path), only=["ens2"]).changes == []
    assert program.reapply(BODY, Host(tmp_path)).changes == [], "another NIC of the same name is not the one"


def test_a_reapply_reports_a_nic_that_was_renamed(monkeypatch, tmp_path):
    monkeypatch.setattr(netlink, "links", lambda: [replace(LINK, name="eth5")])
    with pytest.raises(Impossible, match=r"the NIC at 0000:81:00.0, ens1 when .*, is now eth5: .*systemd.link"):
        program.reapply(BODY, Host(tmp_path))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        pytest.param(BODY, "ens1", id="by its place"),
        pytest.param({**BODY, "mac": "02:00:00:00:00:02"}, "ens1p1", id="one port of two"),
        pytest.param({**BODY, "mac": "02:00:00:00:00:09"}, "ens1", id="a MAC that was changed"),
        pytest.param({**BODY, "bus_address": None}, "ens1", id="by name"),
        pytest.param({**BODY, "bus_address": None, "interface": "veth9"}, None, id="absent"),
    ],
)
def test_the_link_that_a_state_file_means(body, found):
    table = [LINK, replace(LINK, name="ens1p1", mac="02:00:00:00:00:02")]
    link = program._find(body, table)
    assert (link and link.name) == found
