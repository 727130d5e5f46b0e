"""Options of drivers and what is required of them; igb is as read on Debian 13, Linux 6.12 (QEMU's 82576)."""

from __future__ import annotations

import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.driver_plan import facts, warnings
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.driver_request import Driver
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.driver_resource import Drivers
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.driver_state import FILE, MARK
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.driver_tools import DrivenNic
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Impossible,
    Invalid,
    Refused,
    converge,
    describe,
)

RELEASE = "6.12.117+deb13-amd64"
IMAGE = f"/boot/initrd.img-{RELEASE}"
PARAMETERS = (
    "max_vfs:Maximum number of virtual functions to allocate per physical function (uint)\n"
    "debug:Debug level (0=none,...,16=all) (int)\n"
)
BOOTED = 1_000_000_000


class Tools:
    """A system of modules, NICs and an initramfs that takes its time from a clock of files."""

    def __init__(self, host, nics=(), parameters=None):
        self.host, self.found, self.updates, self.updated = host, nics, 0, []
        self.parameters = (
            {"igb": PARAMETERS, "virtio_pci": "", "e1000e": PARAMETERS} if parameters is None else parameters
        )

    def modinfo(self, name, what):
        if name not in self.parameters:
            return None
        if what == "parm":
            return self.parameters[name]
        return "(builtin)\n" if name == "virtio_pci" else f"/lib/modules/{RELEASE}/{name}.ko.xz\n"

    def nics(self):
        return self.found

    def update_initramfs(self, releases):
        self.updates += 1
        self.updated += releases
        for release in releases:
            image = f"/boot/initrd.img-{release}"
            self.host.write_atomically(image, self.host.read(FILE) or "")
            touch(self.host, image, self.host.path(FILE).stat().st_mtime + 1)


def touch(host, path, seconds):
    os.utime(host.path(path), (seconds, seconds))


@pytest.fixture
def system(machine):
    def make(nics=(), **more):
        files = {
            "/proc/stat": f"cpu 1 2\nbtime {BOOTED}\n",
            "/proc/cmdline": "root=/dev/vda ro console=ttyS0\n",
            "/proc/sys/kernel/osrelease": f"{RELEASE}\n",
            "/sys/module/igb/parameters/max_vfs": "0\n",
            "/usr/sbin/update-initramfs": "",
            f"/boot/vmlinuz-{RELEASE}": "",
            IMAGE: "",
            "/boot/initrd.img-of-a-kernel-that-went": "",
        }
        host = machine({**files, **more})
        touch(host, IMAGE, BOOTED - 100)
        return host, Tools(host, nics)

    return make


def bring(host, tools, *drivers, check=False):
    return converge(Drivers(drivers, tools), drivers, host, check=check)


def lines(outcome):
    return [describe(change) for change in outcome.changes]


VIRTUAL = Driver("igb", {"max_vfs": "7"})


def test_options_go_to_our_file_and_into_the_initramfs(system):
    host, tools = system()
    expected = [f"{FILE} igb: absent -> max_vfs=7", f"{IMAGE} module options: outdated -> current"]
    predicted = bring(host, tools, VIRTUAL, check=True)
    assert lines(predicted) == expected
    assert not host.exists(FILE)
    assert lines(bring(host, tools, VIRTUAL)) == expected
    assert host.read(FILE) == f"{MARK}\noptions igb max_vfs=7"
    assert host.read(IMAGE) == host.read(FILE).rstrip("\n")
    assert tools.updates == 1
    assert not bring(host, tools, VIRTUAL).changed


def test_an_initramfs_that_a_power_cut_left_old_is_rebuilt(system):
    host, tools = system()
    bring(host, tools, VIRTUAL)
    touch(host, IMAGE, BOOTED - 100)
    assert lines(bring(host, tools, VIRTUAL)) == [f"{IMAGE} module options: outdated -> current"]


def with_kernel(host, release, modules, older):
    host.write_atomically(f"/boot/vmlinuz-{release}", "")
    host.write_atomically(f"/boot/initrd.img-{release}", "")
    touch(host, f"/boot/initrd.img-{release}", BOOTED - 100 if older else host.path(FILE).stat().st_mtime + 1)
    if modules is not None:
        host.write_atomically(f"/lib/modules/{release}/modules.dep", modules)


def test_only_the_initramfs_that_lacks_the_options_is_rebuilt(system):
    host, tools = system()
    bring(host, tools, VIRTUAL)
    with_kernel(host, "6.1", None, older=True)
    with_kernel(host, "6.2", None, older=False)
    assert lines(bring(host, tools, VIRTUAL)) == ["/boot/initrd.img-6.1 module options: outdated -> current"]
    assert tools.updated == [RELEASE, "6.1"]


def test_a_kernel_without_the_driver_needs_no_other_initramfs(system):
    host, tools = system()
    with_kernel(host, "6.1", "kernel/drivers/net/igbvf.ko.xz: kernel/igb/x.ko\nkernel/a-igb.ko:\n", older=True)
    with_kernel(host, "6.2", "kernel/net/x.ko:\nupdates/dkms/igb.ko.xz: kernel/drivers/i2c.ko\n", older=True)
    bring(host, tools, VIRTUAL)
    assert sorted(tools.updated) == sorted([RELEASE, "6.2"])
    assert not bring(host, tools, VIRTUAL).changed
    bring(host, tools)
    assert sorted(tools.updated) == sorted([RELEASE, "6.2"] * 2)
    assert not bring(host, tools).changed


def test_a_check_says_that_a_rebuild_takes_long(system):
    host, tools = system()
    [words] = warnings(bring(host, tools, VIRTUAL, check=True).changes, check=True)
    assert words.startswith(
        f"the initramfs of {RELEASE} would be rebuilt (update-initramfs), which takes up to minutes"
    )
    changes = bring(host, tools, VIRTUAL).changes
    assert warnings(changes, check=False) == []
    assert warnings(bring(host, tools, VIRTUAL, check=True).changes, check=True) == []


def test_an_empty_list_removes_the_file_after_the_initramfs_lost_it(system):
    host, tools = system()
    bring(host, tools, VIRTUAL)
    assert lines(bring(host, tools)) == [
        f"{FILE} igb: max_vfs=7 -> absent",
        f"{IMAGE} module options: outdated -> current",
    ]
    assert not host.exists(FILE)
    assert host.read(IMAGE) == MARK
    assert not bring(host, tools).changed


def test_a_removal_that_was_cut_is_finished(system):
    host, tools = system(**{FILE: f"{MARK}\n"})
    assert lines(bring(host, tools)) == [
        f"{FILE} text: outdated -> absent",
        f"{IMAGE} module options: outdated -> current",
    ]
    host.write_atomically(FILE, f"{MARK}\n")
    touch(host, FILE, BOOTED - 500)
    assert lines(bring(host, tools)) == [f"{FILE} text: outdated -> absent"]


def test_an_edited_file_is_rewritten(system):
    host, tools = system(**{FILE: f"{MARK}\n# mine\noptions igb max_vfs=7\n"})
    assert lines(bring(host, tools, VIRTUAL))[0] == f"{FILE} text: outdated -> current"


def test_without_initramfs_tools_there_is_none_to_rebuild(system):
    host, tools = system()
    host.path("/usr/sbin/update-initramfs").unlink()
    assert lines(bring(host, tools, VIRTUAL)) == [f"{FILE} igb: absent -> max_vfs=7"]


def test_what_runs_is_compared_with_what_is_set(system):
    host, tools = system()
    reported = facts([VIRTUAL], bring(host, tools, VIRTUAL).state, check=False)
    assert reported["reload_required"] == ["igb"]
    assert reported["reboot_reasons"] == [
        "igb: max_vfs is 0, 7 is set: reload the driver (modprobe -r igb && modprobe igb), or reboot"
    ]
    assert reported["drivers"] == [{"name": "igb", "loaded": True, "version": RELEASE, "parameters": {"max_vfs": "0"}}]
    host.write_atomically("/sys/module/igb/parameters/max_vfs", "7\n")
    assert not facts([VIRTUAL], bring(host, tools, VIRTUAL).state, check=False)["reboot_required"]


def test_a_driver_that_is_not_loaded_needs_no_reload(system):
    host, tools = system()
    driver = Driver("e1000e", {"max_vfs": "7"})
    assert not facts([driver], bring(host, tools, driver).state, check=False)["reboot_required"]


def test_what_cannot_be_read_back_counts_until_the_next_boot(system):
    host, tools = system()
    driver = Driver("igb", {"debug": "16"})
    predicted = facts([driver], bring(host, tools, driver, check=True).state, check=True)
    done = facts([driver], bring(host, tools, driver).state, check=False)
    assert predicted["reboot_reasons"] == done["reboot_reasons"]
    assert "debug cannot be read back, and its file was written in this boot" in done["reboot_reasons"][0]
    touch(host, FILE, BOOTED - 1)
    assert not facts([driver], bring(host, tools, driver).state, check=False)["reboot_required"]


@pytest.mark.parametrize(
    ("drivers", "kind", "words"),
    [
        ((Driver("igb"), Driver("igb")), Invalid, "igb is named twice"),
        ((Driver("i/gb"),), Invalid, "is no name of a kernel module"),
        ((Driver("igb", {"max_vfs": "7 debug=1"}),), Invalid, "is no option"),
        ((Driver("igb", minimum_version="new"),), Invalid, "minimum version 'new' is no version"),
        ((Driver("igb", minimum_firmware="0x1"),), Invalid, "minimum firmware '0x1' is no version"),
        ((Driver("igb", xdp_features=["fast"]),), Invalid, "'fast' is no XDP feature: there are basic, redirect"),
        ((Driver("nosuch"),), Impossible, "this kernel has no such module"),
        ((Driver("igb", {"max_vf": "7"}),), Impossible, "igb has no parameter max_vf: it has debug, max_vfs"),
        ((Driver("virtio_pci", {"force_legacy": "1"}),), Impossible, "set virtio_pci.force_legacy=1 there"),
        (
            (Driver("igb", minimum_version="6.13"),),
            Impossible,
            f"the driver is {RELEASE.replace('+', '.')}, at least 6.13",
        ),
        ((Driver("e1000e", xdp_features=["basic"]),), Impossible, "e1000e drives no NIC here"),
        ((Driver("igb", minimum_firmware="2.10"),), Impossible, r"ens1 \(igb\): the firmware is 2.1.0, at least 2.10"),
        ((Driver("igb", xdp_features=["hw-offload"]),), Impossible, "ens1: igb lacks the XDP features hw-offload"),
    ],
)
def test_refuses_before_anything_is_changed(system, drivers, kind, words):
    host, tools = system([DrivenNic("ens1", "igb", "2.1.0", {"basic"})])
    with pytest.raises(kind, match=words):
        bring(host, tools, *drivers)
    assert not host.exists(FILE)


def test_a_kernel_that_cannot_report_xdp_features_says_so(system):
    host, tools = system([DrivenNic("ens1", "igb", None, None)])
    with pytest.raises(Impossible, match=r"this kernel cannot report XDP features \(6.3 and newer can\)"):
        bring(host, tools, Driver("igb", xdp_features=["basic"]))
    with pytest.raises(Impossible, match=r"reports no version \(nothing\), at least 1.0"):
        bring(host, tools, Driver("igb", minimum_firmware="1.0"))


def test_requirements_that_are_met_change_nothing(system):
    host, tools = system(
        [DrivenNic("ens1", "igb", "2.1.0", {"basic", "redirect"})], **{"/sys/module/igb/version": "5.6\n"}
    )
    driver = Driver("igb", minimum_version="5.6", minimum_firmware="2.1", xdp_features=["basic"])
    assert not bring(host, tools, driver).changed


def test_options_that_others_set_are_refused(system):
    other = {"/etc/modprobe.d/nic.conf": "# options igb debug=1\noptions igb max_vfs=2 debug=16\nalias a b\n"}
    host, tools = system(**other)
    with pytest.raises(Refused, match=r"/etc/modprobe.d/nic.conf line 2 sets max_vfs=2, 7 is requested"):
        bring(host, tools, VIRTUAL)
    assert bring(host, tools, Driver("igb", {"debug": "16"})).changed


def test_a_file_hides_others_of_its_name(system):
    host, tools = system(
        **{
            "/usr/lib/modprobe.d/a.conf": "options igb max_vfs=2\n",
            "/etc/modprobe.d/a.conf": "",
            "/etc/modprobe.d/b": "x",
        }
    )
    assert bring(host, tools, VIRTUAL).changed


def test_a_boot_argument_that_says_otherwise_is_refused(system):
    host, tools = system(**{"/proc/cmdline": "igb.max_vfs=1 quiet\n"})
    with pytest.raises(Refused, match=r"boot argument igb.max_vfs=1 sets max_vfs=1"):
        bring(host, tools, VIRTUAL)


def test_a_file_of_somebody_else_is_refused(system):
    host, tools = system(**{FILE: "options igb max_vfs=7\n"})
    with pytest.raises(Refused, match=r"tripod.conf is not ours"):
        bring(host, tools, VIRTUAL)


def test_a_module_without_a_file_of_its_own_is_taken_as_it_is_loaded(system):
    host, tools = system()
    tools.parameters = {}
    assert bring(host, tools, VIRTUAL).changed
