"""The VM is the machine that the other tests take it for."""

from __future__ import annotations

import time

import pytest

from tests.support.site import eventually
from tools.vm.hardware import CORES_PER_SOCKET, MEMORY_GIB_PER_NODE, NICS, NODE_DISTANCE, SOCKETS


def guest_name(host, mac):
    for name in host.check_output("ls /sys/class/net").split():
        if host.file(f"/sys/class/net/{name}/address").content_string.strip() == mac:
            return name
    raise AssertionError(f"the guest has no NIC {mac}")


def test_cpus_and_memory_are_in_two_nodes(host):
    nodes = host.check_output("ls -d /sys/devices/system/node/node[0-9]*").split()
    assert len(nodes) == SOCKETS
    for number, node in enumerate(nodes):
        first = number * CORES_PER_SOCKET
        assert host.file(f"{node}/cpulist").content_string.strip() == f"{first}-{first + CORES_PER_SOCKET - 1}"
        kibibytes = int(host.check_output(f"sed -n 's/.*MemTotal: *//p' {node}/meminfo").split()[0])
        assert 0.8 * MEMORY_GIB_PER_NODE < kibibytes / 2**20 <= MEMORY_GIB_PER_NODE
    assert host.file(f"{nodes[0]}/distance").content_string.split() == ["10", str(NODE_DISTANCE)]


@pytest.mark.parametrize(
    ("name", "driver", "node"), [("igb0", "igb", 1), ("vmxnet0", "vmxnet3", 1), ("virtio0", "virtio_net", -1)]
)
def test_a_data_nic_has_its_driver_and_its_node(host, name, driver, node):
    nic = guest_name(host, next(nic.mac for nic in NICS if nic.name == name))
    assert host.file(f"/sys/class/net/{nic}/device/driver").linked_to.rsplit("/", 1)[-1] == driver
    of_device = host.file(f"/sys/class/net/{nic}/device/numa_node")
    assert (int(of_device.content_string) if of_device.exists else -1) == node


@pytest.mark.parametrize("nic", NICS, ids=lambda nic: nic.name)
def test_a_data_nic_talks_to_the_outside(host, outside, nic):
    name = guest_name(host, nic.mac)
    address = nic.outside.split("/")[0][:-1] + "2"
    before = host.interface(name).addresses
    host.check_output(f"ip address replace {address}/24 dev {name}")
    host.check_output(f"ip link set {name} up")
    try:
        eventually(f"{name} answers", lambda: outside(nic.name).answers(address), 20)
    finally:
        if address not in before:
            host.check_output(f"ip address delete {address}/24 dev {name}")


def test_a_cable_can_be_pulled(host, vm):
    name = guest_name(host, NICS[0].mac)
    carrier = host.file(f"/sys/class/net/{name}/carrier")
    host.check_output(f"ip link set {name} up")
    vm.link(NICS[0].name, up=False)
    try:
        eventually("the carrier goes", lambda: carrier.content_string.strip() == "0", 20)
    finally:
        vm.link(NICS[0].name, up=True)
    eventually("the carrier comes", lambda: carrier.content_string.strip() == "1", 20)


@pytest.mark.full
def test_the_guest_decides_how_it_boots_next(host, vm):
    mark = "tripod.vm_test=1"
    drop_in = "/etc/default/grub.d/vm-test.cfg"
    host.check_output("mkdir -p /etc/default/grub.d")
    host.check_output(f"printf 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {mark}\"\\n' > {drop_in}")
    try:
        host.check_output("update-grub")
        vm.reboot()
        assert mark in host.file("/proc/cmdline").content_string.split()
    finally:
        host.check_output(f"rm {drop_in}")
        host.check_output("update-grub")
    # In order: GRUB reads the file system without replaying its journal, so after a reset it may find the old file.
    vm.reboot()
    assert mark not in host.file("/proc/cmdline").content_string.split()


@pytest.mark.full
def test_a_reset_boots_anew(vm):
    before = vm.boot_id()
    vm.reset()
    assert vm.boot_id() not in (None, before)


@pytest.mark.full
def test_what_was_synced_outlives_a_power_cut(host, vm):
    path = "/var/tmp/vm-test"
    host.check_output(f"echo kept > {path}")
    host.check_output(f"sync {path}")
    vm.kill()
    assert vm.process is None
    vm.start()
    assert host.file(path).content_string == "kept\n"
    host.check_output(f"rm {path}")
    assert host.check_output("systemctl is-system-running --wait") == "running"


@pytest.mark.full
def test_a_snapshot_is_memory_and_disk_of_one_moment(host, vm):
    in_memory, on_disk = "/run/vm-test", "/var/tmp/vm-test"
    vm.snapshot("test")
    boot = vm.boot_id()
    for switched_off in (False, True):
        host.check_output(f"touch {in_memory} {on_disk} && sync")
        if switched_off:
            vm.kill()
        vm.restore("test")
        assert vm.boot_id() == boot
        assert not host.file(in_memory).exists
        assert not host.file(on_disk).exists
        # It stood still since then.
        assert abs(int(host.check_output("date +%s")) - time.time()) < 60
