# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What each driver requires of a NIC before it runs XDP natively; the kernel reports none of it before it refuses."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._core.cpulist import parse_cpulist
from .._core.system import Host
from .._linux.ethtool import Settings
from .._linux.netlink import Link
from .placement import Placement, lower_name, misplaced

LRO, HARDWARE_GRO = "rx-lro", "rx-gro-hw"
_HEADROOM = 256  # XDP_PACKET_HEADROOM
_TAIL = 320  # struct skb_shared_info, in cache lines
# Drivers that run a program on the NIC (XDP_SETUP_PROG_HW), for kernels before 6.3, where a driver cannot claim it.
_OFFLOADING = frozenset({"netdevsim", "nfp"})
_ETHERNET, _FCS, _VLAN = 14, 4, 4
_LARGE_BUFFER, _SMALL_BUFFER = 3072, 2048  # of the Intel drivers, with pages of 4 KiB


@dataclass(frozen=True)
class XdpLimits:
    """A driver's conditions for a native program that does not request fragments (``xdp.frags``).

    Attributes:
        buffer: Bytes of a receive buffer; None for a page less headroom and tail.
        overhead: Bytes of a frame that are not in the MTU but take room in the buffer.
        spares_half: At most half of the channels may be in use, as XDP takes a transmit queue for each.
        same_queues: As many receive as transmit queues.
        only_combined: No separate receive and transmit channels.
        refuses_hardware_gro: Receive offload in hardware must be off; others turn it off or bear it.
        queue_per_cpu: Sending and redirecting is slow, by a shared lock, without a spare channel for each CPU.
        legacy_buffer: Bytes of a receive buffer under the private flag legacy-rx, where that makes it smaller.
        counts_spare: Under XDP the driver reports maximums of channels that leave the spare ones out already.
        alone: Neither virtual functions nor traffic classes may be in use.
        most_cpus: Possible CPUs, beyond which there are too few transmit queues to share.
        redirects_by_cpu: Packets redirected to this NIC by a CPU whose number is beyond its queues are lost.
        source: Where in the Linux tree this is written.
    """

    buffer: int | None = None
    overhead: int = _ETHERNET
    spares_half: bool = False
    same_queues: bool = False
    only_combined: bool = False
    refuses_hardware_gro: bool = False
    queue_per_cpu: bool = False
    redirects_by_cpu: bool = False
    legacy_buffer: int | None = None
    counts_spare: bool = False
    alone: bool = False
    most_cpus: int | None = None
    source: str = ""

    @property
    def mtu(self) -> int:
        """The largest MTU, in bytes, but for ``legacy-rx``."""
        room = os.sysconf("SC_PAGE_SIZE") - _HEADROOM - _TAIL if self.buffer is None else self.buffer
        return room - self.overhead

    def largest_mtu(self, legacy: bool) -> int:
        """Return the largest MTU, in bytes.

        Args:
            legacy: Whether the private flag ``legacy-rx`` is on.
        """
        return self.mtu if not legacy or self.legacy_buffer is None else self.legacy_buffer - self.overhead


ANY_DRIVER = XdpLimits(source="a page beside headroom and skb_shared_info, as most drivers need")

# drivers/net/... in the Linux tree, 6.12
XDP_LIMITS = {
    "bnxt_en": XdpLimits(
        overhead=_ETHERNET + _VLAN,
        spares_half=True,
        counts_spare=True,
        only_combined=True,
        source="broadcom/bnxt/bnxt_xdp.c, bnxt_xdp_set(); bnxt.h, BNXT_MAX_PAGE_MODE_MTU; bnxt_ethtool.c",
    ),
    "ena": XdpLimits(
        overhead=_ETHERNET + _VLAN + _FCS,
        spares_half=True,
        source="amazon/ena/ena_xdp.h, ENA_XDP_MAX_MTU and ena_xdp_legal_queue_count()",
    ),
    "gve": XdpLimits(
        buffer=2048,
        overhead=_ETHERNET + 2,
        spares_half=True,
        same_queues=True,
        source="google/gve/gve_main.c, gve_verify_xdp_configuration()",
    ),
    "hv_netvsc": XdpLimits(source="hyperv/netvsc_bpf.c, netvsc_xdp_set()"),
    "i40e": XdpLimits(
        buffer=_LARGE_BUFFER,
        overhead=_ETHERNET + 2 * _VLAN + _FCS,
        redirects_by_cpu=True,
        legacy_buffer=_SMALL_BUFFER - _TAIL,
        source="intel/i40e/i40e_main.c, i40e_xdp_setup() and i40e_calculate_vsi_rx_buf_len(); i40e_txrx.c",
    ),
    "ice": XdpLimits(
        buffer=_LARGE_BUFFER,
        overhead=_ETHERNET + 2 * _VLAN + _FCS,
        legacy_buffer=1664,
        source="intel/ice/ice_main.c, ice_max_xdp_frame_size()",
    ),
    "igb": XdpLimits(
        buffer=_LARGE_BUFFER,
        overhead=_ETHERNET + 2 * _VLAN + _FCS,
        legacy_buffer=_SMALL_BUFFER,
        source="intel/igb/igb_main.c, igb_xdp_setup() and igb_set_rx_buffer_len()",
    ),
    "igc": XdpLimits(buffer=1500, overhead=0, source="intel/igc/igc_xdp.c, igc_xdp_set_prog(): no jumbo frames"),
    "ixgbe": XdpLimits(
        buffer=_LARGE_BUFFER,
        overhead=_ETHERNET + _VLAN + _FCS,
        legacy_buffer=_SMALL_BUFFER,
        alone=True,
        most_cpus=2 * 64,
        source="intel/ixgbe/ixgbe_main.c, ixgbe_xdp_setup() and ixgbe_set_rx_buffer_len(); ixgbe.h, IXGBE_MAX_XDP_QS",
    ),
    "ixgbevf": XdpLimits(
        buffer=_LARGE_BUFFER,
        overhead=_ETHERNET + _VLAN + _FCS,
        legacy_buffer=_SMALL_BUFFER,
        source="intel/ixgbevf/ixgbevf_main.c, ixgbevf_xdp_setup() and ixgbevf_set_rx_buffer_len()",
    ),
    "mlx4_en": XdpLimits(overhead=_ETHERNET + 2 * _VLAN, source="mellanox/mlx4/en_netdev.c, mlx4_en_check_xdp_mtu()"),
    "mlx5_core": XdpLimits(
        overhead=_ETHERNET + _VLAN + _FCS,
        refuses_hardware_gro=True,
        source="mellanox/mlx5/core/en_main.c, mlx5e_xdp_allowed()",
    ),
    "veth": XdpLimits(source="veth.c, veth_xdp_set()"),
    "virtio_net": XdpLimits(queue_per_cpu=True, source="virtio_net.c, virtnet_xdp_set()"),
    "vmxnet3": XdpLimits(overhead=_ETHERNET + 2 * _VLAN + _FCS, source="vmxnet3/vmxnet3_xdp.h, VMXNET3_XDP_MAX_MTU"),
}


def xdp_limits(driver: str | None) -> XdpLimits:
    """Return a driver's conditions; those that most drivers share where it is not in the table."""
    return XDP_LIMITS.get(driver or "", ANY_DRIVER)


@dataclass(frozen=True)
class Around:
    """What else uses a NIC's queues.

    Attributes:
        virtual_functions: In use.
        traffic_classes: Of its transmit queues; 1 where there are none.
        cpus: Possible ones; 0 where it is not known.
        unpacking: Sysctl variables by which the stack takes IP packets out of those that arrive, behind the program.
    """

    virtual_functions: int = 0
    traffic_classes: int = 1
    cpus: int = 0
    unpacking: Sequence[str] = ()

    @classmethod
    def read(cls, host: Host, name: str) -> Around:
        """Return what sysfs says."""
        base = f"/sys/class/net/{name}"
        queues = (one for one in host.list(f"{base}/queues") if one.startswith("tx-"))
        # ENOENT of a NIC of one queue reads as None, and "0-1" is a class of a subordinate device.
        classes = [(host.read(f"{base}/queues/{one}/traffic_class") or "0").partition("-")[0] for one in queues]
        possible = host.read("/sys/devices/system/cpu/possible") or ""
        return cls(
            host.read_int(f"{base}/device/sriov_numvfs") or 0,
            1 + max((int(one) for one in classes if one.isdigit()), default=0),
            max(parse_cpulist(possible), default=-1) + 1,
            tuple(_unpacking(host, name)),
        )


def _unpacking(host: Host, name: str) -> Iterator[str]:
    """Yield the variables that are on. Source: ipv6_rthdr_rcv() in net/ipv6/exthdrs.c takes the lesser of both."""
    for variable in ("seg6_enabled", "rpl_seg_enabled"):
        if all((host.read_int(f"/proc/sys/net/ipv6/conf/{one}/{variable}") or 0) > 0 for one in ("all", name)):
            yield f"net/ipv6/conf/{name}/{variable}"


@dataclass(frozen=True)
class Device:
    """What decides whether a NIC runs a program, as it is or as it is to become.

    Attributes:
        name: Of the interface.
        driver: Its driver; None for a virtual link, which has a kind.
        kind: Of a virtual link, such as veth.
        xdp_features: What the driver claims of XDP; None where the kernel (before 6.3) cannot say.
        mtu: In bytes.
        merging: The offloads that are on and merge packets, of LRO and HARDWARE_GRO; False for one that is fixed.
        channels: In use, by kind, but for those of no queue.
        most_channels: The largest maximum of these.
        misplaced: Why a program would not see what arrives, whatever its mode.
        lower: Name of the device that carries it, where it is one of several on it.
        legacy: Whether the private flag legacy-rx is on.
        around: What else uses its queues.
    """

    name: str
    driver: str | None = None
    kind: str | None = None
    xdp_features: Collection[str] | None = None
    mtu: int = 1500
    merging: Mapping[str, bool] = field(default_factory=dict)
    channels: Mapping[str, int] = field(default_factory=dict)
    most_channels: int = 0
    misplaced: Sequence[Placement] = ()
    lower: str | None = None
    legacy: bool = False
    around: Around = field(default_factory=Around)

    @classmethod
    def of(
        cls,
        link: Link,
        settings: Settings,
        xdp_features: Collection[str] | None,
        mtu: int,
        channels: Mapping[str, int],
        on: Callable[[str], bool],
        table: Sequence[Link] = (),
        around: Around | None = None,
        flags: Mapping[str, bool] | None = None,
    ) -> Device:
        """Return a NIC as it is, or is to become.

        Args:
            link: The interface.
            settings: What its driver says.
            xdp_features: Likewise, of XDP.
            mtu: In bytes.
            channels: In use, by kind.
            on: Whether an offload is on, by the kernel's name.
            table: All links of its network namespace.
            around: What else uses its queues.
            flags: Private flags that are to become others than they are.
        """
        counts = (settings.channels or {}).items()
        return cls(
            link.name,
            settings.driver,
            link.kind,
            xdp_features,
            mtu,
            {name: settings.features[name].changeable for name in (LRO, HARDWARE_GRO) if on(name)},
            {kind: count for kind, count in channels.items() if kind != "other"},
            max((count.maximum for kind, count in counts if kind != "other"), default=0),
            tuple(misplaced(link, table)),
            lower_name(link, table),
            {**(settings.private_flags or {}), **(flags or {})}.get("legacy-rx", False),
            around or Around(),
        )

    @property
    def limits(self) -> XdpLimits:
        """Its driver's conditions."""
        return xdp_limits(self.driver or self.kind)

    @property
    def label(self) -> str:
        """Its driver, for messages."""
        return f"driver {self.driver}" if self.driver else self.kind or "its driver"

    @property
    def queues(self) -> tuple[int, int]:
        """Receive and transmit queues in use."""
        combined = self.channels.get("combined", 0)
        return combined + self.channels.get("rx", 0), combined + self.channels.get("tx", 0)


@dataclass(frozen=True)
class Obstacle:
    """What keeps a NIC from a program: what was found, what is needed, and the way out.

    Attributes:
        blind: Whether one that runs all the same sees too little.
    """

    found: str
    limit: str
    remedy: str
    blind: bool = False

    def __str__(self) -> str:
        return f"{self.found}; needed: {self.limit}: {self.remedy}"


def obstacles(device: Device, mode: str, fragments: bool = False) -> Iterator[Obstacle]:
    """Yield everything that stands between a NIC and a program in a mode.

    Args:
        device: The NIC.
        mode: ``native``, ``generic`` or ``offload``.
        fragments: Whether the program takes packets in several buffers (``xdp.frags``).
    """
    for one in device.misplaced:
        yield Obstacle(one.found, one.limit, f"use {one.remedy}", one.blind)
    for variable in device.around.unpacking:
        yield Obstacle(
            f"{variable} is on, so that the stack takes packets with addresses of their own out of those that arrive",
            "off, as it is by default: the program judges the outer source",
            f"'sysctl -w {variable}=0', or filter with nftables",
            blind=True,
        )
    features = device.xdp_features
    offloads = device.driver in _OFFLOADING if features is None else "hw-offload" in features
    if mode == "offload" and not offloads:
        yield Obstacle(f"{device.label} runs no program on the NIC", "hw-offload", "choose mode native or generic")
    if mode == "native":
        yield from _unsupported(device)
        yield from _frames(device, fragments)
        yield from _queues(device)
        yield from _others(device)


def _unsupported(device: Device) -> Iterator[Obstacle]:
    if device.xdp_features is None or "basic" in device.xdp_features:
        return
    if device.kind == "veth":
        yield Obstacle(
            "a veth whose peer has more transmit queues than it has receive queues",
            "at least as many",
            "make the pair with the same number of queues on both ends",
        )
    else:
        remedy = f"choose mode generic, which is slower, or {device.lower or 'another NIC'}"
        yield Obstacle(f"{device.label} without native XDP", "native XDP", remedy)


def _frames(device: Device, fragments: bool) -> Iterator[Obstacle]:
    most = device.limits.largest_mtu(device.legacy)
    # A driver that hands over frames in several buffers knows its own limit, and says it in words when it refuses.
    in_pieces = fragments and (device.xdp_features is None or "rx-sg" in device.xdp_features)
    if device.mtu > most and not in_pieces:
        remedy = f"mtu: {most} in nic_interfaces, or 'ip link set {device.name} mtu {most}'"
        if device.mtu <= device.limits.mtu:
            remedy += ", or private_flags: {legacy-rx: false}"
        yield Obstacle(f"MTU {device.mtu}", f"at most {most} for {device.label}", remedy)
    if LRO in device.merging:
        remedy = f"features: {{{LRO}: false}} in nic_interfaces, or 'ethtool -K {device.name} lro off'"
        yield Obstacle("large receive offload on", "off: XDP must see each packet", remedy)
    if HARDWARE_GRO in device.merging:
        if not device.merging[HARDWARE_GRO]:
            remedy = "change it where the (virtual) NIC is defined, or choose mode generic"
            yield Obstacle(f"{HARDWARE_GRO} on [fixed]", "off", remedy)
        elif device.limits.refuses_hardware_gro:
            remedy = f"features: {{{HARDWARE_GRO}: false}} in nic_interfaces"
            yield Obstacle(f"{HARDWARE_GRO} on", f"off for {device.label}", remedy)


def _queues(device: Device) -> Iterator[Obstacle]:
    if not device.channels:
        return
    limits, most, (rx, tx) = device.limits, device.most_channels, device.queues
    if limits.only_combined and rx + tx > 2 * device.channels.get("combined", 0):
        remedy = "channels: {combined: N, rx: 0, tx: 0} in nic_interfaces"
        yield Obstacle("separate rx and tx channels", f"combined ones for {device.label}", remedy)
    if limits.same_queues and rx != tx:
        remedy = "the same number of both in nic_interfaces"
        yield Obstacle(f"{rx} rx and {tx} tx channels", f"as many of both for {device.label}", remedy)
    if limits.spares_half and max(rx, tx) * 2 > most:
        remedy = f"at most {most // 2} channels in nic_interfaces"
        yield Obstacle(f"{max(rx, tx)} of {most} channels", f"half of them for {device.label}", remedy)


def _others(device: Device) -> Iterator[Obstacle]:
    limits, around = device.limits, device.around
    if limits.alone and around.virtual_functions:
        remedy = f"'echo 0 > /sys/class/net/{device.name}/device/sriov_numvfs', or choose mode generic"
        yield Obstacle(f"{around.virtual_functions} virtual functions", f"none for {device.label}", remedy)
    if limits.alone and around.traffic_classes > 1:
        remedy = f"'tc qdisc del dev {device.name} root', and no DCB, or choose mode generic"
        yield Obstacle(f"{around.traffic_classes} traffic classes", f"none for {device.label}", remedy)
    if limits.most_cpus is not None and around.cpus > limits.most_cpus:
        remedy = f"boot with possible_cpus={limits.most_cpus} or nr_cpus={limits.most_cpus}, or choose mode generic"
        yield Obstacle(f"{around.cpus} possible CPUs", f"at most {limits.most_cpus} for {device.label}", remedy)
