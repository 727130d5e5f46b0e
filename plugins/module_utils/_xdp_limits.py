# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What each driver asks of a NIC before it runs XDP natively; the kernel tells none of it before it refuses."""

from __future__ import annotations

import os
from dataclasses import dataclass

_HEADROOM = 256  # XDP_PACKET_HEADROOM
_TAIL = 320  # struct skb_shared_info, in cache lines
_ETHERNET, _FCS, _VLAN = 14, 4, 4
_LARGE_BUFFER = 3072  # of the Intel drivers, with pages of 4 KiB


@dataclass(frozen=True)
class XdpLimits:
    """A driver's conditions for a native program that does not ask for fragments (``xdp.frags``).

    Attributes:
        buffer: Bytes of a receive buffer; None for a page less headroom and tail.
        overhead: Bytes of a frame that are not in the MTU but take room in the buffer.
        spares_half: At most half of the channels may be in use, as XDP takes a transmit queue for each.
        same_queues: As many receive as transmit queues.
        only_combined: No separate receive and transmit channels.
        refuses_hardware_gro: Receive offload in hardware must be off; others turn it off or bear it.
        queue_per_cpu: Sending and redirecting is slow, by a shared lock, without a spare channel for each CPU.
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
    source: str = ""

    @property
    def mtu(self) -> int:
        """The largest MTU, in bytes."""
        room = os.sysconf("SC_PAGE_SIZE") - _HEADROOM - _TAIL if self.buffer is None else self.buffer
        return room - self.overhead


ANY_DRIVER = XdpLimits(source="a page beside headroom and skb_shared_info, as most drivers need")

# drivers/net/... in the Linux tree, 6.12
XDP_LIMITS = {
    "bnxt_en": XdpLimits(
        overhead=_ETHERNET + _VLAN, only_combined=True, source="broadcom/bnxt/bnxt_xdp.c, bnxt_xdp_set()"
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
        source="intel/i40e/i40e_main.c, i40e_xdp_setup(); i40e_txrx.c, i40e_xdp_xmit()",
    ),
    "ice": XdpLimits(
        buffer=_LARGE_BUFFER,
        overhead=_ETHERNET + 2 * _VLAN + _FCS,
        source="intel/ice/ice_main.c, ice_max_xdp_frame_size()",
    ),
    "igb": XdpLimits(
        buffer=_LARGE_BUFFER, overhead=_ETHERNET + 2 * _VLAN + _FCS, source="intel/igb/igb_main.c, igb_xdp_setup()"
    ),
    "igc": XdpLimits(buffer=1500, overhead=0, source="intel/igc/igc_xdp.c, igc_xdp_set_prog(): no jumbo frames"),
    "ixgbe": XdpLimits(
        buffer=_LARGE_BUFFER, overhead=_ETHERNET + _VLAN + _FCS, source="intel/ixgbe/ixgbe_main.c, ixgbe_xdp_setup()"
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
