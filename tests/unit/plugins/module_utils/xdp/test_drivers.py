"""Drivers' conditions for XDP."""

from __future__ import annotations

import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.drivers import ANY_DRIVER, XDP_LIMITS, xdp_limits


@pytest.mark.parametrize(
    ("driver", "page", "mtu"),
    [
        # Tried on 6.12: this is accepted and the next is refused.
        ("igb", 4096, 3046),
        ("vmxnet3", 4096, 3494),
        ("virtio_net", 4096, 3506),
        ("veth", 4096, 3506),
        # As the drivers' own messages say.
        ("ena", 4096, 3498),
        ("mlx5_core", 4096, 3498),
        ("ice", 4096, 3046),
        ("ixgbe", 4096, 3050),
        ("igc", 4096, 1500),
        ("gve", 4096, 2032),
        ("nosuch", 4096, 3506),
        ("nosuch", 65536, 64946),
        ("igc", 65536, 1500),
    ],
)
def test_the_largest_mtu(driver, page, mtu, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _name: page)
    assert xdp_limits(driver).mtu == mtu


def test_a_driver_that_nobody_knows_has_what_most_need():
    assert xdp_limits(None) is xdp_limits("nosuch") is ANY_DRIVER


def test_every_row_says_where_it_comes_from():
    assert [
        name for name, limits in XDP_LIMITS.items() if ".c" not in limits.source and ".h" not in limits.source
    ] == []
