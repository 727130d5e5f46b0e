# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What drivers do with settings beyond the limits that they report, and the words for features."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

# drivers/net in the Linux tree, 6.12: what each makes of a ring size that does not suit it, and why it drops the link.


@dataclass(frozen=True)
class Driver:
    """How a driver takes settings.

    Attributes:
        bounces: Whether rings, channels, MTU and offloads reset the device, which drops the link or its queues.
        ring_multiple: Ring sizes are rounded to multiples of it.
        ring_power: Ring sizes are rounded to powers of two.
        ring_minimum: Smaller rings are enlarged.
        xdp_holds_channels: Channels cannot change while an XDP program is attached.
        rdma_devices: Auxiliary devices that hold the channels while a driver is bound to them.
        channels_apart: Either combined channels or separate ones, never both.
        rss_buckets: Size of the RSS table by the number of receive queues, where that decides it.
        rss_once_opened: RSS can be read and set only after the NIC was opened for the first time.
        source: Where in the Linux tree this is written.
    """

    bounces: bool = True
    ring_multiple: int = 1
    ring_power: bool = False
    ring_minimum: int = 1
    xdp_holds_channels: bool = False
    rdma_devices: tuple[str, ...] = ()
    rss_once_opened: bool = False
    channels_apart: bool = False
    rss_buckets: Callable[[int], int] | None = None
    source: str = ""


def _bnxt_buckets(queues: int) -> int:
    pages = (queues - 1) // 64
    return 64 * (1 << pages.bit_length() if pages else 1)


def _mlx5_buckets(queues: int) -> int:
    return max(256, 1 << (2 * queues - 1).bit_length())


ANY_DRIVER = Driver()
_SOFTWARE = Driver(bounces=False, source="a virtual device has no link to drop")
DRIVERS: Mapping[str, Driver] = {
    "bnxt_en": Driver(
        channels_apart=True,
        rss_buckets=_bnxt_buckets,
        source="broadcom/bnxt/bnxt_ethtool.c, bnxt_set_channels() and bnxt_get_rxfh_indir_size()",
    ),
    "bonding": _SOFTWARE,
    "bridge": _SOFTWARE,
    "e1000e": Driver(ring_multiple=8, ring_minimum=64, source="intel/e1000e/ethtool.c, e1000_set_ringparam()"),
    "ena": Driver(ring_power=True, ring_minimum=256, source="amazon/ena/ena_ethtool.c, ena_set_ringparam()"),
    "gve": Driver(ring_power=True, source="google/gve/gve_ethtool.c, gve_set_ringparam()"),
    "i40e": Driver(ring_multiple=32, ring_minimum=64, source="intel/i40e/i40e_ethtool.c, i40e_set_ringparam()"),
    "iavf": Driver(ring_multiple=32, ring_minimum=64, source="intel/iavf/iavf_ethtool.c, iavf_set_ringparam()"),
    "ice": Driver(
        ring_multiple=32,
        ring_minimum=64,
        rdma_devices=("ice.roce", "ice.iwarp"),
        source="intel/ice/ice_ethtool.c, ice_set_ringparam() and ice_set_channels()",
    ),
    "igb": Driver(ring_multiple=8, ring_minimum=64, source="intel/igb/igb_ethtool.c, igb_set_ringparam()"),
    "igc": Driver(ring_multiple=8, ring_minimum=64, source="intel/igc/igc_ethtool.c, igc_ethtool_set_ringparam()"),
    "ixgbe": Driver(ring_multiple=8, ring_minimum=64, source="intel/ixgbe/ixgbe_ethtool.c, ixgbe_set_ringparam()"),
    "ixgbevf": Driver(ring_multiple=8, ring_minimum=64, source="intel/ixgbevf/ethtool.c, ixgbevf_set_ringparam()"),
    "mlx5_core": Driver(
        ring_power=True,
        rss_buckets=_mlx5_buckets,
        source="mellanox/mlx5/core/en_ethtool.c, mlx5e_ethtool_set_ringparam(); en/rqt.c, mlx5e_rqt_size()",
    ),
    "tun": _SOFTWARE,
    "veth": _SOFTWARE,
    "virtio_net": Driver(
        bounces=False,
        ring_power=True,
        xdp_holds_channels=True,
        source="virtio_net.c, virtnet_set_channels(); virtio_ring.c, vring_create_virtqueue_split()",
    ),
    "vmxnet3": Driver(
        ring_multiple=32,
        ring_minimum=32,
        rss_once_opened=True,
        source="vmxnet3/vmxnet3_ethtool.c, vmxnet3_set_ringparam(); vmxnet3_drv.c, vmxnet3_setup_driver_shared()",
    ),
}

# Groups and short names of ethtool(8), by the kernel's names for what they switch.
FEATURES: Mapping[str, tuple[str, ...]] = {
    "rx": ("rx-checksum",),
    "rx-checksumming": ("rx-checksum",),
    "tx": (
        "tx-checksum-ipv4",
        "tx-checksum-ip-generic",
        "tx-checksum-ipv6",
        "tx-checksum-fcoe-crc",
        "tx-checksum-sctp",
    ),
    "sg": ("tx-scatter-gather", "tx-scatter-gather-fraglist"),
    "tso": (
        "tx-tcp-segmentation",
        "tx-tcp-ecn-segmentation",
        "tx-tcp-accecn-segmentation",
        "tx-tcp-mangleid-segmentation",
        "tx-tcp6-segmentation",
    ),
    "gso": ("tx-generic-segmentation",),
    "gro": ("rx-gro",),
    "lro": ("rx-lro",),
    "rxvlan": ("rx-vlan-hw-parse",),
    "txvlan": ("tx-vlan-hw-insert",),
    "ntuple": ("rx-ntuple-filter",),
    "rxhash": ("rx-hashing",),
}
LONG_NAMES: Mapping[str, str] = {
    "tx-checksumming": "tx",
    "scatter-gather": "sg",
    "tcp-segmentation-offload": "tso",
    "generic-segmentation-offload": "gso",
    "generic-receive-offload": "gro",
    "large-receive-offload": "lro",
    "rx-vlan-offload": "rxvlan",
    "tx-vlan-offload": "txvlan",
    "ntuple-filters": "ntuple",
    "receive-hashing": "rxhash",
}
# The stack's own: no driver hears of them.
_SOFTWARE_FEATURES = frozenset(
    ("rx-gro", "rx-gro-list", "rx-udp-gro-forwarding", "tx-generic-segmentation", "tx-nocache-copy")
)


def driver(name: str | None) -> Driver:
    """Return how a driver takes settings; a cautious guess where it is not in the table."""
    return DRIVERS.get(name or "", ANY_DRIVER)


def members(feature: str, known: Collection[str]) -> list[str]:
    """Return the features of a NIC that a word of ethtool(8) switches; empty for a word that it does not know.

    Args:
        feature: The kernel's name, or ethtool(8)'s short or long one.
        known: The NIC's features.
    """
    if feature in known:
        return [feature]
    return [name for name in FEATURES.get(LONG_NAMES.get(feature, feature), ()) if name in known]


def resets_device(feature: str) -> bool:
    """Whether a driver has to do with a feature at all."""
    return feature not in _SOFTWARE_FEATURES
