# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a virtio NIC's device must offer for zero-copy, which its driver claims of every device."""

from __future__ import annotations

from .._core.system import Host
from .._linux.topology import NETWORK

DRIVER = "virtio_net"
# Bits by their names in the specification. Without the first virtqueue_dma_dev() has no device that
# frames could be mapped for, without the second virtqueue_reset() takes no queue's buffers out; either ends
# virtnet_xsk_pool_enable(). Source: drivers/net/virtio_net.c, drivers/virtio/virtio_ring.c in the Linux tree.
_NEEDED = {"VIRTIO_F_ACCESS_PLATFORM": 33, "VIRTIO_F_RING_RESET": 40}


def lacking(host: Host, interface: str) -> tuple[str, ...]:
    """Return which of the needed features a virtio NIC was not given; none where sysfs does not say."""
    # A character for each bit, from bit 0 on.
    bits = host.read(f"{NETWORK}/{interface}/device/features")
    return tuple(name for name, bit in _NEEDED.items() if bits is not None and bits[bit : bit + 1] != "1")
