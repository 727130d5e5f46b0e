"""Options of drivers and demands on them; what igb is like was read on Debian 13, Linux 6.12 (QEMU's 82576)."""

from __future__ import annotations

import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot import driver as boot_driver
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.driver import (
    FILE,
    MARK,
    DrivenNic,
    Driver,
    Drivers,
    LiveDoor,
    facts,
    same_value,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    Impossible,
    Invalid,
    Refused,
    converge,
    describe,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import netlink

RELEASE = "6.12.117+deb13-amd64"
IMAGE = f"/boot/initrd.img-{RELEASE}"
PARAMETERS = (
    "max_vfs:Maximum number of virtual functions to allocate per physical function (uint)\n"
    "debug:Debug level (0=none,...,16=all) (int)\n"
)
BOOTED = 1_000_000_000


class Door:
    """A system of modules, NICs and an initramfs that takes its time from a clock of files."""

    def __init__(self, host, nics=(), parameters=None):
        self.host, self.found, self.updates = host, nics, 0
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

    def update_initramfs(self):
        self.updates += 1
        self.host.write_atomically(IMAGE, self.host.read(FILE) or "")
        touch(self.host, IMAGE, self.host.path(FILE).stat().st_mtime + 1)


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
        return host, Door(host, nics)

    return make


def bring(host, door, *drivers, check=False):
    return converge(Drivers(drivers, door), drivers, host, check=check)


def lines(outcome):
    return [describe(change) for change in outcome.changes]


VIRTUAL = Driver("igb", {"max_vfs": "7"})


def test_options_go_to_our_file_and_into_the_initramfs(system):
    host, door = system()
    expected = [f"{FILE} igb: absent -> max_vfs=7", f"{IMAGE} module options: outdated -> current"]
    foreseen = bring(host, door, VIRTUAL, check=True)
    assert lines(foreseen) == expected
    assert not host.exists(FILE)
    assert lines(bring(host, door, VIRTUAL)) == expected
    assert host.read(FILE) == f"{MARK}\noptions igb max_vfs=7"
    assert host.read(IMAGE) == host.read(FILE).rstrip("\n")
    assert door.updates == 1
    assert not bring(host, door, VIRTUAL).changed


def test_an_initramfs_that_a_power_cut_left_old_is_made_anew(system):
    host, door = system()
    bring(host, door, VIRTUAL)
    touch(host, IMAGE, BOOTED - 100)
    assert lines(bring(host, door, VIRTUAL)) == [f"{IMAGE} module options: outdated -> current"]


def test_an_empty_list_removes_the_file_after_the_initramfs_forgot_it(system):
    host, door = system()
    bring(host, door, VIRTUAL)
    assert lines(bring(host, door)) == [
        f"{FILE} igb: max_vfs=7 -> absent",
        f"{IMAGE} module options: outdated -> current",
    ]
    assert not host.exists(FILE)
    assert host.read(IMAGE) == MARK
    assert not bring(host, door).changed


def test_a_removal_that_was_cut_is_ended(system):
    host, door = system(**{FILE: f"{MARK}\n"})
    assert lines(bring(host, door)) == [
        f"{FILE} text: outdated -> absent",
        f"{IMAGE} module options: outdated -> current",
    ]
    host.write_atomically(FILE, f"{MARK}\n")
    touch(host, FILE, BOOTED - 500)
    assert lines(bring(host, door)) == [f"{FILE} text: outdated -> absent"]


def test_an_edited_file_is_written_anew(system):
    host, door = system(**{FILE: f"{MARK}\n# mine\noptions igb max_vfs=7\n"})
    assert lines(bring(host, door, VIRTUAL))[0] == f"{FILE} text: outdated -> current"


def test_without_initramfs_tools_there_is_none_to_make(system):
    host, door = system()
    host.path("/usr/sbin/update-initramfs").unlink()
    assert lines(bring(host, door, VIRTUAL)) == [f"{FILE} igb: absent -> max_vfs=7"]


def test_what_runs_is_held_against_what_is_set(system):
    host, door = system()
    reported = facts([VIRTUAL], bring(host, door, VIRTUAL).state, check=False)
    assert reported["reload_required"] == ["igb"]
    assert reported["reboot_reasons"] == [
        "igb: max_vfs is 0, 7 is set: reload the driver (modprobe -r igb && modprobe igb), or reboot"
    ]
    assert reported["drivers"] == [{"name": "igb", "loaded": True, "version": RELEASE, "parameters": {"max_vfs": "0"}}]
    host.write_atomically("/sys/module/igb/parameters/max_vfs", "7\n")
    assert not facts([VIRTUAL], bring(host, door, VIRTUAL).state, check=False)["reboot_required"]


def test_a_driver_that_is_not_loaded_needs_no_reload(system):
    host, door = system()
    driver = Driver("e1000e", {"max_vfs": "7"})
    assert not facts([driver], bring(host, door, driver).state, check=False)["reboot_required"]


def test_what_cannot_be_read_back_counts_until_the_next_boot(system):
    host, door = system()
    driver = Driver("igb", {"debug": "16"})
    foreseen = facts([driver], bring(host, door, driver, check=True).state, check=True)
    done = facts([driver], bring(host, door, driver).state, check=False)
    assert foreseen["reboot_reasons"] == done["reboot_reasons"]
    assert "debug cannot be read back, and its file was written in this boot" in done["reboot_reasons"][0]
    touch(host, FILE, BOOTED - 1)
    assert not facts([driver], bring(host, door, driver).state, check=False)["reboot_required"]


@pytest.mark.parametrize(
    ("kind", "now", "desired", "same"),
    [
        ("bool", "Y", "1", True),
        ("bool", "N", "0", True),
        ("invbool", "N", "y", False),
        ("uint", "16", "0x10", True),
        ("array of int", "1,1", "1,1", True),
        ("array of int", "1,1", "1", False),
        ("charp", "on", "on", True),
        ("charp", "on", "off", False),
    ],
)
def test_compares_values_as_the_kernel_reads_them(kind, now, desired, same):
    assert same_value(kind, now, desired) is same


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
    host, door = system([DrivenNic("ens1", "igb", "2.1.0", {"basic"})])
    with pytest.raises(kind, match=words):
        bring(host, door, *drivers)
    assert not host.exists(FILE)


def test_a_kernel_that_cannot_tell_xdp_features_says_so(system):
    host, door = system([DrivenNic("ens1", "igb", None, None)])
    with pytest.raises(Impossible, match=r"this kernel cannot tell XDP features \(6.3 and newer can\)"):
        bring(host, door, Driver("igb", xdp_features=["basic"]))
    with pytest.raises(Impossible, match=r"tells no version \(nothing\), at least 1.0"):
        bring(host, door, Driver("igb", minimum_firmware="1.0"))


def test_demands_that_are_met_change_nothing(system):
    host, door = system(
        [DrivenNic("ens1", "igb", "2.1.0", {"basic", "redirect"})], **{"/sys/module/igb/version": "5.6\n"}
    )
    driver = Driver("igb", minimum_version="5.6", minimum_firmware="2.1", xdp_features=["basic"])
    assert not bring(host, door, driver).changed


def test_options_that_others_set_are_refused(system):
    other = {"/etc/modprobe.d/nic.conf": "# options igb debug=1\noptions igb max_vfs=2 debug=16\nalias a b\n"}
    host, door = system(**other)
    with pytest.raises(Refused, match=r"/etc/modprobe.d/nic.conf line 2 sets max_vfs=2, 7 is asked for"):
        bring(host, door, VIRTUAL)
    assert bring(host, door, Driver("igb", {"debug": "16"})).changed


def test_a_file_hides_others_of_its_name(system):
    host, door = system(
        **{
            "/usr/lib/modprobe.d/a.conf": "options igb max_vfs=2\n",
            "/etc/modprobe.d/a.conf": "",
            "/etc/modprobe.d/b": "x",
        }
    )
    assert bring(host, door, VIRTUAL).changed


def test_a_boot_argument_that_says_otherwise_is_refused(system):
    host, door = system(**{"/proc/cmdline": "igb.max_vfs=1 quiet\n"})
    with pytest.raises(Refused, match=r"boot argument igb.max_vfs=1 sets max_vfs=1"):
        bring(host, door, VIRTUAL)


def test_a_file_of_somebody_else_is_refused(system):
    host, door = system(**{FILE: "options igb max_vfs=7\n"})
    with pytest.raises(Refused, match=r"tripod.conf is not ours"):
        bring(host, door, VIRTUAL)


def test_a_module_without_a_file_of_its_own_is_taken_as_it_is_loaded(system):
    host, door = system()
    door.parameters = {}
    assert bring(host, door, VIRTUAL).changed


def test_asks_the_real_drivers():
    names = {link.name for link in netlink.links()}
    assert {nic.name for nic in LiveDoor().nics()} <= names


def test_a_command_that_is_missing_names_its_package(monkeypatch):
    with pytest.raises(Impossible, match="install kmod and initramfs-tools"):
        boot_driver._run(["tripod-has-no-such-command"])


def test_what_update_initramfs_said_is_in_the_error(monkeypatch):
    real = boot_driver._run
    monkeypatch.setattr(boot_driver, "_run", lambda command: real(["sh", "-c", "echo disk full >&2; exit 1"]))
    with pytest.raises(ApplyFailed, match=r"update-initramfs failed \(1\): disk full"):
        LiveDoor().update_initramfs()
