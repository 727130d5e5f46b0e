"""What a VM is made of, as QEMU's command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SOCKETS = 2
CORES_PER_SOCKET = 2
MEMORY_GIB_PER_NODE = 2
NODE_DISTANCE = 21
QUEUES = 4
# The disk as the guest writes it, over the file that it was copied from; snapshots are kept in it.
DISK, OVERLAY = "disk.img", "disk.qcow2"
DISK_NODE = "disk"


@dataclass(frozen=True)
class Nic:
    """A data NIC and its cable's far end: a tap device in the VM's network namespace.

    Attributes:
        name: Of the tap, and QEMU's id of both ends.
        driver: QEMU's device model.
        mac: What the guest reads from the device.
        outside: Address of the far end, with its prefix length.
        queues: Queue pairs of the tap.
    """

    name: str
    driver: str
    mac: str
    outside: str
    queues: int = 1


MANAGEMENT_MAC = "52:54:00:74:70:00"
# RFC 2544's addresses are nobody's; the guest takes .2 of each where a test gives it one.
NICS = (
    Nic("igb0", "igb", "52:54:00:74:70:01", "198.18.1.1/24"),
    Nic("vmxnet0", "vmxnet3", "52:54:00:74:70:02", "198.18.2.1/24"),
    Nic("virtio0", "virtio-net-pci", "52:54:00:74:70:03", "198.18.3.1/24", queues=QUEUES),
)


def _numa() -> list[str]:
    words = []
    for node in range(SOCKETS):
        first = node * CORES_PER_SOCKET
        words += ["-object", f"memory-backend-ram,size={MEMORY_GIB_PER_NODE}G,id=memory{node}"]
        words += ["-numa", f"node,nodeid={node},cpus={first}-{first + CORES_PER_SOCKET - 1},memdev=memory{node}"]
    return [*words, "-numa", f"dist,src=0,dst=1,val={NODE_DISTANCE}"]


def _data_nics(descriptors: Mapping[str, Sequence[str]]) -> list[str]:
    # Whatever names no bus is plugged into the expander, which refuses it; so everything names one.
    igb, vmxnet, virtio = NICS
    words = ["-device", "pxb-pcie,id=node1,bus=pcie.0,bus_nr=0x80,numa_node=1"]
    for slot, nic in enumerate((igb, vmxnet), 1):
        port = f"port{slot}"
        words += ["-netdev", f"tap,id={nic.name},fd={descriptors[nic.name][0]}"]
        words += ["-device", f"pcie-root-port,id={port},bus=node1,chassis={slot},slot={slot}"]
        words += ["-device", f"{nic.driver},id={nic.name}-nic,netdev={nic.name},mac={nic.mac},bus={port},romfile="]
    queues = descriptors[virtio.name]
    shared = ":".join(queues)
    words += ["-netdev", f"tap,id={virtio.name},fds={shared}"]
    # A vector for each direction of a queue pair, one for configuration and one for the control queue.
    options = f"mq=on,vectors={2 * len(queues) + 2},mac={virtio.mac},bus=pcie.0,addr=0x8,romfile="
    # AF_XDP gets zero-copy only of a device that goes by the DMA interface, which a legacy one does not.
    options += ",iommu_platform=on,disable-legacy=on"
    return [*words, "-device", f"{virtio.driver},id={virtio.name}-nic,netdev={virtio.name},{options}"]


def _file(path: Path) -> str:
    return f"file.driver=file,file.filename={path},file.discard=unmap"


def command(
    qemu: Sequence[str], directory: Path, port: int, descriptors: Mapping[str, Sequence[str]], kvm: bool
) -> list[str]:
    """Return QEMU's command line.

    Args:
        qemu: The words that start it.
        directory: The VM's own, which is also the working directory: a socket's path may only be 107 bytes long.
        port: On the host's loopback, forwarded to the guest's SSH.
        descriptors: Of each NIC's tap, one a queue, as words.
        kvm: Whether to use the processor's virtualisation rather than emulate.
    """
    cpus = SOCKETS * CORES_PER_SOCKET
    return [
        *qemu,
        *("-name", directory.name, "-nodefaults", "-no-user-config", "-display", "none"),
        *("-M", "q35", "-accel", "kvm" if kvm else "tcg,thread=multi", "-cpu", "host" if kvm else "max"),
        *("-smp", f"{cpus},sockets={SOCKETS},cores={CORES_PER_SOCKET},threads=1"),
        *("-m", f"{MEMORY_GIB_PER_NODE * SOCKETS}G", *_numa()),
        *("-blockdev", f"qcow2,node-name={DISK_NODE},discard=unmap,{_file(directory / OVERLAY)}"),
        *("-device", f"virtio-blk-pci,drive={DISK_NODE},bus=pcie.0,addr=0x3"),
        *("-drive", f"file={directory / 'boot.iso'},media=cdrom,format=raw,readonly=on", "-boot", "d"),
        *("-device", "virtio-rng-pci,bus=pcie.0,addr=0x4"),
        *("-netdev", f"user,id=management,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", f"virtio-net-pci,netdev=management,mac={MANAGEMENT_MAC},bus=pcie.0,addr=0x5,romfile="),
        *_data_nics(descriptors),
        *("-chardev", f"file,id=serial,path={directory / 'serial.log'},append=on", "-serial", "chardev:serial"),
        *("-qmp", "unix:qmp.sock,server=on,wait=off"),
        *("-pidfile", str(directory / "qemu.pid"), "-daemonize"),
    ]
