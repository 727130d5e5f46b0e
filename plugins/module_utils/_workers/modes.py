# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Which mode a NIC can give an AF_XDP socket: from what its driver claims, else from what is known of it."""

from __future__ import annotations

from collections.abc import Mapping

from .site import Port

ZERO_COPY, COPY, GENERIC = "zero-copy", "copy", "generic"
CLAIM = "xsk-zerocopy"
# First release whose driver registers an XSK pool in ndo_bpf (XDP_SETUP_XSK_POOL, before 5.10 XDP_SETUP_XSK_UMEM), for
# kernels before 6.3, where a driver cannot claim it. Source: drivers/net in the Linux tree.
_SINCE: Mapping[str, tuple[int, int]] = {
    "i40e": (4, 20),
    "ixgbe": (4, 20),
    "ice": (5, 5),
    "mlx5_core": (5, 3),
    "igc": (5, 14),
    "st_gmac": (5, 13),
    "nfp": (5, 18),
    "fsl_dpaa2_eth": (6, 2),
}
TELLS = (6, 3)


def offered(port: Port, kernel: tuple[int, ...]) -> str:
    """Return the best mode that a NIC can give: ``zero-copy``, ``copy`` or ``generic``."""
    if port.program == GENERIC:
        return GENERIC
    if port.features is not None:
        return ZERO_COPY if CLAIM in port.features and not port.device_lacks else COPY
    since = _SINCE.get(port.driver or "")
    return ZERO_COPY if since is not None and kernel >= since else COPY


def obtained(port: Port, kernel: tuple[int, ...], requested: str) -> str:
    """Return the mode that a socket gets which requests ``auto``, ``zero-copy`` or ``copy``."""
    best = offered(port, kernel)
    return COPY if requested == COPY and best == ZERO_COPY else best
