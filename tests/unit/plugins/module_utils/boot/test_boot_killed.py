"""Boot arguments and drivers' options, with the module killed at every moment; grub-mkconfig is a stand-in here.

The real one is cut off by tests/metal/test_power_cut.py.
"""

from __future__ import annotations

import os
import re
import shutil

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot import kernel_args_loader
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.driver_request import Driver
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.driver_resource import Drivers
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.driver_state import FILE, MARK
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.kernel_args_resource import KernelArguments
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host

from tests.support.sweep import hold

from . import test_driver_resource as drivers
from . import test_kernel_args_resource as arguments

BARE = (arguments.RECORDED / "debian13.cfg").read_text()


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch):
    """A kill loses nothing that was written, so the disk is not waited for."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(kernel_args_loader, "_mkconfig", lambda: "/usr/sbin/grub-mkconfig")


class Tools(drivers.Tools):
    """A system whose initramfs has the time at which it was made."""

    def update_initramfs(self, releases):
        for release in releases:
            self.host.write_atomically(f"/boot/initrd.img-{release}", self.host.read(FILE) or "")


def put(root, files):
    shutil.rmtree(root, ignore_errors=True)
    host = Host(root)
    for path, text in files.items():
        host.path(path).parent.mkdir(parents=True, exist_ok=True)
        host.path(path).write_text(text)
    return host


def traces(host):
    # A comment may name arguments that never ran.
    return {
        str(path.relative_to(host.root)): re.sub("^# Removed, until.*\n", "", path.read_text(), flags=re.MULTILINE)
        for directory in ("/etc", "/boot")
        for path in host.path(directory).rglob("*")
        if path.is_file()
    }


class TestKernelArguments:
    def bring(self, root, requested):
        host = Host(root)
        generator = arguments.Generator(host)
        generator.bare = BARE
        return converge(KernelArguments(requested, generator), requested, host)

    def make(self, root, before, booted):
        host = put(
            root,
            {
                arguments.CONFIG: BARE,
                "/etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT=""\nGRUB_CMDLINE_LINUX="console=ttyS0"\n',
                "/proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz root=LABEL=ROOT ro console=ttyS0\n",
            },
        )
        if before:
            self.bring(root, before)
            if booted:
                arguments.boot(host)
        return host

    @pytest.mark.parametrize("after", ["the same again", "none at once"])
    @pytest.mark.parametrize(
        ("before", "booted", "requested"),
        [
            ([], False, ["a=1", "b=2"]),
            (["a=1"], True, ["a=1", "b=2"]),
            (["a=1"], True, ["b=2"]),
            (["a=1"], False, ["b=2"]),
            (["a=1"], True, []),
            (["a=1"], False, []),
        ],
        ids=["first", "added", "changed", "changed before a boot", "removed", "removed before a boot"],
    )
    def test_a_killed_run_is_finished_by_the_next(self, tmp_path, before, booted, requested, after):
        root = tmp_path / "host"
        fresh = traces(self.make(root, [], False))
        host = self.make(root, before, booted)
        self.bring(root, requested)
        kept = traces(host)
        self.make(root, before, booted)

        def look():
            if after == "the same again":
                self.bring(root, requested)
                assert traces(host) == kept
                assert not self.bring(root, requested).changed
            self.bring(root, [])
            # What still runs is known until a boot without it.
            arguments.boot(host)
            self.bring(root, [])
            assert traces(host) == fresh
            assert not self.bring(root, []).changed

        hold(lambda: self.bring(root, requested), look, lambda: self.make(root, before, booted), least=8)


class TestDrivers:
    IGB, MORE = Driver("igb", {"max_vfs": "7"}), Driver("igb", {"max_vfs": "7", "debug": "1"})

    def bring(self, root, requested):
        host = Host(root)
        return converge(Drivers(requested, Tools(host)), requested, host)

    def make(self, root, before):
        files = {
            "/proc/stat": f"cpu 1 2\nbtime {drivers.BOOTED}\n",
            "/proc/cmdline": "root=/dev/vda ro console=ttyS0\n",
            "/proc/sys/kernel/osrelease": f"{drivers.RELEASE}\n",
            "/sys/module/igb/parameters/max_vfs": "0\n",
            "/usr/sbin/update-initramfs": "",
            f"/boot/vmlinuz-{drivers.RELEASE}": "",
            drivers.IMAGE: "",
        }
        host = put(root, files)
        drivers.touch(host, drivers.IMAGE, drivers.BOOTED - 100)
        if before:
            self.bring(root, before)
        return host

    @pytest.mark.parametrize("after", ["the same again", "none at once"])
    @pytest.mark.parametrize(
        ("before", "requested"),
        [([], [IGB]), ([IGB], [MORE]), ([IGB], [])],
        ids=["first", "changed", "removed"],
    )
    def test_a_killed_run_is_finished_by_the_next(self, tmp_path, before, requested, after):
        root = tmp_path / "host"
        host = self.make(root, before)
        self.bring(root, requested)
        kept = traces(host)
        self.make(root, before)

        def look():
            if after == "the same again":
                self.bring(root, requested)
                assert traces(host) == kept
                assert not self.bring(root, requested).changed
            self.bring(root, [])
            assert {path for path, text in traces(host).items() if text.strip(f"{MARK}\n")} == set()
            assert not host.path("/etc/modprobe.d").exists() or host.list("/etc/modprobe.d") == []
            assert not self.bring(root, []).changed

        hold(lambda: self.bring(root, requested), look, lambda: self.make(root, before), least=6)
