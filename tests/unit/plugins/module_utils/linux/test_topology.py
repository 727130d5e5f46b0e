"""Reading a machine with two nodes, recorded from one."""

from __future__ import annotations

import errno

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import topology
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import Count, Settings
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink import Link, NetlinkError, XdpState
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.topology import (
    Cpus,
    Hugepages,
    Kernel,
    LiveProbe,
    Node,
    read_cpus,
    read_kernel,
    read_nic,
    read_nodes,
)

NODE = "/sys/devices/system/node"
CPU = "/sys/devices/system/cpu"
PCI = "/sys/devices/pci0000:80/0000:80:00.0/0000:81:00.0"
TWO_NODES = {
    f"{NODE}/online": "0-1\n",
    f"{NODE}/node0/cpulist": "0-1\n",
    f"{NODE}/node0/distance": "10 21\n",
    f"{NODE}/node0/meminfo": "Node 0 MemTotal:        2030324 kB\nNode 0 MemFree:         1737732 kB\n",
    f"{NODE}/node0/hugepages/hugepages-2048kB/nr_hugepages": "64\n",
    f"{NODE}/node0/hugepages/hugepages-2048kB/free_hugepages": "60\n",
    f"{NODE}/node0/hugepages/hugepages-1048576kB/nr_hugepages": "0\n",
    f"{NODE}/node0/hugepages/hugepages-1048576kB/free_hugepages": "0\n",
    f"{NODE}/node1/cpulist": "2-3\n",
    f"{NODE}/node1/distance": "21 10\n",
    f"{NODE}/node1/meminfo": "Node 1 MemTotal:        2015232 kB\nNode 1 MemFree:         1000 kB\n",
    f"{CPU}/online": "0-3\n",
    f"{CPU}/present": "0-3\n",
    f"{CPU}/isolated": "2-3\n",
    f"{CPU}/nohz_full": "(null)\n",
    **{f"{CPU}/cpu{cpu}/topology/thread_siblings_list": "0,2\n" if cpu % 2 == 0 else "1,3\n" for cpu in range(4)},
    "/proc/sys/kernel/osrelease": "6.12.9-amd64\n",
    "/proc/cmdline": 'BOOT_IMAGE=/vmlinuz hugepages=4 hugepages=2 dyndbg="file a.c +p" quiet\n',
    "/proc/mounts": "bpf /sys/fs/bpf bpf rw 0 0\nnone /dev/hugepages hugetlbfs rw,pagesize=2M 0 0\n",
    "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "/sys/kernel/btf/vmlinux": "BTF",
    f"{PCI}/numa_node": "1\n",
    f"{PCI}/msi_irqs/42": "msix\n",
    f"{PCI}/msi_irqs/43": "msix\n",
    "/sys/kernel/irq/42/actions": "ens1-TxRx-1\n",
    "/sys/kernel/irq/43/actions": "\n",
    "/proc/irq/42/smp_affinity": "c\n",
    "/proc/irq/42/smp_affinity_list": "2-3\n",
    "/proc/irq/42/effective_affinity_list": "2\n",
    "/proc/irq/43/smp_affinity": "f\n",
    "/proc/irq/43/smp_affinity_list": "0-3\n",
    "/sys/kernel/iommu_groups/12/type": "DMA-FQ\n",
    f"{PCI}/net/ens1/type": "1\n",
    f"{PCI}/net/ens1/operstate": "up\n",
    f"{PCI}/net/ens1/speed": "1000\n",
    f"{PCI}/net/ens1/queues/rx-0/rps_cpus": "0\n",
    f"{PCI}/net/ens1/queues/rx-1/rps_cpus": "0\n",
    f"{PCI}/net/ens1/queues/tx-0/xps_cpus": "0\n",
    "/sys/devices/virtual/net/lo/type": "772\n",
}
LINKS = {
    "/sys/class/net/ens1": "../../devices/pci0000:80/0000:80:00.0/0000:81:00.0/net/ens1",
    f"{PCI}/net/ens1/device": "../../../0000:81:00.0",
    f"{PCI}/driver": "../../../../bus/pci/drivers/igb",
    "/sys/bus/pci/devices/0000:81:00.0/iommu_group": "../../../../kernel/iommu_groups/12",
    "/sys/class/net/lo": "../../devices/virtual/net/lo",
}

ENS1 = Link(2, "ens1", True, "52:54:00:00:00:01", 1500, 4, 4, XdpState("native", {"native": 42}))
LO = Link(1, "lo", True, "00:00:00:00:00:00", 65536, 1, 1, XdpState())


class RecordedDoor:
    """Answers of a kernel, written down."""

    def __init__(self, links=(LO, ENS1), nic=None, features=frozenset({"redirect", "basic"})):
        self._links, self._nic, self._features = links, nic or Settings(), features

    def links(self):
        return self._links

    def nic(self, name):
        return self._nic

    def xdp_features(self, index):
        if isinstance(self._features, Exception):
            raise self._features
        return self._features

    def queues(self, index):
        return {42: 1}

    def program(self, number):
        return {"id": number, "name": "tripod_xdp", "tag": "3b185187f1855c4c"}


@pytest.fixture
def host(machine):
    return machine(TWO_NODES, LINKS)


def test_nodes_have_their_cpus_memory_and_pages(host):
    assert read_nodes(host) == [
        Node(
            0,
            [0, 1],
            2030324 * 1024,
            1737732 * 1024,
            (Hugepages(2 << 20, 64, 60), Hugepages(1 << 30, 0, 0)),
            [10, 21],
        ),
        Node(1, [2, 3], 2015232 * 1024, 1000 * 1024, (), [21, 10]),
    ]


def test_a_kernel_without_nodes_is_one_node(machine):
    host = machine(
        {
            f"{CPU}/online": "0-1\n",
            "/proc/meminfo": "MemTotal: 100 kB\nMemFree: 50 kB\nHugePages_Total: 3\n",
            "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "3\n",
            "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "2\n",
        }
    )
    assert read_nodes(host) == [Node(0, [0, 1], 102400, 51200, (Hugepages(2 << 20, 3, 2),), (10,))]


def test_cpus_that_share_a_core_are_one_group(host):
    assert read_cpus(host) == Cpus(
        online=[0, 1, 2, 3], present=[0, 1, 2, 3], isolated=[2, 3], nohz_full=[], siblings=[(0, 2), (1, 3)]
    )


def test_boot_arguments_keep_their_order_and_repetition(host):
    assert read_kernel(host) == Kernel(
        release="6.12.9-amd64",
        cmdline=["BOOT_IMAGE=/vmlinuz", "hugepages=4", "hugepages=2", 'dyndbg="file a.c +p"', "quiet"],
        btf=True,
        bpffs=True,
        transparent_hugepages={"enabled": "madvise"},
        hugetlbfs=["/dev/hugepages"],
    )


def test_a_nic_is_described_by_all_who_know_it(host):
    nic = Settings(
        "igb",
        "6.12.9",
        "2.1.3",
        "0000:81:00.0",
        rings={"rx": Count(256, 4096), "tx": Count(256, 4096)},
        channels={"combined": Count(4, 8)},
    )
    assert read_nic(host, RecordedDoor(nic=nic), ENS1) == {
        "name": "ens1",
        "ifindex": 2,
        "kind": None,
        "driver": "igb",
        "driver_version": "6.12.9",
        "firmware_version": "2.1.3",
        "pci_address": "0000:81:00.0",
        "numa_node": 1,
        "mac": "52:54:00:00:00:01",
        "permanent_mac": None,
        "mtu": 1500,
        "up": True,
        "operstate": "up",
        "speed_mbps": 1000,
        "queues": {"rx": 2, "tx": 1},
        "channels": {"combined": {"current": 4, "max": 8}},
        "rings": {"rx": {"current": 256, "max": 4096}, "tx": {"current": 256, "max": 4096}},
        "irqs": [
            {
                "irq": 42,
                "name": "ens1-TxRx-1",
                "queue": 1,
                "cpus": "2-3",
                "effective": "2",
                "movable": True,
                "pending": False,
            }
        ],
        "iommu": {"group": 12, "type": "DMA-FQ"},
        "xdp": {
            "features": ["basic", "redirect"],
            "mode": "native",
            "programs": {"native": {"id": 42, "name": "tripod_xdp", "tag": "3b185187f1855c4c"}},
        },
    }


def test_what_is_not_known_is_none_and_not_zero(host):
    host.write_atomically(f"{PCI}/numa_node", "-1\n")
    host.write_atomically(f"{PCI}/net/ens1/speed", "-1\n")
    found = read_nic(host, RecordedDoor(features=None), ENS1)
    assert found["driver"] == "igb"  # sysfs knows it where the driver does not answer
    for name in ("numa_node", "speed_mbps", "channels", "rings", "firmware_version"):
        assert found[name] is None
    assert found["xdp"]["features"] is None


def test_a_driver_without_xdp_has_no_features_rather_than_none(host):
    assert read_nic(host, RecordedDoor(features=frozenset()), ENS1)["xdp"]["features"] == []


def test_a_virtio_nic_has_the_place_of_its_pci_function(machine):
    function = "/sys/devices/pci0000:00/0000:00:03.0"
    host = machine(
        {f"{function}/numa_node": "0\n", f"{function}/virtio2/net/eth0/type": "1\n"},
        {
            "/sys/class/net/eth0": "../../devices/pci0000:00/0000:00:03.0/virtio2/net/eth0",
            f"{function}/virtio2/net/eth0/device": "../../../virtio2",
        },
    )
    found = read_nic(host, RecordedDoor(), Link(2, "eth0", True, "", 1500, 1, 1, XdpState()))
    assert (found["pci_address"], found["numa_node"], found["mac"]) == ("0000:00:03.0", 0, None)


def test_irqbalance_is_known_by_its_unit_and_what_our_drop_in_bans(host):
    unit, drop_in = "irqbalance.service", "/run/systemd/system/irqbalance.service.d/50-tripod.conf"
    assert topology.read(host, RecordedDoor())["irqbalance"] == {"command": None, "banned": None, "stray": False}
    host.write_atomically(f"/usr/lib/systemd/system/{unit}", "[Service]\nExecStart=/usr/sbin/irqbalance $OPTIONS\n")
    host.write_atomically(drop_in, "[Service]\nExecStart=\nExecStart=/usr/sbin/irqbalance --banirq=43 --banirq=42\n")
    assert topology.read(host, RecordedDoor())["irqbalance"] == {
        "command": "/usr/sbin/irqbalance $OPTIONS",
        "banned": [42, 43],
        "stray": False,
    }


def test_loopback_is_no_nic_and_one_that_went_meanwhile_is_left_out(host):
    assert [nic["name"] for nic in topology.read(host, RecordedDoor())["nics"]] == ["ens1"]
    gone = RecordedDoor(features=NetlinkError(errno.ENODEV))
    assert topology.read(host, gone)["nics"] == []
    with pytest.raises(NetlinkError):
        topology.read(host, RecordedDoor(features=NetlinkError(errno.EPERM)))


def test_this_machine_can_be_read():
    found = topology.read(Host(), LiveProbe())
    assert sorted(cpu for node in found["nodes"] for cpu in node["cpus"]) == found["cpus"]["online"]
    assert found["kernel"]["release"]
    assert all(nic["name"] != "lo" for nic in found["nics"])


@pytest.mark.parametrize(
    ("between", "port", "own"),
    [
        pytest.param({}, "", True, id="the function itself"),
        pytest.param({"virtio2": "virtio"}, "", True, id="virtio"),
        pytest.param({"usb1": "usb", "1-4": "usb", "1-4:1.0": "usb"}, "", False, id="USB"),
        pytest.param({"mlx5_core.sf.4": "auxiliary"}, "", False, id="a subfunction"),
        pytest.param({"domain0": "thunderbolt", "0-1": "thunderbolt"}, "", False, id="Thunderbolt"),
        pytest.param({}, "p0", True, id="a port of a switch in the NIC"),
        pytest.param({}, "pf0vf3", False, id="a representor"),
    ],
)
def test_whose_interrupts_a_functions_are(machine, between, port, own):
    function = "/sys/devices/pci0000:00/0000:00:14.0"
    device = "/".join([function, *between])
    links = {"/sys/class/net/eth9": "../../" + device.removeprefix("/sys/") + "/net/eth9"}
    links[f"{device}/net/eth9/device"] = "../.."
    place = function
    links[f"{function}/subsystem"] = "../../../bus/pci"
    for name, bus in between.items():
        place = f"{place}/{name}"
        links[f"{place}/subsystem"] = f"/sys/bus/{bus}"
    host = machine({f"{device}/net/eth9/type": "1\n", f"{device}/net/eth9/phys_port_name": f"{port}\n"}, links)
    assert topology.pci_device(host, "/sys/class/net/eth9") == function
    assert topology.own_device(host, "/sys/class/net/eth9") == (function if own else None)
