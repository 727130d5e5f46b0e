"""A machine of two nodes, as QEMU's shows itself to Debian 13 (Linux 6.12), and a kernel that has its pages."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import describe
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.request import Desired, Reservation
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.resource import Hugepages

M, G = 2 << 20, 1 << 30
NODES = "/sys/devices/system/node"
MEMINFO = (
    "Node {node} MemTotal:        2022404 kB\nNode {node} MemFree:         1181020 kB\n"
    "Node {node} Active(file):      39920 kB\nNode {node} Inactive(file):   637976 kB\n"
    "Node {node} SReclaimable:      52280 kB\n"
)
BUDDYINFO = """\
Node 0, zone      DMA      0      0      0      0      0      0      0      1      0      1      3
Node 0, zone    DMA32    152     48    128     42     76     43     25     17     10     15    359
Node 1, zone   Normal    371    586    266     91     67     31     27     19     10     11      0
"""
CMDLINE = "BOOT_IMAGE=/boot/vmlinuz-6.12.117+deb13-amd64 root=LABEL=ROOT ro console=ttyS0"


def pool(node, size, total=0, free=0, surplus=0):
    folder = f"{NODES}/node{node}/hugepages/hugepages-{size >> 10}kB"
    counts = {"nr": total, "free": free, "surplus": surplus}
    return {f"{folder}/{name}_hugepages": f"{count}\n" for name, count in counts.items()}


def files(**more):
    found = {
        f"{NODES}/online": "0-1\n",
        "/proc/buddyinfo": BUDDYINFO,
        "/proc/meminfo": "MemTotal:        4015140 kB\nHugepagesize:       2048 kB\n",
        "/proc/cmdline": CMDLINE + "\n",
        "/proc/self/mounts": "hugetlbfs /dev/hugepages hugetlbfs rw,nosuid,nodev,relatime,pagesize=2M 0 0\n",
        "/proc/sys/kernel/osrelease": "6.12.117+deb13-amd64\n",
        "/proc/sys/vm/drop_caches": "0\n",
        "/proc/sys/vm/compact_memory": "0\n",
        "/etc/fstab": "# a comment\nLABEL=ROOT / ext4 rw 0 1\n\n",
        "/sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n",
        "/sys/kernel/mm/transparent_hugepage/defrag": "always defer defer+madvise [madvise] never\n",
        "/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages": "0\n",
        "/sys/kernel/mm/hugepages/hugepages-1048576kB/resv_hugepages": "0\n",
        "/dev/hugepages/.keep": "",
    }
    for node in (0, 1):
        found[f"{NODES}/node{node}/meminfo"] = MEMINFO.format(node=node)
        found[f"{NODES}/node{node}/compact"] = ""
        found.update({**pool(node, M), **pool(node, G)})
    return {**found, **more}


class Kernel(Host):
    """A machine of files whose pools grow and shrink as far as it has pages, like the kernel's."""

    def __init__(self, root, available=None):
        super().__init__(root)
        self.available = available or {}
        self.written = []

    def write_attribute(self, path, text):
        self.written.append((path, text))
        if path.endswith("/nr_hugepages"):
            folder = path.rpartition("/")[0]
            old, free = (self.read_int(f"{folder}/{name}_hugepages") for name in ("nr", "free"))
            count = max(min(int(text), self.available.get(folder, 1 << 30)), old - free)
            super().write_attribute(f"{folder}/free_hugepages", f"{free + count - old}\n")
            text = f"{count}\n"
        super().write_attribute(path, text)


def desired(*reservations, **more):
    return Desired(reservations=tuple(Reservation(*one) for one in reservations), **more)


def planned(requested, host):
    resource = Hugepages(requested)
    state = resource.read(host)
    resource.validate(requested, state)
    return [describe(change) for change in resource.plan(requested, state) if change.path[0] != "state file"]


def folder(node, size):
    return f"{NODES}/node{node}/hugepages/hugepages-{size >> 10}kB"
