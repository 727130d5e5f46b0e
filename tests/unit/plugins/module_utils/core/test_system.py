"""The file tree of a machine, recorded or real."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_absent_is_none_and_zero_is_zero(host):
    assert host.read("/sys/absent") is None
    assert host.read_int("/sys/absent") is None
    assert host.list("/sys/absent") == []
    assert host.link("/sys/absent") is None
    host.write_atomically("/sys/zero", "0\n")
    assert host.read_int("/sys/zero") == 0
    host.write_atomically("/sys/hex", "0x10\n")
    assert host.read_int("/sys/hex") == 16


def test_an_attribute_that_does_not_apply_is_not_available():
    # The speed of the loopback interface: the file is there, reading it gives EINVAL.
    assert os.path.exists("/sys/class/net/lo/speed")
    assert Host().read("/sys/class/net/lo/speed") is None


@pytest.mark.parametrize("name", ["cmdline", "comm", "cgroup", "environ", "fd", "numa_maps", "stat", "status"])
def test_a_process_that_ends_while_it_is_read_is_absent(name):
    with subprocess.Popen(["sleep", "60"]) as process:
        descriptor = os.open(f"/proc/{process.pid}/{name}", os.O_RDONLY)
        process.kill()
    # What opens it anew still finds the file of the process that has ended, as a reader that was a moment late does.
    path = f"/proc/self/fd/{descriptor}"
    try:
        assert Host().list(path) == [] if name == "fd" else Host().read(path) is None
    finally:
        os.close(descriptor)


def test_a_failed_write_leaves_the_old_file_and_no_litter(host):
    host.write_atomically("/etc/a", "old", mode=0o640)
    with pytest.raises(TypeError):
        host.write_bytes_atomically("/etc/a", "not bytes")
    assert host.read("/etc/a") == "old"
    assert host.list("/etc") == ["a"]
    assert host.path("/etc/a").stat().st_mode & 0o777 == 0o640


def test_removing_what_is_not_there_is_fine(host):
    host.remove("/etc/nothing")
    host.write_atomically("/etc/a", "x")
    host.remove("/etc/a")
    assert not host.exists("/etc/a")


def test_what_a_killed_process_left_goes_with_the_next_write(host):
    ended = subprocess.Popen(["true"])
    ended.wait()
    host.write_atomically("/etc/a", "old")
    for name in (f".a.{ended.pid}.abcdefgh", f".a.{os.getpid()}.abcdefgh", f".b.{ended.pid}.abcdefgh"):
        host.path(f"/etc/{name}").touch()
    host.write_atomically("/etc/a", "new")
    assert host.list("/etc") == [f".a.{os.getpid()}.abcdefgh", f".b.{ended.pid}.abcdefgh", "a"]


def test_what_a_killed_process_left_goes_with_the_file(host):
    ended = subprocess.Popen(["true"])
    ended.wait()
    host.write_atomically("/etc/b", "x")
    for name in (f".a.{ended.pid}.abcdefgh", f".a.{os.getpid()}.abcdefgh", f".b.{ended.pid}.abcdefgh"):
        host.path(f"/etc/{name}").touch()
    assert host.leftovers("/etc") == [f"/etc/.a.{ended.pid}.abcdefgh", f"/etc/.b.{ended.pid}.abcdefgh"]
    host.remove("/etc/a")
    assert host.list("/etc") == [f".a.{os.getpid()}.abcdefgh", f".b.{ended.pid}.abcdefgh", "b"]


def test_what_can_be_written_is_proven_without_a_trace(host):
    host.prove_writable("/etc/tripod/a")
    assert host.list("/etc/tripod") == []
    host.path("/etc/file").touch()
    with pytest.raises(FileExistsError):
        host.prove_writable("/etc/file/a")
