"""The files of a host with two nodes, as its CPUs show themselves."""

from __future__ import annotations

CPU, NODE = "/sys/devices/system/cpu", "/sys/devices/system/node"
IRQ, WORKQUEUE = "/proc/irq/default_smp_affinity", "/sys/devices/virtual/workqueue/cpumask"
PCI = "/sys/devices/pci0000:80/0000:80:00.0/0000:81:00.0"
VIRTIO = "/sys/devices/pci0000:00/0000:00:05.0"
# Recorded from Debian 13 (Linux 6.12) with two sockets of two cores; the governors are those of acpi-cpufreq.
LAB = {
    f"{NODE}/online": "0-1\n",
    f"{NODE}/node0/cpulist": "0-1\n",
    f"{NODE}/node0/distance": "10 21\n",
    f"{NODE}/node0/meminfo": "Node 0 MemTotal:        2030324 kB\nNode 0 MemFree:         1737732 kB\n",
    f"{NODE}/node1/cpulist": "2-3\n",
    f"{NODE}/node1/distance": "21 10\n",
    f"{NODE}/node1/meminfo": "Node 1 MemTotal:        2015232 kB\nNode 1 MemFree:         1737732 kB\n",
    f"{CPU}/online": "0-3\n",
    f"{CPU}/isolated": "\n",
    f"{CPU}/nohz_full": "(null)\n",
    **{f"{CPU}/cpu{cpu}/topology/thread_siblings_list": f"{cpu}\n" for cpu in range(4)},
    "/proc/sys/kernel/osrelease": "6.12.9-amd64\n",
    "/proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz-6.12.9-amd64 root=LABEL=ROOT ro console=ttyS0\n",
    "/proc/1/status": "Name:\tsystemd\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n",
    "/run/systemd/system/made": "",
    "/boot/config-6.12.9-amd64": "CONFIG_CPU_ISOLATION=y\nCONFIG_NO_HZ_FULL=y\nCONFIG_RCU_NOCB_CPU=y\n",
    IRQ: "f\n",
    WORKQUEUE: "f\n",
    f"{PCI}/numa_node": "1\n",
    f"{PCI}/net/ens1/address": "52:54:00:00:00:01\n",
    f"{VIRTIO}/numa_node": "-1\n",
    f"{VIRTIO}/virtio1/net/enp0s5/address": "52:54:00:00:00:02\n",
    "/sys/devices/virtual/net/lo/address": "00:00:00:00:00:00\n",
}
LINKS = {
    "/sys/class/net/ens1": f"../../..{PCI}/net/ens1",
    "/sys/class/net/enp0s5": f"../../..{VIRTIO}/virtio1/net/enp0s5",
    "/sys/class/net/lo": "../../devices/virtual/net/lo",
    "/sys/bus/pci/devices/0000:81:00.0": f"../../../..{PCI}",
}
GOVERNORS = {
    f"{CPU}/cpu{cpu}/cpufreq/{name}": text
    for cpu in range(4)
    for name, text in (
        ("scaling_governor", "schedutil\n" if cpu else "performance\n"),
        ("scaling_available_governors", "performance schedutil\n"),
    )
}
