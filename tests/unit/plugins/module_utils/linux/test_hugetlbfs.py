"""hugetlbfs mounts and their units, as files; real mounts are tried in tests/integration."""

from __future__ import annotations

import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import hugetlbfs
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.hugetlbfs import Mount, escape, read_mount

LARGE = Mount("/dev/hugepages-1G", 1 << 30, 0o1770, 0, 10002, 2 << 30)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/dev/hugepages", "dev-hugepages"),
        ("/dev/hugepages-1G", "dev-hugepages\\x2d1G"),
        ("/srv/.huge/x_y:z.1", "srv-.huge-x_y:z.1"),
        ("/.huge", "\\x2ehuge"),
        ("/mnt/@a+b/", "mnt-\\x40a\\x2bb"),
        ("/", "-"),
    ],
)
def test_escapes_a_path_as_systemd_does(path, name):
    assert escape(path) == name


def test_a_unit_says_what_the_mount_is():
    assert LARGE.unit == "dev-hugepages\\x2d1G.mount"
    assert LARGE.unit_text.splitlines() == [
        hugetlbfs.MARK,
        "[Unit]",
        "Description=Huge pages of 1G",
        "",
        "[Mount]",
        "What=hugetlbfs",
        "Where=/dev/hugepages-1G",
        "Type=hugetlbfs",
        "Options=nosuid,nodev,pagesize=1G,mode=1770,uid=0,gid=10002,size=2147483648",
        "",
        "[Install]",
        "WantedBy=local-fs.target",
    ]


def test_a_state_file_holds_it_whole():
    assert Mount.from_body(LARGE.as_body()) == LARGE


def test_a_unit_counts_where_it_is_started_at_boot(machine):
    host = machine()
    assert hugetlbfs.read_unit(host, LARGE.unit) is None
    hugetlbfs.write_unit(host, LARGE)
    hugetlbfs.write_unit(host, LARGE)
    assert hugetlbfs.read_unit(host, LARGE.unit) == LARGE.unit_text
    wants = host.path(f"/etc/systemd/system/local-fs.target.wants/{LARGE.unit}")
    assert wants.resolve() == host.path(f"/etc/systemd/system/{LARGE.unit}").resolve()
    wants.unlink()
    assert hugetlbfs.read_unit(host, LARGE.unit) == hugetlbfs.MARK, "half there, as a kill leaves it"
    hugetlbfs.write_unit(host, LARGE)
    hugetlbfs.remove_unit(host, LARGE.unit)
    assert host.list("/etc/systemd/system") == ["local-fs.target.wants"]
    assert host.list("/etc/systemd/system/local-fs.target.wants") == []


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("", None),
        ("tmpfs /mnt tmpfs rw 0 0", "tmpfs"),
        ("hugetlbfs /mnt hugetlbfs rw,relatime,pagesize=2M 0 0", (2 << 20, None)),
        ("hugetlbfs /mnt hugetlbfs rw,gid=5,mode=1770,pagesize=1024M,size=2147483648 0 0", (1 << 30, 2 << 30)),
        ("hugetlbfs /mnt hugetlbfs rw,pagesize=2M 0 0\ntmpfs /mnt tmpfs rw 0 0", "tmpfs"),
        ("hugetlbfs /mnt/deeper hugetlbfs rw,pagesize=2M 0 0", None),
    ],
)
def test_reads_what_the_path_leads_into(machine, lines, found):
    host = machine({"/proc/self/mounts": lines + "\n"})
    host.path("/mnt").mkdir(mode=0o750)
    mount = read_mount(host, "/mnt")
    if isinstance(found, tuple):
        assert (mount.size, mount.limit, mount.mode, mount.uid) == (*found, 0o750, os.getuid())
    else:
        assert mount == found
